"""Notes of a paper figure: titles of panels, other texts above panels, and what stands in the data."""

from __future__ import annotations

from typing import Any, NamedTuple

import plotly.graph_objects as go

from effwb.export.paper.panels import Panel
from effwb.export.paper.text import GAP, SMALL, height, wrap


class HeadNote(NamedTuple):
    """A text above a panel: its number among the annotations, its panel, and the pixels in between."""

    number: int
    panel: Panel
    shift: float


def place_notes(fig: go.Figure, panels: list[Panel]) -> list[HeadNote]:
    """Tie every note and shape to its panel, and make room above panels for those that stand there.

    Args:
        fig: The figure, whose notes and shapes are changed.
        panels: Its panels with their widths, and heads that hold their legends.

    Returns:
        The notes above panels, for `set_notes`.
    """
    above: list[HeadNote] = []
    for item in (*fig.layout.shapes, *fig.layout.annotations):
        _tie(item, panels)
    for i, note in enumerate(fig.layout.annotations):
        panel = _panel_of(note, panels)
        if panel is None or "domain" not in str(note.yref) or (note.y or 0) < 0.995 or not note.text:
            continue
        if "domain" not in str(note.xref):  # beside a line in the data
            continue
        note.text = wrap(note.text, panel.width, note.font.size or SMALL)
        above.append(HeadNote(i, panel, panel.head + 2))
        panel.head += height(note.text, note.font.size or SMALL) + 4
    for panel in panels:
        panel.head += GAP / 2
    return above


def set_notes(fig: go.Figure, above: list[HeadNote]) -> None:
    """Write the places of the notes above panels.

    Args:
        fig: The figure to change.
        above: What `place_notes` returned.
    """
    for number, panel, shift in above:
        note = fig.layout.annotations[number]
        side = note.xanchor if note.xanchor in ("left", "right") else "center"
        x = {"left": 0.0, "right": 1.0}.get(side, 0.5)
        place = {"xref": f"{panel.x} domain", "yref": f"{panel.y[0]} domain", "x": x, "y": 1, "xanchor": side}
        note.update(yanchor="bottom", yshift=shift, align=side, **place)


def _tie(item: Any, panels: list[Panel]) -> None:
    """Turn coordinates on the page into those of a panel, since panels move."""
    is_note = hasattr(item, "text")
    names = (("x",), ("y",)) if is_note else (("x0", "x1"), ("y0", "y1"))
    panel = _panel_of(item, panels)
    if panel is None:
        return
    for side, own, (low, high) in (
        ("x", panel.x, panel.home[:2]),
        ("y", panel.y[0], panel.home[2:]),
    ):
        if item[f"{side}ref"] != "paper":
            continue
        for name in names[side == "y"]:
            value = item[name]
            if value is not None:
                item[name] = (float(value) - low) / (high - low)
        item[f"{side}ref"] = f"{own} domain"


def _panel_of(item: Any, panels: list[Panel]) -> Panel | None:
    """The panel that a note or a shape belongs to; of one on the page, the nearest below or around it."""
    x, y = (str(item[f"{side}ref"] or side).split()[0] for side in "xy")
    everywhere = [part for panel in panels for part in (panel, *panel.insets)]
    for part in everywhere:
        if (x == part.x or x == "paper") and (y in part.y or y == "paper") and not (x == y == "paper"):
            return part
    if x != "paper" or y != "paper":
        return None
    if hasattr(item, "text") and (item.y or 0) > 1 and item.xanchor == "right":  # of the whole figure
        return [panel for panel in panels if panel.row == 0][-1]
    at = [float(v) for v in ((item.x, item.y) if hasattr(item, "text") else (item.x0, item.y0))]
    side = getattr(item, "xanchor", None)
    at[0] += {"left": 0.02, "right": -0.02}.get(side or "", 0.0)
    return min(panels, key=lambda panel: _distance(panel, at))


def _distance(panel: Panel, at: list[float]) -> float:
    left, right, bottom, top = panel.home
    outside = (max(left - at[0], at[0] - right, 0), max(bottom - at[1], 3 * (at[1] - top), 0))
    return outside[0] + outside[1] if max(outside) > 0 else 0.0
