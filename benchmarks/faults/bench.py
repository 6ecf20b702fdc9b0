"""Draws faults, runs each in a process of its own, and collects the verdicts."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from benchmarks.faults.judge import NOT_TRIED
from benchmarks.faults.stock import make_stock
from effwb.errors import ConfigError
from effwb.runs import write_atomic

VERDICTS = ("right", "named", "silently wrong", "raw")
LOST = ("silently wrong", "raw")
LIMIT = 240.0  # seconds for one fault


class Kind(NamedTuple):
    """A kind of fault.

    Attributes:
        module: The module of this package with the function.
        function: `function(rng, folder, stock, number)` injects one fault and returns a `Result`.
        share: Its share of all faults, relative to the other kinds.
    """

    module: str
    function: str
    share: int


KINDS = {
    "finished evaluation": Kind("files", "finished_evaluation", 220),
    "unfinished evaluation": Kind("files", "unfinished_evaluation", 110),
    "foreign table": Kind("files", "foreign_table", 60),
    "checkpoint": Kind("trainings", "checkpoint", 110),
    "finished training": Kind("trainings", "finished_training", 70),
    "sweep": Kind("sweeps", "sweep_file", 40),
    "kill": Kind("processes", "kill", 70),
    "interrupt": Kind("processes", "interrupt", 30),
    "full disk": Kind("processes", "full_disk", 24),
    "verifier's worker": Kind("processes", "verifier_worker", 30),
    "training process": Kind("processes", "training_process", 4),
    "Ray worker": Kind("sweeps", "ray_worker", 3),
    "vLLM's engine": Kind("processes", "vllm_engine", 3),
    "wrong value": Kind("values", "wrong_value", 260),
    "command line": Kind("values", "command_line", 60),
    "hostile answer": Kind("answers", "hostile_answer", 130),
}


class Fault(NamedTuple):
    """One fault, decided by its kind, its number and the seed of the bench."""

    kind: str
    number: int
    seed: int


def draw(count: int, seed: int, only: Sequence[str] = ()) -> list[Fault]:
    """Return the faults of a bench: the kinds in proportion to their shares, at least one of each.

    Args:
        count: Faults in all; rounding may add a few.
        seed: Seed of the bench.
        only: Kinds; empty means all.

    Raises:
        ConfigError: A kind is unknown.
    """
    for kind in only:
        if kind not in KINDS:
            raise ConfigError(f"unknown kind of fault {kind!r}; legal: {', '.join(KINDS)}")
    kinds = {name: kind for name, kind in KINDS.items() if not only or name in only}
    total = sum(kind.share for kind in kinds.values())
    numbers = {name: max(1, -(-count * kind.share // total)) for name, kind in kinds.items()}
    return [Fault(name, number, seed) for name in kinds for number in range(numbers[name])]


def read_lines(file: Path) -> list[dict]:
    """Return the last verdict of each fault in a file of results, without a line that a kill cut off."""
    text = file.read_text() if file.exists() else ""
    lines = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
    return list({(line["kind"], line["number"]): line for line in lines}.values())


def execute(faults: Sequence[Fault], file: Path, jobs: int) -> None:
    """Inject the faults that have no verdict in `file` yet, `jobs` at a time, each in its own process."""
    file.parent.mkdir(parents=True, exist_ok=True)
    stock = make_stock(file.parent / "stock")
    lines = read_lines(file)
    write_atomic(file, "".join(json.dumps(line) + "\n" for line in lines).encode())  # without a torn line
    judged = {(line["kind"], line["number"]) for line in lines if line["verdict"] != NOT_TRIED}
    waiting = [fault for fault in faults if (fault.kind, fault.number) not in judged]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.faults.stock", "effwb.training.trainer", "effwb.cli.main"])
    running: list[_Running] = []
    with open(file, "a") as results:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_Running(waiting.pop(0), stock, context))
            for child in [child for child in running if child.has_ended()]:
                running.remove(child)
                results.write(json.dumps(child.line()) + "\n")
                results.flush()
            time.sleep(0.02)


class _Running:
    """A fault in a process of its own."""

    def __init__(self, fault: Fault, stock: Path, context):
        self.fault, self.start = fault, time.monotonic()
        self.folder = Path(tempfile.mkdtemp(prefix="effwb-fault-"))
        self.process = context.Process(target=_inject, args=(fault, self.folder, stock))
        self.process.start()

    def has_ended(self) -> bool:
        if self.process.is_alive() and time.monotonic() - self.start > LIMIT:
            self.process.kill()
        return not self.process.is_alive()

    def line(self) -> dict:
        """The verdict, as a line of the results; a process that died without one is raw."""
        self.process.join()
        file, code = self.folder / "verdict.json", self.process.exitcode
        if file.exists():
            verdict = json.loads(file.read_text())
        else:
            ending = signal.Signals(-code).name if code and code < 0 else f"exit status {code}"
            note = self.folder / "fault.txt"
            text = note.read_text() if note.exists() else ""
            verdict = {"fault": text, "verdict": "raw", "detail": f"the process ended with {ending}"}
        shutil.rmtree(self.folder, ignore_errors=True)
        seconds = round(time.monotonic() - self.start, 1)
        return {"kind": self.fault.kind, "number": self.fault.number, **verdict, "seconds": seconds}


def _inject(fault: Fault, folder: Path, stock: Path) -> None:
    """Inject one fault and write its verdict; runs in the process of the fault."""
    kind = KINDS[fault.kind]
    function: Callable = getattr(import_module(f"benchmarks.faults.{kind.module}"), kind.function)
    rng = random.Random(f"{fault.seed} {fault.kind} {fault.number}")
    with (
        open(folder / "output.txt", "w") as output,
        contextlib.redirect_stderr(output),
        contextlib.redirect_stdout(output),
    ):
        try:
            result = function(rng, folder, stock, fault.number)._asdict()
        except Exception:  # of the bench itself, not of what it tests
            text = traceback.format_exc(limit=-3)
            result = {"fault": "the bench", "verdict": "raw", "detail": f"the bench failed: {text}"}
    (folder / "verdict.json").write_text(json.dumps(result))
