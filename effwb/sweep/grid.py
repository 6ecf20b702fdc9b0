"""The sweep itself: run the points that are missing, and collect all of them into one table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb import __version__
from effwb._internal.checked import Text, checked_arguments
from effwb._internal.interrupts import brief_interrupts
from effwb._internal.progress import notebook_line
from effwb.designs.identity import source_identity
from effwb.errors import BusyError, ConfigError, DataError
from effwb.runs import environment
from effwb.sweep import cluster, local
from effwb.sweep.board import ProgressBoard
from effwb.sweep.parameters import declared_parameters, design_of, grid_points
from effwb.sweep.point import SweepPoint, check_same_grid
from effwb.sweep.shared_frontier import share_frontier
from effwb.sweep.snapshot import code_digest, take_snapshot

if TYPE_CHECKING:
    import pandas as pd

    from effwb.sweep.shared_frontier import FrontierChoice

OWN_COLUMNS = ("point", "status", "seconds", "error")


@checked_arguments(ray=bool | Text, fixed=Mapping[str, Any])
def run(
    notebook: str | Path,
    axes: Mapping[str, Any],
    out: str | Path,
    *,
    fixed: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    gpus: int = 1,
    ray: str | bool = False,
    retry: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Run a notebook at every point of a grid, and return the table of results.

    Call it again after a kill: finished points are not run again, and an interrupted one starts again and
    continues from the files its notebook wrote. A point that another sweep is running is left to that sweep.

    Args:
        notebook: The notebook to run, with a parameters cell.
        axes: List of values by parameter name; the grid is their product.
        out: Directory of the sweep. Every point has a directory in it (`effwb.sweep.point`) and writes there
            (parameters run_root, work_dir, out_dir, figures_dir) unless an axis or `fixed` says otherwise.
        fixed: Value by parameter name, the same at every point.
        jobs: Points at a time, each with its own GPUs or its own share of the cores; default 1, with `ray` as
            many as the cluster holds.
        gpus: GPUs of each point, if there are any.
        ray: Run the points on a Ray cluster: its address, or True for the one of this machine.
        retry: Run failed points again.
        progress: Show the points that are done and how far the others have come; on stderr, or in a notebook
            in one place.

    Returns:
        `table(out)`.

    Raises:
        ConfigError: Before anything runs, for parameters that do not fit the notebook.
        IdentityError: Before anything runs, if a finished point in `out` came from other code of the
            notebook, other fixed parameters or another version of effwb, or `out` holds another grid.

    Example:
        sweep.run("notebooks/10_grpo_any_design.ipynb", {"design": ["vanilla", "lead"], "seed": [0, 1]},
                  "data/runs/first", jobs=2)
    """
    out = Path(out)
    declared = declared_parameters(notebook)
    parameters = grid_points(declared, axes, fixed)
    sources = {n: source_identity(design_of(declared, values)) for n, values in parameters.items()}
    with brief_interrupts(lambda: _interruption(out)), notebook_line(), _executor(jobs, gpus, ray) as execute:
        points, runnable = _write_configs(parameters, sources, notebook, out, list(axes))
        board = ProgressBoard(points, progress)
        runnable_states = ("to do", "failed") if retry else ("to do",)
        missing = [point for point in runnable if board.states[point.name] in runnable_states]
        # an interrupt ends the children, also in Jupyter
        with closing(execute(missing, idle=board.refresh)) as events:
            for event in events:
                board.update(event)
        board.close()
    return table(out)


def _interruption(out: Path) -> str:
    """What an interrupted sweep says."""
    states = [point.status() for point in points_in(out)]
    done = f"{states.count('done')} of {len(states)} points are done" if states else "no point has begun"
    return f"interrupted: {done}; run the same sweep again, and the points that were stopped continue"


def _write_configs(
    parameters: Mapping[str, dict[str, Any]],
    sources: Mapping[str, dict[str, str]],
    notebook: str | Path,
    out: Path,
    axes: Sequence[str],
) -> tuple[list[SweepPoint], list[SweepPoint]]:
    """Write config.json of every point; return all points, and those that no other sweep runs now."""
    code = code_digest(notebook)
    shared = {"notebook": Path(notebook).name, "code": code, "effwb": __version__}
    points = [SweepPoint(out / name) for name in parameters]
    identities = {
        name: {**shared, "parameters": values, **sources[name]} for name, values in parameters.items()
    }
    check_same_grid(points_in(out), parameters, shared, axes)
    for point in points:
        point.check(identities[point.name])
    recorded = {**environment(), "snapshot": take_snapshot(notebook, out, code).name}
    runnable = []
    for point in points:
        with suppress(BusyError):  # another sweep runs it
            point.write_config(identities[point.name], recorded)
            runnable.append(point)
    return points, runnable


@contextmanager
def _executor(jobs: int | None, gpus: int, ray: str | bool) -> Iterator[Callable]:
    """Give a function that runs points and yields events, here or on a cluster."""
    if not ray:
        yield partial(local.execute, slots=local.make_slots(1 if jobs is None else jobs, gpus))
        return
    with cluster.connect(None if ray is True else ray) as connection:
        resources = cluster.resources_per_point(connection, jobs, gpus)
        yield partial(cluster.execute, ray=connection, resources=resources, jobs=jobs)


@checked_arguments()
def table(out: str | Path, frontier: FrontierChoice = None) -> pd.DataFrame:
    """Collect all points of a sweep into one DataFrame.

    Args:
        out: Directory of the sweep.
        frontier: What the REG of all rows is measured against, or a function that chooses it for a `RunSet`;
            default: the best of all runs of the table that were measured alike (`sweep.shared_frontier`).

    Returns:
        A row per row of results, and one for a point without results. Columns: `point`, its parameters,
        `status` (done, running, failed, to do), `seconds`, `error`, and the results; a result with the name
        of another column is called `result/<name>`. Only finished points have results. A base run that
        several points evaluated has one row, whose `point` is their number. `frontier` names what REG is
        measured against.

    Raises:
        ConfigError: If `out` holds no sweep.
        DataError: If a finished point was changed by hand, or a point has lost its config.json.
    """
    import pandas as pd

    _refuse_lost_configs(Path(out))
    points = points_in(out)
    if not points:
        raise ConfigError(f"{out} holds no sweep: no directory in it has a config.json")
    rows = share_frontier([row for point in points for row in _rows(point)], points, frontier)
    names = dict.fromkeys(key for row in rows for key in row["parameters"])  # in order
    taken = {*OWN_COLUMNS, *names}
    frame = pd.DataFrame(
        {
            "point": row["point"],
            **{name: row["parameters"].get(name) for name in names},
            **{name: row[name] for name in OWN_COLUMNS[1:]},
            **{f"result/{key}" if key in taken else key: value for key, value in row["results"].items()},
        }
        for row in rows
    )
    columns = {name: [row["parameters"].get(name) for row in rows] for name in names}
    exact = {name: pd.Series(column, dtype=object) for name, column in columns.items() if None in column}
    return frame.assign(**exact)  # 20 beside None stays 20


def _refuse_lost_configs(out: Path) -> None:
    """Raise `DataError` for a directory that a point has written to, but that has no config.json any more."""
    for name in ("DONE", "FAILED.json", "log.txt"):
        for folder in sorted(file.parent for file in out.glob(f"*/{name}")):
            if not (folder / "config.json").exists():
                raise DataError(
                    f"{folder} has lost its config.json; run the sweep again to restore it, or delete the "
                    "directory"
                )


def points_in(out: str | Path) -> list[SweepPoint]:
    """Return the points in a directory, with seed=2 before seed=10.

    Raises:
        DataError: If the directory also holds runs that are not points of a sweep.
    """

    def natural_order(point: SweepPoint) -> list[int | str]:
        return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", point.name)]

    points = [SweepPoint(file.parent) for file in Path(out).glob("*/config.json")]
    for point in points:
        _ = point.identity  # raises
    return sorted(points, key=natural_order)


def _rows(point: SweepPoint) -> list[dict[str, Any]]:
    status = point.status()
    is_done = status == "done"
    row = {
        "point": point.name,
        "parameters": point.parameters,
        "status": status,
        "seconds": point.marker()["seconds"] if is_done else None,
        "error": point.failure().get("error") if status == "failed" else None,
    }
    return [{**row, "results": results} for results in (is_done and point.results()) or [{}]]
