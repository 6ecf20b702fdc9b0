"""Points on a Ray cluster: Ray chooses the machine, and starts a point again if its worker died.

Every machine needs the same installation and must see the directory of the sweep under the same path: the
state and the results of a point are files there, as without Ray.
"""

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from effwb.errors import ConfigError, EngineError
from effwb.sweep import local
from effwb.sweep.point import SweepPoint

RESTARTS = 3  # of a point whose worker or machine died
POLL = 0.5  # seconds between two looks at the points


@contextmanager
def connect(address: str | None = None) -> Iterator[Any]:
    """Give the Ray module, connected to a cluster.

    Args:
        address: `host:port` of a cluster. None is the cluster this process already uses, or that of this
            machine (or of RAY_ADDRESS), or one that is started here and shut down at the end.

    Raises:
        ConfigError: For an address that is not host:port.
        EngineError: If Ray is not installed, or nothing answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise EngineError("sweeps on a cluster need Ray: pip install 'effwb[cluster]'") from error
    if ray.is_initialized():
        yield ray
        return
    if address:  # look whether something answers there, because Ray itself would wait for minutes
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if not (host and port.isdigit()):
            raise ConfigError(f"the address of a Ray cluster is host:port, got {address!r}")
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            advice = "`ray status` shows where it is"
            raise EngineError(f"no Ray cluster at {address}: {error}; {advice}") from error
    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError) as error:
        raise EngineError(f"no Ray cluster at {address or 'hand'}: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def resources_per_point(ray: Any, jobs: int | None, gpus: int) -> dict[str, float]:
    """Return what Ray reserves for a point: GPUs, if the cluster has any, and a share of the cores.

    Args:
        ray: The connected Ray module.
        jobs: Points at a time. On a cluster without GPUs a point gets a `jobs`-th of the cores of the largest
            machine; with None, one core.
        gpus: GPUs of each point.

    Raises:
        ConfigError: If no machine has as many GPUs.
    """
    local.check_counts(jobs=1 if jobs is None else jobs, gpus=gpus)
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    max_gpus, max_cores = (max(int(m.get(kind, 0)) for m in machines) for kind in ("GPU", "CPU"))
    if not max_gpus:
        return {"num_cpus": max(1, max_cores // (jobs or max_cores))}
    if gpus > max_gpus:
        raise ConfigError(f"gpus={gpus} per point, but no machine of the cluster has more than {max_gpus}")
    return {"num_gpus": gpus, "num_cpus": max(1, max_cores * gpus // max_gpus)}


def execute(
    points: Sequence[SweepPoint],
    ray: Any,
    resources: dict[str, float],
    jobs: int | None = None,
    idle: Callable[[], None] = lambda: None,
) -> Iterator[local.Event]:
    """Run points like `local.execute`, wherever Ray finds their resources free.

    Args:
        points: The points to run.
        ray: The connected Ray module.
        resources: What Ray reserves for each point, from `resources_per_point`.
        jobs: Points at a time; None is as many as the cluster holds.
        idle: Called again and again while points run.

    Yields:
        An event when a point starts and when it has ended.
    """
    task = ray.remote(max_retries=RESTARTS, **resources)(_run_on_worker)
    waiting = list(points)
    submitted: dict[Any, SweepPoint] = {}
    started: set[str] = set()
    try:
        while waiting or submitted:
            while waiting and len(submitted) < (jobs or len(points)):
                point = waiting.pop(0)
                submitted[task.remote(str(point.folder.resolve()), os.getcwd())] = point
            ended, _ = ray.wait(list(submitted), timeout=POLL)
            idle()
            for ref, point in submitted.items():
                if point.name not in started and (ref in ended or point.is_locked()):
                    started.add(point.name)
                    yield local.Event("started", point)
            for ref in ended:
                yield local.record_end(submitted.pop(ref), *_outcome(ray, ref))
    finally:
        for ref in submitted:
            ray.cancel(ref)


def _outcome(ray: Any, ref: Any) -> tuple[int, str]:
    """Exit status of the process of a point, and why its worker was lost, if it was."""
    try:
        return ray.get(ref), ""
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError) as error:
        return 1, f"the Ray worker died {RESTARTS + 1} times: {str(error).splitlines()[0]}"
    except ray.exceptions.LocalRayletDiedError as error:
        raise EngineError(
            "Ray's daemon on this machine died; start the sweep again: finished points are not run again"
        ) from error
    except ray.exceptions.OutOfMemoryError as error:
        return 1, f"Ray stopped it because its machine ran out of memory: {str(error).splitlines()[0]}"


def _run_on_worker(folder: str, directory: str) -> int:
    """Run a point in a process of its own, which ends with the worker; return its exit status."""
    point = SweepPoint(folder)
    if not (point.folder / "config.json").exists():
        raise ConfigError(
            f"{os.uname().nodename} does not see {folder}; the sweep must lie on a disk that every "
            "machine of the cluster has at the same path"
        )
    child = local.start_process(point, local.Slot({}), directory if Path(directory).is_dir() else None)
    try:
        return child.wait()
    finally:  # cancelled
        local.stop_process(child)
