"""The command `effwb check`: is a run whole, and if not, what is to be done?"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from effwb.cli.commands import add_command
from effwb.errors import ConfigError, DataError, EffwbError

CHECK_EXAMPLES = """\
examples:
  effwb check data/runs/free
  effwb check data/runs                    every evaluation, training and sweep below it

Reads every file once; nothing is changed. The exit status is 1 if something is wrong. A run that is not
finished is not wrong.
"""
INSIDE = ("rollouts", "probes", "model", "checkpoints")  # folders that belong to the run above them


class Report(NamedTuple):
    """What is wrong with one run.

    Attributes:
        folder: Its directory.
        kind: One of `KINDS`.
        finished: Whether the run came to its end.
        damage: A sentence for everything that is wrong, with the remedy.
    """

    folder: Path
    kind: str
    finished: bool
    damage: list[str]

    @property
    def state(self) -> str:
        """The state in words."""
        if self.damage:
            return "DAMAGED"
        return "whole" if self.finished else "not finished; the command that started it continues it"


class Findings(list[str]):
    """The messages of the errors that calls raise on purpose."""

    def attempt(self, call: Callable[..., Any], *args: Any) -> Any:
        """Return the result of a call; None where it raised, and then its message is one more finding."""
        try:
            return call(*args)
        except EffwbError as error:
            if str(error) not in self:
                self.append(str(error))
        return None


def add_check(subparsers: Any) -> None:
    """Add the command `effwb check`."""
    summary = "say whether run directories are whole, and what to do about damaged files"
    add = add_command(subparsers, run_check, summary, CHECK_EXAMPLES).add_argument
    add("runs", type=Path, nargs="+", help="runs, or directories that hold some")


def run_check(args: argparse.Namespace) -> int:
    """Print what is wrong with each run, and return 1 if anything is."""
    count = damaged = 0
    for root in args.runs:
        for report in reports_below(root):
            print(f"{report.folder}: {report.kind}, {report.state}", *report.damage, sep="\n    ", flush=True)
            count, damaged = count + 1, damaged + bool(report.damage)
    print(f"\n{damaged} of {count} damaged")
    return int(damaged > 0)


def reports_below(root: Path) -> Iterator[Report]:
    """Check every run in a directory and below.

    Raises:
        ConfigError: There is no run.
    """
    empty = True
    for name, below, files in os.walk(root):
        folder = Path(name)
        for kind, (signs, check) in KINDS.items():
            if signs <= {*below, *files}:
                empty, findings = False, Findings()
                yield Report(folder, kind, bool(findings.attempt(check, folder, findings)), findings)
        below[:] = sorted(child for child in below if child not in INSIDE)
    if empty:
        raise ConfigError(f"{root} holds no run: no rollouts, no training and no point of a sweep")


def check_evaluation(folder: Path, findings: Findings) -> bool:
    """Check both tables of an evaluation, file by file and then together; returns whether it is finished."""
    from effwb.rollouts import problems_of, read_rollouts
    from effwb.runs import RunDir, read_parquet

    run = RunDir(folder)
    findings.attempt(problems_of, folder)
    for table in ("rollouts", "probes"):
        for file in run.shards(table):
            findings.attempt(read_parquet, file)
    if findings or not run.is_marked("rollouts"):
        return False
    read_rollouts(folder, ["problem_id", "sample"])
    if not run.identity("probes"):
        return True  # rollouts without forced answers, as of a preview
    if not run.is_marked("probes"):
        return False
    _check_probes(folder, run.stored_identity("probes"))
    return True


def _check_probes(folder: Path, identity: dict) -> None:
    from effwb.analysis.finished import read_evaluation
    from effwb.probes.table import fingerprint
    from effwb.rollouts import read_rollouts

    read_evaluation(folder)
    expected = identity.get("rollouts")
    columns = ["problem_id", "sample", "completion_ids"]
    if expected is not None and fingerprint(read_rollouts(folder, columns)) != expected:
        raise DataError(
            f"{folder / 'probes'} was made from other rollouts than those beside it; delete it and run again "
            "to restore it"
        )


def check_training(folder: Path, findings: Findings) -> bool:
    """Check the metrics and the model of a training, or its checkpoints; returns whether it is finished."""
    from effwb.runs import RunDir
    from effwb.training.checkpoints import check_model, damage_of, sealed
    from effwb.training.record import done_marker, read_metrics

    train = folder / "train"
    findings.attempt(RunDir(folder).stored_identity, "train")
    findings.attempt(read_metrics, train / "metrics.jsonl")
    if (train / "DONE").exists():
        findings.attempt(done_marker, train)
        findings.attempt(check_model, folder / "model", train / "DONE")
        return True
    for checkpoint in sealed(train / "checkpoints"):
        damage = damage_of(checkpoint)
        if damage:
            findings.append(
                f"{checkpoint}: {damage}; delete it, and the training continues from an older one"
            )
    return False


def check_fine_tuning(folder: Path, findings: Findings) -> bool:
    """Check the model of a supervised fine-tuning; returns whether it is finished."""
    from effwb.runs import read_json
    from effwb.training.checkpoints import check_model

    marker = folder / "warm_start" / "DONE"
    if not marker.exists():
        return False
    findings.attempt(read_json, marker, "delete it and run again to train once more")
    findings.attempt(check_model, folder / "model", marker)
    return True


def check_point(folder: Path, findings: Findings) -> bool:
    """Check a point of a sweep and the copy of its notebook; returns whether it is done."""
    from effwb.sweep.point import SweepPoint
    from effwb.sweep.snapshot import check_snapshot

    point = SweepPoint(folder)
    findings.attempt(point.failure)
    findings.attempt(point.results)
    done = findings.attempt(point.is_done)
    if not done:
        findings.attempt(lambda: check_snapshot(point.snapshot, point.identity["code"]))
    return bool(done)


# by kind of run: the files and folders that show it, and the function that checks it
KINDS: dict[str, tuple[set[str], Callable[[Path, Findings], bool]]] = {
    "evaluation": ({"rollouts"}, check_evaluation),
    "training": ({"train"}, check_training),
    "fine-tuning": ({"warm_start"}, check_fine_tuning),
    "point of a sweep": ({"config.json", "log.txt"}, check_point),
}
