"""What a reader can do with a token axis: switch between log and linear, and see its first fifth enlarged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from effwb.plots.style import AXES, AXIS_BREAK, DASHES, GREY, token_settings

EARLY = 0.2  # the part of a linear axis that the inset enlarges
RISE = 0.75  # share of the whole rise that has to lie in it, as a mean over the lines
INSET_X, INSET_Y = (0.5, 0.98), (0.12, 0.56)  # place of the inset, as parts of the drawing area
STUB = "stub"  # meta of the stretch of a line between budget 0 and the first budget


class TokenAxis(NamedTuple):
    """The range of one token axis.

    Attributes:
        low: Smallest positive budget, in tokens.
        high: Largest budget, in tokens.
        has_zero: Whether budget 0 is drawn.
    """

    low: float
    high: float
    has_zero: bool

    def zero(self, axis: str) -> float:
        """The x position of budget 0 on a "log" or "linear" axis."""
        return 0.0 if axis == "linear" else self.low / 2


def add_switch(fig: go.Figure, token_axes: Mapping[str, TokenAxis], axis: str) -> go.Figure:
    """Add the buttons "log" and "linear", which change all token axes of a figure.

    Args:
        fig: The figure to change, with all of its traces.
        token_axes: The range of each axis by its name in the traces: "x", "x2", ...
        axis: What the figure shows now.

    Returns:
        The same figure.
    """
    buttons = [
        {
            "label": name,
            "method": "update",
            "args": [_trace_changes(fig, token_axes, axis, name), _layout_changes(fig, token_axes, name)],
        }
        for name in AXES
    ]
    place = {"x": 1, "xanchor": "right", "y": 0, "yanchor": "top", "pad": {"t": 36, "r": 0}}
    if len(token_axes) > 1:  # below the panels there are titles
        place |= {"y": 1, "yanchor": "bottom", "pad": {"b": 36, "r": 0}}
    style = {"direction": "right", "font": {"size": 12}, "bgcolor": "white", "bordercolor": "#B0B0B0"}
    menu = {"type": "buttons", "buttons": buttons, "active": AXES.index(axis), "name": "token axis"}
    return fig.update_layout(updatemenus=[{**menu, **place, **style}])


def _trace_changes(
    fig: go.Figure, token_axes: Mapping[str, TokenAxis], axis: str, new_axis: str
) -> dict[str, list]:
    """The x positions and dashes of all traces on the new axis; an inset shows on the linear axis only."""
    changes: dict[str, list] = {"x": [], "line.dash": [], "visible": []}
    for trace in fig.data:
        x = np.array(trace.x, dtype=float)
        token_axis = token_axes.get(trace.xaxis or "x")
        if token_axis is not None:
            x = np.where(x == token_axis.zero(axis), token_axis.zero(new_axis), x)
        changes["x"].append([None if np.isnan(value) else value for value in x.tolist()])
        dash = trace.line.dash if trace.type == "scatter" else None
        if trace.meta and trace.meta[0] == STUB:
            dash = stub_dash(trace.meta[1], new_axis)
        changes["line.dash"].append(dash or DASHES[0])
        changes["visible"].append(token_axis is not None or new_axis == "linear")
    if not any(trace.meta and trace.meta[0] == STUB for trace in fig.data):
        del changes["line.dash"]
    if not _inset_axes(fig, token_axes):
        del changes["visible"]
    return changes


def _layout_changes(fig: go.Figure, token_axes: Mapping[str, TokenAxis], new_axis: str) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name, (low, high, has_zero) in token_axes.items():
        settings = token_settings(low, high, new_axis, has_zero=has_zero)
        changes |= {f"xaxis{name[1:]}.{key}": value for key, value in settings.items()}
    for i, note in enumerate(fig.layout.annotations):
        if note.text == AXIS_BREAK or str(note.xref).removesuffix(" domain") in _inset_axes(fig, token_axes):
            changes[f"annotations[{i}].visible"] = (note.text == AXIS_BREAK) == (new_axis == "log")
    for name in _inset_axes(fig, token_axes):
        changes |= {f"{letter}axis{name[1:]}.visible": new_axis == "linear" for letter in "xy"}
    return changes


def _inset_axes(fig: go.Figure, token_axes: Mapping[str, TokenAxis]) -> set[str]:
    """The axes that are not switched: those of an inset."""
    return {trace.xaxis or "x" for trace in fig.data} - set(token_axes)


def stub_dash(dash: str, axis: str) -> str:
    """The dash of a line between budget 0 and the first budget: dotted where the axis is broken there."""
    return "dot" if axis == "log" else dash


# ------------------------------------------------------------------------------------------- the inset
def add_inset(fig: go.Figure, high: float) -> go.Figure:
    """Enlarge the first fifth of a linear token axis, where the curves rise there and leave room below.

    Nothing is added where less than three quarters of the rise lie in the first fifth, or where the inset
    would cover a line.

    Args:
        fig: A figure with lines over a linear token axis, and with the range of its y axis.
        high: The last budget of the axis, in tokens.

    Returns:
        The same figure.
    """
    lines = [trace for trace in fig.data if trace.mode and trace.fill is None and len(trace.x) > 2]
    top = fig.layout.yaxis.range[1]
    if not lines or np.mean([_early_rise(line, high) for line in lines]) < RISE:
        return fig
    right = np.concatenate([_part(trace, INSET_X[0] * high * 0.9, high) for trace in _drawn(fig)])
    if right.min() < top * (INSET_Y[1] + 0.04):
        return fig
    end = EARLY * high
    shown = np.concatenate([_part(line, 0, end) for line in lines])
    room = 0.06 * np.ptp(shown) or 0.02
    font = {"size": 11}
    fig.update_layout(
        xaxis2={"domain": INSET_X, "anchor": "y2", "range": [0, end], "tickfont": font, "nticks": 5},
        yaxis2={"domain": INSET_Y, "anchor": "x2", "tickfont": font, "nticks": 4},
    )
    fig.update_layout(yaxis2={"range": [shown.min() - room, shown.max() + room], "tickformat": ".2~f"})
    for trace in _drawn(fig):
        fig.add_trace(type(trace)(trace).update(xaxis="x2", yaxis="y2", showlegend=False))
    place = {
        "x": 1,
        "xanchor": "right",
        "xref": "x2 domain",
        "y": 0.02,
        "yanchor": "bottom",
        "yref": "y2 domain",
    }
    style = {"showarrow": False, "font": {"size": 11, "color": GREY}, "bgcolor": "rgba(255,255,255,0.8)"}
    return fig.add_annotation(text=f"the first {end:,.0f} tokens", **place, **style)


def _drawn(fig: go.Figure) -> list[Any]:
    """The traces with data; others are entries of the legend."""
    return [trace for trace in fig.data if trace.x[0] is not None]


def _part(trace: Any, start: float, end: float) -> np.ndarray:
    x, y = np.array(trace.x, dtype=float), np.array(trace.y, dtype=float)
    return y[(x >= start) & (x <= end)]


def _early_rise(line: Any, high: float) -> float:
    """The share of a line's rise that lies in the first part of the axis."""
    early, whole = _part(line, 0, EARLY * high), _part(line, 0, high)
    return float(np.ptp(early) / np.ptp(whole)) if early.size > 1 and np.ptp(whole) > 0 else 0.0
