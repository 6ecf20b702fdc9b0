"""Accuracy and length against a parameter of a method, as in the sweep of arXiv 2502.04463."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from effwb._internal.benchmarks import averages_only
from effwb.errors import DataError
from effwb.plots.legends import add_note, legend_below
from effwb.plots.style import LineStyle, check_table, error_bars, interval_text, line_styles

WIDE = 8  # a parameter whose largest value is this many times its smallest has a logarithmic axis


def parameter_figure(table: pd.DataFrame, parameter: str, *, title: str = "") -> go.Figure:
    """Draw accuracy and mean length against a parameter; methods without it are horizontal lines.

    Arora & Zanette (arXiv 2502.04463) sweep alpha this way. Of several seeds each is drawn faint, with their
    mean in full colour; of one seed the bars are intervals over problems.

    Args:
        table: A row per run, as `RunSet.table` returns, with the column `parameter` (NaN where a method does
            not have it). Required besides: `name`, `accuracy`, `mean length` (tokens). Optional: `low`,
            `high` (interval of the accuracy), `family` (points of a family are joined by a line; default: the
            first word of the name). Of several benchmarks the averages are drawn.
        parameter: Name of the column on the x axis, such as "alpha".
        title: Title of the figure.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: The table is empty, lacks a column, or no row has a value of the parameter.

    Example:
        >>> import pandas as pd
        >>> from effwb import plots
        >>> rows = [("vanilla", None, 0.80, 180.0), ("lgn", 0.1, 0.79, 90.0), ("lgn", 0.4, 0.7, 60.0)]
        >>> table = pd.DataFrame(rows, columns=["name", "alpha", "accuracy", "mean length"])
        >>> fig = plots.parameter_figure(table, "alpha")
    """
    numbers = ("accuracy", "mean length")
    table = check_table(averages_only(table), ("name", parameter, *numbers), numbers=numbers)
    table[parameter] = pd.to_numeric(table[parameter], errors="coerce")
    first_words = table["name"].astype(str).str.split().str[0]
    family = table["family"].fillna(first_words) if "family" in table else first_words
    has_value = table[parameter].notna()
    if not has_value.any():
        raise DataError(f"no row has a number in the column {parameter!r}: there is nothing to draw")
    table["line"] = family.where(has_value, table["name"]).astype(str)
    fig = make_subplots(1, 2, horizontal_spacing=0.12)
    styles = line_styles(list(dict.fromkeys(table["line"])))
    ends = (table[parameter].min(), table[parameter].max())
    for line, rows in table.groupby("line", sort=False):
        for i, column in enumerate(numbers):
            place = {"row": 1, "col": i + 1}
            if rows[parameter].notna().all():
                _add_points(fig, rows, parameter, column, styles[str(line)], place)
            else:
                _add_level(fig, rows, ends, column, styles[str(line)], place)
    is_log = ends[0] > 0 and ends[1] >= WIDE * ends[0]
    values = sorted(table[parameter].dropna().unique())
    ticks: dict[str, Any] = {"tickvals": values, "ticktext": [f"{v:g}" for v in values]}
    fig.update_xaxes(
        title=parameter, type="log" if is_log else "linear", **(ticks if len(values) < 9 else {})
    )
    fig.update_yaxes(title="accuracy", row=1, col=1)
    fig.update_yaxes(title="mean length (tokens)", rangemode="tozero", row=1, col=2)
    fig.update_layout(template="effwb", title=title, width=980, margin={"t": 75 if title else 35})
    return legend_below(add_note(fig, _note(table, parameter)))


def _note(table: pd.DataFrame, parameter: str) -> str:
    """What bars and faint markers are."""
    if table.groupby(["line", parameter], dropna=False).size().max() > 1:
        return "faint: single seeds, full: their mean"
    return "bars: 95 % intervals over problems" if "low" in table else ""


def _add_points(
    fig: go.Figure, rows: pd.DataFrame, parameter: str, column: str, style: LineStyle, place: dict[str, int]
) -> None:
    """A line through the mean at each value; several seeds at a value are drawn faint as well."""
    groups = rows.groupby(parameter)
    mean, seeds = groups[column].mean(), groups.size()
    name = str(rows["line"].iloc[0])
    marker = {"symbol": style.symbol, "size": 9, "color": style.colour}
    if seeds.max() > 1:
        faint = {"mode": "markers", "marker": {**marker, "size": 7}, "opacity": 0.4, "showlegend": False}
        hover_of_seed = f"{name}, one seed<br>{parameter} %{{x:g}}<br>{column} %{{y:,.4~g}}<extra></extra>"
        shared = {"legendgroup": name, "hovertemplate": hover_of_seed, **place}
        fig.add_scatter(x=rows[parameter], y=rows[column], **faint, **shared)
    intervals = [(np.nan, np.nan)] * len(mean)
    if column == "accuracy" and "low" in rows and seeds.max() == 1:
        intervals = [*groups[["low", "high"]].first().itertuples(index=False)]
    over = "<br>in brackets: 95 % interval over problems" if not np.isnan(intervals).all() else ""
    digits = ".3f" if column == "accuracy" else ",.1f"
    hover = [
        f"{name}<br>{parameter} {value:g}<br>{column} {y:{digits}}{interval_text(interval, digits)}"
        f"{over}<br>{count} seed{'s' * bool(count > 1)}"
        for (value, y), interval, count in zip(mean.items(), intervals, seeds, strict=True)
    ]
    fig.add_scatter(
        x=mean.index,
        y=mean,
        error_y=error_bars(mean.to_numpy(), intervals, style.colour),
        name=name,
        mode="lines+markers",
        line={"color": style.colour, "width": 2, "dash": style.dash},
        marker=marker,
        legendgroup=name,
        showlegend=column == "accuracy",
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
        **place,
    )


def _add_level(
    fig: go.Figure,
    rows: pd.DataFrame,
    ends: tuple[float, float],
    column: str,
    style: LineStyle,
    place: dict[str, int],
) -> None:
    """A horizontal line: the mean over seeds of a method without the parameter."""
    name, mean = str(rows["line"].iloc[0]), float(rows[column].mean())
    digits = ".3f" if column == "accuracy" else ",.1f"
    fig.add_scatter(
        x=list(ends),
        y=[mean, mean],
        name=name,
        mode="lines+markers",
        line={"color": style.colour, "width": 2, "dash": style.dash},
        marker={"symbol": style.symbol, "size": 8, "color": style.colour},
        legendgroup=name,
        showlegend=column == "accuracy",
        hovertemplate=f"{name}<br>{column} {mean:{digits}}<br>{len(rows)} seed(s)<extra></extra>",
        **place,
    )
