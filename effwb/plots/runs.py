"""What a run did: response lengths of all rollouts, mean lengths by level, and training loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from effwb.errors import DataError, one_of
from effwb.metrics import clustered_interval
from effwb.plots.legends import add_note, legend_below
from effwb.plots.style import AXES, COLOURS, check_table, check_window, line_styles, token_axis, with_alpha
from effwb.rollouts import solved


def length_figure(rollouts: pd.DataFrame, *, bins: int = 40, title: str = "", axis: str = "log") -> go.Figure:
    """Draw how long correct rollouts are and how long the others are; dashed lines are the means.

    A rollout is correct if its answer is right and it ended by itself: a truncated rollout counts as not
    correct. The figure holds the counts per bin, not the rollouts, so its file stays small.

    Args:
        rollouts: One row per rollout, with the columns `length` (tokens), `verdict` and `finish_reason`, as
            `effwb.rollouts.sample` returns.
        bins: Number of bins, equally wide on the axis.
        title: Title of the figure.
        axis: "log" or "linear" token axis.

    Returns:
        plotly.graph_objects.Figure; shares are of all rollouts.

    Raises:
        DataError: The table is empty, lacks a column, or holds a length that is not a number.
        ConfigError: `axis` is unknown.

    Example:
        >>> import pandas as pd
        >>> from effwb import plots
        >>> rollouts = pd.DataFrame({"length": [90, 400], "finish_reason": ["stop", "length"]})
        >>> fig = plots.length_figure(rollouts.assign(verdict="correct"))
        >>> fig.data[0].name  # the truncated rollout is not correct
        'correct (50%)'
    """
    one_of("axis", axis, AXES)
    columns = ("length", "verdict", "finish_reason")
    rollouts = check_table(rollouts, columns, numbers=("length",), name="rollouts")
    length, is_correct = rollouts["length"].to_numpy(), solved(rollouts).to_numpy()
    low, high = max(length.min(), 1), max(length.max(), 2)
    if axis == "log":
        edges = np.geomspace(low, high * 1.001, bins + 1)
    else:
        edges = np.linspace(0, high * 1.001, bins + 1)
    fig = go.Figure()
    for name, rows, colour in (("correct", is_correct, COLOURS[0]), ("not correct", ~is_correct, COLOURS[1])):
        share = np.histogram(length[rows], edges)[0] / len(length)
        fig.add_scatter(
            x=np.repeat(edges, 2),
            y=np.concatenate([[0], np.repeat(share, 2), [0]]),
            name=f"{name} ({rows.mean():.0%})",
            mode="lines",
            fill="tozeroy",
            line={"color": colour, "width": 2, "dash": "solid" if name == "correct" else "dot"},
            fillcolor=with_alpha(colour, 0.25),
            hovertemplate=f"{name}<br>about %{{x:,.0f}} tokens<br>%{{y:.1%}} of rollouts<extra></extra>",
        )
        if rows.any():
            mean = float(length[rows].mean())
            fig.add_vline(x=mean, line={"color": colour, "dash": "dash", "width": 1.5})
            fig.add_annotation(
                x=np.log10(mean) if axis == "log" else mean,
                y=1.0 if name == "correct" else 0.93,
                yref="paper",
                text=f"mean {mean:,.0f}",
                showarrow=False,
                font={"color": colour, "size": 14},
                xanchor="left",
                xshift=4,
                bgcolor="rgba(255,255,255,0.8)",
            )
    fig.update_layout(template="effwb", title=title)
    fig.update_yaxes(title="share of rollouts in bin", rangemode="tozero", tickformat=".1~%")
    token_axis(fig, [low, high], axis, has_zero=False, title="response length (tokens)")
    return legend_below(fig)


def level_figure(
    rollouts: Mapping[str, pd.DataFrame],
    level: Mapping,
    *,
    methods: Mapping[str, str] | None = None,
    title: str = "",
) -> go.Figure:
    """Draw the mean response length at each level of difficulty, a line per model.

    Bars are 95 % intervals over problems. All rollouts count, truncated ones with the length they reached.

    Args:
        rollouts: Rollout tables by the name that the legend shows, with the columns `problem_id` and `length`
            (tokens).
        level: Level of difficulty, a number, by problem id.
        methods: The method of each name, which decides its colour; default: read from the name.
        title: Title of the figure.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: There are no rollouts, a table lacks a column, or none of its problems has a level.

    Example:
        >>> import pandas as pd
        >>> from effwb import plots
        >>> base = pd.DataFrame({"problem_id": ["a", "b", "c"], "length": [120, 180, 400]})
        >>> fig = plots.level_figure({"base": base}, {"a": 1, "b": 1, "c": 2})
    """
    if not rollouts:
        raise DataError("rollouts is empty: there are no lengths to draw")
    fig = go.Figure()
    styles = line_styles(rollouts, methods)
    for name, table in rollouts.items():
        table = check_table(table, ("problem_id", "length"), name=f"rollouts[{name!r}]")
        means = table.groupby(table["problem_id"].astype(object))["length"].mean()  # ids may be categories
        intervals = {at: clustered_interval(m.to_numpy()[:, None]) for at, m in means.groupby(level)}
        if not intervals:
            raise DataError(f"none of the problems in rollouts[{name!r}] has an entry in level")
        mean, low, high = np.array([*intervals.values()], dtype=float).T
        bars = {"array": high - mean, "arrayminus": mean - low, "thickness": 1, "width": 4}
        fig.add_scatter(
            x=[*intervals],
            y=mean,
            error_y={"type": "data", "symmetric": False, **bars},
            name=name,
            mode="lines+markers",
            line={"color": styles[name].colour, "width": 2, "dash": styles[name].dash},
            marker={"symbol": styles[name].symbol, "size": 8},
            customdata=np.stack([low, high], axis=-1),
            hovertemplate=f"{name}<br>level %{{x}}<br>%{{y:,.1f}} tokens "
            "[%{customdata[0]:,.1f}, %{customdata[1]:,.1f}]<extra></extra>",
        )
    fig.update_layout(template="effwb", title=title)
    fig.update_layout(scattermode="group", scattergap=0.7)  # side by side, so that intervals stay legible
    fig.update_xaxes(title="level of difficulty", tickvals=sorted({x for line in fig.data for x in line.x}))
    longest = max(max(line.y) for line in fig.data)  # wide intervals of few problems may leave the axis
    fig.update_yaxes(title="mean length (tokens)", range=[0, 1.4 * longest])
    return legend_below(add_note(fig, "bars: 95 % intervals over problems"))


def loss_figure(losses: Sequence[float] | np.ndarray, *, window: int = 100, title: str = "") -> go.Figure:
    """Draw the training loss against the step, on a log axis, as a moving mean.

    Args:
        losses: Loss of each optimizer step (steps,), in nats per token.
        window: Number of steps in the mean; at the beginning there are fewer.
        title: Title of the figure.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        ConfigError: `window` is not a whole number of steps.

    Example:
        >>> from effwb import plots
        >>> fig = plots.loss_figure([2.0, 1.5, 1.2, 1.1], window=2)
    """
    window, losses = check_window(window), np.asarray(losses, dtype=float)
    total = np.cumsum(np.insert(losses, 0, 0.0))
    step = np.arange(1, losses.size + 1)
    start = np.maximum(step - window, 0)
    fig = go.Figure().update_layout(template="effwb", title=title)
    fig.add_scatter(
        x=step,
        y=(total[step] - total[start]) / (step - start),
        mode="lines",
        name="loss",
        line={"color": COLOURS[0]},
    )
    fig.update_xaxes(title="optimizer step")
    fig.update_yaxes(title=f"loss (nats per token, mean of {window} steps)", type="log")
    return legend_below(fig)
