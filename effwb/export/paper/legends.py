"""Legends of a paper figure: below all panels, or above the one panel that they belong to."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from effwb.export.paper.panels import Panel
from effwb.export.paper.text import GAP, SMALL, height, width, wrap

ENTRY = 46  # CSS pixels of an entry beside its text: the line, and gaps
ROW_GAP = 4  # CSS pixels between rows of entries


def names_by_legend(fig: go.Figure) -> dict[str, dict[str, str]]:
    """The entries of each legend, each with the x axis of its first trace."""
    legends: dict[str, dict[str, str]] = {}
    for trace in fig.data:
        listed = trace.showlegend is not False and fig.layout.showlegend is not False
        if trace.name and listed and trace.visible is not False:
            entries = legends.setdefault(trace.legend or "legend", {})
            entries.setdefault(trace.name, getattr(trace, "xaxis", None) or "x")
    alone = len(legends) == 1 and fig.layout.showlegend is not True  # plotly shows no legend of one entry
    return {} if alone and len(*legends.values()) == 1 else legends


def place_legends(fig: go.Figure, panels: list[Panel], page: float) -> tuple[dict[str, Panel], float]:
    """Decide where each legend goes, and lay out its entries.

    Args:
        fig: The figure to change.
        panels: Its panels with their widths; the `head` of one with its own legend grows.
        page: Width of the page in CSS pixels.

    Returns:
        The panel of each legend that stands above a panel, and the height of the legends below, in CSS
        pixels.
    """
    legends, homes, below = names_by_legend(fig), {}, 0.0
    for name, entries in legends.items():
        axes = set(entries.values())
        panel = next((panel for panel in panels if axes == {panel.x}), None)
        if len(panels) > 1 and panel is not None and name != "legend":
            homes[name] = panel
            panel.head += _lay_out(fig, name, list(entries), panel.width, page)
        else:
            below += _lay_out(fig, name, list(entries), page - 2 * GAP, page) + GAP
    return homes, below


def _lay_out(fig: go.Figure, name: str, entries: list[str], room: float, page: float) -> float:
    """Set rows and columns of a legend; return its height in CSS pixels."""
    title = fig.layout[name].title.text or ""
    beside = width(title) + GAP if title else 0.0
    style: dict[str, Any] = {"orientation": "h", "traceorder": "normal", "maxheight": 1}
    texts, columns = entries, len(entries)
    if sum(map(width, entries)) + ENTRY * len(entries) > room - beside:
        style["title"] = {"side": "top", "font": {"size": SMALL}} if title else {}
        texts, columns = _in_columns(entries, room, page)
        style["orientation"] = "h" if columns > 1 else "v"
        style["entrywidth"] = max(max(map(width, texts)), page / (columns + 1) - ENTRY + 4)
    for trace in fig.data:
        if trace.name in entries:
            trace.name = texts[entries.index(trace.name)]
    fig.layout[name].update(font={"size": SMALL}, bgcolor="rgba(255,255,255,0)", borderwidth=0, **style)
    return _height(texts, columns) + (height(title) if "title" in style else 0)


def _in_columns(entries: list[str], room: float, page: float) -> tuple[list[str], int]:
    """Entries broken into lines, and the number of columns, that together take the least height.

    Plotly begins a new row at the end of the page, not of the panel: only so many columns are tried that one
    more would not fit on the page.
    """
    choices = []
    for columns in range(len(entries), 0, -1):
        own_room = room / columns - ENTRY
        texts = [wrap(text, own_room) for text in entries]
        fits = max(map(width, texts)) <= own_room and columns / (columns + 1) < room / page
        if columns == 1 or fits:
            choices.append((_height(texts, columns), -columns, texts))
    _, columns, texts = min(choices)
    return texts, -columns


def _height(texts: list[str], columns: int) -> float:
    """Pixels of a legend: each row is as high as the highest of its entries."""
    rows = [texts[i : i + columns] for i in range(0, len(texts), columns)]
    return sum(max(height(text) for text in row) + ROW_GAP for row in rows)


def anchor_legends(fig: go.Figure, homes: dict[str, Panel], page: tuple[float, float], bottom: float) -> None:
    """Write the places of the legends.

    Args:
        fig: The figure to change.
        homes: What `place_legends` returned.
        page: Width and height of the page in CSS pixels.
        bottom: Pixels from the upper edge of the page to the first legend below the panels.
    """
    for name in names_by_legend(fig):
        place: dict[str, Any] = {
            "xref": "paper",
            "yref": "paper",
        }  # axis titles flee from those on the container
        if name in homes:
            panel = homes[name]
            place |= {"x": panel.left / page[0], "y": 1 - panel.top / page[1]}
            place |= {"xanchor": "left", "yanchor": "bottom"}
        else:
            place |= {"x": 0.5, "xanchor": "center", "y": 1 - bottom / page[1], "yanchor": "top"}
        fig.layout[name].update(**place)
