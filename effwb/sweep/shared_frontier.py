"""One frontier for the whole table of a sweep: the REG of a point's own few curves is not comparable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb.notebook import from_root
from effwb.runs import RunDir, digest
from effwb.sweep.point import SweepPoint

if TYPE_CHECKING:  # what reads runs is heavy, and every process of a sweep would load it
    import pandas as pd

    from effwb.analysis.run_set import RunSet
    from effwb.frontier import Frontier

    FrontierChoice = Frontier | Callable[[RunSet], Frontier] | None

FRONTIER = "frontier"  # the column that names what REG is measured against
OWN = "the curves of its own point"  # in a row whose run is not on disk any more
AVERAGE = "average"  # the rows of a run that are means over benchmarks


def share_frontier(
    rows: Sequence[dict[str, Any]], points: Sequence[SweepPoint], frontier: FrontierChoice = None
) -> list[dict[str, Any]]:
    """Measure the REG of all results of a sweep against one frontier, and list each base run once.

    Results with a `run` and a `REG` are those of finished evaluations, which are read again. Runs that were
    measured alike share a frontier; there are several only where an axis changes what is measured. Other
    results stay as they are.

    Args:
        rows: A dict per row of results with `point` (its name), `parameters` and `results`.
        points: The points that the rows are of.
        frontier: What REG is measured against, or a function that chooses it for runs; default: the best of
            all runs of the table that were measured alike.

    Returns:
        The rows with their new REG and the result `frontier`, its name. A base run that several points
        evaluated has one row: its point is their number, and parameters that differ among them are None.
    """
    folders = {point.name: _evaluations(point) for point in points if _is_judged(rows, point)}
    table: dict[str, dict[str, Any]] = {}  # by what identifies the row
    runs: dict[str, Path] = {}  # the evaluation of a row, by the same key
    for number, row in enumerate(rows):
        run = row["results"].get("run") if "REG" in row["results"] else None
        folder = None if run is None else _folder_of(run, folders.get(row["point"], {}))
        benchmark = row["results"].get("benchmark", AVERAGE)
        key = str(number) if folder is None else f"{benchmark}: {_key(folder, row['point'])}"
        if folder is not None and benchmark == AVERAGE:
            runs[key] = folder
        elif run is not None:
            row["results"].setdefault(FRONTIER, OWN)
        if key in table:
            _merge(table[key], row)
        else:
            table[key] = {**row, "points": 1}
    for key, gap in _gaps(runs, frontier).items():
        others = {name: v for name, v in table[key]["results"].items() if not name.startswith("REG")}
        table[key]["results"] = others | gap
    return list(table.values())


def caption(table: pd.DataFrame) -> str:
    """Return a line that names what the REG of a table is measured against; "" for a table without REG."""
    if FRONTIER not in table:
        return ""
    names = table[FRONTIER].dropna().value_counts()
    each = [name if len(names) == 1 else f"{name} ({count} rows)" for name, count in names.items()]
    apart = "" if len(names) == 1 else ". Rows with different frontiers cannot be compared"
    return f"REG against {', '.join(each)}; accuracy x tokens, in brackets: 95 % over problems{apart}"


def _is_judged(rows: Sequence[dict[str, Any]], point: SweepPoint) -> bool:
    return any({"run", "REG"} <= set(row["results"]) for row in rows if row["point"] == point.name)


def _evaluations(point: SweepPoint) -> dict[str, Path]:
    """The finished evaluations of a point, by their path below where it writes."""
    from effwb.analysis.finished import finished_runs

    roots = [point.folder]
    if isinstance(point.parameters.get("run_root"), str):
        roots.append(from_root(point.parameters["run_root"], create=False))
    parts = [finished_runs(root) for root in roots if root.is_dir()]
    return {name: run.path for part in parts for name, run in part.items()}


def _folder_of(run: str, folders: Mapping[str, Path]) -> Path | None:
    """The evaluation that a study calls `run`; None if there is none, or several."""
    places = {path for name, path in folders.items() if f"/{name}".endswith(f"/{run}")}
    return places.pop() if len(places) == 1 else None


def _key(folder: Path, point: str) -> str:
    """What identifies a row: where nothing was trained, what was evaluated and how, in whichever point."""
    from effwb.analysis.finished import run_info

    info, run = run_info(folder), RunDir(folder)
    if info.design is not None:
        return f"{point}: {folder}"
    return digest([info.method, info.seed, run.identity("rollouts"), run.identity("probes")])


def _merge(row: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Let a row stand for that of another point as well."""
    row["points"] += 1
    row["point"] = f"{row['points']} points"
    row["parameters"] = {
        name: value if other["parameters"].get(name) == value else None
        for name, value in row["parameters"].items()
    }


def _gaps(runs: Mapping[str, Path], frontier: FrontierChoice) -> dict[str, dict[str, Any]]:
    """REG of each evaluation, as columns by key, against one frontier for all that were measured alike."""
    from effwb.analysis.finished import measure_of
    from effwb.analysis.run_set import RunSet

    alike: dict[str, list[str]] = {}
    for key, folder in runs.items():
        alike.setdefault(measure_of(RunDir(folder)), []).append(key)
    gaps = {}
    for keys in alike.values():
        places = [runs[key].resolve() for key in keys]
        part = RunSet.of(places[0].anchor, places).on(AVERAGE)  # named by their whole paths
        best = frontier(part) if callable(frontier) else frontier
        table = part.reg(best)
        name = f"the {part.frontier().name} of this table" if best is None else best.name
        for key, row in zip(keys, table.to_dict("records"), strict=True):
            columns = {name: value for name, value in row.items() if name not in ("name", "seed", "run")}
            gaps[key] = {**columns, FRONTIER: name}
    return gaps
