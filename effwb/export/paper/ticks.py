"""Ticks of a paper figure: as many as their labels have room for."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from effwb.export.paper.panels import Panel, axis
from effwb.export.paper.text import LINE, SMALL, spaced, width

PER_LABEL = {"x": 64, "y": 44}  # CSS pixels of an axis for each label that plotly chooses


def thin_ticks(fig: go.Figure, panel: Panel) -> None:
    """Leave out ticks of a panel whose labels would touch.

    Args:
        fig: The figure to change.
        panel: A panel with its width and height.
    """
    for name, length in ((panel.x, panel.width), *((name, panel.height) for name in panel.y)):
        settings = axis(fig, name)
        if settings.type == "log" and settings.tickvals is None:
            settings.update(dtick=None, tickvals=_round_numbers(*span(fig, name)), ticktext=None)
        if settings.tickvals is not None:
            _thin(fig, name, length)
        elif settings.type not in ("category", "multicategory") and not _steps_fit(fig, name, length):
            settings.update(dtick=None, tickmode="auto", nticks=max(3, int(length // PER_LABEL[name[0]])))


def span(fig: go.Figure, name: str) -> tuple[float, float]:
    """The ends of an axis: its range, else those of its data; logarithms on a log axis."""
    settings = axis(fig, name)
    is_log = settings.type == "log"
    if settings.range is not None and None not in settings.range:
        low, high = sorted(map(float, settings.range))
        return low, high
    values = [column for trace in fig.data for column in _columns(trace, name)]
    numbers = np.concatenate(values) if values else np.array([0.0, 1.0])
    numbers = numbers[np.isfinite(numbers) & ((numbers > 0) | (not is_log))]
    if numbers.size == 0:
        return 0.0, 1.0
    low, high = float(numbers.min()), float(numbers.max())
    low = min(low, 0.0) if settings.rangemode == "tozero" and not is_log else low
    return (float(np.log10(low)), float(np.log10(high))) if is_log else (low, high)


def _columns(trace: Any, name: str) -> list[np.ndarray]:
    """What a trace draws along an axis, its error bars included."""
    own = getattr(trace, f"{name[0]}axis", None) or name[0]
    data = getattr(trace, name[0], None)
    if own != name or data is None:
        return []
    try:
        values = np.asarray(data, dtype=float)
    except (TypeError, ValueError):
        return []
    columns, bars = [values], getattr(trace, f"error_{name[0]}", None)
    if bars is not None and bars.array is not None and len(bars.array) == len(values):
        below = bars.arrayminus if bars.arrayminus is not None else bars.array
        columns += [values + np.asarray(bars.array, float), values - np.asarray(below, float)]
    return columns


def _thin(fig: go.Figure, name: str, length: float) -> None:
    """Keep every n-th of the ticks that a figure names."""
    settings = axis(fig, name)
    low, high = span(fig, name)
    ticks = np.asarray(settings.tickvals, dtype=float)
    texts = (
        [f"{tick:g}" for tick in ticks] if settings.ticktext is None else list(map(str, settings.ticktext))
    )
    places = (np.log10(ticks) if settings.type == "log" else ticks) - low
    places = places / ((high - low) or 1.0) * length
    order = [i for i in np.argsort(places) if -1 <= places[i] <= length + 1]
    sizes = [width(texts[i]) if name[0] == "x" else LINE * SMALL for i in order]
    kept = [order[i] for i in spaced([float(places[i]) for i in order], sizes)]
    settings.update(tickvals=[float(ticks[i]) for i in kept], ticktext=[texts[i] for i in kept])


def _steps_fit(fig: go.Figure, name: str, length: float) -> bool:
    """Whether the labels of an axis with a fixed distance of ticks have room."""
    step = axis(fig, name).dtick
    if not isinstance(step, int | float) or not step:
        return False
    low, high = span(fig, name)
    return (high - low) / step * (34 if name[0] == "x" else 20) <= length


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 and so on between two powers of ten; only powers of ten where these are many."""
    decades = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    numbers = [step * 10.0**decade for decade in decades for step in steps]
    return [number for number in numbers if low - 0.05 <= np.log10(number) <= high + 0.05]
