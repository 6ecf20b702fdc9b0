"""Traces of plotly drawn on axes of matplotlib: lines, markers, bands, bars, histograms and heat maps."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.colors import is_color_like, to_rgba

from effwb.export.arrays import values

Trace = Mapping[str, Any]
POINTS = 0.75  # of a CSS pixel
MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "cross": "P",
}
MARKERS |= {"x": "X", "star": "*", "line-ns": "|", "line-ew": "_"}
DASHES = {
    "dash": "--",
    "dot": ":",
    "dashdot": "-.",
    "longdash": (0, (8, 3)),
    "longdashdot": (0, (8, 3, 1, 3)),
}


# -------------------------------------------------------------------------------------- colours, texts
def colour(text: Any, default: str = "#595959") -> tuple[float, ...]:
    """A colour of CSS as red, green, blue and opacity.

    Args:
        text: "#RRGGBB", a name, "rgb(...)" or "rgba(...)".
        default: What stands for anything else.

    >>> colour("rgba(255,0,0,0.5)")
    (1.0, 0.0, 0.0, 0.5)
    """
    if match := re.fullmatch(r"rgba?\((.*)\)", str(text).replace(" ", "")):
        *rgb, opacity = (*map(float, match[1].split(",")), 1.0)[:4]
        return (*(value / 255 for value in rgb), opacity)
    return to_rgba(text if is_color_like(text) else default)


def plain_text(markup: Any) -> str:
    """The text of plotly's HTML: line breaks stay, other tags go, and "$" is no formula.

    Args:
        markup: For example "REG<br><b>22.6</b>".
    """
    lines = re.sub(r"<br ?/?>", "\n", str(markup or ""))
    return html.unescape(re.sub(r"<[^<>]*>", "", lines)).replace("$", r"\$")


# ----------------------------------------------------------------------------------------------- traces
def add_scatter(panel: Any, trace: Trace, default: str) -> Any:
    """Draw lines, markers, texts, error bars and a filled area.

    Args:
        panel: Axes of matplotlib.
        trace: The trace.
        default: Colour where the trace has none.

    Returns:
        What the legend shows.
    """
    y = values(trace.get("y"))
    x = np.arange(len(y)) if trace.get("x") is None else values(trace["x"])
    line, marker = trace.get("line", {}), trace.get("marker", {})
    names = [line.get("color"), marker.get("color"), default]
    own = colour(next(name for name in names if isinstance(name, str)))
    mode = trace.get("mode") or "lines+markers"
    area = _add_area(panel, trace, x, y, own)
    style: dict[str, Any] = {"color": own, "alpha": trace.get("opacity", 1), "linestyle": "none"}
    if "lines" in mode and line.get("width", 2) > 0:
        style |= {
            "linestyle": DASHES.get(line.get("dash", ""), "-"),
            "linewidth": POINTS * line.get("width", 2),
        }
        style |= {"drawstyle": "steps-post"} if line.get("shape") == "hv" else {}
    if "markers" in mode:
        symbol, size = str(marker.get("symbol", "circle")), marker.get("size", 6)
        style |= {"marker": MARKERS.get(symbol.removesuffix("-open"), "o")}
        style |= {"markersize": POINTS * (size if isinstance(size, int | float) else 8)}
        style |= {"markerfacecolor": "none"} if symbol.endswith("-open") else {"markeredgecolor": "white"}
    drawn = panel.plot(x, y, **style)[0]
    if "text" in mode:
        _add_texts(panel, trace, x, y, own)
    _add_error_bars(panel, trace, x, y, own)
    return area or drawn


def _add_area(panel: Any, trace: Trace, x: np.ndarray, y: np.ndarray, own: tuple) -> Any:
    if trace.get("fill") in (None, "none") or len(x) == 0:
        return None
    fill = colour(trace["fillcolor"]) if trace.get("fillcolor") else (*own[:3], 0.3)
    if trace["fill"] == "toself":
        return panel.fill(x, y, color=fill, linewidth=0)[0]
    return panel.fill_between(x, y.astype(float), 0, color=fill, linewidth=0)


def _add_texts(panel: Any, trace: Trace, x: np.ndarray, y: np.ndarray, own: tuple) -> None:
    texts, font = trace.get("text"), trace.get("textfont", {})
    texts = [texts] * len(x) if isinstance(texts, str) else values(texts)
    style = {"fontsize": 9, "color": colour(font["color"]) if isinstance(font.get("color"), str) else own}
    for at, text in zip(zip(x, y, strict=True), texts, strict=False):
        panel.annotate(plain_text(text), at, (4, 4), textcoords="offset points", **style)


def _add_error_bars(panel: Any, trace: Trace, x: np.ndarray, y: np.ndarray, own: tuple) -> None:
    for name in ("error_x", "error_y"):
        bars = trace.get(name) or {}
        if bars.get("array") is None or bars.get("visible") is False:
            continue
        above = values(bars["array"]).astype(float)
        below = above if bars.get("arrayminus") is None else values(bars["arrayminus"]).astype(float)
        ends = {f"{name[-1]}err": np.nan_to_num(np.clip([below, above], 0, None))}
        own = colour(bars["color"]) if bars.get("color") else own
        panel.errorbar(x, y, fmt="none", ecolor=own, elinewidth=1, capsize=2, **ends)


def add_bar(panel: Any, trace: Trace, default: str, base: np.ndarray | None = None) -> Any:
    """Draw upright bars, or lying ones with orientation "h".

    Args:
        panel: Axes of matplotlib.
        trace: The trace.
        default: Colour where the trace has none.
        base: Where the bars begin; default: the trace's own base, else 0.

    Returns:
        What the legend shows.
    """
    is_lying = trace.get("orientation") == "h"
    at, length = (values(trace.get(name)) for name in ("yx" if is_lying else "xy"))
    own = trace.get("marker", {}).get("color")
    own = [colour(c) for c in own] if isinstance(own, list | tuple) else colour(own or default)
    width = 0.8 if trace.get("width") is None else trace["width"]
    width = width if isinstance(width, int | float) else values(width)
    if base is None:
        base = np.zeros(len(at)) if trace.get("base") is None else values(trace["base"]).astype(float)
    style = {"color": own, "alpha": trace.get("opacity", 1), "edgecolor": "white", "linewidth": 0.5}
    if is_lying:
        return panel.barh(at, length.astype(float), width, left=base, **style)
    return panel.bar(at, length.astype(float), width, bottom=base, **style)


def add_histogram(panel: Any, trace: Trace, default: str) -> Any:
    """Draw how often values occur.

    Args:
        panel: Axes of matplotlib.
        trace: The trace.
        default: Colour where the trace has none.

    Returns:
        What the legend shows.
    """
    own = colour(trace.get("marker", {}).get("color") or default)
    bins = trace.get("nbinsx") or "auto"
    return panel.hist(values(trace["x"]), bins=bins, color=own, alpha=trace.get("opacity", 1))[2]


def add_heatmap(panel: Any, trace: Trace, default: str) -> None:
    """Draw a table of numbers as coloured cells with their colour bar.

    Args:
        panel: Axes of matplotlib.
        trace: The trace.
        default: Not used; a heat map has a scale of colours.
    """
    rows = trace["z"]
    z = np.array([values(row) for row in rows], dtype=float)
    places = {}
    for name, n in (("x", z.shape[1]), ("y", z.shape[0])):
        labels = values(trace[name]) if trace.get(name) is not None else np.arange(n)
        places[name] = labels if np.issubdtype(labels.dtype, np.number) else np.arange(n)
        if places[name] is not labels:
            getattr(panel, f"set_{name}ticks")(np.arange(n), [plain_text(label) for label in labels])
    ends = {"vmin": trace.get("zmin"), "vmax": trace.get("zmax")}
    cells = panel.pcolormesh(places["x"], places["y"], z, shading="nearest", **ends)
    if trace.get("showscale") is not False:
        title = (trace.get("colorbar") or {}).get("title") or {}
        panel.figure.colorbar(cells, ax=panel, label=plain_text(title.get("text")))


TRACES: dict[str, Callable[..., Any]] = {
    "scatter": add_scatter,
    "scattergl": add_scatter,
    "bar": add_bar,
    "histogram": add_histogram,
    "heatmap": add_heatmap,
}
