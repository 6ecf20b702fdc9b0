"""The sweep itself: points that are missing are run, and all there are become one table."""

import re
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

from effwb import __version__
from effwb.errors import BusyError, ConfigError
from effwb.runs import digest, environment
from effwb.sweep import cluster, local
from effwb.sweep.plan import declared_in, plan
from effwb.sweep.point import STATES, SweepPoint

OWN_COLUMNS = ("point", "status", "seconds", "error")


def run(
    notebook: str | Path,
    axes: Mapping,
    out: str | Path,
    *,
    fixed: Mapping | None = None,
    jobs: int | None = None,
    gpus: int = 1,
    ray: str | bool = False,
    retry: bool = False,
    progress: bool = True,
):
    """Run `notebook` at every point of the grid that `axes` (name -> list of values) spans, and return
    `table(out)`.

    `fixed` parameters are the same everywhere. Every point gets a directory in `out` (`effwb.sweep.point`)
    and, for what it writes, directories inside (parameters run_root, work_dir, out_dir, figures_dir) unless
    an axis or `fixed` names them. `jobs` points run at a time, each with `gpus` GPUs or a share of the cores
    (`effwb.sweep.local`). With `ray` they run on a Ray cluster: the address of one, or True for the one at
    hand; `jobs` is then by default as many as it holds (`effwb.sweep.cluster`).

    Call it again after a kill: finished points are kept, one that was interrupted starts again and finds what
    its notebook kept, failed ones are run again with `retry`. A point that another sweep runs is left to it.
    Raises before anything runs: `ConfigError` for parameters that do not fit the notebook, `IdentityError`
    where a finished point in `out` came from another notebook, other fixed parameters or another version.
    """
    declared, out = declared_in(notebook), Path(out)
    named = plan(declared, axes, fixed)
    with _executor(jobs, gpus, ray) as execute:
        points, ours = _declare(named, notebook, out)
        wanted = ("to do", "failed") if retry else ("to do",)
        board = Board(points, progress)
        missing = [point for point in ours if board.states[point.name] in wanted]
        with closing(execute(missing)) as events:  # an interrupt ends the children, also in Jupyter
            for event in events:
                board.update(event)
    board.close()
    return table(out)


def _declare(
    named: Mapping[str, dict], notebook: str | Path, out: Path
) -> tuple[list[SweepPoint], list[SweepPoint]]:
    """All points, each with its config.json, and those of them that no other sweep runs now."""
    identity = {"notebook": Path(notebook).name, "code": code_digest(notebook), "effwb": __version__}
    points = [SweepPoint(out / name) for name in named]
    points_in(out)  # another's directory is refused
    for point in points:
        point.check({**identity, "parameters": named[point.name]})
    recorded = {**environment(), "snapshot": _snapshot(notebook, out, identity["code"])}
    ours = []
    for point in points:
        with suppress(BusyError):  # then another sweep runs it
            point.declare({**identity, "parameters": named[point.name]}, recorded)
            ours.append(point)
    return points, ours


@contextmanager
def _executor(jobs: int | None, gpus: int, ray: str | bool):
    """What runs points and says what happens to them."""
    if not ray:
        yield partial(local.execute, places=local.slots(1 if jobs is None else jobs, gpus))
        return
    with cluster.connected(None if ray is True else ray) as connection:
        needs = cluster.needs(connection, jobs, gpus)
        yield partial(cluster.execute, ray=connection, per_point=needs, at_most=jobs)


def code_digest(notebook: str | Path) -> str:
    """Of the kernel and the code cells: neither prose nor outputs, nor parameters papermill has put in."""
    import nbformat

    read = nbformat.read(notebook, as_version=4)
    code = [c for c in read.cells if c.cell_type == "code"]
    own = [c.source for c in code if "injected-parameters" not in c.metadata.get("tags", [])]
    return digest([read.metadata.get("kernelspec", {}).get("name"), *own])


def _snapshot(notebook: str | Path, out: Path, code: str) -> str:
    """A copy in `out`: editing the original must not change the points that have not started."""
    copy = out / f"{Path(notebook).stem}-{code}.ipynb"
    if not copy.exists():
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(notebook, copy.with_suffix(".tmp"))
        copy.with_suffix(".tmp").replace(copy)
    return copy.name


def table(out: str | Path):
    """All points of a sweep as one DataFrame: a row per row of results, one for a point without any.

    Columns: `point`, its parameters, `status` (done, running, failed, to do), `seconds`, `error`, and the
    results. A result called like one of those before it is `result/<name>`. Only finished points have
    results. Raises `ConfigError` where `out` holds no sweep, `DataError` where a point was changed by hand.
    """
    import pandas as pd

    rows = [row for point in points_in(out) for row in _rows(point)]
    if not rows:
        raise ConfigError(f"{out} holds no sweep: no directory in it has a config.json")
    first = dict.fromkeys(key for row in rows for key in row["parameters"])
    taken = {*OWN_COLUMNS, *first}
    return pd.DataFrame(
        {
            "point": row["point"],
            **{name: row["parameters"].get(name) for name in first},
            **{name: row[name] for name in OWN_COLUMNS[1:]},
            **{f"result/{key}" if key in taken else key: value for key, value in row["results"].items()},
        }
        for row in rows
    )


def points_in(out: str | Path) -> list[SweepPoint]:
    """The points in a directory, seed=2 before seed=10; `DataError` where it also holds other things."""
    points = [SweepPoint(file.parent) for file in Path(out).glob("*/config.json")]
    for point in points:
        _ = point.identity  # raises
    return sorted(points, key=_natural)


def _rows(point: SweepPoint) -> list[dict]:
    status = point.status()
    done = status == "done"
    row = {
        "point": point.name,
        "parameters": point.parameters,
        "status": status,
        "seconds": point.marker()["seconds"] if done else None,
        "error": point.failure().get("error") if status == "failed" else None,
    }
    return [{**row, "results": results} for results in (done and point.results()) or [{}]]


def _natural(point: SweepPoint) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", point.name)]


class Board:
    """The progress of a sweep on stderr: a line per point that ended, and what is left."""

    def __init__(self, points: list[SweepPoint], shown: bool):
        self.states = {point.name: point.status() for point in points}
        self.shown, self.began, self.most = shown, time.monotonic(), 1  # points at a time, so far
        self.starts: dict[str, float] = {}
        self.took = [point.marker()["seconds"] for point in points if self.states[point.name] == "done"]
        self.failed = [point for point in points if self.states[point.name] == "failed"]
        self._print("time      done running  failed   to do    left")
        self._row("")

    def update(self, event: local.Event) -> None:
        point, now = event.point, time.monotonic()
        if event.what == "started":
            self.states[point.name], self.starts[point.name] = "running", now
            self.most = max(self.most, len(self.starts))
            self.failed = [other for other in self.failed if other.name != point.name]
            return
        self.states[point.name] = point.status() if event.what == "ended" else "running"
        seconds = now - self.starts.pop(point.name)
        if event.what == "busy":
            self._row(f"run by another sweep: {point.name}")
        elif self.states[point.name] == "done":
            self.took.append(seconds)
            self._row(f"{point.name} ({clock(seconds)})")
        else:
            self.failed.append(point)
            self._row(f"FAILED {point.name}: {point.failure()['error'].splitlines()[0]}")

    def close(self) -> None:
        """Say how the failed points failed."""
        for point in self.failed:
            told = point.failure()
            where = f" in cell [{told['cell']}]" if told.get("cell") else ""
            self._print(f"\n{point.name} failed{where}; the whole output is in {point.log}")
            self._print("\n".join(f"    {line}" for line in told.get("lines", [])))
        if self.failed:
            self._print("\nFailed points are run again with retry=True (--retry).")

    def _row(self, what: str) -> None:
        counts = [list(self.states.values()).count(state) for state in STATES]
        numbers = "".join(f"{count:>8}" for count in counts)
        self._print(f"{clock(time.monotonic() - self.began):>6}{numbers}{self._left():>8}  {what}")

    def _left(self) -> str:
        """The time left, if the other points take as long as those that are done."""
        ours = [time.monotonic() - start for start in self.starts.values()]
        todo = list(self.states.values()).count("to do")
        if not (todo or ours):
            return "-"
        if not self.took:
            return "?"
        mean = sum(self.took) / len(self.took)
        return clock((todo * mean + sum(max(mean - spent, 0.0) for spent in ours)) / self.most)

    def _print(self, text: str) -> None:
        if self.shown:
            sys.stderr.write(f"{text.rstrip()}\n")
            sys.stderr.flush()


def clock(seconds: float) -> str:
    """`m:ss`, or `h:mm:ss` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
