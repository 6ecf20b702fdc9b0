"""Points on this machine: several processes at a time, each with its own GPUs or its own share of the cores.

An executor is a function like `execute`: it takes points and yields an event when one starts or ends. How a
point ended is on disk.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NamedTuple

from effwb.errors import BusyError, ConfigError
from effwb.sweep.point import BUSY_EXIT, LOCK_WAIT, SweepPoint

POLL = 0.05  # seconds between two looks at the children


class Event(NamedTuple):
    """Something that happened to a point.

    Attributes:
        kind: "busy" means that another process runs the point.
        point: The point.
    """

    kind: Literal["started", "ended", "busy"]
    point: SweepPoint


@dataclass(frozen=True)
class Slot:
    """A place in which one point at a time runs.

    Attributes:
        environment: Environment variables besides our own.
        cores: Cores to run on; empty means all.
    """

    environment: dict[str, str]
    cores: tuple[int, ...] = ()


def make_slots(jobs: int, gpus_per_job: int = 1) -> list[Slot]:
    """Divide this machine into slots, one per job.

    With GPUs, each slot has its own. Without, the cores are divided; a single job has all of them.

    Raises:
        ConfigError: If there are too few GPUs.
    """
    check_counts(jobs=jobs, gpus=gpus_per_job)
    gpus, cores = visible_gpus(), usable_cores()
    full_sets = len(gpus) // gpus_per_job
    gpu_sets = [",".join(gpus[i * gpus_per_job : (i + 1) * gpus_per_job]) for i in range(full_sets)]
    if gpus and jobs > full_sets:
        raise ConfigError(f"jobs={jobs} and {len(gpus)} GPU(s): every job needs {gpus_per_job} of its own")
    shares = [tuple(cores[i::jobs]) or (cores[i % len(cores)],) for i in range(jobs)]
    threads = [{"OMP_NUM_THREADS": str(len(share))} if jobs > 1 else {} for share in shares]
    if gpu_sets:
        order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if "CUDA_VISIBLE_DEVICES" not in os.environ else {}
        pairs = zip(threads, gpu_sets, strict=False)  # there may be more GPUs than jobs need
        return [Slot({**env, **order, "CUDA_VISIBLE_DEVICES": gpu_set}) for env, gpu_set in pairs]
    return [Slot(env, share if jobs > 1 else ()) for env, share in zip(threads, shares, strict=True)]


def check_counts(**counts: int) -> None:
    """Raise `ConfigError` for a count that is not a whole number from 1."""
    for name, count in counts.items():
        if not isinstance(count, int) or count < 1:
            raise ConfigError(f"{name} must be a whole number from 1, got {count!r}")


def visible_gpus() -> list[str]:
    """Return the GPUs that may be used, named as in CUDA_VISIBLE_DEVICES, without starting CUDA."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        first_invalid = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
        return names[:first_invalid]  # as CUDA reads it
    if not shutil.which("nvidia-smi"):
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=60)
    return answer.stdout.split() if answer.returncode == 0 else []


def usable_cores() -> list[int]:
    """Return the numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def execute(
    points: Sequence[SweepPoint], slots: Sequence[Slot], idle: Callable[[], None] = lambda: None
) -> Iterator[Event]:
    """Run points in order, one per slot at a time, each in its own process.

    The processes end with this one; closing the iterator terminates them.

    Args:
        points: The points to run.
        slots: Where they run.
        idle: Called again and again while points run.

    Yields:
        An event when a point starts and when it has ended.
    """
    waiting, free = list(points), list(slots)
    running: dict[subprocess.Popen, tuple[SweepPoint, Slot]] = {}
    try:
        while waiting or running:
            while waiting and free:
                point, slot = waiting.pop(0), free.pop(0)
                running[start_process(point, slot)] = point, slot
                yield Event("started", point)
            time.sleep(POLL)
            idle()
            for child in [child for child in running if child.poll() is not None]:
                point, slot = running.pop(child)
                free.append(slot)
                yield record_end(point, child.returncode)
    finally:
        for child in running:
            stop_process(child)
        for child in running:
            with suppress(subprocess.TimeoutExpired):
                child.wait(10)


def start_process(point: SweepPoint, slot: Slot, directory: str | None = None) -> subprocess.Popen:
    """Start the process of a point; `directory` is where it works, by default the current one."""
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
            start_new_session=True,  # Ctrl-C reaches only this process
        )


def stop_process(child: subprocess.Popen) -> None:
    """Make the process of a point end by closing its standard input."""
    if child.stdin:
        child.stdin.close()


def record_end(point: SweepPoint, exit_code: int, reason: str = "") -> Event:
    """Return the event of a point whose process ended; a failure it left no record of is recorded.

    Args:
        point: The point.
        exit_code: Exit status of its process.
        reason: Why the process was lost, where this is known.
    """
    if exit_code == BUSY_EXIT:
        return Event("busy", point)
    with suppress(BusyError), point.run_dir.lock(LOCK_WAIT):  # wait for the kernel of a killed process, too
        if not point.is_done() and not point.failure():
            killed = f"was killed by {signal.Signals(-exit_code).name}" if exit_code < 0 else ""
            ending = f"the process {killed or f'ended with exit status {exit_code}'}"
            point.fail(reason or ending, point.log_end())
    return Event("ended", point)
