"""How much room texts need in a paper figure: widths, line breaks, and ticks that stay apart."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from itertools import pairwise

SIZE = 16  # CSS pixels of a paper figure's titles; printed as the points that the caller names
SMALL = 14  # of its ticks, legend and notes
LINE = 1.3  # height of a line over the size of its text
GAP = 8  # CSS pixels between neighbours

# Width of signs over the size of the text in DejaVu Sans, wider than Times, Arial and Helvetica
WIDTHS = {
    **dict.fromkeys("ijl|'.,:;!()[] /-fIt", 0.36),
    **dict.fromkeys("rsJ_ck", 0.52),
    **dict.fromkeys("mwMW%@=+<>~|≤≥×", 0.9),
    **dict.fromkeys("ABCDEGHKNOPQRSTUVXYZ", 0.72),
}
OTHER_WIDTH = 0.64


def plain(text: str) -> str:
    """A text without the tags of HTML; line breaks become spaces."""
    return html.unescape(re.sub(r"<[^<>]*>", "", re.sub(r"<br ?/?>", " ", text)))


def width(text: str, size: float = SMALL) -> float:
    """Width of the longest line of a text in CSS pixels, at least.

    Args:
        text: A text with plotly's HTML.
        size: Height of the letters in CSS pixels.

    >>> width("base", 10) < width("length_group_norm", 10)
    True
    """
    lines = re.split(r"<br ?/?>", text)
    return max(sum(WIDTHS.get(sign, OTHER_WIDTH) for sign in plain(line)) for line in lines) * size


def height(text: str, size: float = SMALL) -> float:
    """Height of all lines of a text in CSS pixels.

    Args:
        text: A text with plotly's HTML; "" has no height.
        size: Height of the letters in CSS pixels.
    """
    return LINE * size * len(re.split(r"<br ?/?>", text)) if text else 0.0


def wrap(text: str, room: float, size: float = SMALL) -> str:
    """Break a text into lines that fit, between words.

    Args:
        text: A text with plotly's HTML; one with tags other than line breaks stays as it is.
        room: Width of a line in CSS pixels.
        size: Height of the letters in CSS pixels.

    >>> wrap("loss (nats per token, mean of 100 steps)", 150)
    'loss (nats per<br>token, mean of<br>100 steps)'
    """
    if not text or re.search(r"<(?!br)", text) or width(text, size) <= room:
        return text
    lines: list[str] = []
    for word in re.sub(r"<br ?/?>", " ", text).split():
        if lines and width(f"{lines[-1]} {word}", size) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "<br>".join(lines)


def spaced(places: Sequence[float], sizes: Sequence[float]) -> list[int]:
    """Which ticks to keep so that their labels stay apart: every one, every second, every third ...

    The last tick is kept, and the first where there is room, because axes with a break have 0 there.

    Args:
        places: Pixels of the ticks along the axis, in increasing order.
        sizes: Pixels that each label takes along the axis.

    Returns:
        The indices of the ticks to keep.

    >>> spaced([0, 10, 20, 30, 40], [15] * 5)
    [0, 2, 4]
    """
    last = len(places) - 1
    for step in range(1, last + 1):
        kept = list(range(last, -1, -step))[::-1]
        if all(_apart(places, sizes, i, j) for i, j in pairwise(kept)):
            if kept[0] != 0 and _apart(places, sizes, 0, kept[0]):
                kept.insert(0, 0)
            return kept
    return [last] if last >= 0 else []


def _apart(places: Sequence[float], sizes: Sequence[float], i: int, j: int) -> bool:
    return places[j] - places[i] >= (sizes[i] + sizes[j]) / 2 + GAP / 2
