"""Damaged and foreign files in evaluations."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pandas as pd

from benchmarks.faults.judge import Result, announce, judge
from benchmarks.faults.stock import measure, same_tables
from effwb.analysis import RunSet
from effwb.analysis.finished import read_evaluation

CHANGES = ("delete", "empty", "halve", "flip a bit", "append", "edit")


def files_of(folder: Path, *skipped: str) -> list[Path]:
    """The files below a directory, sorted, without locks and without names that end in one of `skipped`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return [path for path in files if not path.name.endswith(skipped or ("\0",))]


def damage(rng: random.Random, file: Path, change: str) -> bool:
    """Change a file; returns False where the change does not apply to it or alters nothing."""
    data = file.read_bytes()
    if change == "delete":
        file.unlink()
        return True
    if change == "edit":
        return _edit(rng, file)
    if change == "flip a bit":
        if not data:
            return False
        place = rng.randrange(len(data))
        changed = data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
    else:
        changed = {"empty": b"", "halve": data[: len(data) // 2], "append": data + b"\0garbage"}[change]
    file.write_bytes(changed)
    return changed != data


def _edit(rng: random.Random, file: Path) -> bool:
    """Change values that a reader believes: verdicts, golds, lengths, settings; or drop rows."""
    if file.suffix == ".json":
        config = json.loads(file.read_text())
        paths = _numbers_in(config)
        if not paths:
            return False
        node, key = rng.choice(paths)
        node[key] += 1
        file.write_text(json.dumps(config))
        return True
    if file.suffix != ".parquet":
        return False
    table = pd.read_parquet(file)
    if "verdict" in table and rng.random() < 0.5:
        table["verdict"] = "correct"
    elif "answer" in table and rng.random() < 0.5:
        table["answer"] = table["answer"].iloc[::-1].to_numpy()
    elif "length" in table and rng.random() < 0.5:
        table["length"] = table["length"] // 2
    else:
        table = table.iloc[: len(table) // 2]
    table.to_parquet(file)
    return True


def _numbers_in(node) -> list[tuple]:
    """(container, key) of every number in a JSON value, environments left out: they decide nothing."""
    pairs = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
    places: list[tuple] = []
    for key, value in pairs:
        if key in ("environment", "run", "schema"):
            continue
        if isinstance(value, dict | list):
            places += _numbers_in(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            places.append((node, key))
    return places


def damage_one(rng: random.Random, folder: Path, files: list[Path], note: Path) -> tuple[str, Path]:
    """Damage one of the files, drawn with its change; returns the fault in words and the file."""
    while True:
        file, change = rng.choice(files), rng.choice(CHANGES)
        fault = announce(note, f"{change}: {file.relative_to(folder)}")
        if damage(rng, file, change):
            return fault, file


def names_of(file: Path, run: Path) -> list[str]:
    """What a message about a damaged file may name: the file, its table, or the run."""
    return [file.name, file.parent.name, run.name]


def finished_evaluation(rng: random.Random, folder: Path, stock: Path, number: int) -> Result:
    """Damage a file of a finished evaluation, then read the run as `reg`, reports and the explorer do."""
    root = folder / "runs"
    run = shutil.copytree(stock / "evaluation", root / "run", copy_function=shutil.copy2)
    fault, file = damage_one(rng, run, files_of(run), folder)
    expected = read_evaluation(stock / "evaluation")
    if rng.random() < 0.5:
        return judge(
            f"read, {fault}",
            lambda: read_evaluation(run),
            lambda result: (
                result.rollouts.equals(expected.rollouts)
                and (result.curve.accuracy == expected.curve.accuracy).all()
                and (result.curve.budgets == expected.curve.budgets).all()
            ),
            names_of(file, run),
        )
    shutil.copytree(stock / "other", root / "other")

    def table() -> pd.DataFrame | None:
        runs = RunSet.find(root)
        return runs.table().set_index("run") if "run" in runs.names else None

    # a run without its done marker is not finished, and is not in the table
    accuracy = expected.summary()["accuracy"]
    return judge(
        f"table, {fault}",
        table,
        lambda result: result is None or result.loc["run", "accuracy"] == accuracy,
        names_of(file, run),
    )


def unfinished_evaluation(rng: random.Random, folder: Path, stock: Path, number: int) -> Result:
    """Damage a file of an evaluation that was interrupted, then continue it."""
    run = shutil.copytree(stock / "half", folder / "run")
    fault, file = damage_one(rng, run, files_of(run), folder)
    return judge(
        fault,
        lambda: measure(run),
        lambda result: same_tables(run, stock / "evaluation"),
        [*names_of(file, run), "identity"],
    )


def foreign_table(rng: random.Random, folder: Path, stock: Path, number: int) -> Result:
    """Put a file of another run in the place of one's own, then read or continue the run."""
    finished = rng.random() < 0.5
    run = shutil.copytree(stock / ("evaluation" if finished else "half"), folder / "run")
    own = [file for file in files_of(run) if file.suffix in (".parquet", ".json")]
    file = rng.choice(own)
    relative = file.relative_to(run)
    verb = "read" if finished else "continue"
    fault = announce(folder, f"{verb} with {relative} of another run")
    identical = file.read_bytes() == (stock / "other" / relative).read_bytes()
    shutil.copyfile(stock / "other" / relative, file)
    if finished:
        expected = read_evaluation(stock / "evaluation").curve.accuracy
        return judge(
            fault,
            lambda: read_evaluation(run).curve,
            lambda curve: identical or (curve.accuracy == expected).all(),
            names_of(file, run),
        )
    return judge(
        fault,
        lambda: measure(run),
        lambda _: same_tables(run, stock / "evaluation"),
        [*names_of(file, run), "identity"],
    )
