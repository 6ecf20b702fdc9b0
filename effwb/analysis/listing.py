"""`list_runs`: every run below a directory, finished or not, as one table with one frontier."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from effwb._internal.benchmarks import AVERAGE
from effwb._internal.checked import PathText, check_value
from effwb._internal.locks import is_held
from effwb.analysis.finished import EVALUATION, run_info, run_name_below
from effwb.analysis.run_analysis import RunAnalysis
from effwb.analysis.run_root import folders_of_runs
from effwb.analysis.run_set import RunSet
from effwb.errors import ConfigError, DataError, EffwbError
from effwb.frontier import Frontier
from effwb.runs import RunDir

STATES = ("finished", "running", "stopped", "damaged")
COLUMNS = {
    "run": "path of the run below the directory",
    "kind": "training (with its evaluation), evaluation, rollouts (without forced answers) or fine-tuning",
    "model": "model that was evaluated, or that the training started from",
    "design": "design or offline method it was trained with",
    "parameters": "parameters of the design that are not its defaults",
    "seed": "seed of the training, or of the rollouts where nothing was trained",
    "steps": "optimizer updates that are done",
    "planned steps": "optimizer updates of the whole training",
    "problems": "problems of the evaluation",
    "samples": "rollouts per problem of the evaluation",
    "accuracy": "share of right rollouts, truncated ones are wrong; low, high: 95 % over problems",
    "tokens": "mean length of a rollout",
    "REG": "gap to the frontier of the listing, accuracy x tokens; low, high: 95 % over problems",
    "state": f"{', '.join(STATES[:-1])} or {STATES[-1]}; `effwb check` reads every file",
    "age": "seconds since the run was last written to",
    "note": "what is damaged, or why there is no REG",
}
INTERVALS = ("accuracy", "REG")  # columns with ` low` and ` high` behind them
COUNTS = ("seed", "steps", "planned steps", "problems", "samples")


@dataclass(frozen=True, eq=False)
class Listing:
    """The runs below a directory.

    Attributes:
        table: A row per run; the columns are the keys of `COLUMNS`, and ` low` and ` high` of `INTERVALS`.
        frontier: What REG is measured against; None where there is no REG.
        l_max: Last budget that counts, in tokens; None where there is no REG.
    """

    table: pd.DataFrame
    frontier: Frontier | None
    l_max: int | None

    def caption(self) -> str:
        """One line: how many runs there are, and what REG is measured against."""
        states = self.table["state"].value_counts()
        counts = ", ".join(f"{states[state]} {state}" for state in STATES if state in states)
        if self.frontier is None:
            return f"{len(self.table)} runs: {counts}"
        gap = f"REG to {self.l_max:,} tokens against the {self.frontier.name}, accuracy x tokens"
        return f"{len(self.table)} runs: {counts}. {gap}; in brackets: 95 % over problems"


def list_runs(root: str | Path, frontier: Frontier | Callable[[RunSet], Frontier] | None = None) -> Listing:
    """List every run below a directory; nothing is changed.

    Args:
        root: The directory.
        frontier: What REG is measured against, or a function that chooses it for the runs; default: the best
            of the largest set of finished runs that were measured alike. A run that cannot be compared with
            it has no REG, and its `note` says why.

    Raises:
        ConfigError: There is no such directory, or no run in it.

    Example:
        >>> list_runs("data/runs").table.sort_values("REG")  # doctest: +SKIP
    """
    check_value("root", root, PathText)
    root = Path(root)
    if not root.is_dir():
        raise ConfigError(f"no directory {root}")
    rows = {folder: _described(root, folder) for folder in _folders(root)}
    if not rows:
        raise ConfigError(f"{root} holds no run: no rollouts and no training")
    evaluations = [e for folder in rows if (e := _evaluation(folder)) and rows[folder]["state"] != "damaged"]
    finished = RunSet.of(root, evaluations)
    by_name = {row["run"]: row for row in rows.values()}
    comparable: dict[str, list[str]] = {}  # names of runs by what was measured
    for name in finished.names:
        try:
            by_name[name] |= _measured(finished[name])
            comparable.setdefault(finished.measure(name), []).append(name)
        except EffwbError as error:
            by_name[name] |= {"state": "damaged", "note": str(error)}
    best, l_max = None, None
    if comparable:
        runs = finished.filter(names=max(comparable.values(), key=len)).on(AVERAGE)
        best = frontier(runs) if callable(frontier) else frontier or runs.frontier()
        l_max = int(min(best.budgets[-1], *(curve.budgets[-1] for curve in runs.curves().values())))
        for name in (name for alike in comparable.values() for name in alike):
            by_name[name] |= _gap(finished.filter(names=[name]).on(AVERAGE), best, l_max)
    return Listing(_table(list(rows.values())), best, l_max)


def _folders(root: Path) -> Iterator[Path]:
    """Every run: a directory with rollouts, a training (with its evaluation) or a fine-tuning."""
    for name, below, _ in os.walk(root):
        folder, signs = Path(name), {"rollouts", "train", "warm_start"} & set(below)
        is_part = folder.name == EVALUATION and (folder.parent / "train").is_dir() and folder != root
        if signs and not is_part:
            yield folder
        below[:] = folders_of_runs(below)


def _evaluation(folder: Path) -> Path | None:
    """The directory of the run's finished evaluation."""
    place = folder / EVALUATION if (folder / "train").is_dir() else folder
    run = RunDir(place)
    return place if run.is_marked("rollouts") and run.is_marked("probes") else None


def _described(root: Path, folder: Path) -> dict[str, Any]:
    """A row without what is measured; a directory that cannot be read is damaged."""
    row: dict[str, Any] = {"run": run_name_below(root, folder), "age": time.time() - _last_write(folder)}
    try:
        if (folder / "train").is_dir():
            return row | _training(folder)
        if (folder / "warm_start").is_dir():
            return row | _fine_tuning(folder)
        return row | _rollouts(folder)
    except (EffwbError, KeyError, TypeError) as error:
        kind = "training" if (folder / "train").is_dir() else "evaluation"
        note = str(error) if isinstance(error, EffwbError) else f"config.json is damaged: {error!r}"
        return row | {"kind": kind, "state": "damaged", "note": note}


def _training(folder: Path) -> dict[str, Any]:
    from effwb.training.record import Record, done_marker, planned_steps

    run, train, evaluation = RunDir(folder), folder / "train", folder / EVALUATION
    identity, done = run.stored_identity("train"), (train / "DONE").exists()
    if done:
        done_marker(train)
    info = run_info(evaluation if (evaluation / "config.json").exists() else folder)
    planned = planned_steps(train, identity["settings"])
    row = {"kind": "training", "model": identity["model"], "design": info.design, "seed": info.seed}
    row |= {"parameters": _in_words(info.method, info.design), "planned steps": planned}
    row |= {"steps": planned if done else Record(train / "metrics.jsonl").steps()}
    if not done or not (evaluation / "rollouts").is_dir():
        return row | {"state": "finished" if done else _unfinished(folder)}
    part = _rollouts(evaluation)
    if part["state"] != "finished":
        row["note"] = "the training is finished, its evaluation is not"
    return row | {key: part[key] for key in ("problems", "samples", "state")}


def _rollouts(folder: Path) -> dict[str, Any]:
    from effwb.rollouts import problems_of

    run = RunDir(folder)
    identity, probed = run.stored_identity("rollouts"), bool(run.identity("probes"))
    done = [run.is_marked("rollouts"), *([run.is_marked("probes")] if probed else [])]
    problems = len(problems_of(folder, ["problem_id"]))
    row = {"kind": "evaluation" if probed else "rollouts", "model": identity["model"]}
    row |= {"seed": identity.get("seed"), "problems": problems, "samples": identity["n"]}
    tables = ["rollouts", "probes"] if probed else ["rollouts"]
    for table in tables:
        if run.is_marked(table) and not run.is_done(table):
            raise DataError(f"{folder / table} lacks shards that were there; run it again to restore them")
    return row | {"state": "finished" if all(done) else _unfinished(folder)}


def _fine_tuning(folder: Path) -> dict[str, Any]:
    identity = RunDir(folder).stored_identity("warm_start")
    state = "finished" if (folder / "warm_start" / "DONE").exists() else _unfinished(folder)
    return {"kind": "fine-tuning", "model": identity["model"], "seed": identity["seed"], "state": state}


def _unfinished(folder: Path) -> str:
    """Whether a process works on it; that of an evaluation may hold the training above."""
    above = [folder.parent] if folder.name == EVALUATION else []
    return "running" if any(map(is_held, [folder, *above])) else "stopped"


def _in_words(method: str, design: str | None) -> str:
    """The parameters in the name of a method; a name that somebody chose is returned whole."""
    first, _, rest = method.partition(" ")
    return rest if first == design else method


def _last_write(folder: Path) -> float:
    """When a file of the run was last written, in seconds since the epoch; models and locks do not count."""
    names = ("config.json", "*/DONE", "*/*.parquet", "*/*.jsonl", "train/checkpoints/*")
    files = [file for part in (folder, folder / EVALUATION) for name in names for file in part.glob(name)]
    return max((file.stat().st_mtime for file in files), default=folder.stat().st_mtime)


def _measured(run: RunAnalysis) -> dict[str, Any]:
    summary = run.summary()
    row = {"accuracy": summary["accuracy"], "accuracy low": summary["low"], "accuracy high": summary["high"]}
    return row | {"tokens": summary["mean length"]}


def _gap(run: RunSet, frontier: Frontier, l_max: int) -> dict[str, Any]:
    """REG of one run with its interval; a note where it cannot be compared."""
    try:
        row = run.reg(frontier, l_max).iloc[0]
    except EffwbError as error:
        return {"note": f"no REG: {error}"}
    return {name: float(row[name]) for name in ("REG", "REG low", "REG high")}


def _table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    names = [
        name + end for name in COLUMNS for end in (("", " low", " high") if name in INTERVALS else ("",))
    ]
    table = pd.DataFrame(rows, columns=names)
    numbers = [name for name in names if name.startswith((*INTERVALS, "tokens", "age"))]
    words = [name for name in names if name not in (*COUNTS, *numbers)]
    types = {**dict.fromkeys(COUNTS, "Int64"), **dict.fromkeys(numbers, "float64")}
    return table.astype({**types, **dict.fromkeys(words, "object")})
