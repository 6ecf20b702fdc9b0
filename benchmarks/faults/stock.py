"""The small runs of the pocket model that the faults damage, made once."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from effwb import problems, profiles
from effwb.evaluation import Evaluation, evaluate
from effwb.runs import RunDir, write_atomic
from effwb.samplers import open_sampler
from effwb.training import train
from effwb.training.trainer import GroupTrainer

POCKET = profiles.profile("pocket").override(n_samples=2, shard_problems=4, max_tokens=128)
BUDGETS = [0, 4, 16, 64, 128]
SETTINGS = dict(
    steps=4,
    problems_per_round=2,
    group_size=4,
    micro_batch=8,
    save_every=1,
    keep_checkpoints=3,
    learning_rate=3e-4,
)
DESIGN = "lead"  # its state is part of a checkpoint
LAST_SAVED = 3  # step of the newest checkpoint of the unfinished training


def measure(folder: Path, *, seed: int = 0, model: str = "pocket") -> Evaluation:
    """Evaluate a model on 12 problems in three shards, or continue it, or read it back."""
    few = problems.load("pocket", n=12, seed=7)
    with open_sampler(model, batch_rows=64) as sampler:
        return evaluate(few, sampler, POCKET, run_dir=folder, budgets=BUDGETS, seed=seed, progress=False)


def learn(folder: Path, **changes):
    """Train for four steps, or continue, or read back; returns the `TrainResult`."""
    easy = problems.load("pocket", 8, split="train")
    settings = {**SETTINGS, **changes}
    return train(DESIGN, easy, run_dir=folder, profile=POCKET, max_tokens=96, watch="none", **settings)


@contextmanager
def stopped_after(step: int) -> Iterator[None]:
    """Trainings in this block are interrupted after the checkpoint of a step."""
    original = GroupTrainer._save_checkpoint

    def save(self, model, trial):
        original(self, model, trial)
        if self.state.global_step == step:
            raise KeyboardInterrupt

    GroupTrainer._save_checkpoint = save
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        GroupTrainer._save_checkpoint = original


def weights(folder: Path) -> dict[str, np.ndarray]:
    """The weights of a trained model by name."""
    from safetensors.numpy import load_file

    return load_file(folder / "model/model.safetensors")


def same_weights(folder: Path, expected: Path) -> bool:
    """Whether two trainings ended with the same weights."""
    first, second = weights(folder), weights(expected)
    return first.keys() == second.keys() and all(np.array_equal(first[k], second[k]) for k in first)


def same_tables(folder: Path, expected: Path) -> bool:
    """Whether two evaluations have the same rows, apart from times."""
    for table in ("rollouts", "probes"):
        rows, others = (
            RunDir(place).read(table).drop(columns="verify_ms", errors="ignore")
            for place in (folder, expected)
        )
        if not rows.equals(others):
            return False
    return True


def make_stock(stock: Path) -> Path:
    """Make the runs that the faults damage, unless they are there.

    `evaluation` and `other` (another seed) are finished; `half` is `evaluation` without its last shards and
    done markers; `trained` is a finished training with its evaluation in `eval`; `training` was interrupted
    and has three checkpoints.
    """
    if (stock / "complete").exists():
        return stock
    shutil.rmtree(stock, ignore_errors=True)
    measure(stock / "other", seed=1)  # first, so that the next one is timed with all imports done
    start = time.monotonic()
    measure(stock / "evaluation")
    seconds = {"evaluate": time.monotonic() - start}
    shutil.copytree(stock / "evaluation", stock / "half")
    for table in ("rollouts", "probes"):
        (stock / "half" / table / "DONE").unlink()
        RunDir(stock / "half").shards(table)[-1].unlink()
    result = learn(stock / "trained")
    measure(stock / "trained" / "eval", model=result.model)
    start = time.monotonic()
    with stopped_after(LAST_SAVED):
        learn(stock / "training")
    seconds["train"] = time.monotonic() - start
    write_atomic(stock / "seconds.json", json.dumps(seconds).encode())
    write_atomic(stock / "complete", b"")
    return stock
