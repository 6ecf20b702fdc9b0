"""Several benchmarks at once: curves in a panel each, and REG against length and accuracy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from effwb._internal.benchmarks import averages_only
from effwb.curves import BudgetCurve, Curve
from effwb.errors import DataError
from effwb.plots.curve_traces import draw_curves, highest_accuracy
from effwb.plots.legends import add_note, legend_below
from effwb.plots.style import check_table, error_bars, interval_text, line_styles, log_token_axis
from effwb.plots.token_axes import add_switch

PANEL = 340  # pixels of a row of panels
X_SETTINGS = ("type", "tickmode", "tickvals", "ticktext", "tickformat", "range")


def benchmark_figure(
    curves: Mapping[str, Mapping[str, BudgetCurve]],
    frontiers: Mapping[str, Curve] | None = None,
    *,
    l_max: float | None = None,
    bands: Collection[str] | None = None,
    methods: Mapping[str, str] | None = None,
    title: str = "",
    axis: str = "log",
) -> go.Figure:
    """Draw the accuracy-budget curves of several methods against the frontier, a panel per benchmark.

    A figure for own runs in the manner of arXiv 2506.07104, which compares methods with the frontier on each
    benchmark and on the average. A panel may as well be a base model: then the keys of `curves` and of
    `frontiers` are models.

    Args:
        curves: For each benchmark or base model, the curves by the name that the legend shows;
            `{b: part.pooled() for b, part in runs.by_benchmark().items()}` of a `RunSet`, or
            `{model: runs.pooled() for model, runs in run_sets.items()}` of several.
        frontiers: The frontier of each panel, dashed; default: none.
        l_max: Largest budget shown, in tokens; default: all.
        bands: Names of the curves whose 95 % band is drawn; default: all.
        methods: The method of each name, which decides its colour; default: read from the name.
        title: Title of the figure.
        axis: "log" or "linear" token axis.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: There is no benchmark, one has no curves, or a benchmark has no frontier.
        ConfigError: `axis` is unknown.

    Example:
        >>> from effwb import BudgetCurve, plots
        >>> curves = {"base": BudgetCurve([0, 256, 512], [0.1, 0.4, 0.5])}
        >>> fig = plots.benchmark_figure({"aime24": curves, "amc23": curves})
    """
    if not curves:
        raise DataError("there are no benchmarks to draw")
    missing = [] if frontiers is None else [benchmark for benchmark in curves if benchmark not in frontiers]
    if missing:
        raise DataError(f"frontiers lacks the benchmarks {missing}; it has {list(frontiers or {})}")
    columns = min(2, len(curves))
    rows = -(-len(curves) // columns)
    space = {"vertical_spacing": 0.22 / rows, "horizontal_spacing": 0.1}
    fig = make_subplots(rows, columns, subplot_titles=[*curves], **space)
    fig.update_layout(template="effwb", title=title, height=140 + PANEL * rows)
    names = list(dict.fromkeys(name for own in curves.values() for name in own))
    styles, token_axes = line_styles(names, methods), {}
    shown: set[str] = set()
    for i, (benchmark, own) in enumerate(curves.items()):
        frontier = None if frontiers is None else frontiers[benchmark]
        panel, tokens = draw_curves(own, frontier, l_max=l_max, bands=bands, axis=axis, styles=styles)
        place = _add_panel(fig, panel, i // columns + 1, i % columns + 1, shown, tokens.high)
        token_axes[place] = tokens
    fig.update_yaxes(title="accuracy", col=1)
    for i in range(max(0, len(curves) - columns), len(curves)):  # the lowest panel of each column
        fig.update_xaxes(title="token budget (tokens)", row=i // columns + 1, col=i % columns + 1)
    fig.update_layout(margin={"t": 90 if title else 50})
    return add_switch(legend_below(fig), token_axes, axis)


def _add_panel(fig: go.Figure, panel: go.Figure, row: int, column: int, shown: set[str], l_max: float) -> str:
    """Copy a figure of curves into one place of a grid; a name is in the legend once. Returns its x axis."""
    for trace in panel.data:
        in_legend = trace.showlegend is not False and trace.name not in shown
        if in_legend:
            shown.add(trace.name)
        elif trace.x[0] is None:  # an entry of the legend that is there already
            continue
        fig.add_trace(trace.update(showlegend=in_legend), row=row, col=column)
    settings = panel.layout.xaxis.to_plotly_json()
    fig.update_xaxes(**{key: settings[key] for key in X_SETTINGS if key in settings}, row=row, col=column)
    top = highest_accuracy(panel, l_max)
    fig.update_yaxes(range=[0, top], tickformat=panel.layout.yaxis.tickformat, row=row, col=column)
    place = next(fig.select_traces(row=row, col=column))
    x, y = place.xaxis or "x", place.yaxis or "y"
    for note in panel.layout.annotations:  # the break of the axis before budget 0
        fig.add_annotation(note.update(xref=x, yref=f"{y} domain"))
    return x


def reg_tradeoff_figure(table: pd.DataFrame, *, title: str = "") -> go.Figure:
    """Draw REG against mean response length and against accuracy, a marker per method; lower is better.

    The figure of arXiv 2506.07104 that shows how REG weighs accuracy and length, for own runs. Bars are the
    95 % intervals of REG over problems.

    Args:
        table: A row per method, as `RunSet.reg_changes` or `RunSet.reg` returns: `name`, `mean tokens`,
            `REG`, a column `J(<l_max>)` with the accuracy at the last budget, and `REG low`, `REG high`,
            `method` (optional; the last decides the colour, default: read from the name). Of several
            benchmarks the averages are drawn; filter the table for one of them.
        title: Title of the figure.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: The table is empty, lacks a column, or holds NaN.

    Example:
        >>> import pandas as pd
        >>> from effwb import plots
        >>> rows = [("base", 400.0, 0.81, 24.5), ("reo_rl", 250.0, 0.82, 9.0)]
        >>> table = pd.DataFrame(rows, columns=["name", "mean tokens", "J(512)", "REG"])
        >>> fig = plots.reg_tradeoff_figure(table)
    """
    accuracy = next((column for column in table if str(column).startswith("J(")), "J(<l_max>)")
    numbers = ("mean tokens", accuracy, "REG")
    table = check_table(averages_only(table), ("name", *numbers), numbers=numbers, positive=("mean tokens",))
    fig = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.06)
    methods = dict(zip(table["name"], table["method"], strict=True)) if "method" in table else None
    styles = line_styles(list(dict.fromkeys(table["name"])), methods)
    for name, rows in table.groupby("name", sort=False):
        colour, symbol, _ = styles[str(name)]
        ends = [rows.get(f"REG {end}", pd.Series(np.nan, rows.index)) for end in ("low", "high")]
        intervals = [*zip(*ends, strict=True)]
        shared: dict[str, Any] = {
            "y": rows["REG"],
            "error_y": error_bars(rows["REG"].to_numpy(), intervals, colour),
            "name": str(name),
            "legendgroup": str(name),
            "mode": "markers",
            "marker": {"symbol": symbol, "size": 12, "color": colour, "line": {"width": 1, "color": "white"}},
            "customdata": [_hover(row, accuracy) for _, row in rows.iterrows()],
            "hovertemplate": f"{name}<br>%{{customdata}}<extra></extra>",
        }
        fig.add_scatter(x=rows["mean tokens"], **shared, row=1, col=1)
        fig.add_scatter(x=rows[accuracy], **shared, showlegend=False, row=1, col=2)
    tokens = table["mean tokens"]
    fig.update_xaxes(title="mean length (tokens)", **log_token_axis(tokens.min(), tokens.max()), row=1, col=1)
    fig.update_xaxes(title=f"accuracy at {accuracy[2:-1]} tokens", row=1, col=2)
    fig.update_yaxes(title="REG (accuracy x tokens)", row=1, col=1)
    fig.add_hline(0, line={"color": "black", "width": 1, "dash": "dot"})
    fig.update_layout(template="effwb", title=title, margin={"t": 60 if title else 25})
    if "REG low" in table:
        add_note(fig, "bars: 95 % intervals of REG over problems")
    return legend_below(fig)


def _hover(row: pd.Series, accuracy: str) -> str:
    interval = interval_text((row.get("REG low", np.nan), row.get("REG high", np.nan)), ",.1f")
    over = " (95 % over problems)" if interval else ""
    return (
        f"REG {row['REG']:,.1f}{interval}{over}<br>mean length {row['mean tokens']:,.1f} tokens<br>"
        f"accuracy at {accuracy[2:-1]} tokens: {row[accuracy]:.3f}"
    )
