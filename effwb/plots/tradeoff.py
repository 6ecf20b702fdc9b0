"""Accuracy against tokens spent, a point per method."""

from collections.abc import Collection

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from effwb.errors import one_of
from effwb.plots.labels import Canvas, LabelledPoint, place_labels
from effwb.plots.style import DASHES, GREY, bars, checked, darker, interval_text, log_tokens, looks_of


def tradeoff_figure(
    table,
    *,
    x: str = "mean length",
    y: str = "accuracy",
    label: str = "name",
    order: str | None = None,
    title: str = "",
    iso_aes: Collection[float] | None = None,
    base: str = "base",
) -> go.Figure:
    """Accuracy against mean response length (tokens, log axis), a point per method; better is up and left.

    `table` has the columns `x` (tokens), `y` (accuracy in [0, 1]) and `label`. Optional: `low`, `high`
    (interval of y) and `length low`, `length high` (of x); `family`, whose points are joined by a line in
    the order of the column `order` (default: of the rows); `parameter`, the text beside the point (default:
    its name). Rows that agree in label, family and parameter are seeds: they are drawn faint, their mean in
    full and without an interval. All other columns appear in the hover box. `iso_aes` are values of the
    accuracy-efficiency score (`effwb.metrics.aes`) that become lines, relative to the row named `base`.
    Raises DataError for a missing column, an empty table, NaN, or a length that is not positive.
    """
    table = checked(table, (x, y, label, *([order] if order else [])), numbers=(x, y), positive=(x,))
    points = _points(table, x, y, label, order)
    fig = go.Figure().update_layout(template="effwb", title=title, margin={"t": 60 if title else 25})
    canvas = _set_axes(fig, table, x, y, points)
    lines = [] if iso_aes is None else _add_iso(fig, points, iso_aes, base, canvas)
    spots = canvas.pixels(table[x], table[y])  # of the seeds as well
    places = place_labels(points, spots, canvas, lines)
    families = list(dict.fromkeys(p.family for p in points))
    looks = looks_of(families)
    for i, family in enumerate(families):
        mine = [k for k, p in enumerate(points) if p.family == family]
        style = (*looks[family], DASHES[i % len(DASHES)])
        _add_seeds(fig, [points[k] for k in mine], x, y, *style[:2])
        _add_family(fig, family, [points[k] for k in mine], [places[k] for k in mine], *style)
    return fig


def _points(table, x: str, y: str, label: str, order: str | None) -> list[LabelledPoint]:
    keys = [label, *(k for k in ("family", "parameter") if k in table)]
    known = {x, y, *keys, "low", "high", "length low", "length high"}
    table = table if order is None else table.sort_values(order, kind="stable")
    others = [c for c in table.columns if c not in known]
    return [_point(rows, x, y, label, others) for _, rows in table.groupby(keys, sort=False, dropna=False)]


def _point(rows, x: str, y: str, label: str, others: list[str]) -> LabelledPoint:
    row, seeds = rows.iloc[0], len(rows)
    name = str(row[label])
    family, text = (_text(row.get(key)) or name for key in ("family", "parameter"))
    ends = [(np.nan, np.nan)] * 2
    if seeds == 1:
        ends = [
            tuple(float(row.get(f"{of}{end}", np.nan)) for end in ("low", "high")) for of in ("length ", "")
        ]
    means = float(rows[x].mean()), float(rows[y].mean())
    head = "<br>".join(dict.fromkeys((family, name, text)))
    tail = _seed_hover(rows, x, y) if seeds > 1 else "".join(f"<br>{c}: {_value(row[c])}" for c in others)
    hover = f"{head}<br>{y} {means[1]:.3f}{interval_text(ends[1], '.3f')}<br>{x} {means[0]:,.1f}"
    return LabelledPoint(
        *means, *ends, name, family, text, f"{hover}{interval_text(ends[0], ',.1f')} tokens{tail}", rows
    )


def _seed_hover(rows, x: str, y: str) -> str:
    lines = [f"<br>mean of {len(rows)} seeds; no interval over problems"]
    for column, form, unit in ((y, ".3f", ""), (x, ",.1f", " tokens")):
        lines.append(f"<br>{column}, seeds: {rows[column].min():{form}} to {rows[column].max():{form}}{unit}")
    return "".join(lines)


def _text(value) -> str:
    return "" if pd.isna(value) else str(value)


def _value(value) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value}"


def _set_axes(fig, table, x: str, y: str, points: list[LabelledPoint]) -> Canvas:
    """Ranges that hold every point and interval with room for labels, set so that pixels are known."""
    xs, ys = (
        np.concatenate([table[c].to_numpy(dtype=float) for c in columns if c in table])
        for columns in ((x, "length low", "length high"), (y, "low", "high"))
    )
    xs, ys = xs[xs > 0], ys[~np.isnan(ys)]
    axis = log_tokens(xs.min() / 1.08, xs.max() * 1.08)
    room = 0.08 * np.ptp(ys) or 0.05
    legend = max((60 + 8 * len(p.family) for p in points if p.family != p.text), default=0)
    canvas = Canvas(tuple(axis["range"]), (ys.min() - room, ys.max() + room), 760.0 - legend)
    fig.update_xaxes(title=f"{x} (tokens)", **axis)
    fig.update_yaxes(title=y, range=canvas.y_range)
    fig.update_layout(legend={"x": 1.02, "y": 1.0, "yanchor": "top"}, showlegend=legend > 0)
    return canvas


def _add_family(
    fig, family: str, points: list[LabelledPoint], places, colour: str, symbol: str, dash: str
) -> None:
    fig.add_scatter(
        x=[p.x for p in points],
        y=[p.y for p in points],
        error_x=bars([p.x for p in points], [p.x_bar for p in points], colour),
        error_y=bars([p.y for p in points], [p.y_bar for p in points], colour),
        name=family,
        legendgroup=family,
        mode="lines+markers+text" if len(points) > 1 else "markers+text",
        line={"color": colour, "width": 2, "dash": dash},
        marker={"symbol": symbol, "size": 11, "line": {"width": 1, "color": "white"}},
        text=[p.text for p in points],
        textposition=places,
        textfont={"size": 13, "color": darker(colour)},
        showlegend=any(p.text != family for p in points),
        cliponaxis=False,
        customdata=[p.hover for p in points],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _add_seeds(fig, points: list[LabelledPoint], x: str, y: str, colour: str, symbol: str) -> None:
    """Each seed as a faint open symbol; the strong point of their mean comes on top."""
    rows = [(p, row) for p in points if len(p.rows) > 1 for _, row in p.rows.iterrows()]
    if not rows:
        return
    fig.add_scatter(
        x=[row[x] for _, row in rows],
        y=[row[y] for _, row in rows],
        mode="markers",
        marker={"symbol": f"{symbol}-open", "size": 8, "color": colour},
        opacity=0.5,
        legendgroup=points[0].family,
        showlegend=False,
        customdata=[p.name for p, _ in rows],
        hovertemplate=f"%{{customdata}}, one seed<br>{y} %{{y:.3f}}<br>{x} %{{x:,.1f}} tokens<extra></extra>",
    )


# ------------------------------------------------------------------------------------ lines of equal AES
_ISO_LABEL = np.stack(np.meshgrid(np.arange(0, 65, 8), (2, 9, 16)), axis=-1).reshape(-1, 2)  # its pixels


def _add_iso(fig, points: list[LabelledPoint], levels: Collection[float], base: str, canvas: Canvas) -> list:
    """Grey lines of equal AES with their value where they leave the picture; returns what labels avoid."""
    one_of("base", base, [p.name for p in points])
    origin = next(p for p in points if p.name == base)
    length = np.logspace(*canvas.x_range, 200)
    drawn = []
    for level in levels:
        accuracy = iso_accuracy(level, origin.y, origin.x, length)
        seen = (accuracy >= canvas.y_range[0]) & (accuracy <= canvas.y_range[1])
        if seen.any():
            line = canvas.pixels(length[seen], accuracy[seen])
            drawn += [line, np.repeat(line[-1] - _ISO_LABEL, 10, axis=0)]
            _add_iso_line(fig, level, length[seen], accuracy[seen], base)
    return drawn


def iso_accuracy(
    level: float, base_accuracy: float, base_length: float, length, alpha=1.0, beta=3.0, gamma=5.0
):
    """The accuracy at which a response of `length` tokens has the AES `level`: `effwb.metrics.aes`, solved.

    >>> float(iso_accuracy(0.5, 0.6, 1000, 500))  # half the tokens, the same accuracy
    0.6
    """
    left = level - alpha * (base_length - np.asarray(length, dtype=float)) / base_length
    return base_accuracy * (1 + left / np.where(left >= 0, beta, gamma))


def _add_iso_line(fig, level: float, length, accuracy, base: str) -> None:
    name = f"AES {level:g}"
    fig.add_scatter(
        x=length,
        y=accuracy,
        mode="lines",
        line={"color": "#8C8C8C", "width": 1, "dash": "dot"},
        showlegend=False,
        hovertemplate=f"{name} relative to {base}<br>%{{x:,.0f}} tokens, %{{y:.3f}}<extra></extra>",
    )
    place = {"x": np.log10(length[-1]), "y": accuracy[-1], "xanchor": "right", "yanchor": "top"}
    look = {"showarrow": False, "font": {"size": 12, "color": GREY}, "bgcolor": "rgba(255,255,255,0.85)"}
    fig.add_annotation(text=name, **place, **look)
