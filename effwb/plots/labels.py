"""Labels beside their markers, kept apart from each other and from what is drawn."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd


class LabelledPoint(NamedTuple):
    """A method with its label `text`: its row, or the mean of its seeds."""

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


_SIDES = (
    *(f"{up} {across}" for across in ("right", "left", "center") for up in ("top", "bottom")),
    *("middle right", "middle left"),
)


def place_labels(
    points: list[LabelledPoint], spots: np.ndarray, canvas: Canvas, lines: list[np.ndarray]
) -> list[str]:
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


def _strokes(points: list[LabelledPoint], canvas: Canvas) -> np.ndarray:
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
