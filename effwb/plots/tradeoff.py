"""Accuracy against tokens spent, one point per method."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from effwb._internal.benchmarks import averages_only
from effwb.errors import one_of
from effwb.plots.labels import Canvas, LabelledPoint, place_labels
from effwb.plots.legends import add_note, legend_below
from effwb.plots.style import (
    GREY,
    LineStyle,
    check_table,
    darker,
    error_bars,
    interval_text,
    line_styles,
    log_token_axis,
)


def tradeoff_figure(
    table: pd.DataFrame,
    *,
    x: str = "mean length",
    y: str = "accuracy",
    label: str = "name",
    order: str | None = None,
    title: str = "",
    iso_aes: Collection[float] | None = None,
    base: str = "base",
) -> go.Figure:
    """Draw accuracy against mean response length, a point per method; better is up and to the left.

    Rows that agree in name, `family` and `parameter` are seeds of one method: they are drawn faint, and their
    mean in full colour without an interval. Of a table with several benchmarks the averages are drawn.
    A note above the picture says what bars and faint markers are. Columns that are not listed below appear in
    the hover box.

    Args:
        table: One row per run. Required: the columns that `x`, `y` and `label` name. Optional columns:
            `low` and `high` (interval of y), `length low` and `length high` (interval of x), `family` (points
            of a family are joined by a line; default: the name), `parameter` (text beside the point; default:
            the name), `method` (decides the colour; default: read from the text of the family), `over` (what
            the intervals are over, "problems" or "seeds"; default: problems).
        x: Column with the mean response length in tokens; the axis is logarithmic.
        y: Column with the accuracy in [0, 1].
        label: Column with the name of the row.
        order: Column by which the points of a family are joined; default: the order of the rows.
        title: Title of the figure.
        iso_aes: Values of the accuracy-efficiency score (`effwb.metrics.aes`) that are drawn as grey lines.
        base: Name of the row that the score compares with.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: The table is empty, lacks a column, holds NaN, or holds a length that is not positive.
        ConfigError: `iso_aes` is given and no row has the name `base`.

    Example:
        >>> import pandas as pd
        >>> from effwb import plots
        >>> rows = [("base", 0.60, 400), ("reo_rl", 0.61, 250)]
        >>> table = pd.DataFrame(rows, columns=["name", "accuracy", "mean length"])
        >>> fig = plots.tradeoff_figure(table, iso_aes=[0.0, 0.5])
    """
    table = check_table(
        averages_only(table), (x, y, label, *([order] if order else [])), numbers=(x, y), positive=(x,)
    )
    points = _points(table if order is None else table.sort_values(order, kind="stable"), x, y, label)
    fig = go.Figure().update_layout(template="effwb", title=title, margin={"t": 60 if title else 25})
    canvas = _set_axes(fig, table, x, y, points)
    iso_lines = [] if iso_aes is None else _add_iso_lines(fig, points, iso_aes, base, canvas)
    positions = place_labels(points, canvas.pixels(table[x], table[y]), canvas, iso_lines)
    families = list(dict.fromkeys(p.family for p in points))
    methods = (
        {p.family: _text(p.rows["method"].iloc[0]) or p.family for p in points} if "method" in table else None
    )
    styles = line_styles(families, methods)
    for family in families:
        members = [k for k, p in enumerate(points) if p.family == family]
        _add_seeds(fig, [points[k] for k in members], x, y, styles[family])
        line = {"color": styles[family].colour, "width": 2, "dash": styles[family].dash}
        _add_family(
            fig, [points[k] for k in members], [positions[k] for k in members], line, styles[family].symbol
        )
    return legend_below(add_note(fig, _note(points)))


# ------------------------------------------------------------------------------------------ the points
def _points(table: pd.DataFrame, x: str, y: str, label: str) -> list[LabelledPoint]:
    keys = [label, *(k for k in ("family", "parameter") if k in table)]
    own_columns = {x, y, *keys, "low", "high", "length low", "length high", "method", "over"}
    hover_columns = [c for c in table.columns if c not in own_columns]
    groups = table.groupby(keys, sort=False, dropna=False)
    return [_point(rows, x, y, label, hover_columns) for _, rows in groups]


def _point(rows: pd.DataFrame, x: str, y: str, label: str, hover_columns: list[str]) -> LabelledPoint:
    row, seeds = rows.iloc[0], len(rows)
    name = str(row[label])
    family, text = (_text(row.get(key)) or name for key in ("family", "parameter"))
    x_interval, y_interval = _interval(row, "length "), _interval(row, "")
    if seeds > 1:  # an interval over problems does not come from seeds
        x_interval = y_interval = (np.nan, np.nan)
        tail = f"<br>mean of {seeds} seeds; no interval"
        for column, form, unit in ((y, ".3f", ""), (x, ",.1f", " tokens")):
            tail += f"<br>{column}, seeds: {rows[column].min():{form}} to {rows[column].max():{form}}{unit}"
    else:
        tail = "".join(f"<br>{c}: {_value(row[c])}" for c in hover_columns)
    mean_x, mean_y = float(rows[x].mean()), float(rows[y].mean())
    hover = "<br>".join(dict.fromkeys((family, name, text)))
    hover += f"<br>{y} {mean_y:.3f}{interval_text(y_interval, '.3f')}"
    hover += f"<br>{x} {mean_x:,.1f}{interval_text(x_interval, ',.1f')} tokens"
    if not np.isnan([*x_interval, *y_interval]).all():
        tail += f"<br>in brackets: 95 % interval over {_over(row)}"
    return LabelledPoint(mean_x, mean_y, x_interval, y_interval, name, family, text, hover + tail, rows)


def _over(row: pd.Series) -> str:
    return _text(row.get("over")) or "problems"


def _note(points: list[LabelledPoint]) -> str:
    """What the bars are over, and what faint markers are."""
    barred = [p for p in points if not np.isnan([*p.x_interval, *p.y_interval]).all()]
    texts = [f"bars: 95 % intervals over {' or '.join(dict.fromkeys(_over(p.rows.iloc[0]) for p in barred))}"]
    return "; ".join(texts * bool(barred) + ["faint: single seeds"] * any(len(p.rows) > 1 for p in points))


def _interval(row: pd.Series, prefix: str) -> tuple[float, float]:
    return float(row.get(f"{prefix}low", np.nan)), float(row.get(f"{prefix}high", np.nan))


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


def _value(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def _set_axes(fig: go.Figure, table: pd.DataFrame, x: str, y: str, points: list[LabelledPoint]) -> Canvas:
    """Set axis ranges that hold every point and interval with room for labels, so that pixels are known."""
    xs, ys = (
        np.concatenate([table[column].to_numpy(dtype=float), *ends])
        for column, ends in ((x, [p.x_interval for p in points]), (y, [p.y_interval for p in points]))
    )
    xs, ys = xs[xs > 0], ys[~np.isnan(ys)]
    axis = log_token_axis(xs.min() / 1.08, xs.max() * 1.08)
    room = 0.08 * np.ptp(ys) or 0.05
    left, right = axis["range"]
    low = ys.min() - room if table[y].min() < 0 else max(ys.min() - room, 0)  # no accuracy is below 0
    canvas = Canvas((left, right), (low, ys.max() + room), 760.0)
    fig.update_xaxes(title=f"{x} (tokens)", **axis)
    fig.update_yaxes(title=y, range=canvas.y_range)
    fig.update_layout(showlegend=any(p.family != p.text for p in points))
    return canvas


def _add_family(
    fig: go.Figure, points: list[LabelledPoint], positions: list[str], line: dict[str, Any], symbol: str
) -> None:
    family, colour = points[0].family, line["color"]
    fig.add_scatter(
        x=[p.x for p in points],
        y=[p.y for p in points],
        error_x=error_bars([p.x for p in points], [p.x_interval for p in points], colour),
        error_y=error_bars([p.y for p in points], [p.y_interval for p in points], colour),
        name=family,
        legendgroup=family,
        mode="lines+markers+text" if len(points) > 1 else "markers+text",
        line=line,
        marker={"symbol": symbol, "size": 11, "line": {"width": 1, "color": "white"}},
        text=[p.text for p in points],
        textposition=positions,
        textfont={"size": 13, "color": darker(colour)},
        showlegend=any(p.text != family for p in points),
        cliponaxis=False,
        customdata=[p.hover for p in points],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _add_seeds(fig: go.Figure, points: list[LabelledPoint], x: str, y: str, style: LineStyle) -> None:
    """Draw each seed as a faint open symbol; the full-colour point of their mean is drawn on top."""
    rows = [(p, row) for p in points if len(p.rows) > 1 for _, row in p.rows.iterrows()]
    if not rows:
        return
    fig.add_scatter(
        x=[row[x] for _, row in rows],
        y=[row[y] for _, row in rows],
        mode="markers",
        marker={"symbol": f"{style.symbol}-open", "size": 8, "color": style.colour},
        opacity=0.5,
        legendgroup=points[0].family,
        showlegend=False,
        customdata=[p.name for p, _ in rows],
        hovertemplate=f"%{{customdata}}, one seed<br>{y} %{{y:.3f}}<br>{x} %{{x:,.1f}} tokens<extra></extra>",
    )


# ------------------------------------------------------------------------------------ lines of equal AES
# Pixels that the text of a line covers, left of and below the end of the line
ISO_TEXT = np.stack(np.meshgrid(np.arange(0, 65, 8), (2, 9, 16)), axis=-1).reshape(-1, 2)


def iso_accuracy(
    level: float,
    base_accuracy: float,
    base_length: float,
    length: float | Sequence[float] | np.ndarray,
    alpha: float = 1.0,
    beta: float = 3.0,
    gamma: float = 5.0,
) -> np.ndarray:
    """The accuracy at which a response has a given AES: `effwb.metrics.aes`, solved for the accuracy.

    Args:
        level: The accuracy-efficiency score.
        base_accuracy: Accuracy of the base.
        base_length: Mean length of the base in tokens.
        length: Mean length of the response in tokens, a number or an array.
        alpha: Weight of the length.
        beta: Weight of a gain in accuracy.
        gamma: Weight of a loss in accuracy.

    Returns:
        Accuracies in the shape of `length`.

    >>> float(iso_accuracy(0.5, 0.6, 1000, 500))  # half the tokens, the same accuracy
    0.6
    """
    rest = level - alpha * (base_length - np.asarray(length, dtype=float)) / base_length
    return base_accuracy * (1 + rest / np.where(rest >= 0, beta, gamma))


def _add_iso_lines(
    fig: go.Figure, points: list[LabelledPoint], levels: Collection[float], base: str, canvas: Canvas
) -> list[np.ndarray]:
    """Draw lines of equal AES, labelled where they leave the picture; return the pixels they cover."""
    one_of("base", base, [p.name for p in points])
    origin = next(p for p in points if p.name == base)
    length = np.logspace(*canvas.x_range, 200)
    text_style = {
        "showarrow": False,
        "font": {"size": 12, "color": GREY},
        "bgcolor": "rgba(255,255,255,0.85)",
    }
    obstacles = []
    for level in levels:
        accuracy = iso_accuracy(level, origin.y, origin.x, length)
        is_visible = (accuracy >= canvas.y_range[0]) & (accuracy <= canvas.y_range[1])
        if not is_visible.any():
            continue
        x, y, name = length[is_visible], accuracy[is_visible], f"AES {level:g}"
        line = canvas.pixels(x, y)
        obstacles += [line, np.repeat(line[-1] - ISO_TEXT, 10, axis=0)]
        fig.add_scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": "#8C8C8C", "width": 1, "dash": "dot"},
            showlegend=False,
            hovertemplate=f"{name} relative to {base}<br>%{{x:,.0f}} tokens, %{{y:.3f}}<extra></extra>",
        )
        end = {"x": np.log10(x[-1]), "y": y[-1], "xanchor": "right", "yanchor": "top"}
        fig.add_annotation(text=name, **text_style, **end)
    return obstacles
