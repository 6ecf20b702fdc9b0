"""The legend below the drawing area, where it covers no data, and the note above it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import plotly.graph_objects as go

from effwb.plots.style import GREY

ROW = 24  # pixels of a row of the legend
ENTRY, CHARACTER = 55, 8  # pixels of an entry without its text, and of a character
AXIS = 78  # pixels of the labels and the title of an x axis, and of the buttons beside it
BELOW: dict[str, Any] = {
    "orientation": "h",
    "x": 0,
    "xanchor": "left",
    "yref": "container",
    "y": 0,
    "yanchor": "bottom",
    "tracegroupgap": 0,
}


def legend_below(fig: go.Figure) -> go.Figure:
    """Put the legend below the x axis and make the figure taller by its rows.

    The height is always set: JupyterLab takes 360 pixels where a figure has none of its own.

    Args:
        fig: The figure to change, with its template, all traces and its height.

    Returns:
        The same figure.
    """
    names = [trace.name for trace in fig.data if trace.name and trace.showlegend is not False]
    template, is_shown = fig.layout.template.layout, fig.layout.showlegend
    is_shown = len(names) > 1 if is_shown is None else is_shown
    rows = legend_rows(names, fig.layout.width or template.width) if is_shown else 0
    height = (fig.layout.height or template.height) + ROW * rows
    return fig.update_layout(legend=BELOW, height=height, margin={"b": AXIS + ROW * rows})


def legend_rows(names: Iterable[str], width: float) -> int:
    """How many rows a horizontal legend needs in a figure that is `width` pixels wide."""
    rows, right = 1, 0.0
    for name in names:
        entry = ENTRY + CHARACTER * len(name)
        if right and right + entry > width - 100:
            rows, right = rows + 1, 0.0
        right += entry
    return rows


def add_note(fig: go.Figure, text: str) -> go.Figure:
    """Say in small grey letters above the drawing area what bars, bands or faint markers are."""
    if not text:
        return fig
    place = {"x": 1, "xanchor": "right", "xref": "paper", "y": 1, "yanchor": "bottom", "yref": "paper"}
    font = {"size": 12, "color": GREY}
    return fig.add_annotation(text=text, showarrow=False, yshift=2, font=font, **place)
