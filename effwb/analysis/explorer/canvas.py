"""A figure in the page: drawn anew for every choice, emptied after a refusal, and clicked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from plotly.graph_objects import FigureWidget

from effwb.errors import EngineError

HEIGHT = 430  # pixels of a figure with one panel: with the numbers below it fits a laptop's screen
SETTLED = (1.0, 4.0)  # seconds after which a page that shows the widgets has laid them out
COVER = 4.0  # pixels between the middles of two markers below which the upper one hides the lower one's
WIDTH = 700  # pixels of the drawing area where the page does not tell


def new_canvas() -> FigureWidget:
    """Return an empty figure for the page.

    Raises:
        EngineError: anywidget is missing.
    """
    try:
        return FigureWidget()
    except ImportError as error:
        raise EngineError("a figure that can be clicked needs anywidget: pip install anywidget") from error


def draw(canvas: FigureWidget, figure: go.Figure, on_click: Callable | None = None) -> None:
    """Show a figure in the page.

    Args:
        canvas: The figure in the page.
        figure: What it is to show; its size is fitted to the page.
        on_click: Called with the trace, the points and the state of the keys when a point is clicked.
    """
    several = sum(key.startswith("xaxis") for key in figure.layout.to_plotly_json()) > 1
    height = figure.layout.height if several else HEIGHT
    with canvas.batch_update():
        canvas.data = []
        canvas.add_traces(list(figure.data))
        canvas.layout = figure.update_layout(width=None, height=height, autosize=True).layout
    if on_click is not None:
        for trace in canvas.data:
            trace.on_click(on_click)


def empty(canvas: FigureWidget) -> None:
    """Take everything out of a figure in the page."""
    if len(canvas.data) or canvas.layout.title.text or canvas.layout.height:
        with canvas.batch_update():
            canvas.data = []
            canvas.layout = go.Layout(
                template="effwb", height=HEIGHT, xaxis_visible=False, yaxis_visible=False
            )


def fit_soon(canvases: Iterable[FigureWidget]) -> None:
    """Let figures measure their place once the page has one for them: they were drawn before."""

    def fit() -> None:
        for canvas in canvases:
            canvas.layout.autosize = False
            canvas.layout.autosize = True

    with suppress(RuntimeError):  # outside Jupyter no loop runs
        for seconds in SETTLED:
            asyncio.get_running_loop().call_later(seconds, fit)


class Point(NamedTuple):
    """A point of a figure: the run that it is of, and its budget in tokens where it is of a curve."""

    run: str
    budget: int | None


def point_on_top(figure: Any, trace: Any, index: int, names: Collection[str]) -> Point | None:
    """Return the point that is seen where a point was clicked.

    Where markers lie upon one another, plotly reports any of them; the one that was drawn last is seen. The
    frontier lies upon the curves that own it and is no run.

    Args:
        figure: The figure, or its canvas.
        trace: The trace that plotly reports.
        index: The number of the point in it.
        names: Names of the runs that can be opened.

    Returns:
        None where there is no point of a run.
    """
    x, y = _pixels(figure, trace.x[index], trace.y[index])
    top = None
    for other in figure.data:
        name = other.legendgroup or other.name
        if name not in names or "markers" not in (other.mode or "") or other.x is None:
            continue
        for i, (at, height) in enumerate(zip(other.x, other.y, strict=True)):
            own_x, own_y = _pixels(figure, at, height)
            if np.hypot(own_x - x, own_y - y) < COVER:
                top = Point(name, _budget(other, i))
    return top


def _budget(trace: Any, index: int) -> int | None:
    """The budget of a point of a curve; None for a point of another figure."""
    if trace.customdata is None:
        return None
    value = np.atleast_1d(np.asarray(trace.customdata[index], dtype=object))[0]
    return int(value) if isinstance(value, int | np.integer) else None


def _pixels(figure: Any, x: float, y: float) -> tuple[float, float]:
    """Where a point lies in the drawing area, in pixels, as far as Python knows its size."""
    layout = figure.layout
    margin = layout.margin
    width = (layout.width or WIDTH) if layout.width else WIDTH
    height = (layout.height or HEIGHT) - (margin.t or 60) - (margin.b or 65)
    places = []
    for value, axis, size in ((x, layout.xaxis, width), (y, layout.yaxis, height)):
        value = np.log10(value) if axis.type == "log" and value > 0 else value
        low, high = axis.range if axis.range else (0.0, 1.0)
        places.append(float(value - low) / float(high - low) * size)
    return places[0], places[1]
