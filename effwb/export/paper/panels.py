"""The panels of a figure, and where they stand in a column of a paper: side by side, or stacked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from effwb.export.paper.text import GAP, LINE, SIZE, SMALL, height, width, wrap

NARROWEST = 235  # CSS pixels of a panel with its axis: more panels side by side would be narrower
TICK = 10  # CSS pixels of a tick with the gap to its label
EDGE = 18  # CSS pixels at the least beside a panel: half a tick label
Axis = Any  # go.layout.XAxis or go.layout.YAxis


@dataclass
class Panel:
    """One drawing area: its axes, its place in the figure it came from, and its place in pixels.

    Attributes:
        x: Short name of the x axis, such as "x2".
        y: Short names of the y axes; all but the first are drawn over it.
        home: The domains (left, right, bottom, top) in the figure that it came from.
        row: Row in the grid, from the top.
        column: Column in the grid.
        left: Pixels from the left edge of the page to the area.
        top: Pixels from the upper edge of the page to the area.
        width: Pixels of the area.
        height: Pixels of the area.
        head: Pixels above the area for its title, its notes and its legend.
        insets: Panels inside this one.
    """

    x: str
    y: list[str]
    home: tuple[float, float, float, float]
    row: int = 0
    column: int = 0
    left: float = 0.0
    top: float = 0.0
    width: float = 0.0
    height: float = 0.0
    head: float = 0.0
    insets: list[Panel] = field(default_factory=list)


def axis(fig: go.Figure, name: str) -> Axis:
    """An axis by its short name, such as "y2"."""
    return fig.layout[f"{name[0]}axis{name[1:]}"]


def find_panels(fig: go.Figure) -> list[Panel]:
    """The panels of a figure in reading order; insets belong to the panel that they lie in."""
    panels: dict[tuple, Panel] = {}
    for trace in fig.data:
        x, y = getattr(trace, "xaxis", None) or "x", getattr(trace, "yaxis", None) or "y"
        base = axis(fig, y).overlaying or y
        home = (*(axis(fig, x).domain or (0, 1)), *(axis(fig, base).domain or (0, 1)))
        panel = panels.setdefault((x, base), Panel(x, [base], home))
        if y not in panel.y:
            panel.y.append(y)
    outer: list[Panel] = []
    for panel in sorted(panels.values(), key=_size, reverse=True):
        host = next((other for other in outer if _holds(other, panel)), None)
        (outer if host is None else host.insets).append(panel)
    return sorted(outer, key=lambda panel: (-round(panel.home[3], 2), panel.home[0]))


def _size(panel: Panel) -> float:
    left, right, bottom, top = panel.home
    return (right - left) * (top - bottom)


def _holds(outer: Panel, inner: Panel) -> bool:
    middle = (inner.home[0] + inner.home[1]) / 2, (inner.home[2] + inner.home[3]) / 2
    left, right, bottom, top = outer.home
    return left < middle[0] < right and bottom < middle[1] < top


def arrange(fig: go.Figure, panels: list[Panel], page: float) -> None:
    """Give each panel a row and a column; where fewer stand side by side, axes get back their titles.

    Args:
        fig: The figure, whose axes are changed.
        panels: Its panels.
        page: Width of the page in CSS pixels.
    """
    lefts = sorted({round(panel.home[0], 2) for panel in panels})
    columns = max(1, min(len(lefts), int(page // NARROWEST)))
    for i, panel in enumerate(panels):
        panel.row, panel.column = divmod(i, columns)
    if columns == len(lefts):
        return
    titles = [(_near_title(fig, panels, p, "x"), _near_title(fig, panels, p, "y")) for p in panels]
    is_shared = len(panels) > 1 and sum(axis(fig, p.x).matches is not None for p in panels) >= len(panels) - 1
    has_one_title = len({x for x, _ in titles}) == 1
    for panel, (x, y) in zip(panels, titles, strict=True):
        is_last = panel in panels[-columns:]
        axis(fig, panel.x).title.text = x if is_last or not has_one_title else None
        axis(fig, panel.x).showticklabels = is_last or not is_shared
        axis(fig, panel.y[0]).update(title_text=y, showticklabels=True)


def _near_title(fig: go.Figure, panels: Iterable[Panel], panel: Panel, name: str) -> str:
    """The title of an axis, or of the one whose title stands for it: below in its column, left in its row."""
    own = panel.x if name == "x" else panel.y[0]
    if title(fig, own):
        return title(fig, own)
    for other in panels:
        same = other.home[:2] == panel.home[:2] if name == "x" else other.home[2:] == panel.home[2:]
        shared = other.x if name == "x" else other.y[0]
        hidden = axis(fig, own).showticklabels is False or axis(fig, own).matches is not None
        if same and title(fig, shared) and (hidden or name == "x"):
            return title(fig, shared)
    return ""


def title(fig: go.Figure, name: str) -> str:
    """The title of an axis; "" where it has none."""
    return axis(fig, name).title.text or ""


def tick_width(fig: go.Figure, name: str) -> float:
    """Pixels that the tick labels of a y axis take beside it."""
    settings = axis(fig, name)
    if settings.showticklabels is False:
        return 0.0
    if settings.ticktext is not None:
        return max((width(str(text)) for text in settings.ticktext), default=0.0)
    return width("100%" if "%" in (settings.tickformat or "") else "1,500")


def set_widths(fig: go.Figure, panels: list[Panel], page: float, edge: float) -> None:
    """Compute the left edge and the width of each panel, with room for the ticks and titles of y axes.

    Args:
        fig: The figure.
        panels: Its panels, arranged; a height that is known already tells how many lines a title takes.
        page: Width of the page in CSS pixels.
        edge: Pixels kept free on the right of each panel.
    """
    columns = max(panel.column for panel in panels) + 1
    room = [max(_beside(fig, p) for p in panels if p.column == column) for column in range(columns)]
    area = (page - sum(room)) / columns - edge
    for panel in panels:
        panel.left = sum(room[: panel.column + 1]) + (area + edge) * panel.column
        panel.width = area


def _beside(fig: go.Figure, panel: Panel) -> float:
    """Pixels on the left of a panel for its ticks and the title of its axis."""
    text = title(fig, panel.y[0])
    lines = height(wrap(text, panel.height, SIZE) if panel.height else text, SIZE)
    return max(EDGE, tick_width(fig, panel.y[0]) + lines + (GAP if lines else 0) + TICK)


def set_tops(fig: go.Figure, panels: list[Panel], top: float) -> float:
    """Compute the upper edge of each panel, row by row, and break the titles of axes into lines that fit.

    Args:
        fig: The figure, whose titles are changed.
        panels: Its panels with their widths, heights and heads.
        top: Pixels kept free at the top of the page.

    Returns:
        Pixels from the upper edge of the page to the end of the last row.
    """
    y = top
    for row in range(panels[-1].row + 1):
        own = [panel for panel in panels if panel.row == row]
        y += max(panel.head for panel in own)
        for panel in own:
            panel.top = y
            for name in panel.y:
                axis(fig, name).title.text = wrap(title(fig, name), panel.height, SIZE)
            axis(fig, panel.x).title.text = wrap(title(fig, panel.x), panel.width, SIZE)
        y += max(panel.height for panel in own) + max(_foot(fig, panel) for panel in own)
    return y


def _foot(fig: go.Figure, panel: Panel) -> float:
    """Pixels below a panel for its tick labels and the title of its axis."""
    ticks = TICK if axis(fig, panel.x).showticklabels is False else TICK + LINE * SMALL
    text = height(title(fig, panel.x), SIZE)
    return ticks + text + (GAP if text else 0) + GAP


def set_domains(fig: go.Figure, panels: Iterable[Panel], page: tuple[float, float]) -> None:
    """Write the places of panels into the axes of a figure without margins.

    Args:
        fig: The figure to change.
        panels: Its panels, placed; their insets keep their place within them.
        page: Width and height of the page in CSS pixels.
    """
    for panel in panels:
        x = panel.left / page[0], (panel.left + panel.width) / page[0]
        y = 1 - (panel.top + panel.height) / page[1], 1 - panel.top / page[1]
        _set_domain(fig, panel, x, y)
        for inset in panel.insets:
            share_x, share_y = _share(inset.home[:2], panel.home[:2]), _share(inset.home[2:], panel.home[2:])
            inset.width = panel.width * (share_x[1] - share_x[0])
            inset.height = panel.height * (share_y[1] - share_y[0])
            _set_domain(fig, inset, _within(share_x, x), _within(share_y, y))


def _share(inner: tuple[float, ...], outer: tuple[float, ...]) -> tuple[float, float]:
    """Where `inner` lies in `outer`, as shares of its length."""
    low, high = ((value - outer[0]) / (outer[1] - outer[0]) for value in inner)
    return low, high


def _within(share: tuple[float, float], outer: tuple[float, float]) -> tuple[float, float]:
    low, high = (outer[0] + value * (outer[1] - outer[0]) for value in share)
    return low, high


def _set_domain(fig: go.Figure, panel: Panel, x: tuple[float, float], y: tuple[float, float]) -> None:
    axis(fig, panel.x).update(domain=[min(max(value, 0.0), 1.0) for value in x])
    for name in panel.y:
        axis(fig, name).update(domain=[min(max(value, 0.0), 1.0) for value in y])
