"""metrics.jsonl: one line per step, readable during the run, and cut back to the checkpoint on resume."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb._internal.checksums import Damaged, record_file, verify_file
from effwb._internal.jsonl import append_line, read_lines
from effwb.errors import DataError
from effwb.profiles import Training
from effwb.runs import read_json, write_atomic, write_json
from effwb.training.checkpoints import sealed, step_of

if TYPE_CHECKING:
    import pandas as pd

REMEDY = "restore it from a copy, or delete its directory to train again"


class Record:
    """The file of metrics, one step per line.

    Args:
        path: The file; it need not exist yet.
    """

    def __init__(self, path: Path):
        self.path = path

    def rows(self) -> list[dict]:
        """All complete lines, in order; a last line that a kill left half written is skipped.

        Raises:
            DataError: A line is damaged.
        """
        return read_lines(self.path, REMEDY)

    def steps(self) -> int:
        """How many steps have a row, counted from the first until one is missing."""
        rows = self.rows()
        return next((i for i, row in enumerate(rows) if row.get("step") != i + 1), len(rows))

    def cut(self, step: int) -> None:
        """Delete the rows after `step`, which a resumed run will measure again."""
        rows = self.rows()[: min(step, self.steps())]
        write_atomic(self.path, "".join(json.dumps(row) + "\n" for row in rows).encode())

    def add(self, row: dict) -> None:
        """Append a step; numbers that are not finite become null."""
        clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        append_line(self.path, clean)


def planned_steps(folder: Path, settings: Mapping[str, Any]) -> int:
    """Return the updates of a whole training; those of an offline method follow from its epochs and rows.

    Args:
        folder: The directory `train` of the run.
        settings: The settings in the identity of the training.

    Raises:
        DataError: The file that says what an offline method learns from is missing or damaged.
    """
    if "steps" in settings:
        return settings["steps"]
    rows = read_json(folder / "examples.json", "restore it from a copy")["rows"]
    return settings["epochs"] * -(-rows // settings["batch_size"])


def mark_done(folder: Path, **marker) -> None:
    """Write the done marker of a training, after the checksum of its metrics.

    Args:
        folder: The directory `train` of the run.
        **marker: What the marker holds: `steps` and the state of the `design`.
    """
    record_file(folder / "metrics.jsonl")
    write_json(folder / "DONE", marker)


def done_marker(folder: Path) -> dict:
    """Read the done marker of a training.

    Args:
        folder: The directory `train` of the run.

    Returns:
        `steps`, and `design` for the state of the design after them.

    Raises:
        DataError: The marker is missing or damaged.
    """
    file = folder / "DONE"
    remedy = "restore it from a copy, or delete it to train again"
    marker = read_json(file, remedy)
    if not isinstance(marker.get("steps"), int) or not isinstance(marker.get("design"), dict):
        raise DataError(f"{file} lacks the steps or the state of the design; {remedy}")
    return marker


def interruption(folder: Path, settings: Training) -> str:
    """Say how far a training came that was interrupted, and where the next run continues.

    Args:
        folder: The directory `train` of the run.
        settings: The training settings.
    """
    if (folder / "DONE").exists():
        return "interrupted when it was done; the next run reads it back"
    steps = Record(folder / "metrics.jsonl").steps()
    start = next(map(step_of, sealed(folder / "checkpoints")), 0)
    where = "" if start >= steps else f" (checkpoints every {settings.save_every})"
    return f"interrupted at step {steps}; the next run continues from step {start}{where}"


def read_metrics(path: str | Path) -> pd.DataFrame:
    """metrics.jsonl as a DataFrame.

    Args:
        path: The file.

    Returns:
        A row per step, with NaN for missing values; empty where nothing was measured yet.

    Raises:
        DataError: The file is damaged or lacks steps, or was changed after the run had finished.
    """
    import pandas as pd

    record = Record(Path(path))
    frame = pd.DataFrame(record.rows())
    _check_whole(record, len(frame))
    return frame.astype(float).astype({"step": int}) if len(frame) else frame


def _check_whole(record: Record, rows: int) -> None:
    folder, steps = record.path.parent, rows
    if (folder / "DONE").exists():
        steps = done_marker(folder)["steps"]
        try:
            verify_file(record.path)
        except Damaged as error:
            raise DataError(f"{record.path} {error}; {REMEDY}") from error
    if record.steps() < steps:
        raise DataError(f"{record.path} lacks step {record.steps() + 1} of {steps}; {REMEDY}")
