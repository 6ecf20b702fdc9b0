"""A figure in the page: drawn anew for every choice, emptied after a refusal, and clicked."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from plotly.graph_objects import FigureWidget

from effwb.errors import EngineError

HEIGHT = 400  # pixels of a figure with one panel: with the numbers below it fits a laptop's screen
TALL = 520  # pixels of such a figure on paper
EMPTY = {"template": "effwb", "height": HEIGHT, "xaxis": {"visible": False}, "yaxis": {"visible": False}}
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


def draw(
    canvas: FigureWidget, figure: go.Figure, on_click: Callable | None = None, *, one_panel: bool = False
) -> None:
    """Show a figure in the page.

    Args:
        canvas: The figure in the page.
        figure: What it is to show; its size is fitted to the page, which has its own switch of the axis.
        on_click: Called with the trace, the points and the state of the keys when a point is clicked.
        one_panel: The figure is made less tall than on paper; one of several panels keeps its height.
    """
    height = (figure.layout.height or TALL) - (TALL - HEIGHT if one_panel else 0)
    with canvas.batch_update():
        canvas.data = []
        canvas.add_traces(list(figure.data))
        figure.update_layout(width=None, height=height, autosize=True)
        figure.layout.updatemenus = ()  # an update with [] would leave them
        canvas.layout = figure.layout
    _store_state(canvas)
    if on_click is not None:
        for trace in canvas.data:
            trace.on_click(on_click)


def empty(canvas: FigureWidget) -> None:
    """Take everything out of a figure in the page."""
    if len(canvas.data) or canvas.layout.title.text or canvas.layout.height:
        with canvas.batch_update():
            canvas.data = []
            canvas.layout = go.Layout(EMPTY)
        _store_state(canvas)


def _store_state(canvas: FigureWidget) -> None:
    """Let a page that is opened or loaded again later show the figure as it is now.

    A change is a message to the pages that are open; what others begin with is stored when the figure itself
    is displayed, and here it is a part of a larger widget.
    """
    canvas._repr_mimebundle_()


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


def point_on_top(figure: Any, x: float, y: float, names: Collection[str]) -> Point | None:
    """Return the point that is seen where a point was clicked.

    Where markers lie upon one another, the one that was drawn last is seen. The frontier lies upon the curves
    that own it and is no run. Which trace plotly reports is of no use: after a figure was drawn anew with its
    traces in another order, it still counts them in the old one.

    Args:
        figure: The figure, or its canvas.
        x: Where the point that was clicked lies on its x axis, as plotly reports it.
        y: The same for the y axis.
        names: Names of the runs that can be opened.

    Returns:
        None where there is no point of a run.
    """
    top = None
    for trace in figure.data:
        name = trace.legendgroup or trace.name
        if name not in names or "markers" not in (trace.mode or ""):
            continue
        place = _pixels(figure, trace, x, y)
        for i in range(len(trace.x)):
            if math.dist(_pixels(figure, trace, trace.x[i], trace.y[i]), place) < COVER:
                top = Point(name, _budget(trace, i))
    return top


def _budget(trace: Any, index: int) -> int | None:
    """The budget of a point of a curve; None for a point of another figure."""
    if trace.customdata is None:
        return None
    value = np.atleast_1d(np.asarray(trace.customdata[index], dtype=object))[0]
    return int(value) if isinstance(value, int | np.integer) else None


def _pixels(figure: Any, trace: Any, *point: float) -> tuple[float, float]:
    """Where a point lies in the panel of a trace, in pixels, as far as Python knows the panel's size."""
    layout = figure.layout
    margin = layout.margin
    height = (layout.height or TALL) - (margin.t or 60) - (margin.b or 65)
    places = []
    for value, letter, size in zip(point, "xy", (WIDTH, height), strict=True):
        axis = layout[(trace[f"{letter}axis"] or letter).replace(letter, f"{letter}axis", 1)]
        low, high = axis.range or (0.0, 1.0)
        if axis.type == "log":
            value = math.log10(value) if value and value > 0 else low
        start, end = axis.domain or (0.0, 1.0)
        places.append((float(value) - float(low)) / (float(high) - float(low)) * (end - start) * size)
    return places[0], places[1]
