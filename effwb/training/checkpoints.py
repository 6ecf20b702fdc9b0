"""Whole checkpoints and models: checksums of all their files, and the newest checkpoint to continue from."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from effwb._internal.checksums import Damaged, recorded_files, sha256_of, verify_file
from effwb.errors import DataError, TrainingError
from effwb.runs import read_json, write_json

STATE = "effwb.json"  # written last into a checkpoint, so a checkpoint without it is incomplete


def seal(checkpoint: Path, **state) -> None:
    """Write the last file of a checkpoint: the checksums of all others, and what else a run continues from.

    Args:
        checkpoint: Directory of the checkpoint.
        **state: What else is stored, such as the state of a design.
    """
    files = [file for file in sorted(checkpoint.rglob("*")) if file.is_file() and file.name != STATE]
    with ThreadPoolExecutor() as pool:
        sums = list(pool.map(sha256_of, files))
    names = (str(file.relative_to(checkpoint)) for file in files)
    write_json(checkpoint / STATE, {**state, "files": dict(zip(names, sums, strict=True))})


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Name the directory that could not be written, whatever the library that writes to it raises.

    Raises:
        TrainingError: The disk is full or broken.
    """
    try:
        yield
    except Exception as error:
        if not (isinstance(error, OSError) or "os error" in str(error)):  # safetensors has its own class
            raise
        raise TrainingError(
            f"{folder} could not be written: {error}; make room and run again, the training continues from "
            "its last whole checkpoint"
        ) from error


def sealed(folder: Path) -> list[Path]:
    """Return the complete checkpoints in `folder`, the newest first."""
    complete = [path.parent for path in folder.glob(f"checkpoint-*/{STATE}")]
    return sorted(complete, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """Return the step after which a checkpoint was written."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def damage_of(checkpoint: Path) -> str | None:
    """Say what is wrong with a complete checkpoint; None if nothing is.

    Checkpoints of older versions have no checksums; only their last file is read.
    """
    try:
        files = read_json(checkpoint / STATE, "").get("files", {})
        with ThreadPoolExecutor() as pool:
            sums = list(pool.map(lambda name: sha256_of(checkpoint / name), files))
    except DataError:
        return f"{STATE} is damaged"
    except FileNotFoundError as error:
        return f"{Path(error.filename).relative_to(checkpoint)} is missing"
    except OSError as error:
        return f"it cannot be read ({error})"
    changed = [name for name, current in zip(files, sums, strict=True) if current != files[name]]
    return f"{', '.join(changed)} changed after it was written" if changed else None


def newest_whole(folder: Path, steps: int | None = None) -> Path | None:
    """Find the checkpoint to continue from; None if there is none, so that training starts at the beginning.

    Damaged checkpoints that are newer than a whole one are passed over with a warning.

    Args:
        folder: Directory of the checkpoints.
        steps: Steps with a row in metrics.jsonl; a checkpoint after more steps would leave a hole there.

    Raises:
        DataError: There are checkpoints, but none is whole.
    """
    reasons: list[str] = []
    for checkpoint in sealed(folder):
        reason = damage_of(checkpoint)
        if reason is None and steps is not None and step_of(checkpoint) > steps:
            reason = f"metrics.jsonl has only {steps} steps"
        if reason is None:
            for line in reasons:
                logging.getLogger(__name__).warning("%s; continuing from %s", line, checkpoint.name)
            return checkpoint
        reasons.append(f"{checkpoint} cannot be continued: {reason}")
    if reasons:
        raise DataError(
            f"{'; '.join(reasons)}. Restore the files from a copy, or delete {folder} to train from the start"
        )
    return None


def remove_unfit(folder: Path, start: Path | None) -> None:
    """Delete checkpoints that a kill left half written, and those newer than the one to continue from."""
    step = 0 if start is None else step_of(start)
    for path in folder.glob("checkpoint-*"):
        if not (path / STATE).exists() or step_of(path) > step:
            shutil.rmtree(path)


def check_model(model: Path, marker: Path) -> None:
    """Check the model of a finished training.

    Args:
        model: Directory of the model.
        marker: The done marker of the training.

    Raises:
        DataError: The model or one of its files is missing or was changed; the message names it.
    """
    remedy = f"restore it from a copy, or delete {marker} to train again"
    if not model.is_dir():
        raise DataError(f"{model} is missing, though {marker} says that the training has finished; {remedy}")
    for file in recorded_files(model):
        try:
            verify_file(file)
        except Damaged as error:
            raise DataError(f"{file} {error}; {remedy}") from error
