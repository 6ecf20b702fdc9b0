"""The plotly template of all figures, and what several share: method styles, token axes, table checks.

Token axes are logarithmic by default, with ticks at powers of two. Budget 0 (accuracy without thinking) has
no place on a logarithmic axis, so it is drawn left of the first tick, behind a break in the axis.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio

from effwb.errors import ConfigError, DataError

# Okabe and Ito's colours, distinct for all common colour blindness; yellow is left out, too pale on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")  # so that grey prints work
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
GREY = "#595959"
AXES = ("log", "linear")
AXIS_BREAK = "//"  # on a logarithmic axis, right of budget 0

OWN_COLOUR = ("base", "vanilla")  # these have the first two colours to themselves; black is the frontier's
HUES = (*COLOURS[2:6], "#7A3E9D", "#8C510A", "#7F8F00", "#C2185B", "#006D77")
SHADES = (0.06, 0.12, 0.19, 0.28, 0.39)  # luminances that tell variants of a method apart
FILLED = (*SYMBOLS, "triangle-down", "pentagon", "hexagram", "hourglass")
MARKERS = (*FILLED, *(f"{symbol}-open" for symbol in FILLED))
# The place of a name decides how it looks everywhere: add new ones at the end
METHODS = (
    *("reo_rl", "lead", "lapo_internalization", "length_group_norm", "kimi", "laser", "token_budget", "dler"),
    *("mrt", "gdpo", "length_harmonizing", "brpo", "truncation", "hgpo", "thinkless", "adapt_think"),
    *("l1_exact", "lapo_discovery", "l1_max", "gfpo", "cosine", "hapo", "gr3", "alp", "laser_d", "grpo_lead"),
    *("laser_de", "shorter_better", "soft_overlong", "think_prune", "grpo_lambda"),
    *("low_effort", "medium_effort", "high_effort"),
    *("sft_shortest", "sft_tops", "sft_rejection", "sft_random"),
    *("simpo_shortest", "simpo_tops", "simpo_dast"),
    *("dast", "o1_pruner", "dpo_shortest", "dpo_tops"),
)
METHOD_ALIASES = {"lapo_i": "lapo_internalization", "lapo_d": "lapo_discovery", "free": "base"}
# Names of 2506.07104, and the folders of the effort prompts
METHOD_ALIASES |= {"base_lrm": "base", "vanilla_rl": "vanilla", "reo_rl_(exp)": "reo_rl"}
METHOD_ALIASES |= {effort: f"{effort}_effort" for effort in ("low", "medium", "high")}

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
    """The colour, the marker symbol and the dash of one line."""

    colour: str
    symbol: str
    dash: str = "solid"


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
    if has_zero:
        place = {"x": np.log10(low / 2**0.5), "y": 0, "yref": "paper", "yanchor": "middle"}
        style = {"showarrow": False, "bgcolor": "white", "visible": axis == "log"}
        fig.add_annotation(text=AXIS_BREAK, **style, **place)
    fig.update_xaxes(title=title, **token_settings(low, high, axis, has_zero=has_zero))
    return 0.0 if axis == "linear" else low / 2


def token_settings(low: float, high: float, axis: str, *, has_zero: bool) -> dict[str, Any]:
    """Plotly settings of a "log" or "linear" token axis from `low` to `high`, and to 0 with `has_zero`."""
    if axis == "linear":
        settings = {"type": "linear", "tickmode": "auto", "tickformat": ",d"}
        return {**settings, "range": [0, high * 1.01]}
    ticks: list[float] = [*powers_of_two(low, high)]
    labels = [token_label(int(t)) for t in ticks]
    if has_zero:
        ticks, labels = [low / 2, *ticks], ["0", *labels]
    start, end = np.log10((low / 2 if has_zero else low) / 1.25), np.log10(high * 1.15)
    return {"type": "log", "tickmode": "array", "tickvals": ticks, "ticktext": labels, "range": [start, end]}


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


# -------------------------------------------------------------------------------------- styles of methods
def method_style(name: str) -> LineStyle:
    """The colour, marker and dash of a method: they depend on its name and on nothing else.

    The hue belongs to the design, the shade to its parameters. A design of `METHODS` has a place there. Any
    other name is hashed, so that a design that is added changes no colour of another one.

    Args:
        name: A design with its parameters ("kimi weight=0.5"), a run of it ("kimi_weight=0.5-seed0"), or any
            other text.

    >>> method_style("kimi").colour == method_style("kimi-seed3").colour
    True
    >>> method_style("kimi weight=0.5") == method_style("data/runs/kimi_weight=0.5-seed0")
    True
    >>> method_style("kimi weight=0.5").colour == method_style("kimi weight=1").colour
    False
    """
    method, parameters = _method_and_parameters(name)
    if method in OWN_COLOUR:
        place, dash = OWN_COLOUR.index(method), 0
        colour = COLOURS[place]
    else:
        place = METHODS.index(method) if method in METHODS else crc32(method.encode())
        colour, dash = HUES[place % len(HUES)], place // len(HUES)
        place += len(OWN_COLOUR)
    if not parameters:
        return LineStyle(colour, FILLED[place % len(FILLED)], DASHES[dash % len(DASHES)])
    variant = crc32(parameters.encode())
    marker = MARKERS[(place + 1 + variant) % len(MARKERS)]
    return LineStyle(_shaded(colour, parameters, variant), marker, DASHES[1 + variant % (len(DASHES) - 1)])


def line_styles(names: Collection[str], methods: Mapping[str, str] | None = None) -> dict[str, LineStyle]:
    """The style of each name in a figure: the colour is always that of its method, see `method_style`.

    Names that would look alike, such as two seeds of a method, get other markers and dashes.

    Args:
        names: What the figure draws, mostly runs, in the order of the legend.
        methods: The method of each name, such as {"my best run": "reo_rl"}; default: the name itself.

    Returns:
        The style of each name, in the order of `names`. No two names have the same colour and marker (up to
        22 of a colour), nor the same colour and dash (up to six of a colour).
    """
    styles: dict[str, LineStyle] = {}
    for name in names:
        own = method_style((methods or {}).get(name) or name)
        others = [style for style in styles.values() if style.colour == own.colour]
        styles[name] = own._replace(
            symbol=_next_free(own.symbol, MARKERS, [style.symbol for style in others]),
            dash=_next_free(own.dash, DASHES, [style.dash for style in others]),
        )
    return styles


def _next_free(first: str, choices: Sequence[str], used: Collection[str]) -> str:
    """The first choice from `first` on, in a circle, that is not used; `first` where all are."""
    start = choices.index(first)
    return next((c for c in (*choices[start:], *choices[:start]) if c not in used), first)


def _method_and_parameters(name: str) -> tuple[str, str]:
    """Split a name into the design and the rest; spaces and underscores are the same, as in names of runs."""
    own = re.match(r"[\w.]+:(\w+)", name)  # "my_designs:LengthPrice" goes by the NAME "length_price"
    if own:
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", own[1]) + name[own.end() :]
    text = re.sub(r"^[^=]*/|-seed\d+$", "", name.lower())
    text = re.sub(r"[\s,_-]+", "_", text).strip("_")
    text = METHOD_ALIASES.get(text, text)
    known = [m for m in (*OWN_COLOUR, *METHODS) if text == m or text.startswith(f"{m}_")]
    if known:
        method = max(known, key=len)
        return method, text[len(method) + 1 :]
    start = re.search(r"_(after_|[^_=]+=)", text)  # in "tail_tax_rate=0.1" the parameter is "rate"
    return (text[: start.start()], text[start.start() + 1 :]) if start else (text, "")


def _shaded(colour: str, parameters: str, variant: int) -> str:
    """A shade of the colour; a single number that doubles takes the next lighter shade, in a circle."""
    number = re.fullmatch(r"[^=]+=(\d*\.?\d+)", parameters)
    step = variant
    if number and float(number[1]) > 0:
        step = round(np.log2(float(number[1]))) + 4  # the circle begins at 1/16, and again at 2, 64, ...
    linear = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]) ** 2.2
    own, target = float(linear @ (0.2126, 0.7152, 0.0722)), SHADES[step % len(SHADES)]
    mixed = linear * target / own if target < own else linear + (1 - linear) * (target - own) / (1 - own)
    return "#" + "".join(f"{round(255 * value):02X}" for value in mixed ** (1 / 2.2))
