"""Points on a Ray cluster: Ray chooses the machine and starts a point again whose worker died.

Every machine needs the same installation and sees the sweep's directory under the same path: how a point
stands and what came out of it are files there, as without Ray.
"""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from effwb.errors import ConfigError, EngineError
from effwb.sweep import local
from effwb.sweep.point import SweepPoint

RESTARTS = 3  # of a point whose worker or machine died
POLL = 0.5  # seconds between two looks at the points


@contextmanager
def connected(address: str | None = None):
    """The Ray module, connected: to the cluster this process already uses, or to the one at `address`.

    None is the cluster of this machine (or of RAY_ADDRESS), or one started here for as long as this lasts.
    Raises `EngineError` where Ray is missing or nothing answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise EngineError("sweeps on a cluster need Ray: pip install 'effwb[cluster]'") from error
    if ray.is_initialized():
        yield ray
        return
    if address:
        _reach(address)
    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError) as error:
        raise EngineError(f"no Ray cluster at {address or 'hand'}: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Ray itself waits for minutes for a cluster that is not there."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        raise ConfigError(f"the address of a Ray cluster is host:port, got {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise EngineError(f"no Ray cluster at {address}: {error}; ray status says where it is") from error


def needs(ray, jobs: int | None, gpus: int) -> dict[str, float]:
    """What Ray sets aside for a point: `gpus` GPUs, if the cluster has any, and its share of the cores.

    Without GPUs that is a `jobs`-th of the largest machine, or one core. `ConfigError` where no machine has
    as much.
    """
    local.check_counts(jobs=1 if jobs is None else jobs, gpus=gpus)
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cards, cores = (max(int(one.get(kind, 0)) for one in machines) for kind in ("GPU", "CPU"))
    if not cards:
        return {"num_cpus": max(1, cores // (jobs or cores))}
    if gpus > cards:
        raise ConfigError(f"gpus={gpus} per point, and no machine of the cluster has more than {cards}")
    return {"num_gpus": gpus, "num_cpus": max(1, cores * gpus // cards)}


def execute(
    points: Sequence[SweepPoint], ray, per_point: dict, at_most: int | None = None
) -> Iterator[local.Event]:
    """Like `local.execute`, where Ray finds `per_point` free, `at_most` points at a time."""
    task = ray.remote(max_retries=RESTARTS, **per_point)(_work)
    waiting, asked, started = list(points), {}, set()
    try:
        while waiting or asked:
            while waiting and len(asked) < (at_most or len(points)):
                point = waiting.pop(0)
                asked[task.remote(str(point.folder.resolve()), os.getcwd())] = point
            ended, _ = ray.wait(list(asked), timeout=POLL)
            for ref, point in asked.items():
                if point.name not in started and (ref in ended or point.is_locked()):
                    started.add(point.name)
                    yield local.Event("started", point)
            for ref in ended:
                yield local.ended(asked.pop(ref), *_outcome(ray, ref))
    finally:
        for ref in asked:
            ray.cancel(ref)


def _outcome(ray, ref) -> tuple[int, str]:
    """Exit status of the process of a point, and what became of its worker, if that was lost."""
    try:
        return ray.get(ref), ""
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError) as error:
        return 1, f"the Ray worker died {RESTARTS + 1} times: {str(error).splitlines()[0]}"
    except ray.exceptions.OutOfMemoryError as error:
        return 1, f"Ray ended it, its machine ran out of memory: {str(error).splitlines()[0]}"


def _work(folder: str, directory: str) -> int:
    """On a worker: the point in a process of its own, which ends with this one."""
    point = SweepPoint(folder)
    if not (point.folder / "config.json").exists():
        raise ConfigError(
            f"{os.uname().nodename} does not see {folder}; the sweep must lie on a disk that every "
            "machine of the cluster has at the same path"
        )
    here = directory if Path(directory).is_dir() else None
    child = local.start(point, local.Slot({}), here)
    try:
        return child.wait()
    finally:  # cancelled
        child.stdin.close()
