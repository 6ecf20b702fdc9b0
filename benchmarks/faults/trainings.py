"""Damaged checkpoints and finished trainings."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from benchmarks.faults.files import damage_one, files_of, names_of
from benchmarks.faults.judge import Result, judge
from benchmarks.faults.stock import learn, measure, same_tables, same_weights
from effwb.analysis import RunSet
from effwb.training import read_metrics


def _same_metrics(run: Path, expected: Path) -> bool:
    rows, others = (
        read_metrics(folder / "train/metrics.jsonl").filter(regex="^(?!time/)") for folder in (run, expected)
    )
    return rows.equals(others)


def checkpoint(rng: random.Random, folder: Path, stock: Path, number: int) -> Result:
    """Damage one or two files of an interrupted training, then continue it."""
    run = shutil.copytree(stock / "training", folder / "run")
    faults, names = [], []
    for _ in range(1 if rng.random() < 0.7 else 2):
        fault, file = damage_one(rng, run, files_of(run), folder)
        faults.append(fault)
        names += names_of(file, run)
    return judge(
        ", ".join(faults),
        lambda: learn(run),
        lambda _: same_weights(run, stock / "trained") and _same_metrics(run, stock / "trained"),
        names,
    )


def finished_training(rng: random.Random, folder: Path, stock: Path, number: int) -> Result:
    """Damage a file of a finished training, then train it again, sample its model, or read its runs."""
    run = shutil.copytree(stock / "trained", folder / "run")
    files = [file for file in files_of(run) if "eval" not in file.relative_to(run).parts]
    fault, file = damage_one(rng, run, files, folder)
    names = [*names_of(file, run), "identity"]
    verb = rng.choice(["train again", "evaluate its model", "read"])
    if verb == "train again":
        return judge(
            f"{verb}, {fault}",
            lambda: learn(run),
            lambda _: same_weights(run, stock / "trained") and _same_metrics(run, stock / "trained"),
            names,
        )
    if verb == "evaluate its model":
        return judge(
            f"{verb}, {fault}",
            lambda: measure(folder / "again", model=learn(run).model),
            lambda _: same_tables(folder / "again", stock / "trained/eval"),
            names,
        )

    def read() -> tuple:
        analysis = next(iter(RunSet.find(run.parent)))
        return analysis.metrics, analysis.state

    expected = next(iter(RunSet.find(stock / "trained")))
    return judge(
        f"{verb}, {fault}",
        read,
        lambda result: result[0].equals(expected.metrics) and result[1] == expected.state,
        names,
    )
