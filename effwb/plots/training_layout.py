"""The layout of the training figure: a grid of panels with an axis and a legend each, and lines for stages.

Everything is a plain dict, because the figure is redrawn while a run trains and dicts are fast to build.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from effwb.plots.legends import AXIS, BELOW, legend_rows
from effwb.plots.legends import ROW as ROW_OF_LEGEND
from effwb.plots.style import DASHES, GREY, LineStyle, log_token_axis
from effwb.plots.training_panels import LENGTH, MetricSeries, PanelSpec

WIDTH = 980  # pixels of the figure
ROW, GAP = 200, 45  # pixels of a panel, and between panels, where the legend of the lower one is
SPACE = 0.1  # between columns of panels, as a share of the width

Runs = Mapping[str, MetricSeries]
Styles = Mapping[str, LineStyle]  # by run; empty where there is one run


def figure_layout(
    panels: list[PanelSpec], runs: Runs, styles: Styles, window: int, title: str, columns: int = 2
) -> dict[str, Any]:
    """Columns of panels of equal size, with a legend above each."""
    rows = -(-len(panels) // columns)
    inner = rows * ROW + (rows - 1) * GAP  # pixels from the top of the first panel to the bottom of the last
    legend = ROW_OF_LEGEND * legend_rows(styles, WIDTH) if styles else 0
    margin_top, margin_bottom = 65 + 25 * bool(title), AXIS + legend
    text = "each step" if window == 1 else f"thin: each step, thick: mean of up to {window}"
    if any(run.stages for run in runs.values()):
        text += "; dotted: a stage begins"
    place = {"x": 1, "xanchor": "right", "y": 1 + 30 / inner, "yanchor": "bottom"}
    style = {"xref": "paper", "yref": "paper", "showarrow": False, "font": {"size": 12, "color": GREY}}
    layout: dict[str, Any] = {
        "template": "effwb",
        "title": title,
        "width": WIDTH,
        "height": inner + margin_top + margin_bottom,
        "margin": {"t": margin_top, "b": margin_bottom},
        "hovermode": "closest" if styles else "x unified",
        "legend": BELOW,
        "shapes": [],
        "annotations": [{"text": text, **place, **style}, *_stage_notes(runs)],
    }
    for i, panel in enumerate(panels):
        number = axis_number(i)
        pitch = (1 + SPACE) / columns
        x = [i % columns * pitch, i % columns * pitch + pitch - SPACE]
        y = 1 - (i // columns) * (ROW + GAP) / inner
        x_axis = {"anchor": f"y{number}", "domain": x}
        y_axis = {"anchor": f"x{number}", "domain": [max(0.0, y - ROW / inner), y]}
        layout[f"xaxis{number}"] = x_axis | _step_axis(runs, is_last=i >= len(panels) - columns)
        layout[f"yaxis{number}"] = y_axis | _value_axis(panel, runs)
        layout[f"legend{i + 2}"] = {
            "orientation": "h",
            "x": x[0],
            "y": y,
            "yanchor": "bottom",
            "font": {"size": 12},
            "bgcolor": "rgba(255,255,255,0)",
        }
        layout["shapes"] += _stage_lines(number, runs, styles)
    return layout


def axis_number(i: int) -> str:
    """The suffix of the i-th axis: plotly calls the first axis x, not x1."""
    return "" if i == 0 else str(i + 1)


def _step_axis(runs: Runs, is_last: bool) -> dict[str, Any]:
    axis: dict[str, Any] = {"matches": "x", "showticklabels": is_last, "tickfont": {"size": 13}}
    axis |= {"tickformat": ",d", "unifiedhovertitle": {"text": "step %{x}"}}
    if is_last:
        axis["title"] = {"text": "optimizer step", "font": {"size": 14}}
    if max(len(run.values) for run in runs.values()) < 8:
        axis["dtick"] = 1
    return axis


def _value_axis(panel: PanelSpec, runs: Runs) -> dict[str, Any]:
    axis = {"title": {"text": panel.title, "font": {"size": 14}}, "tickfont": {"size": 13}}
    if panel.title != LENGTH:
        return axis | (panel.axis or {})
    columns = [run.values[c] for run in runs.values() for c in panel.legends if c in run.values]
    lengths = np.concatenate(columns)
    lengths = lengths[lengths > 0]
    return axis | (log_token_axis(float(lengths.min()), float(lengths.max())) if lengths.size else {})


# ------------------------------------------------------------------------------------------ stages
def _have_same_stages(runs: Runs) -> bool:
    return len({run.stages for run in runs.values()}) == 1


def _stage_lines(number: str, runs: Runs, styles: Styles) -> list[dict[str, Any]]:
    """Dotted lines where a stage begins: grey where all runs agree, else in the colour of each run."""
    names = list(runs)[:1] if _have_same_stages(runs) else list(runs)
    shapes = []
    for name in names:
        colour = GREY if len(names) == 1 else styles[name].colour
        for x, _ in runs[name].stages:
            ends = {"x0": x, "x1": x, "y0": 0, "y1": 1, "xref": f"x{number}", "yref": f"y{number} domain"}
            line = {"color": colour, "width": 1.2, "dash": "dot"}
            shapes.append({"type": "line", "line": line, "layer": "below", **ends})
    return shapes


def _stage_notes(runs: Runs) -> list[dict[str, Any]]:
    """Names of the stages in the first panel; none where runs differ, since the texts would overlap."""
    if not _have_same_stages(runs):
        return []
    place = {"y": 0, "xref": "x", "yref": "y domain", "xanchor": "left", "yanchor": "bottom"}
    style = {"showarrow": False, "font": {"size": 11, "color": GREY}}
    stages = next(iter(runs.values())).stages
    return [{"x": x, "text": f"stage {stage}", **place, **style} for x, stage in stages]


# ------------------------------------------------------------------------------------------ legends
def run_legend(name: str, style: LineStyle) -> dict[str, Any]:
    """The entry of a run in the legend of the whole figure: a click hides the run in all panels."""
    return {
        "x": [None],
        "y": [None],
        "mode": "lines+markers",
        "legendgroup": name,
        "name": name,
        "line": {"color": style.colour, "width": 2.2},
        "marker": {"symbol": style.symbol, "size": 8, "color": style.colour},
    }


def dash_legend(panel: PanelSpec) -> list[dict[str, Any]]:
    """The legend of a panel that compares several quantities of several runs: a grey dash for each."""
    if len(panel.legends) < 2:
        return []
    entries = []
    for j, (column, text) in enumerate(panel.legends.items()):
        width = 1.2 if column.startswith("probe/") else 2
        line = {"color": GREY, "width": width, "dash": DASHES[j % len(DASHES)]}
        place = {"x": [None], "y": [None], "mode": "lines", "legendgroup": f"dash {j}"}
        entries.append({"name": text, "line": line, **place})
    return entries
