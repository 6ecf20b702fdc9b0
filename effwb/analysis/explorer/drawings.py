"""The explorer's figures, each as a call of `effwb.plots` that can be made, and written down as a cell."""

from __future__ import annotations

import pprint
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import pandas as pd
from plotly.graph_objects import Figure

from effwb import plots
from effwb.analysis.comparison import ISO_AES, same_budgets, tradeoff_table
from effwb.analysis.level_curves import curves_by_level, level_of
from effwb.analysis.run_analysis import ALL
from effwb.analysis.run_set import RunSet
from effwb.frontier import Frontier

RESAMPLES = 2000  # of the bands of a figure; 10,000 elsewhere, where nobody waits with a finger on the mouse
LINE = 90  # characters of a line of a cell
MANY = 3  # from more curves than these only one has its band


class Drawing(NamedTuple):
    """A call of a function of `effwb.plots`.

    Attributes:
        function: Name of the function.
        data: The values of its positional parameters, by the expression that gives each in a cell.
        options: Its other parameters.
        imports: Imports that the expressions need beside `runs`, `frontier` and `plots`.
    """

    function: str
    data: dict[str, Any]
    options: dict[str, Any]
    imports: tuple[str, ...] = ()

    def figure(self) -> Figure:
        """Make the call."""
        return getattr(plots, self.function)(*self.data.values(), **self.options)

    def code(self) -> str:
        """Write the call down, as the last lines of a cell."""
        options = [f"{name}={pprint.pformat(value, width=LINE)}" for name, value in self.options.items()]
        options = [line.replace("\n", "\n    ") for line in options]
        lines = "".join(f"    {part},\n" for part in (*self.data, *options))
        return f"figure = plots.{self.function}(\n{lines})\nfigure\n"


class Choice(NamedTuple):
    """What the figures show.

    Attributes:
        runs: The chosen runs on the chosen benchmark.
        frontier: What REG is measured against.
        table: The numbers of the runs (`comparison.compare`).
        l_max: Last budget that counts, in tokens.
        base: Name of the run that AES compares with.
        focus: Name of the run whose rollouts are open.
        axis: "log" or "linear" token axis.
    """

    runs: RunSet
    frontier: Frontier
    table: pd.DataFrame
    l_max: int
    base: str
    focus: str
    axis: str

    @property
    def methods(self) -> dict[str, str]:
        """The method of each run before `rename`, which decides its colour."""
        methods = self.runs.original_methods
        return {run: methods[run] for run in self.runs.names}


def curves(choice: Choice) -> Drawing:
    """Accuracy against the budget, with the gap of the run whose rollouts are open."""
    runs, focus = choice.runs, choice.focus
    shade = focus if same_budgets(runs[focus], choice.frontier, choice.l_max) else None
    options = {
        "l_max": choice.l_max,
        "shade": shade,
        "bands": [focus] if len(runs) > MANY else runs.names,
        "resamples": RESAMPLES,
        "axis": choice.axis,
        "methods": choice.methods,
    }
    return Drawing("curve_figure", {"runs.curves()": runs.curves(), "frontier": choice.frontier}, options)


def tradeoff(choice: Choice) -> Drawing:
    """Accuracy against the mean length, with lines of equal AES."""
    compared = f"compare(runs, frontier, {choice.l_max}, {choice.base!r})"
    data = {f"tradeoff_table({compared}, runs)": tradeoff_table(choice.table, choice.runs)}
    options = {"x": "mean tokens", "iso_aes": ISO_AES, "base": choice.base}
    imports = ("from effwb.analysis.comparison import compare, tradeoff_table",)
    return Drawing("tradeoff_figure", data, options, imports)


def lengths(choice: Choice) -> Drawing:
    """The lengths of right and wrong rollouts of the run whose rollouts are open."""
    rollouts = choice.runs[choice.focus].rollouts
    options = {"axis": choice.axis, "title": choice.focus}
    return Drawing("length_figure", {f"runs[{choice.focus!r}].rollouts": rollouts}, options)


def levels(choice: Choice) -> Drawing:
    """The mean length at each level of difficulty."""
    data = {
        "{run.name: run.rollouts for run in runs}": {run.name: run.rollouts for run in choice.runs},
        "level_of(runs)": level_of(choice.runs),
    }
    imports = ("from effwb.analysis.level_curves import level_of",)
    return Drawing("level_figure", data, {"methods": choice.methods}, imports)


def level_curves(choice: Choice) -> Drawing:
    """Accuracy against the budget, a panel per level."""
    options = panel_options(choice)
    imports = ("from effwb.analysis.level_curves import curves_by_level",)
    data = {"curves_by_level(runs)": curves_by_level(choice.runs)}
    return Drawing("benchmark_figure", data, options, imports)


def benchmarks(choice: Choice) -> Drawing:
    """Accuracy against the budget, a panel per benchmark, the average last."""
    parts = choice.runs.by_benchmark()
    data = {
        "{name: part.curves() for name, part in runs.by_benchmark().items()}": {
            name: part.curves() for name, part in parts.items()
        }
    }
    return Drawing("benchmark_figure", data, panel_options(choice))


def panel_options(choice: Choice) -> dict[str, Any]:
    """Options of a figure with a panel per level or per benchmark."""
    return {
        "l_max": choice.l_max,
        "bands": [choice.focus],
        "axis": choice.axis,
        "methods": choice.methods,
    }


FIGURES: dict[str, Callable[[Choice], Drawing]] = {
    "curves": curves,
    "accuracy and tokens": tradeoff,
    "lengths": lengths,
    "lengths by level": levels,
    "curves by level": level_curves,
    "curves by benchmark": benchmarks,
}


# ------------------------------------------------------------------------------------------ as cells
def evaluation_cell(
    drawing: Drawing, choice: Choice, root: str | None, frontier: str, damaged: Collection[str] = ()
) -> str:
    """Write a cell that draws a figure again.

    Args:
        drawing: The figure.
        choice: What it shows.
        root: The run root; None where the explorer was opened on a `RunSet`, which the cell calls `all_runs`.
        frontier: The expression of the frontier, in terms of `runs` and `all_runs`.
        damaged: Names of runs that a frontier of all runs cannot use.
    """
    text = drawing.code()
    uses_frontier = "frontier" in text.replace("published_frontier", "")
    names = ["RunSet", "plots"]
    on = "" if choice.runs.benchmark == ALL else f".on({choice.runs.benchmark!r})"
    lines = [f"all_runs = RunSet.find({root!r})"] if root is not None else []
    lines.append(f"runs = all_runs.filter(names={_list(choice.runs.names)}){on}")
    imports = [*drawing.imports]
    if uses_frontier:
        if frontier.startswith("Frontier"):
            names.insert(0, "Frontier")
        if frontier.startswith("published"):
            imports.append("from effwb.analysis.benchmark_tables import published_frontier")
        if frontier.startswith("all_runs") and damaged:
            lines.append(f"damaged = {_list(sorted(damaged))}")
            lines.append("whole = [name for name in all_runs.names if name not in damaged]")
            lines.append("all_runs = all_runs.filter(names=whole)")
        lines.append(f"frontier = {frontier.format(on=on)}")
    return "\n".join([f"from effwb import {', '.join(names)}", *imports, "", *lines, text])


def training_cell(drawing: Drawing, root: str, names: list[str]) -> str:
    """Write a cell that draws training curves again.

    Args:
        drawing: The figure.
        root: The run root.
        names: The trainings.
    """
    lines = ["from effwb import plots", *drawing.imports, "", f"trainings = survey({root!r}).trainings"]
    lines.append(f"metrics = {{name: trainings[name].metrics() for name in {_list(names)}}}")
    return "\n".join([*lines, drawing.code()])


def _list(names: list[str]) -> str:
    return pprint.pformat(names, width=LINE - 4).replace("\n", "\n    ")
