"""What a run did: response lengths, also by level, and training loss."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from effwb.errors import DataError, one_of
from effwb.metrics import clustered_interval
from effwb.plots.style import AXES, COLOURS, faint, looks_of, token_axis


def length_figure(rollouts, *, bins: int = 40, title: str = "", axis: str = "log") -> go.Figure:
    """Response lengths of correct and of other rollouts, as shares of all rollouts; dashed lines are the
    means.

    Bins are equally wide on the axis shown. Only the counts go into the file, not the rollouts.
    """
    one_of("axis", axis, AXES)
    if len(rollouts) == 0:
        raise DataError("rollouts is empty: no lengths to draw")
    length, right = rollouts["length"].to_numpy(), (rollouts["verdict"] == "correct").to_numpy()
    low, high = max(length.min(), 1), max(length.max(), 2)
    edges = (
        np.geomspace(low, high * 1.001, bins + 1) if axis == "log" else np.linspace(0, high * 1.001, bins + 1)
    )
    fig = go.Figure()
    for name, chosen, colour in (("correct", right, COLOURS[0]), ("not correct", ~right, COLOURS[1])):
        share = np.histogram(length[chosen], edges)[0] / len(length)
        fig.add_scatter(
            x=np.repeat(edges, 2),
            y=np.concatenate([[0], np.repeat(share, 2), [0]]),
            name=f"{name} ({chosen.mean():.0%})",
            mode="lines",
            fill="tozeroy",
            line={"color": colour, "width": 2, "dash": "solid" if name == "correct" else "dot"},
            fillcolor=faint(colour, 0.25),
            hovertemplate=f"{name}<br>about %{{x:,.0f}} tokens<br>%{{y:.1%}} of rollouts<extra></extra>",
        )
        if chosen.any():
            _add_mean(fig, float(length[chosen].mean()), name, colour, axis)
    fig.update_layout(template="effwb", title=title, legend={"x": 0.01, "y": 0.99})
    fig.update_yaxes(title="share of rollouts in bin", rangemode="tozero", tickformat=".1~%")
    token_axis(fig, [low, high], axis, has_zero=False, title="response length (tokens)")
    return fig


def level_figure(rollouts: Mapping, level: Mapping, *, title: str = "") -> go.Figure:
    """Mean tokens at each level of difficulty, a line per model, with 95 % intervals over problems.

    `rollouts` maps names to tables with `problem_id` and `length`; `level` maps problem ids to numbers.
    """
    if not rollouts or any(len(table) == 0 for table in rollouts.values()):
        raise DataError("rollouts is empty: no lengths to draw")
    fig = go.Figure()
    looks = looks_of(rollouts)
    for name, table in rollouts.items():
        means = table.groupby("problem_id")["length"].mean()
        parts = [(at, clustered_interval(m.to_numpy()[:, None])) for at, m in means.groupby(level)]
        middle, low, high = (np.array([found[k] for _, found in parts]) for k in range(3))
        colour, symbol = looks[name]
        bars = {"array": high - middle, "arrayminus": middle - low, "thickness": 1, "width": 4}
        fig.add_scatter(
            x=[at for at, _ in parts],
            y=middle,
            error_y={"type": "data", "symmetric": False, **bars},
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"symbol": symbol, "size": 8},
            customdata=np.stack([low, high], axis=-1),
            hovertemplate=f"{name}<br>level %{{x}}<br>%{{y:,.1f}} tokens "
            "[%{customdata[0]:,.1f}, %{customdata[1]:,.1f}]<extra></extra>",
        )
    fig.update_layout(template="effwb", title=title, legend={"x": 1.01, "y": 1})
    fig.update_layout(scattermode="group", scattergap=0.7)  # beside each other: intervals stay legible
    fig.update_xaxes(title="level of difficulty", tickvals=sorted({x for line in fig.data for x in line.x}))
    tallest = max(max(line.y) for line in fig.data)
    fig.update_yaxes(
        title="mean length (tokens)", range=[0, 1.4 * tallest]
    )  # intervals of few problems may leave it
    return fig


def loss_figure(losses, *, window: int = 100, title: str = "") -> go.Figure:
    """Training loss in nats per token against the step, log scale, as the mean of the last `window` steps."""
    losses = np.asarray(losses, dtype=float)
    total = np.cumsum(np.insert(losses, 0, 0.0))
    step = np.arange(1, losses.size + 1)
    start = np.maximum(step - window, 0)
    fig = go.Figure().update_layout(template="effwb", title=title)
    fig.add_scatter(x=step, y=(total[step] - total[start]) / (step - start), mode="lines", name="loss")
    fig.update_xaxes(title="optimizer step")
    fig.update_yaxes(title=f"loss (nats per token, mean of {window} steps)", type="log")
    return fig


def _add_mean(fig, mean: float, name: str, colour: str, axis: str) -> None:
    fig.add_vline(x=mean, line={"color": colour, "dash": "dash", "width": 1.5})
    right = name == "correct"
    fig.add_annotation(
        x=np.log10(mean) if axis == "log" else mean,
        y=1.0 if right else 0.93,
        yref="paper",
        text=f"mean {mean:,.0f}",
        showarrow=False,
        font={"color": colour, "size": 14},
        xanchor="left",
        xshift=4,
        bgcolor="rgba(255,255,255,0.8)",
    )
