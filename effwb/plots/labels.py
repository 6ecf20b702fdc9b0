"""Place labels beside their markers so that they cover neither each other nor what is drawn."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd

Box = tuple[float, float, float, float]  # left, bottom, right, top in pixels

SIDES = (
    *(f"{up} {across}" for across in ("right", "left", "center") for up in ("top", "bottom")),
    *("middle right", "middle left"),
)


class LabelledPoint(NamedTuple):
    """One point of the trade-off figure with its label: a row of the table, or the mean of several seeds.

    Attributes:
        x: Position on the x axis.
        y: Position on the y axis.
        x_interval: Interval of x (low, high); NaN without one.
        y_interval: Interval of y (low, high); NaN without one.
        name: Name of the row.
        family: Name of the line that joins points.
        text: The label.
        hover: Text of the hover box.
        rows: The rows of the table behind the point, one per seed.
    """

    x: float
    y: float
    x_interval: tuple[float, float]
    y_interval: tuple[float, float]
    name: str
    family: str
    text: str
    hover: str
    rows: pd.DataFrame


class Canvas(NamedTuple):
    """The drawing area: turns data into pixels, so that distances between labels can be measured.

    Attributes:
        x_range: Ends of the x axis, as log10.
        y_range: Ends of the y axis.
        width: Width in pixels.
        height: Height in pixels.
    """

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    width: float
    height: float = 400.0

    def pixels(self, x, y) -> np.ndarray:
        """Positions of data in pixels, (..., 2)."""
        (left, right), (low, high) = self.x_range, self.y_range
        across = (np.log10(x) - left) / (right - left) * self.width
        up = (np.asarray(y, dtype=float) - low) / (high - low) * self.height
        return np.stack([across, up], axis=-1)


def place_labels(
    points: list[LabelledPoint], markers: np.ndarray, canvas: Canvas, lines: list[np.ndarray]
) -> list[str]:
    """Choose the side of its marker for each label: greedily, and then each label is reconsidered twice.

    Args:
        points: The points to label.
        markers: Pixels (n, 2) of other markers to avoid, such as single seeds.
        canvas: The drawing area.
        lines: Pixels (n, 2) of lines and texts that labels should rather not cover.

    Returns:
        Plotly's `textposition` of each point.
    """
    centres = canvas.pixels([p.x for p in points], [p.y for p in points])
    markers, strokes = np.concatenate([centres, markers]), _strokes(points, canvas)
    boxes = np.array(
        [[_box(xy, len(p.text), side) for side in SIDES] for xy, p in zip(centres, points, strict=True)]
    )
    cost = np.array([[_cost(box, markers, strokes, lines, canvas) for box in row] for row in boxes])
    cost += 0.1 * np.arange(len(SIDES))  # the earlier side where two are equally good
    choice = np.full(len(points), -1)
    for i in [*range(len(points))] * 3:
        others = [boxes[k, choice[k]] for k in range(len(points)) if k != i and choice[k] >= 0]
        overlap = [sum(_overlap(box, other) for other in others) for box in boxes[i]]
        choice[i] = np.argmin(cost[i] + np.array(overlap))
    return [SIDES[k] for k in choice]


def _box(centre: np.ndarray, characters: int, side: str) -> Box:
    """Where a text of 13 px lies beside a marker."""
    width, height, gap = 7.2 * characters, 16, 7
    up, across = side.split()
    left = centre[0] + {"right": gap, "left": -gap - width, "center": -width / 2}[across]
    bottom = centre[1] + {"top": gap, "bottom": -gap - height, "middle": -height / 2}[up]
    return left, bottom, left + width, bottom + height


def _strokes(points: list[LabelledPoint], canvas: Canvas) -> np.ndarray:
    """Pixels along the intervals and the lines of families, about 6 apart."""
    segments = [
        ((p.x_interval[0], p.y), (p.x_interval[1], p.y)) for p in points if not np.isnan(p.x_interval).any()
    ]
    segments += [
        ((p.x, p.y_interval[0]), (p.x, p.y_interval[1])) for p in points if not np.isnan(p.y_interval).any()
    ]
    for family in dict.fromkeys(p.family for p in points):
        segments += list(pairwise((p.x, p.y) for p in points if p.family == family))
    parts = [np.empty((0, 2))]
    for (x0, y0), (x1, y1) in segments:
        start, end = canvas.pixels([x0, x1], [y0, y1])
        parts.append(np.linspace(start, end, 2 + int(np.abs(end - start).max() / 6)))
    return np.concatenate(parts)


def _cost(
    box: Box, markers: np.ndarray, strokes: np.ndarray, lines: list[np.ndarray], canvas: Canvas
) -> float:
    """Pixels that a label covers: markers weigh most, then leaving the picture, intervals, and `lines`."""
    outside = max(0.0, -box[0], -box[1], box[2] - canvas.width, box[3] - canvas.height)
    on_lines = sum(_count_inside(box, line, 0) for line in lines)
    on_markers, on_strokes = _count_inside(box, markers, 5), _count_inside(box, strokes, 0)
    return 300 * on_markers + 25 * on_strokes + 2 * on_lines + 20 * outside


def _count_inside(box: Box, pixels: np.ndarray, margin: float) -> int:
    low, high = np.array(box[:2]) - margin, np.array(box[2:]) + margin
    return int(((pixels > low) & (pixels < high)).all(axis=-1).sum())


def _overlap(a: Box, b: Box) -> float:
    """Area that two boxes share, in square pixels."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
