"""Labels of points and lines in a paper figure: each beside its point, and none over another."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from effwb.export.paper.panels import Panel, axis
from effwb.export.paper.text import LINE, SMALL, height, width
from effwb.export.paper.ticks import span

LABEL = 12  # CSS pixels of the letters of a label
CORNERS = ("top right", "bottom right", "top left", "bottom left")
SIDES = (*CORNERS, "top center", "bottom center", "middle right", "middle left")
ROOM = 0.07  # of an axis without a range of its own, beyond its data


class Box(NamedTuple):
    """A rectangle in CSS pixels from the upper left corner of the page."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """Pixels that two boxes share."""
        across = min(self.right, other.right) - max(self.left, other.left)
        return max(across, 0.0) * max(min(self.bottom, other.bottom) - max(self.top, other.top), 0.0)


def separate_labels(fig: go.Figure, panel: Panel, page: float) -> bool:
    """Place the labels of a panel so that they stay apart.

    Args:
        fig: The figure to change.
        panel: A panel that has its place.
        page: Width of the page in CSS pixels.

    Returns:
        False where some had no room.
    """
    traces = [trace for trace in fig.data if _is_in(trace, panel) and "text" in (trace.mode or "")]
    if traces:
        for name in (panel.x, panel.y[0]):
            _fix_range(fig, name)
    points = [
        Box(x - 6, y - 6, x + 6, y + 6)
        for trace in fig.data
        if _is_in(trace, panel) and "markers" in (trace.mode or "")
        for x, y in _pixels(fig, panel, trace.x, trace.y)
    ]
    boxes = _place_notes(fig, panel, page, points)
    is_apart = True
    for trace in traces:
        is_apart &= _place_texts(fig, panel, trace, boxes, points, page)
    return is_apart


def _is_in(trace: Any, panel: Panel) -> bool:
    own = (getattr(trace, "xaxis", None) or "x", getattr(trace, "yaxis", None) or "y")
    return trace.type == "scatter" and own == (panel.x, panel.y[0])


def _fix_range(fig: go.Figure, name: str) -> None:
    """Give an axis the range of its data with some room, so that pixels are known."""
    settings = axis(fig, name)
    if settings.range is None:
        low, high = span(fig, name)
        room = ROOM * ((high - low) or 1.0)
        settings.range = [low - room, high + room]


def _pixels(fig: go.Figure, panel: Panel, xs: Any, ys: Any) -> list[tuple[float, float]]:
    """Places on the page of points in the data."""
    columns = []
    for name, values, start, length in (
        (panel.x, xs, panel.left, panel.width),
        (panel.y[0], ys, panel.top, panel.height),
    ):
        low, high = span(fig, name)
        try:
            numbers = np.asarray(values, dtype=float)
        except (TypeError, ValueError):
            return []
        with np.errstate(divide="ignore", invalid="ignore"):
            numbers = np.log10(numbers) if axis(fig, name).type == "log" else numbers
        share = (numbers - low) / ((high - low) or 1.0)
        columns.append(start + length * (share if name[0] == "x" else 1 - share))
    return [(float(x), float(y)) for x, y in zip(*columns, strict=False)]


def _place_texts(
    fig: go.Figure, panel: Panel, trace: Any, boxes: list[Box], points: list[Box], page: float
) -> bool:
    """Choose a side for each text of a trace, and add their boxes to those that others must avoid."""
    pixels = _pixels(fig, panel, trace.x, trace.y)
    texts = [trace.text] * len(pixels) if isinstance(trace.text, str) else list(trace.text or ())
    given = trace.textposition or "middle center"
    sides = [given] * len(pixels) if isinstance(given, str) else list(given)
    is_apart = True
    for i, ((x, y), text) in enumerate(zip(pixels, texts, strict=False)):
        if not text or not np.isfinite([x, y]).all():
            continue
        choices = {}
        for side in dict.fromkeys([sides[i], *SIDES]):
            box = _text_box(x, y, str(text), side)
            outside = box.left < 0 or box.right > page or box.top < panel.top - panel.head
            shared = sum(box.overlap(other) for other in boxes) + 1e4 * outside
            choices[side] = (shared, sum(box.overlap(point) for point in points)), box
        side = min(choices, key=lambda side: choices[side][0])
        sides[i] = side
        is_apart &= choices[side][0][0] == 0
        boxes.append(choices[side][1])
    trace.update(textposition=sides, textfont_size=LABEL)
    return is_apart


def _text_box(x: float, y: float, text: str, side: str) -> Box:
    wide, high, gap = width(text, LABEL) + 2, LINE * LABEL, 7
    vertical, horizontal = side.split()
    left = {"left": x - gap - wide, "right": x + gap}.get(horizontal, x - wide / 2)
    top = {"top": y - gap - high, "bottom": y + gap}.get(vertical, y - high / 2)
    if vertical != "middle" and horizontal != "center":
        left += -3 if horizontal == "right" else 3
    return Box(left, top, left + wide, top + high)


def _place_notes(fig: go.Figure, panel: Panel, page: float, points: list[Box]) -> list[Box]:
    """Move the notes in a panel apart and into the page; return their boxes."""
    boxes: list[Box] = []
    for note in fig.layout.annotations:
        own = [str(note[f"{side}ref"] or side) for side in "xy"]
        if own[0].split()[0] != panel.x or own[1].split()[0] not in panel.y or not note.text:
            continue
        if "domain" in own[0] and "domain" in own[1] and (note.y or 0) >= 0.995:
            continue  # above the panel, where it has its own room
        x, y = _note_place(fig, panel, note, own)
        box = _note_box(note, x, y)
        if box.right > page - 2:
            note.update(xanchor="right", xshift=-abs(note.xshift or 0))
        elif box.left < 0:
            note.update(xanchor="left", xshift=abs(note.xshift or 0))
        if "domain" not in own[0] + own[1]:
            _choose_side(note, x, y, [*boxes, *points], page)
        box = _note_box(note, x, y)
        while any(box.overlap(other) for other in boxes):
            note.yshift = (note.yshift or 0) - LINE * SMALL
            box = _note_box(note, x, y)
        boxes.append(box)
    return boxes


def _choose_side(note: Any, x: float, y: float, others: list[Box], page: float) -> None:
    """Move a note to the side of its point where it covers least; its own side where that is free."""
    sides = [note.xanchor or "center", "right", "center", "left"], [note.yanchor or "middle", "top", "bottom"]
    shared = {}
    for x_side, y_side in dict.fromkeys((a, b) for b in sides[1] for a in sides[0]):
        note.update(xanchor=x_side, yanchor=y_side)
        box = _note_box(note, x, y)
        outside = box.left < 0 or box.right > page - 2
        shared[x_side, y_side] = sum(box.overlap(other) for other in others) + 1e4 * outside
    x_side, y_side = min(shared, key=lambda side: shared[side])
    note.update(xanchor=x_side, yanchor=y_side)


def _note_place(fig: go.Figure, panel: Panel, note: Any, own: list[str]) -> tuple[float, float]:
    """Pixels of the point that a note belongs to."""
    places = []
    for value, reference, start, length in (
        (note.x, own[0], panel.left, panel.width),
        (note.y, own[1], panel.top, panel.height),
    ):
        share = float(value)
        if "domain" not in reference:
            low, high = span(fig, reference)
            share = (share - low) / ((high - low) or 1.0)
        places.append(start + length * (share if reference[0] == "x" else 1 - share))
    return places[0], places[1]


def _note_box(note: Any, x: float, y: float) -> Box:
    size = note.font.size or SMALL
    wide, high = width(note.text, size) + 4, height(note.text, size) + 2
    left = x + (note.xshift or 0) - {"left": 0, "right": wide}.get(note.xanchor or "", wide / 2)
    top = y - (note.yshift or 0) - {"top": 0, "bottom": high}.get(note.yanchor or "", high / 2)
    return Box(left, top, left + wide, top + high)
