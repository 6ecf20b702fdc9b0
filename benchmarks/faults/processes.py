"""Kills, interrupts, full disks, and processes that die while effwb waits for them."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.faults.judge import NOT_TRIED, Result, announce, judge
from benchmarks.faults.stock import learn, measure, same_tables, same_weights
from effwb.errors import EffwbError

WORK: dict[str, tuple[Callable[[Path], object], Callable[[Path, Path], bool]]] = {
    "evaluate": (measure, lambda run, stock: same_tables(run, stock / "evaluation")),
    "train": (learn, lambda run, stock: same_weights(run, stock / "trained")),
}


def _stopped_at_random(rng: random.Random, name: str, run: Path, stock: Path, stop: signal.Signals) -> str:
    """Start the work in a process, stop it at a random moment, and say when."""
    seconds = json.loads((stock / "seconds.json").read_text())[name]  # of the work alone
    delay = rng.uniform(0.02, 1.1 * seconds)
    child = multiprocessing.get_context("fork").Process(target=WORK[name][0], args=(run,))
    child.start()
    child.join(delay)
    if child.is_alive():
        os.kill(child.pid or 0, stop)
    child.join()
    return f"{stop.name} after {delay:.2f} s of: {name}"


def kill(rng: random.Random, folder: Path, stock: Path, number: int) -> Result:
    """Kill an evaluation or a training at a random moment, then run it again."""
    name = rng.choice(list(WORK))
    fault = announce(folder, _stopped_at_random(rng, name, folder / "run", stock, signal.SIGKILL))
    return _continued(name, fault, folder, stock)


def interrupt(rng: random.Random, folder: Path, stock: Path, number: int) -> Result:
    """Interrupt an evaluation or a training as Ctrl-C does, then run it again."""
    name = rng.choice(list(WORK))
    fault = announce(folder, _stopped_at_random(rng, name, folder / "run", stock, signal.SIGINT))
    return _continued(name, fault, folder, stock)


def _continued(name: str, fault: str, folder: Path, stock: Path) -> Result:
    work, same = WORK[name]
    return judge(fault, lambda: work(folder / "run"), lambda _: same(folder / "run", stock), ["run"])


def full_disk(rng: random.Random, folder: Path, stock: Path, number: int) -> Result:
    """Run on a small file system that fills up; then enlarge it and run again."""
    disk = folder / "disk"
    disk.mkdir()
    name, size = rng.choice(list(WORK)), rng.randrange(12, 400)
    fault = announce(folder, f"{name} on a disk of {size} kB")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        return Result(fault, NOT_TRIED, "mounting a file system needs root and Linux")
    try:
        work, same = WORK[name]
        first = judge(fault, lambda: work(disk / "run"), lambda _: same(disk / "run", stock))
        marks = list(disk.glob("run/*/DONE"))
        if first.verdict == "named" and any(mark.parent.name in ("train", "probes") for mark in marks):
            return Result(fault, "silently wrong", "the full disk left a run that is marked as done")
        if first.verdict != "named" or ("disk" in first.detail and not (disk / "run").exists()):
            return first
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        again = judge(fault, lambda: work(disk / "run"), lambda _: same(disk / "run", stock))
        return again if again.verdict != "right" else first
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def verifier_worker(rng: random.Random, folder: Path, stock: Path, number: int) -> Result:
    """Kill a worker process of the verifier while it compares."""
    from effwb.verifiers import verify

    golds = [rf"\frac{{{n}}}{{7}} + \sqrt{{{n}}}" for n in range(1, 25)]
    texts = [rf"\boxed{{\sqrt{{{n}}} + \frac{{{2 * n}}}{{14}}}}" for n in range(1, 25)]
    delay, kills = rng.uniform(0.0, 3.0), rng.randrange(1, 3)
    fault = announce(folder, f"{kills} workers killed after {delay:.2f} s")

    def kill_workers() -> None:
        time.sleep(delay)
        for worker in psutil.Process().children()[:kills]:
            worker.kill()

    killer = threading.Thread(target=kill_workers)
    killer.start()
    result = judge(
        fault,
        lambda: [verdict.status for verdict in verify(texts, golds, workers=2)],
        lambda statuses: set(statuses) == {"correct"},
    )
    killer.join()
    return result


def training_process(rng: random.Random, folder: Path, stock: Path, number: int) -> Result:
    """Kill one of two training processes, then run the training again; it must come to its end."""
    run, step = folder / "run", rng.randrange(1, 4)
    fault = announce(folder, f"one of two training processes killed after checkpoint {step}")

    def kill_a_process() -> None:
        marker, end = run / f"train/checkpoints/checkpoint-{step}/effwb.json", time.monotonic() + 120
        while not marker.exists() and time.monotonic() < end:
            time.sleep(0.01)
        children = psutil.Process().children(recursive=True)
        ranks = [child for child in children if "--child" in child.cmdline()]
        if ranks:
            rng.choice(ranks).kill()

    killer = threading.Thread(target=kill_a_process)
    killer.start()
    first = judge(fault, lambda: learn(run, processes=2), lambda _: True, ["run"])
    killer.join()
    if first.verdict != "named":
        return first
    return judge(fault, lambda: learn(run, processes=2), lambda result: len(result.metrics) == 4, ["run"])


def vllm_engine(rng: random.Random, folder: Path, stock: Path, number: int) -> Result:
    """Kill vLLM's engine process during an evaluation, then run it again."""
    from effwb import problems
    from effwb.evaluation import evaluate
    from effwb.samplers import open_sampler

    fault = announce(folder, "vLLM's engine killed")
    if importlib.util.find_spec("vllm") is None:
        return Result(fault, NOT_TRIED, "vLLM is not installed")
    from benchmarks.faults.stock import BUDGETS, POCKET

    few, delay = problems.load("pocket", n=12, seed=7), rng.uniform(0.1, 2.0)

    def work(victim: bool):
        with open_sampler("pocket", "vllm") as sampler:
            if victim:
                timer = threading.Timer(delay, lambda: [p.kill() for p in psutil.Process().children(True)])
                timer.start()
            return evaluate(few, sampler, POCKET, run_dir=folder / "run", budgets=BUDGETS, progress=False)

    try:
        work(True)
    except EffwbError:
        pass
    except Exception as error:
        return Result(fault, "raw", f"{type(error).__name__}: {str(error)[:200]}")
    return judge(fault, lambda: work(False), lambda result: len(result.rollouts) == 24, ["run"])
