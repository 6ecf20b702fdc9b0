"""Points on this machine: `jobs` processes at a time, each with GPUs or a share of the cores to itself.

An executor is a function like `execute`: points in, what happens to them out. How a point ended is on disk.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NamedTuple

from effwb.errors import BusyError, ConfigError
from effwb.sweep.point import BUSY, PATIENCE, SweepPoint

POLL = 0.05  # seconds between two looks at the children


class Event(NamedTuple):
    what: Literal["started", "ended", "busy"]  # busy: another process runs the point
    point: SweepPoint


@dataclass(frozen=True)
class Slot:
    """Where one point at a time runs: what its environment has besides ours, and its cores, if not all."""

    environment: dict[str, str]
    cores: tuple[int, ...] = ()


def slots(jobs: int, each: int = 1) -> list[Slot]:
    """A place for each of `jobs` processes.

    With GPUs each gets `each` of its own, and `ConfigError` says so where there are too few. Without, the
    cores are divided; a single job keeps them all, as without a sweep.
    """
    check_counts(jobs=jobs, gpus=each)
    found, cores = gpus(), usable_cores()
    cards = [",".join(found[i * each : (i + 1) * each]) for i in range(len(found) // each)]
    if found and jobs > len(cards):
        raise ConfigError(f"jobs={jobs} and {len(found)} GPU(s): every process needs {each} of its own")
    shares = [tuple(cores[i::jobs]) or (cores[i % len(cores)],) for i in range(jobs)]
    threads = [{"OMP_NUM_THREADS": str(len(share))} if jobs > 1 else {} for share in shares]
    if cards:
        order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if "CUDA_VISIBLE_DEVICES" not in os.environ else {}
        pairs = zip(threads, cards, strict=False)  # there may be more cards than jobs
        return [Slot({**own, **order, "CUDA_VISIBLE_DEVICES": card}) for own, card in pairs]
    return [Slot(own, share if jobs > 1 else ()) for own, share in zip(threads, shares, strict=True)]


def check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, int) or count < 1:
            raise ConfigError(f"{name} must be a whole number from 1, got {count!r}")


def gpus() -> list[str]:
    """The GPUs we may use, as CUDA_VISIBLE_DEVICES names them; asking does not start CUDA."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        bad = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
        return names[:bad]  # CUDA sees those before the first that is not valid
    if not shutil.which("nvidia-smi"):
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    found = subprocess.run(query, capture_output=True, text=True, timeout=60)
    return found.stdout.split() if found.returncode == 0 else []


def usable_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def execute(points: Sequence[SweepPoint], places: Sequence[Slot]) -> Iterator[Event]:
    """Run the points in order, one per slot at a time, each in a process that can be lost alone.

    Says when one starts and when it has ended. Children end with this process; when the iterator is closed
    they are ended.
    """
    waiting, free, running = list(points), list(places), {}
    try:
        while waiting or running:
            while waiting and free:
                point, slot = waiting.pop(0), free.pop(0)
                running[start(point, slot)] = point, slot
                yield Event("started", point)
            time.sleep(POLL)
            for child in [child for child in running if child.poll() is not None]:
                point, slot = running.pop(child)
                free.append(slot)
                yield ended(point, child.returncode)
    finally:
        for child in running:
            child.stdin.close()
        for child in running:
            with suppress(subprocess.TimeoutExpired):
                child.wait(10)


def start(point: SweepPoint, slot: Slot, directory: str | None = None) -> subprocess.Popen:
    """The process of a point; it ends when its standard input is closed."""
    command = [sys.executable, "-m", "effwb.sweep.child", str(point.folder)]
    if slot.cores:
        command += ["--cores", *map(str, slot.cores)]
    with open(point.log, "a") as log:
        log.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {slot.environment or ''}\n")
        log.flush()
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, **slot.environment},
            cwd=directory,
            start_new_session=True,  # Ctrl-C is ours alone
        )


def ended(point: SweepPoint, code: int, how: str = "") -> Event:
    """What to say of a point whose process left `code`, or was lost as `how` says."""
    if code == BUSY:
        return Event("busy", point)
    with suppress(BusyError), point.run.lock(PATIENCE):  # until the kernel of a killed process is gone, too
        if not point.is_done() and not point.failure():
            left = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended, exit status {code}"
            point.fail(how or f"the process was {left}", point.log_end())
    return Event("ended", point)
