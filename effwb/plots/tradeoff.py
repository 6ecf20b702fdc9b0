"""Accuracy against tokens spent, a point per method; and the length used against the length asked for."""

from collections.abc import Collection
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from effwb.errors import DataError, one_of
from effwb.metrics import clustered_interval
from effwb.plots.style import COLOURS, GREY, SYMBOLS, faint, powers
from effwb.plots.style import label as short

DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")  # beside colours, for grey prints
HINT_BINS = 12  # asked lengths are pooled into so many bins where more than HINT_VALUES were asked for
HINT_VALUES = 16


# -------------------------------------------------------------------------------------------- trade-off
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
    places = _place(points, spots, canvas, lines)
    for i, family in enumerate(dict.fromkeys(p.family for p in points)):
        mine = [k for k, p in enumerate(points) if p.family == family]
        style = (*look_of(i), DASHES[i % len(DASHES)])
        _add_seeds(fig, [points[k] for k in mine], x, y, *style[:2])
        _add_family(fig, family, [points[k] for k in mine], [places[k] for k in mine], *style)
    return fig


class Point(NamedTuple):
    """A method: its row, or the mean of its seeds."""

    x: float
    y: float
    x_bar: tuple[float, float]
    y_bar: tuple[float, float]
    name: str
    family: str
    text: str
    hover: str
    rows: pd.DataFrame


class Canvas(NamedTuple):
    """Where data lies on the paper, in pixels: what it takes to keep labels apart."""

    x_range: tuple[float, float]  # of log10
    y_range: tuple[float, float]
    width: float
    height: float = 400.0

    def pixels(self, x, y) -> np.ndarray:
        (left, right), (low, high) = self.x_range, self.y_range
        return np.stack(
            [
                (np.log10(x) - left) / (right - left) * self.width,
                (np.asarray(y, dtype=float) - low) / (high - low) * self.height,
            ],
            axis=-1,
        )


def _points(table, x: str, y: str, label: str, order: str | None) -> list[Point]:
    keys = [label, *(k for k in ("family", "parameter") if k in table)]
    known = {x, y, *keys, "low", "high", "length low", "length high"}
    table = table if order is None else table.sort_values(order, kind="stable")
    others = [c for c in table.columns if c not in known]
    return [_point(rows, x, y, label, others) for _, rows in table.groupby(keys, sort=False, dropna=False)]


def _point(rows, x: str, y: str, label: str, others: list[str]) -> Point:
    row, seeds = rows.iloc[0], len(rows)
    name = str(row[label])
    family, text = (_text(row.get(key)) or name for key in ("family", "parameter"))
    bars = [(np.nan, np.nan)] * 2
    if seeds == 1:
        bars = [
            tuple(float(row.get(f"{of}{end}", np.nan)) for end in ("low", "high")) for of in ("length ", "")
        ]
    means = float(rows[x].mean()), float(rows[y].mean())
    head = "<br>".join(dict.fromkeys((family, name, text)))
    tail = _seed_hover(rows, x, y) if seeds > 1 else "".join(f"<br>{c}: {_value(row[c])}" for c in others)
    hover = f"{head}<br>{y} {means[1]:.3f}{_range(bars[1], '.3f')}<br>{x} {means[0]:,.1f}"
    return Point(*means, *bars, name, family, text, f"{hover}{_range(bars[0], ',.1f')} tokens{tail}", rows)


def _seed_hover(rows, x: str, y: str) -> str:
    lines = [f"<br>mean of {len(rows)} seeds; no interval over problems"]
    for column, form, unit in ((y, ".3f", ""), (x, ",.1f", " tokens")):
        lines.append(f"<br>{column}, seeds: {rows[column].min():{form}} to {rows[column].max():{form}}{unit}")
    return "".join(lines)


def _text(value) -> str:
    return "" if pd.isna(value) else str(value)


def _value(value) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value}"


def _range(ends: tuple[float, float], form: str) -> str:
    return "" if np.isnan(ends).any() else f" [{ends[0]:{form}}, {ends[1]:{form}}]"


def _set_axes(fig, table, x: str, y: str, points: list[Point]) -> Canvas:
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


def _add_family(fig, family: str, points: list[Point], places, colour: str, symbol: str, dash: str) -> None:
    fig.add_scatter(
        x=[p.x for p in points],
        y=[p.y for p in points],
        error_x=_bars([p.x for p in points], [p.x_bar for p in points], colour),
        error_y=_bars([p.y for p in points], [p.y_bar for p in points], colour),
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


def _bars(middle: list[float], ends: list[tuple], colour: str) -> dict:
    low, high = np.asarray(ends, dtype=float).T
    shared = {"type": "data", "symmetric": False, "color": colour, "thickness": 1.2, "width": 4}
    return {**shared, "array": high - middle, "arrayminus": middle - low}


def _add_seeds(fig, points: list[Point], x: str, y: str, colour: str, symbol: str) -> None:
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


def _add_iso(fig, points: list[Point], levels: Collection[float], base: str, canvas: Canvas) -> list:
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


# --------------------------------------------------------------------------------------- labels kept apart
_SIDES = (
    *(f"{up} {across}" for across in ("right", "left", "center") for up in ("top", "bottom")),
    *("middle right", "middle left"),
)


def _place(points: list[Point], spots: np.ndarray, canvas: Canvas, lines: list[np.ndarray]) -> list[str]:
    """A side of its marker for each label: greedy, then each label is reconsidered twice."""
    at = canvas.pixels([p.x for p in points], [p.y for p in points])
    markers, strokes = np.concatenate([at, spots]), _strokes(points, canvas)
    boxes = np.array(
        [[_box(xy, len(p.text), side) for side in _SIDES] for xy, p in zip(at, points, strict=True)]
    )
    fixed = np.array([[_cost(box, markers, strokes, lines, canvas) for box in row] for row in boxes])
    fixed += 0.1 * np.arange(len(_SIDES))
    chosen = np.full(len(points), -1)
    for i in [*range(len(points))] * 3:
        taken = [boxes[k, chosen[k]] for k in range(len(points)) if k != i and chosen[k] >= 0]
        clash = [sum(_overlap(box, other) for other in taken) for box in boxes[i]]
        chosen[i] = np.argmin(fixed[i] + np.array(clash))
    return [_SIDES[k] for k in chosen]


def _box(at, characters: int, side: str) -> tuple[float, float, float, float]:
    """Left, bottom, right, top in pixels of a 13 px text beside a marker."""
    width, height, gap = 7.2 * characters, 16, 7
    across, up = side.split()[1], side.split()[0]
    left = at[0] + {"right": gap, "left": -gap - width, "center": -width / 2}[across]
    bottom = at[1] + {"top": gap, "bottom": -gap - height, "middle": -height / 2}[up]
    return left, bottom, left + width, bottom + height


def _strokes(points: list[Point], canvas: Canvas) -> np.ndarray:
    """Pixels along the intervals and the lines of families, about 6 apart."""
    ends = [((p.x_bar[0], p.y), (p.x_bar[1], p.y)) for p in points if not np.isnan(p.x_bar).any()]
    ends += [((p.x, p.y_bar[0]), (p.x, p.y_bar[1])) for p in points if not np.isnan(p.y_bar).any()]
    for family in dict.fromkeys(p.family for p in points):
        mine = [(p.x, p.y) for p in points if p.family == family]
        ends += list(pairwise(mine))
    parts = [np.empty((0, 2))]
    for (x0, y0), (x1, y1) in ends:
        a, b = canvas.pixels([x0, x1], [y0, y1])
        parts.append(np.linspace(a, b, 2 + int(np.abs(b - a).max() / 6)))
    return np.concatenate(parts)


def _cost(box, markers, strokes, lines, canvas: Canvas) -> float:
    """Pixels of ink below a label: markers weigh most, then leaving the picture, intervals, iso lines."""
    out = max(0.0, -box[0], -box[1], box[2] - canvas.width, box[3] - canvas.height)
    iso = sum(_inside(box, line, 0) for line in lines)
    return 300 * _inside(box, markers, 5) + 25 * _inside(box, strokes, 0) + 2 * iso + 20 * out


def _inside(box, pixels: np.ndarray, margin: float) -> int:
    low, high = np.array(box[:2]) - margin, np.array(box[2:]) + margin
    return int(((pixels > low) & (pixels < high)).all(axis=-1).sum())


def _overlap(a, b) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


# ------------------------------------------------------------------------------------- asked and used
def hint_figure(table, *, title: str = "") -> go.Figure:
    """Length used against length asked for (tokens, both logarithmic), and the accuracy at each, below.

    `table` has a row per rollout: `asked` and `length` in tokens, `correct`. Line: the median used; band: 10
    to 90 % of rollouts; dashed: used = asked. More than 16 different lengths asked for are pooled into 12
    bins, drawn at their median. With a column `problem_id` accuracies have a 95 % interval over problems.
    Raises DataError for a missing column, an empty table, NaN, or lengths that are not positive.
    """
    columns = ("asked", "length", "correct")
    table = checked(table, columns, numbers=columns, positive=("asked", "length"))
    used = _by_asked(table)
    fig = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.66, 0.34], vertical_spacing=0.06)
    _add_used(fig, used)
    _add_hint_accuracy(fig, used)
    fig.update_layout(template="effwb", title=title, height=640, margin={"t": 60 if title else 25})
    fig.update_layout(legend={"x": 0.01, "y": 0.99, "yanchor": "top"})
    fig.update_xaxes(**log_tokens(used["asked"].min(), used["asked"].max()))
    fig.update_xaxes(title="length asked for (tokens)", row=2, col=1)
    ends = used[["asked", "low", "high"]]
    fig.update_yaxes(
        title="length used (tokens)", row=1, col=1, **log_tokens(ends.min().min(), ends.max().max())
    )
    fig.update_yaxes(title="accuracy", rangemode="tozero", row=2, col=1)
    return fig


def _by_asked(table) -> pd.DataFrame:
    """A row per length asked for, or per bin: quantiles of the length used, accuracy, hover text."""
    asked = table["asked"].to_numpy(dtype=float)
    bins = asked
    if len(np.unique(asked)) > HINT_VALUES:
        bins = np.digitize(asked, np.geomspace(asked.min(), asked.max(), HINT_BINS + 1)[1:-1])
    return pd.DataFrame([_used(rows) for _, rows in table.groupby(bins)])


def _used(rows) -> dict:
    low, median, high = np.quantile(rows["length"], [0.1, 0.5, 0.9])
    asked, accuracy, ends = float(rows["asked"].median()), float(rows["correct"].mean()), (np.nan, np.nan)
    if "problem_id" in rows and rows["problem_id"].nunique() > 1:
        means = rows["correct"].astype(float).groupby(rows["problem_id"]).mean()
        accuracy, *ends = clustered_interval(means.to_numpy()[:, None])
    few, many = rows["asked"].min(), rows["asked"].max()
    head = f"asked for {few:,.0f}" + ("" if few == many else f" to {many:,.0f}") + " tokens"
    off = np.abs(rows["length"] / rows["asked"] - 1).mean()
    over = (rows["length"] > rows["asked"]).mean()
    problems = f", {rows['problem_id'].nunique():,} problems" if "problem_id" in rows else ""
    hover = (
        f"{head}<br>used: median {median:,.0f}, 10-90 % {low:,.0f} to {high:,.0f}, mean "
        f"{rows['length'].mean():,.1f}<br>mean deviation {off:.0%} of asked, {over:.0%} over"
        f"<br>accuracy {accuracy:.3f}{_range(tuple(ends), '.3f')}<br>n = {len(rows):,} rollouts{problems}"
    )
    interval = dict(zip(("worst", "best"), ends, strict=True))
    return {
        "asked": asked,
        "low": low,
        "median": median,
        "high": high,
        "accuracy": accuracy,
        **interval,
        "hover": hover,
    }


def _add_used(fig, used) -> None:
    at = {"row": 1, "col": 1}
    asked, low, high = (used[c].to_numpy() for c in ("asked", "low", "high"))
    fig.add_scatter(
        x=np.concatenate([asked, asked[::-1]]),
        y=np.concatenate([low, high[::-1]]),
        fill="toself",
        fillcolor=faint(COLOURS[0], 0.18),
        mode="lines",
        line={"width": 0},
        name="10-90 % of rollouts",
        hoverinfo="skip",
        **at,
    )
    ends = [asked.min() / 2, asked.max() * 2]
    line = {"color": GREY, "dash": "dash", "width": 1.5}
    fig.add_scatter(x=ends, y=ends, mode="lines", line=line, name="used = asked", hoverinfo="skip", **at)
    bars = _bars(used["median"].tolist(), list(zip(low, high, strict=True)), COLOURS[0])
    _add_hint_line(fig, used, "median", "median used", at, {**bars, "visible": len(used) == 1})


def _add_hint_accuracy(fig, used) -> None:
    bars = _bars(used["accuracy"].tolist(), list(zip(used["worst"], used["best"], strict=True)), COLOURS[0])
    _add_hint_line(fig, used, "accuracy", "accuracy", {"row": 2, "col": 1}, bars, showlegend=False)


def _add_hint_line(fig, used, column: str, name: str, at: dict, bars: dict, **more) -> None:
    fig.add_scatter(
        x=used["asked"],
        y=used[column],
        error_y=bars,
        name=name,
        mode="lines+markers",
        line={"color": COLOURS[0], "width": 2},
        marker={"symbol": SYMBOLS[0], "size": 8},
        customdata=used["hover"],
        hovertemplate="%{customdata}<extra></extra>",
        **more,
        **at,
    )


# ---------------------------------------------------------------------------------- shared by the figures
def checked(
    table, columns: Collection[str], *, numbers: Collection[str] = (), positive: Collection[str] = ()
):
    """`table` with a fresh index and `numbers` as floats; DataError names what is missing or not a number."""
    missing = [c for c in columns if c not in table]
    if missing:
        raise DataError(f"table lacks the columns {missing}; it has {list(table.columns)}")
    if len(table) == 0:
        raise DataError("table is empty: nothing to draw")
    for name in numbers:
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        if not np.isfinite(values).all():
            raise DataError(
                f"column {name!r} holds NaN or infinite values at row {np.argmin(np.isfinite(values))}"
            )
        if name in positive and values.min() <= 0:
            raise DataError(
                f"column {name!r} holds {values.min():g}; a logarithmic axis needs positive lengths"
            )
        table = table.assign(**{name: values})
    return table.reset_index(drop=True)


def look_of(i: int) -> tuple[str, str]:
    """Colour and symbol of the i-th thing drawn; 49 pairs differ."""
    n = len(COLOURS)
    return COLOURS[i % n], SYMBOLS[(i + i // n) % n]


def darker(colour: str) -> str:
    """For text: the house's orange, yellow and pink are too light to be read."""
    return "#" + "".join(f"{int(int(colour[k : k + 2], 16) * 0.7):02X}" for k in (1, 3, 5))


def log_tokens(low: float, high: float) -> dict:
    """A logarithmic token axis over [low, high]: ticks at powers of two, or at round numbers."""
    low, high = low / 1.08, high * 1.08
    ticks = powers(low, high)
    ticks = ticks[:: 1 + len(ticks) // 10]
    texts = [short(t) for t in ticks]
    if len(ticks) < 3:
        ticks = round_ticks(low, high)
        texts = [f"{t:,g}" for t in ticks]
    return {"type": "log", "tickvals": ticks, "ticktext": texts, "range": [np.log10(low), np.log10(high)]}


def round_ticks(low: float, high: float) -> list[float]:
    """About four round numbers between `low` and `high`.

    >>> round_ticks(180.0, 260.0)
    [180.0, 200.0, 220.0, 240.0, 260.0]
    """
    raw = (high - low) / 4
    scale = 10.0 ** np.floor(np.log10(raw))
    nearest = next(i for i, m in enumerate((1, 2, 5, 10)) if m * scale >= raw * 0.999)
    for m in (*(1, 2, 5, 10)[nearest::-1], 0.5):  # a coarse step may hit the range only once or twice
        step = m * scale
        first, last = int(np.ceil(low / step)), int(np.floor(high / step * (1 + 1e-9)))
        if last - first >= 2:
            break
    return [float(k * step) for k in range(first, last + 1)]
