"""A training run step by step: small panels over the optimizer step, some redrawn while the run trains.

Each quantity is a thin line of what every step measured and a thick line of its moving mean. With one run,
colours tell the quantities of a panel apart; with several runs, colours tell the runs apart and dashes the
quantities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from effwb.plots.style import COLOURS, DASHES, GREY, LineStyle, check_window, line_styles, with_alpha
from effwb.plots.training_layout import Runs, Styles, axis_number, dash_legend, figure_layout, run_legend
from effwb.plots.training_panels import (
    AT_BUDGETS,
    PHASES,
    TIME,
    MetricSeries,
    PanelSpec,
    metric_panels,
    metric_series,
    state_panels,
)

MAX_POINTS = 500  # of a line; more are not visible on paper and make the live figure slow
LIVE = (  # columns of the figure that is redrawn while a run trains
    *("accuracy", "length/mean", "length/correct", "length/wrong", "reward/total", "truncated"),
    *("zero_variance", "modes/p_empty", "entropy", "grad_norm"),
)
PATTERNS = ("", "/", ".", "\\", "x")  # of the stacked areas, so that grey prints work

Trace = dict[str, Any]


def training_figure(
    metrics: pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    window: int = 5,
    methods: Mapping[str, str] | None = None,
    title: str = "",
) -> go.Figure:
    """Draw what a training run did at each optimizer step, a panel per kind of quantity.

    Columns that are absent or NaN are left out, and so is a panel without any value. Dotted vertical lines
    show where a stage begins. If a step occurs twice, as after a resume, the last row counts. With no row yet
    the figure is empty and says so.

    Some quantities are reduced so that the figure stays legible:

    - A line has at most 500 points: means at equal distances, and of the measured values the least and the
      greatest of each stretch, so that no spike is lost.
    - At most six probe budgets, four budgets of any other kind and four reward components are drawn of one
      run. A comparison of runs shows one budget of each kind, the total reward and the total time.

    Args:
        metrics: One row per step, or a dict from names to such tables to compare runs. Columns: `step` and
            any of `stage`, `accuracy`, `probe/<budget>`, `length/mean|correct|wrong` (tokens),
            `reward/total`, `reward/<component>`, `truncated` and `zero_variance` (shares), `entropy` and `kl`
            (nats per token), `grad_norm`, `loss`, `time/sample|grade|probe|train|other` (seconds). Designs
            with two modes add `accuracy/think|empty`, `length/think|empty`, `modes/empty|p_empty`. Behind
            these come `mean@<G>/<budget>`, `pass@<G>/<budget>` and `probe_pass/<budget>`, in panels of their
            own with a line per budget.
        window: Number of steps in a moving mean, which ends at the step shown and stays within its stage.
        methods: The method of each name, which decides its colour; default: read from the name.
        title: Title of the figure.

    Returns:
        plotly.graph_objects.Figure. The table behind a comparison, for a CSV file, is
        `pd.concat(metrics, names=["run"]).reset_index("run")`.

    Raises:
        DataError: There is no column `step`, no column to draw, or two stages share a step.
        ConfigError: `window` is not a whole number of steps.

    Example:
        >>> import pandas as pd
        >>> from effwb import plots
        >>> metrics = pd.DataFrame({"step": [1, 2, 3], "accuracy": [0.2, 0.3, 0.3]})
        >>> fig = plots.training_figure({"vanilla": metrics, "reo_rl": metrics})
    """
    return _figure(metrics, metric_panels, window, methods, title)


def state_figure(
    metrics: pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    window: int = 1,
    methods: Mapping[str, str] | None = None,
    title: str = "",
) -> go.Figure:
    """Draw what a design reports about itself at each step (`Design.diagnostics`), as `training_figure` does.

    Args:
        metrics: One row per step, or a dict from names to such tables to compare runs. Columns: `step`,
            `stage` (optional), and `state/<panel>/<line>`, or `state/<panel>` for a panel with one line.
        window: Number of steps in a moving mean.
        methods: The method of each name, which decides its colour; default: read from the name.
        title: Title of the figure.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: There is no column `step`, or no column `state/...`: most designs report nothing.
        ConfigError: `window` is not a whole number of steps.

    Example:
        >>> import pandas as pd
        >>> from effwb import plots
        >>> metrics = pd.DataFrame({"step": [1, 2], "state/weight/length": [0.5, 0.4]})
        >>> fig = plots.state_figure(metrics)
    """
    return _figure(metrics, state_panels, window, methods, title)


def live_figure(metrics: pd.DataFrame, *, title: str = "") -> go.Figure:
    """Draw the six quantities to look at while a run trains, so that they fit the screen of a laptop.

    Args:
        metrics: One row per step, as for `training_figure`.
        title: What stands above, such as the line of progress; small.

    Returns:
        plotly.graph_objects.Figure, 980 pixels wide and at most 600 high.

    Raises:
        DataError: As for `training_figure`.
    """
    fig = _figure(metrics, _live_panels, 5, None, title, columns=3)
    fig.layout.annotations = ()  # the note on thin and thick lines has no room
    margin, panels = fig.layout.margin, fig.layout.height - fig.layout.margin.t - fig.layout.margin.b
    margin.update(t=85, r=20, b=60)
    fig.layout.title.update(font_size=14, y=0.98, yanchor="top")
    return fig.update_layout(height=panels + margin.t + margin.b)


def _live_panels(runs: Runs, is_comparison: bool) -> list[PanelSpec]:
    """The panels of `metric_panels` with the columns that are drawn live."""
    panels = metric_panels(runs, is_comparison)
    legends = [{c: text for c, text in panel.legends.items() if c in LIVE} for panel in panels]
    return [panel._replace(legends=live) for panel, live in zip(panels, legends, strict=True) if live]


def _figure(
    metrics: pd.DataFrame | Mapping[str, pd.DataFrame],
    choose_panels: Callable[[Runs, bool], list[PanelSpec]],
    window: int,
    methods: Mapping[str, str] | None,
    title: str,
    columns: int = 2,
) -> go.Figure:
    window = check_window(window)
    tables = metrics if isinstance(metrics, Mapping) else {"": metrics}
    is_comparison = len(tables) > 1
    runs = {name: metric_series(name, table, window) for name, table in tables.items() if len(table)}
    if not runs:
        fig = go.Figure().update_layout(template="effwb", title=title, height=260)
        place = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper"}
        fig.add_annotation(text="no step finished yet", showarrow=False, **place)
        bare = {"showticklabels": False, "showgrid": False, "ticks": ""}
        return fig.update_xaxes(title="optimizer step", **bare).update_yaxes(**bare)
    panels = choose_panels(runs, is_comparison)
    styles = line_styles(tables, methods) if is_comparison else {}
    traces = [run_legend(name, style) for name, style in styles.items()]
    for i, panel in enumerate(panels):
        place = {"xaxis": f"x{axis_number(i)}", "yaxis": f"y{axis_number(i)}", "legend": f"legend{i + 2}"}
        traces += [{**trace, **place} for trace in _panel_traces(panel, runs, styles)]
    return go.Figure(traces, figure_layout(panels, runs, styles, window, title, columns))


# ------------------------------------------------------------------------------------------ the lines
def _panel_traces(panel: PanelSpec, runs: Runs, styles: Styles) -> list[Trace]:
    """The lines of a panel: thin ones first, thick ones on top; `styles` is empty where there is one run."""
    if panel.title == TIME:
        if not styles:
            return _phase_areas(panel, next(iter(runs.values())))
        runs = {name: _total_time(run) for name, run in runs.items()}
        panel = panel._replace(legends={"time/total": "all phases"})
    thin, thick = [], []
    for name, run in runs.items():
        for j, column in enumerate(panel.legends):
            if column not in run.values:
                continue
            if column.startswith("probe/"):
                thin.append(_probe_line(panel, run, column, name, styles.get(name)))
                continue
            if j == 0 if styles else not column.startswith(AT_BUDGETS):
                thin.append(_value_line(panel, run, column, name, styles.get(name)))
            thick.append(_mean_line(panel, run, column, name, styles.get(name)))
    return thin + thick + (dash_legend(panel) if styles else [])


def _value_line(
    panel: PanelSpec, run: MetricSeries, column: str, name: str, style: LineStyle | None
) -> Trace:
    """What each step measured; of a long run the least and the greatest value of each stretch."""
    colour, _ = _colour_and_dash(panel, column, style)
    values = run.values[column].dropna()
    if len(values) > MAX_POINTS:
        ends = np.linspace(0, len(values), MAX_POINTS // 2 + 1).astype(int)
        stretches = [(start, values.to_numpy()[start:end]) for start, end in pairwise(ends)]
        extremes = [start + f(part) for start, part in stretches for f in (np.argmin, np.argmax)]
        values = values.iloc[np.unique(extremes)]
    return {
        "x": values.index.to_numpy(),
        "y": values.to_numpy(),
        "mode": "lines",
        "line": {"color": with_alpha(colour, 0.35), "width": 1},
        "hoverinfo": "skip",
        "legendgroup": name if style else column,
        "showlegend": False,
    }


def _mean_line(panel: PanelSpec, run: MetricSeries, column: str, name: str, style: LineStyle | None) -> Trace:
    """The moving mean; it carries the hover box, and with one run the legend."""
    colour, dash = _colour_and_dash(panel, column, style)
    trace = _means(panel, run, column, name, style) | {"line": {"color": colour, "width": 2.2, "dash": dash}}
    if style:
        return trace | {"legendgroup": name, "showlegend": False}
    several = len(panel.legends) > 1
    return trace | {"legendgroup": column, "name": panel.legends[column], "showlegend": several}


def _colour_and_dash(panel: PanelSpec, column: str, style: LineStyle | None) -> tuple[str, str]:
    j = list(panel.legends).index(column)
    return style.colour if style else panel.colours[j % len(panel.colours)], DASHES[j % len(DASHES)]


def _means(panel: PanelSpec, run: MetricSeries, column: str, name: str, style: LineStyle | None) -> Trace:
    """Moving means at equal distances, at steps with a measurement, the last step included."""
    values = run.values[column].dropna()
    points = np.linspace(0, len(values) - 1, min(len(values), MAX_POINTS)).round().astype(int)
    values = values.iloc[np.unique(points)]
    run_and_step = f"{name}<br>step %{{x}}<br>" if style else ""
    mean = f"{panel.legends[column]} %{{y:{panel.digits}}}{panel.unit}"
    this_step = f"this step %{{customdata:{panel.digits}}}"
    trace: Trace = {
        "x": values.index.to_numpy(),
        "y": run.means[column].loc[values.index].to_numpy(),
        "customdata": values.to_numpy(),
        "mode": "lines+markers" if style or len(values) < 10 else "lines",
        "hovertemplate": f"{run_and_step}{mean}, {this_step}<extra></extra>",
    }
    if style:
        trace["marker"] = {"symbol": style.symbol, "size": 7, "maxdisplayed": 7}
    return trace


def _probe_line(
    panel: PanelSpec, run: MetricSeries, column: str, name: str, style: LineStyle | None
) -> Trace:
    """The accuracy of answers forced at a budget, as a thin moving mean; with one run its end is labelled."""
    probes = [c for c in panel.legends if c.startswith("probe/")]
    trace = _means(panel, run, column, name, style)
    dash = DASHES[1 + probes.index(column) % 2]
    trace |= {
        "mode": "lines",
        "line": {"color": with_alpha(style.colour if style else GREY, 0.7), "width": 1.2, "dash": dash},
        "legendgroup": name or "probe",
        "showlegend": column == probes[0] and not style,
        "legendrank": 1001,
    }
    if style:
        return trace
    smallest_and_largest = " to ".join(dict.fromkeys(c[6:] for c in (probes[0], probes[-1])))
    return trace | {
        "mode": "lines+text",
        "text": [""] * (len(trace["x"]) - 1) + [column[6:]],
        "textposition": "middle right",
        "textfont": {"size": 11, "color": GREY},
        "cliponaxis": False,
        "name": f"stopped at {smallest_and_largest} tokens",
    }


# ------------------------------------------------------------------------------------------ time of a step
def _phase_areas(panel: PanelSpec, run: MetricSeries) -> list[Trace]:
    """Stacked areas of the phases; an invisible line on top puts the total into the hover box."""
    columns = list(panel.legends)
    values, means = (table[columns].fillna(0.0) for table in (run.values, run.means))
    with_total = MetricSeries(values.assign(total=values.sum(axis=1)), means.assign(total=means.sum(axis=1)))
    panel = panel._replace(legends={**panel.legends, "total": "all"})
    traces = []
    for column in columns:
        i = PHASES.index(panel.legends[column])
        pattern = {"fgcolor": COLOURS[i], "bgcolor": with_alpha(COLOURS[i], 0.4)}
        area = {
            "stackgroup": "time",
            "name": panel.legends[column],
            "legendgroup": column,
            "line": {"color": COLOURS[i], "width": 1},
            "fillcolor": with_alpha(COLOURS[i], 0.55),
            "fillpattern": pattern | {"shape": PATTERNS[i], "size": 7, "solidity": 0.2},
        }
        traces.append(_means(panel, with_total, column, "", None) | area)
    total = _means(panel, with_total, "total", "", None)
    return [*traces, total | {"line": {"width": 0}, "mode": "lines", "showlegend": False}]


def _total_time(run: MetricSeries) -> MetricSeries:
    """The time of all phases as one column; none where no phase was measured."""
    columns = [f"time/{phase}" for phase in PHASES if f"time/{phase}" in run.values]
    if not columns:
        return MetricSeries(run.values[[]], run.means[[]])
    values, means = (t[columns].sum(axis=1).to_frame("time/total") for t in (run.values, run.means))
    return MetricSeries(values, means)
