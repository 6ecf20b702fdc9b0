"""Accuracy against token budget: curves with their intervals, frontiers, and the gap between them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from effwb.curves import BudgetCurve, Curve
from effwb.errors import DataError, one_of
from effwb.frontier import Frontier
from effwb.plots.curve_traces import add_gap, add_line, budget_figure, draw_curves, finished, positions
from effwb.plots.legends import legend_below
from effwb.plots.style import GREY, LineStyle, check_table, line_styles, token_axis
from effwb.plots.token_axes import TokenAxis, add_switch


def frontier_figure(
    frontiers: Mapping[str, Frontier],
    *,
    l_max: float | None = None,
    methods: Mapping[str, str] | None = None,
    title: str = "",
    axis: str = "log",
) -> go.Figure:
    """Draw the best known accuracy against the token budget, one line per frontier.

    The hover box names the run that owns a point where the owners are known.

    Args:
        frontiers: Frontiers by the name that the legend shows.
        l_max: Largest budget shown, in tokens; default: all.
        methods: The method of each name, which decides its colour; default: read from the name.
        title: Title of the figure.
        axis: "log" or "linear" token axis.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: `frontiers` is empty.
        ConfigError: `axis` is unknown.

    Example:
        >>> from effwb import Frontier, plots
        >>> fig = plots.frontier_figure({"Qwen3-8B": Frontier.published("qwen3-8b")}, l_max=16384)
    """
    fig, tokens = budget_figure(frontiers, axis, l_max)
    styles = line_styles(frontiers, methods)
    for name, frontier in frontiers.items():
        add_line(fig, name, frontier, tokens, axis, styles[name])
    return finished(fig, tokens, axis, title)


def curve_figure(
    curves: Mapping[str, BudgetCurve],
    frontier: Curve | None = None,
    *,
    l_max: float | None = None,
    level: float = 0.95,
    shade: str | None = None,
    bands: Collection[str] | None = None,
    resamples: int = 10_000,
    methods: Mapping[str, str] | None = None,
    title: str = "",
    axis: str = "log",
) -> go.Figure:
    """Draw accuracy-budget curves with their confidence bands, and a frontier in black.

    The hover box shows the interval at each budget, the mean response length and the number of problems.
    Buttons switch between a log and a linear axis. On a linear axis whose action is in its first fifth, an
    inset shows that fifth.

    Args:
        curves: Curves by the name that the legend shows.
        frontier: Frontier to compare with; default: none.
        l_max: Largest budget shown, in tokens; default: all.
        level: Confidence level of bands and hover boxes.
        shade: Name of the curve whose gap to the frontier is filled. The legend then shows its REG up to
            `l_max` (default: the last common budget), with its interval where the curve has per-problem
            accuracies. The filled area is proportional to REG only with axis="linear".
        bands: Names of the curves whose band is drawn; default: all.
        resamples: Bootstrap resamples over problems behind the bands; REG has the same ones everywhere.
        methods: The method of each name, which decides its colour; default: read from the name.
        title: Title of the figure.
        axis: "log" or "linear" token axis.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: There are no curves, or `shade` is given without a frontier.
        ConfigError: `shade` is not a name of a curve, or `axis` is unknown.

    Example:
        >>> from effwb import BudgetCurve, plots
        >>> curve = BudgetCurve([0, 256, 512], [0.1, 0.4, 0.5])
        >>> fig = plots.curve_figure({"base": curve})
    """
    if shade is not None:
        one_of("shade", shade, curves)
        if frontier is None:
            raise DataError(f"shade={shade!r} fills the gap to the frontier, so it needs a frontier")
    options: dict[str, Any] = {"l_max": l_max, "level": level}
    styles = line_styles(curves, methods)
    drawing: dict[str, Any] = dict(styles=styles, axis=axis, bands=bands, resamples=resamples)
    fig, tokens = draw_curves(curves, frontier, **drawing, **options)
    if shade is not None and frontier is not None:
        add_gap(fig, curves[shade], frontier, tokens.zero(axis), **options)
    return finished(fig, tokens, axis, title)


def owner_figure(
    frontier: Frontier,
    *,
    most: int = 6,
    l_max: float | None = None,
    methods: Mapping[str, str] | None = None,
    title: str = "",
    axis: str = "log",
) -> go.Figure:
    """Draw a frontier with the budgets that each run owns in the colour of that run.

    Args:
        frontier: A measured frontier, whose owners are known.
        most: Number of runs with a colour: those that own the most budgets. All other runs are grey.
        l_max: Largest budget shown, in tokens; default: all.
        methods: The method of each run, which decides its colour; default: read from the name.
        title: Title of the figure.
        axis: "log" or "linear" token axis.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: The owners are not known, as for a published frontier.
        ConfigError: `axis` is unknown.

    Example:
        >>> from effwb import Frontier, plots
        >>> frontier = Frontier([0, 4, 8], [0.1, 0.2, 0.3], owner=("vanilla", "reo_rl", "reo_rl"))
        >>> fig = plots.owner_figure(frontier, most=2)
    """
    if frontier.owner is None:
        raise DataError(
            f"the owners of {frontier.name!r} are not known: a published one has none, an average over "
            "benchmarks has those of its `parts`"
        )
    fig, tokens = budget_figure({"frontier": frontier}, axis, l_max)
    names, counts = np.unique(frontier.owner, return_counts=True)
    top_names = [str(name) for name in names[np.argsort(-counts, kind="stable")][:most]]
    x, owner = positions(frontier.budgets, tokens.zero(axis)), np.array(frontier.owner)
    line: dict = {"mode": "lines", "line": {"color": GREY, "width": 1}, "showlegend": False}
    fig.add_scatter(x=x, y=frontier.accuracy, hoverinfo="skip", **line)
    for name, style in line_styles(top_names, methods).items():
        _add_owned_budgets(fig, frontier, x, owner == name, name, style)
    other_owners = np.isin(owner, top_names, invert=True)
    if other_owners.any():
        legend = f"{len(names) - len(top_names)} others"
        _add_owned_budgets(fig, frontier, x, other_owners, legend, LineStyle(GREY, "circle-open"))
    return finished(fig, tokens, axis, title)


def _add_owned_budgets(
    fig: go.Figure, frontier: Frontier, x: np.ndarray, is_owned: np.ndarray, name: str, style: LineStyle
) -> None:
    """Draw the budgets of one owner, joined where they are neighbours."""
    fig.add_scatter(
        x=x,
        y=np.where(is_owned, frontier.accuracy, np.nan),
        name=f"{name} ({is_owned.sum()})",
        mode="lines+markers",
        line={"color": style.colour, "width": 3},
        marker={"symbol": style.symbol, "size": 8},
        customdata=np.array([frontier.budgets.astype(object), frontier.owner]).T,
        hovertemplate="%{customdata[1]}<br>budget %{customdata[0]:,}<br>accuracy %{y:.3f}<extra></extra>",
    )


def question_budget_figure(table: pd.DataFrame, cap: int, *, bins: int = 24, title: str = "") -> go.Figure:
    """Draw how many problems have which token budget: stacked bars, one shade per level (light: easy).

    Args:
        table: One row per problem, with the columns `budget` (tokens, at most `cap`) and `level` (difficulty;
            levels are ordered as numbers where they are numbers).
        cap: Largest possible budget in tokens: the end of the axis.
        bins: Number of bars; they are equally wide on the logarithmic axis.
        title: Title of the figure.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: The table is empty or lacks a column.

    Example:
        >>> import pandas as pd
        >>> from effwb import plots
        >>> budgets = pd.DataFrame({"budget": [64, 128, 512], "level": [1, 1, 2]})
        >>> fig = plots.question_budget_figure(budgets, cap=512)
    """
    if len(table) == 0:
        raise DataError("there are no budgets to draw: the table is empty")
    table = check_table(table, ("budget", "level"))
    budget, level = table["budget"].to_numpy(dtype=float), table["level"].astype(str).to_numpy()
    levels = sorted(set(level), key=lambda v: (not v.isdigit(), int(v) if v.isdigit() else 0, v))
    low = min(float(budget.min()), cap / 2)
    edges = np.geomspace(low, cap * 1.001, bins + 1)
    shades = sample_colorscale("Viridis", list(np.linspace(0.95, 0.05, max(2, len(levels)))))
    fig = go.Figure()
    for name, shade in zip(levels, shades, strict=False):
        fig.add_bar(
            x=np.sqrt(edges[1:] * edges[:-1]),
            y=np.histogram(budget[level == name], edges)[0],
            width=np.diff(edges),
            name=name,
            marker={"color": shade, "line": {"width": 0.5, "color": "white"}},
            hovertemplate=f"level {name}<br>about %{{x:,.0f}} tokens<br>%{{y}} problems<extra></extra>",
        )
    legend = {"title": {"text": "level"}}
    fig.update_layout(template="effwb", title=title, barmode="stack", bargap=0, legend=legend)
    few = len(table) <= 20  # no ticks between whole numbers
    fig.update_yaxes(title="problems", rangemode="tozero", dtick=1 if few else None)
    token_axis(fig, [low, cap], "log", has_zero=False, title="budget of the problem (tokens)")
    return add_switch(legend_below(fig), {"x": TokenAxis(low, cap, has_zero=False)}, "log")
