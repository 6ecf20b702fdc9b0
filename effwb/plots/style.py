"""The one template of all figures, and what they share: looks, token axes, checks of the table.

Token axes are logarithmic by default, with ticks at powers of two. Budget 0, accuracy without thinking, has
no place on such an axis: it is drawn left of the first tick, behind a break in the axis.
"""

import re
from collections.abc import Collection

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio

from effwb.errors import DataError

# Okabe and Ito's colours without yellow, which is lost on white; distinct for all common colour blindness
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")  # so that grey prints work
ALWAYS = ("base", "vanilla", "reo_rl", "lead", "lapo_internalization", "length_group_norm", "kimi")
OTHER_NAMES = {"lapo_i": "lapo_internalization", "lapo_d": "lapo_discovery", "free": "base"}  # in notebooks
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
GREY = "#595959"
AXES = ("log", "linear")


def _template() -> go.layout.Template:
    axis = {
        "showline": True,
        "linecolor": "black",
        "ticks": "outside",
        "gridcolor": "#E6E6E6",
        "zeroline": False,
        "title": {"standoff": 12},
        "automargin": True,
    }
    return go.layout.Template(
        layout={
            "colorway": COLOURS,
            "font": {"family": "Arial, Helvetica, sans-serif", "size": 16, "color": "black"},
            "title": {"x": 0.0, "xref": "paper", "font": {"size": 18}},
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "xaxis": axis,
            "yaxis": axis,
            "legend": {"bgcolor": "rgba(255,255,255,0.8)", "font": {"size": 14}},
            "margin": {"l": 70, "r": 25, "t": 60, "b": 65},
            "width": 860,
            "height": 520,
            "hoverlabel": {"font": {"size": 14}},
        }
    )


pio.templates["effwb"] = _template()


def token_axis(fig: go.Figure, budgets, axis: str, *, has_zero: bool, title: str) -> float:
    """Set up the token axis and return where budget 0 goes: 0 itself, or half the first budget on a log
    axis.
    """
    low, high = float(budgets[0]), float(budgets[-1])
    ticks = powers(low, high)
    if axis == "linear":
        fig.update_xaxes(title=title, range=[0, high * 1.01], tickformat=",d")
        return 0.0
    zero, labels = low / 2, [label(t) for t in ticks]
    if has_zero:
        ticks, labels = [zero, *ticks], ["0", *labels]
        fig.add_annotation(
            x=np.log10(zero * 2**0.5),
            y=0,
            yref="paper",
            text="//",
            showarrow=False,
            bgcolor="white",
            yanchor="middle",
        )
    start = np.log10((zero if has_zero else low) / 1.25)
    fig.update_xaxes(
        title=title, type="log", tickvals=ticks, ticktext=labels, range=[start, np.log10(high * 1.15)]
    )
    return zero


def powers(low: float, high: float) -> list[int]:
    return [2**i for i in range(int(np.ceil(np.log2(low))), int(np.floor(np.log2(high))) + 1)]


def label(tokens: int) -> str:
    return f"{tokens // 1024}k" if tokens >= 1024 else str(tokens)


def faint(colour: str, alpha: float) -> str:
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{alpha})"


def bars(middle: list[float], ends: list[tuple], colour: str) -> dict:
    low, high = np.asarray(ends, dtype=float).T
    shared = {"type": "data", "symmetric": False, "color": colour, "thickness": 1.2, "width": 4}
    return {**shared, "array": high - middle, "arrayminus": middle - low}


def interval_text(ends: tuple[float, float], form: str) -> str:
    return "" if np.isnan(ends).any() else f" [{ends[0]:{form}}, {ends[1]:{form}}]"


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


def looks_of(names: Collection[str]) -> dict[str, tuple[str, str]]:
    """Colour and symbol of each name in a figure. A method has the same in all figures where it can.

    A name is that of a method where it begins with one, as "lead static=0.5" or "kimi-seed0" do. The methods
    of `ALWAYS` keep their look; another takes the colour of its place among the designs if that is free, and
    so does a second one of the same method; what is left takes the next free colour, then the next symbol.
    """
    looks, methods = {}, {name: _method(name) for name in names}
    for method in ALWAYS:
        first = next((name for name in methods if methods[name] == method), None)
        if first is not None:
            looks[first] = look_of(ALWAYS.index(method))
    for name in methods:
        if name not in looks:
            taken = set(looks.values())
            colours = {colour for colour, _ in taken}
            free = [look for look in map(look_of, range(len(COLOURS) ** 2)) if look not in taken]
            fresh = [look for look in free if look[0] not in colours]
            own = [look for look in fresh if look[0] == _colour_of(methods[name])]
            looks[name] = (own or fresh or free or [look_of(len(looks))])[0]
    return {name: looks[name] for name in names}


def _method(name: str) -> str | None:
    from effwb.designs import DESIGNS

    first = re.split(r"[ ,]|-seed", name)[0].lower().replace("-", "_")
    first = OTHER_NAMES.get(first, first)
    return first if first in DESIGNS or first in ALWAYS else None


def _colour_of(method: str | None) -> str | None:
    from effwb.designs import DESIGNS

    methods = [*ALWAYS, *(design for design in DESIGNS if design not in ALWAYS)]
    return None if method is None else COLOURS[methods.index(method) % len(COLOURS)]


def darker(colour: str) -> str:
    """For text: the house's orange, yellow and pink are too light to be read."""
    return "#" + "".join(f"{int(int(colour[k : k + 2], 16) * 0.7):02X}" for k in (1, 3, 5))


def log_tokens(low: float, high: float) -> dict:
    """A logarithmic token axis over [low, high]: ticks at powers of two, or at round numbers."""
    low, high = low / 1.08, high * 1.08
    ticks = powers(low, high)
    ticks = ticks[:: 1 + len(ticks) // 10]
    texts = [label(t) for t in ticks]
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
