"""The plotly template of all figures, and what several figures share: line styles, token axes, table checks.

Token axes are logarithmic by default, with ticks at powers of two. Budget 0 (accuracy without thinking) has
no place on a logarithmic axis, so it is drawn left of the first tick, behind a break in the axis.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio

from effwb.designs import DESIGNS
from effwb.errors import ConfigError, DataError
from effwb.recipes import OFFLINE_RECIPES

# Okabe and Ito's colours, distinct for all common colour blindness; yellow is left out, too pale on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")  # so that grey prints work
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
GREY = "#595959"
AXES = ("log", "linear")

# Methods with a colour of their own: the i-th has the i-th colour in every figure
FIXED_METHODS = ("base", "vanilla", "reo_rl", "lead", "lapo_internalization", "length_group_norm", "kimi")
# Short names in notebooks
METHOD_ALIASES = {"lapo_i": "lapo_internalization", "lapo_d": "lapo_discovery", "free": "base"}

_AXIS = {
    "showline": True,
    "linecolor": "black",
    "ticks": "outside",
    "gridcolor": "#E6E6E6",
    "zeroline": False,
    "title": {"standoff": 12},
    "automargin": True,
}
pio.templates["effwb"] = go.layout.Template(
    layout={
        "colorway": COLOURS,
        "font": {"family": "Arial, Helvetica, sans-serif", "size": 16, "color": "black"},
        "title": {"x": 0.0, "xref": "paper", "font": {"size": 18}},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "legend": {"bgcolor": "rgba(255,255,255,0.8)", "font": {"size": 14}},
        "margin": {"l": 70, "r": 25, "t": 60, "b": 65},
        "width": 860,
        "height": 520,
        "hoverlabel": {"font": {"size": 14}},
    }
)


class LineStyle(NamedTuple):
    """The colour and the marker symbol of one line."""

    colour: str
    symbol: str


# ------------------------------------------------------------------------------------------ token axes
def token_axis(
    fig: go.Figure, budgets: Sequence[float] | np.ndarray, axis: str, *, has_zero: bool, title: str
) -> float:
    """Set up the x axis of a figure as a token axis.

    Args:
        fig: The figure to change.
        budgets: Positive token counts in increasing order; only the first and the last matter.
        axis: "log" or "linear".
        has_zero: Whether budget 0 is drawn as well; a log axis then gets a break.
        title: Title of the axis.

    Returns:
        The x position of budget 0: 0 on a linear axis, half the first budget on a log axis.
    """
    low, high = float(budgets[0]), float(budgets[-1])
    if axis == "linear":
        fig.update_xaxes(title=title, range=[0, high * 1.01], tickformat=",d")
        return 0.0
    ticks: list[float] = [*powers_of_two(low, high)]
    zero, labels = low / 2, [token_label(int(t)) for t in ticks]
    if has_zero:
        ticks, labels = [zero, *ticks], ["0", *labels]
        place = {"x": np.log10(zero * 2**0.5), "y": 0, "yref": "paper", "yanchor": "middle"}
        fig.add_annotation(text="//", showarrow=False, bgcolor="white", **place)
    start = np.log10((zero if has_zero else low) / 1.25)
    fig.update_xaxes(
        title=title, type="log", tickvals=ticks, ticktext=labels, range=[start, np.log10(high * 1.15)]
    )
    return zero


def log_token_axis(low: float, high: float) -> dict[str, Any]:
    """Plotly settings of a logarithmic token axis over [low, high].

    Ticks are at powers of two, or at round numbers where the range holds fewer than three powers of two.
    """
    low, high = low / 1.08, high * 1.08
    ticks: list[float] = [*powers_of_two(low, high)]
    ticks = ticks[:: 1 + len(ticks) // 10]
    labels = [token_label(int(t)) for t in ticks]
    if len(ticks) < 3:
        ticks = round_ticks(low, high)
        labels = [f"{t:,g}" for t in ticks]
    return {"type": "log", "tickvals": ticks, "ticktext": labels, "range": [np.log10(low), np.log10(high)]}


def powers_of_two(low: float, high: float) -> list[int]:
    """All powers of two in [low, high]."""
    return [2**i for i in range(int(np.ceil(np.log2(low))), int(np.floor(np.log2(high))) + 1)]


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


def token_label(tokens: int) -> str:
    """The label of a tick: 256, 512, 1k, 2k ..."""
    return f"{tokens // 1024}k" if tokens >= 1024 else str(tokens)


# ----------------------------------------------------------------------------- colours, intervals, text
def with_alpha(colour: str, alpha: float) -> str:
    """The colour "#RRGGBB" with an opacity, as "rgba(...)"."""
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{alpha})"


def darker(colour: str) -> str:
    """A darker shade for text: orange, yellow and pink of `COLOURS` are too light to read."""
    return "#" + "".join(f"{int(int(colour[k : k + 2], 16) * 0.7):02X}" for k in (1, 3, 5))


def error_bars(values: Sequence[float], intervals: Sequence[tuple], colour: str) -> dict[str, Any]:
    """Plotly error bars of values from their intervals (low, high); no bar where an interval is NaN."""
    low, high = np.asarray(intervals, dtype=float).T
    style = {"type": "data", "symmetric": False, "color": colour, "thickness": 1.2, "width": 4}
    return {**style, "array": high - values, "arrayminus": values - low}


def interval_text(interval: tuple[float, float], number_format: str) -> str:
    """An interval for the hover box, as " [0.1, 0.2]"; "" where it is NaN."""
    low, high = interval
    return "" if np.isnan(interval).any() else f" [{low:{number_format}}, {high:{number_format}}]"


# ------------------------------------------------------------------------------------------ input checks
def check_table(
    table: pd.DataFrame,
    columns: Collection[str],
    *,
    numbers: Collection[str] = (),
    positive: Collection[str] = (),
    name: str = "table",
) -> pd.DataFrame:
    """Check the input table of a figure.

    Args:
        table: The table given by the caller.
        columns: Columns that it must have.
        numbers: Columns that must hold finite numbers.
        positive: Columns of `numbers` that must be above 0.
        name: What error messages call the table.

    Returns:
        A copy with a fresh index and the columns `numbers` as floats.

    Raises:
        DataError: The table is empty, lacks a column, or holds a value that is not allowed.
    """
    if len(table) == 0:
        raise DataError(f"{name} is empty: there is nothing to draw")
    missing = [c for c in columns if c not in table]
    if missing:
        raise DataError(f"{name} lacks the columns {missing}; it has {list(table.columns)}")
    for column in numbers:
        values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        if not np.isfinite(values).all():
            row = np.argmin(np.isfinite(values))
            raise DataError(f"column {column!r} holds NaN or infinite values, first in row {row}")
        if column in positive and values.min() <= 0:
            lowest = f"{values.min():g}"
            raise DataError(f"column {column!r} holds {lowest}; a logarithmic axis needs positive lengths")
        table = table.assign(**{column: values})
    return table.reset_index(drop=True)


def check_window(window: int) -> int:
    """The number of steps that a moving mean covers; ConfigError unless it is a whole number above 0."""
    if window != int(window) or window < 1:
        raise ConfigError(f"window={window!r} must be a whole number of steps, at least 1")
    return int(window)


# ------------------------------------------------------------------------------------------- line styles
def line_style(i: int) -> LineStyle:
    """The i-th colour and symbol; 49 pairs differ."""
    n = len(COLOURS)
    return LineStyle(COLOURS[i % n], SYMBOLS[(i + i // n) % n])


def line_styles(names: Collection[str], methods: Mapping[str, str] | None = None) -> dict[str, LineStyle]:
    """Choose a colour and a symbol for each name in a figure; a method keeps its colour across figures.

    The first name of each of `FIXED_METHODS` has the style of that method. Any other name takes the colour
    of its method if that is free, else the next free colour, else the next free symbol.

    Args:
        names: What the figure draws, mostly runs, in the order of the legend.
        methods: The method of each name, such as {"my best run": "reo_rl"}. A name without an entry belongs
            to the method that its text begins with, as "lead static=0.5" and "kimi-seed0" do.

    Returns:
        The style of each name, in the order of `names`. No two are equal among the first 49.
    """
    method_of = {name: _known_method((methods or {}).get(name) or name) for name in names}
    styles: dict[str, LineStyle] = {}
    for i, method in enumerate(FIXED_METHODS):
        first = next((name for name in names if method_of[name] == method), None)
        if first is not None:
            styles[first] = line_style(i)
    designs = [design for design in DESIGNS if design not in FIXED_METHODS]
    all_methods = [*FIXED_METHODS, *designs, *OFFLINE_RECIPES]
    for name in names:
        if name not in styles:
            known = method_of[name]
            colour = None if known is None else COLOURS[all_methods.index(known) % len(COLOURS)]
            styles[name] = _free_style(colour, styles)
    return {name: styles[name] for name in names}


def _free_style(preferred_colour: str | None, styles: Mapping[str, LineStyle]) -> LineStyle:
    old_styles = set(styles.values())
    old_colours = {style.colour for style in old_styles}
    free = [style for style in map(line_style, range(len(COLOURS) ** 2)) if style not in old_styles]
    new_colour = [style for style in free if style.colour not in old_colours]
    preferred = [style for style in new_colour if style.colour == preferred_colour]
    return (preferred or new_colour or free or [line_style(len(styles))])[0]


def _known_method(text: str) -> str | None:
    """The method that a text begins with; None where it begins with none."""
    word = re.split(r"[ ,]|-seed", text)[0].lower().replace("-", "_")
    word = METHOD_ALIASES.get(word, word)
    return word if word in {*DESIGNS, *FIXED_METHODS, *OFFLINE_RECIPES} else None
