"""A reward before training: what it pays at which length, and whether groups have anything to learn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from effwb.errors import DataError
from effwb.plots.legends import legend_below
from effwb.plots.style import COLOURS, DASHES, SYMBOLS, check_table, log_token_axis, round_ticks

MAX_ROLLOUTS = 2000  # markers drawn at most; shares and spreads are computed from all rollouts
BINS = 20
TOLERANCE = 1e-9  # rewards of a group that differ by less are equal: rounding is no signal
KINDS = ("right", "wrong", "truncated")
LEFT: dict[str, Any] = {"row": 1, "col": 1}
RIGHT: dict[str, Any] = {"row": 1, "col": 2}


def reward_figure(table: pd.DataFrame, *, title: str = "") -> go.Figure:
    """Draw the reward against the length, and how much the reward varies within groups.

    Left: a marker per rollout, right and wrong answers apart. A rollout that is not finished is truncated,
    whatever its answer. At most 2,000 rollouts are drawn, always the same ones.

    Right: the population standard deviation of the reward within each group of at least two rollouts. A group
    whose rewards are all equal has no advantage and so no gradient; these groups have a bar of their own.

    Args:
        table: One row per rollout, as `effwb.training.preview` returns. Columns: `problem_id`, `length`
            (tokens), `correct` and `finished` (bool), `total` (reward). Optional: `reward/<component>` (shown
            in the hover box) and `step`. A group is the rollouts of one problem, and of one step if there is
            that column.
        title: Title of the figure.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: The table is empty, lacks a column, holds NaN, or no group has two rollouts.

    Example:
        >>> import pandas as pd
        >>> from effwb import plots
        >>> table = pd.DataFrame({"problem_id": "a", "length": [60, 90], "correct": [True, False]})
        >>> fig = plots.reward_figure(table.assign(finished=True, total=[1.0, 0.0]))
    """
    columns = ("problem_id", "length", "correct", "finished", "total")
    table = check_table(table, columns, numbers=columns[1:], positive=("length",))
    spread = group_spread(table)
    fig = make_subplots(1, 2, column_widths=[0.58, 0.42], horizontal_spacing=0.12)
    _add_rollouts(fig, table)
    _add_spread(fig, spread)
    fig.update_layout(template="effwb", title=title, width=1060, bargap=0)
    return legend_below(fig.update_layout(margin={"t": 90 if title else 50}))


def group_spread(table: pd.DataFrame) -> pd.DataFrame:
    """Compute how much the reward varies within each group.

    Args:
        table: As for `reward_figure`.

    Returns:
        One row per group of at least two rollouts: its `problem_id` (and `step`), `std` (population standard
        deviation of `total`, exactly 0 where all are equal), `n` (rollouts), `accuracy` (a truncated rollout
        counts as wrong).

    Raises:
        DataError: No group has two rollouts.
    """
    keys = [c for c in ("step", "problem_id") if c in table]
    solved = table["correct"].astype(bool) & table["finished"].astype(bool)
    groups = table.assign(solved=solved).groupby(keys, sort=False)
    total = groups["total"]
    spread = pd.DataFrame({"std": total.std(ddof=0), "n": total.size(), "accuracy": groups["solved"].mean()})
    spread["std"] = spread["std"].where(total.max() - total.min() > TOLERANCE, 0.0)
    spread = spread[spread["n"] > 1]
    if spread.empty:
        raise DataError(f"no group by {keys} has two rollouts; a spread within groups needs them")
    return spread.reset_index()


def shape_figure(table: pd.DataFrame, *, title: str = "") -> go.Figure:
    """Draw a reward as a function of the length: a panel per rule, a line per kind of answer.

    Args:
        table: Columns `panel` (title of the panel), `line` (legend), `length` (tokens) and `reward`. Panels,
            lines and points are drawn in the order of the rows.
        title: Title of the figure.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: The table is empty, lacks a column, holds NaN, or holds a length that is not positive.

    Example:
        >>> import pandas as pd
        >>> from effwb import plots
        >>> table = pd.DataFrame({"line": "right", "length": [64, 128], "reward": [1.0, 0.8]})
        >>> fig = plots.shape_figure(table.assign(panel="cosine"))
    """
    numbers = ("length", "reward")
    table = check_table(table, ("panel", "line", *numbers), numbers=numbers, positive=("length",))
    panels, lines = (list(dict.fromkeys(table[name])) for name in ("panel", "line"))
    space = 0.12 / len(panels)
    fig = make_subplots(1, len(panels), shared_yaxes=True, horizontal_spacing=space, subplot_titles=panels)
    for (panel, line), rows in table.groupby(["panel", "line"], sort=False):
        i = lines.index(line)
        fig.add_scatter(
            x=rows["length"],
            y=rows["reward"],
            name=line,
            legendgroup=line,
            showlegend=panel == panels[0],
            line={"color": COLOURS[i % len(COLOURS)], "width": 2.2, "dash": DASHES[i % len(DASHES)]},
            hovertemplate=f"{line}<br>%{{x:,}} tokens<br>reward %{{y:.3f}}<extra></extra>",
            row=1,
            col=panels.index(panel) + 1,
        )
    fig.update_xaxes(title="length (tokens)", **log_token_axis(table["length"].min(), table["length"].max()))
    fig.update_yaxes(title="reward", row=1, col=1)
    fig.update_layout(template="effwb", title=title, width=1060, height=400)
    return legend_below(fig.update_layout(margin={"t": 90 if title else 50}))


# ------------------------------------------------------------------------------------------- left panel
def _add_rollouts(fig: go.Figure, table: pd.DataFrame) -> None:
    is_right, is_finished = table["correct"].astype(bool), table["finished"].astype(bool)
    kind = np.select([~is_finished, is_right], ["truncated", "right"], "wrong")
    sample = table.assign(kind=kind)
    sample = sample if len(sample) <= MAX_ROLLOUTS else sample.sample(MAX_ROLLOUTS, random_state=0)
    for i, name in enumerate(KINDS):
        rows = sample[sample["kind"] == name]
        fig.add_scatter(
            x=rows["length"],
            y=rows["total"],
            name=f"{name} ({(kind == name).mean():.0%})",
            mode="markers",
            marker={"color": COLOURS[i], "symbol": SYMBOLS[i], "size": 7, "opacity": 0.55},
            customdata=_rollout_hover(rows),
            hovertemplate=f"{name}<br>%{{x:,}} tokens<br>total %{{y:.4f}}%{{customdata}}<extra></extra>",
            **LEFT,
        )
    note = "" if len(table) <= MAX_ROLLOUTS else f", {MAX_ROLLOUTS:,} of {len(table):,} rollouts"
    axis = log_token_axis(float(table["length"].min()), float(table["length"].max()))
    fig.update_xaxes(title=f"response length (tokens{note})", **LEFT, **axis)
    fig.update_yaxes(title="total reward", **LEFT)


def _rollout_hover(rows: pd.DataFrame) -> list[str]:
    """The components of the reward and the problem; for a truncated rollout also whether it was right."""
    components = [c for c in rows.columns if c.startswith("reward/")]
    lines = []
    for row in rows.to_dict("records"):
        answer = "" if row["finished"] else f"<br>its answer: {'right' if row['correct'] else 'wrong'}"
        rewards = "".join(f"<br>{c.removeprefix('reward/')} {row[c]:+.4f}" for c in components)
        step = f", step {row['step']}" if "step" in row else ""
        lines.append(f"{rewards}{answer}<br>{row['problem_id']}{step}")
    return lines


# ------------------------------------------------------------------------------------------ right panel
def _add_spread(fig: go.Figure, spread: pd.DataFrame) -> None:
    """Bars of equal width, and left of them, hatched, a bar for the groups without any spread."""
    std, n = spread["std"].to_numpy(), len(spread)
    largest = float(std.max()) or 1.0
    width = largest / BINS
    count, edges = np.histogram(std[std > 0], BINS, range=(0, largest))
    fig.add_bar(
        x=edges[:-1] + width / 2,
        y=count / n,
        width=width,
        marker={"color": COLOURS[0], "line": {"color": "white", "width": 1}},
        showlegend=False,
        customdata=np.stack([edges[:-1], edges[1:], count], axis=1),
        hovertemplate="std %{customdata[0]:.4f} to %{customdata[1]:.4f}<br>%{y:.1%} of groups"
        "<br>%{customdata[2]:,} groups<extra></extra>",
        **RIGHT,
    )
    _add_zero_spread(fig, spread[spread["std"] == 0], n, width)
    ticks = round_ticks(0.0, largest)[1:]
    fig.update_xaxes(
        title="std of total reward within a group",
        tickvals=[-1.5 * width, *ticks],
        ticktext=["= 0", *(f"{t:g}" for t in ticks)],
        range=[-3 * width, largest + width / 2],
        **RIGHT,
    )
    fig.update_yaxes(title="share of groups", tickformat=".0~%", rangemode="tozero", **RIGHT)


def _add_zero_spread(fig: go.Figure, groups: pd.DataFrame, n: int, width: float) -> None:
    """The bar of the groups without spread, and their share as text; `n` is the number of all groups."""
    rate = groups["accuracy"]
    reasons = {"all right": rate == 1, "all wrong": rate == 0, "mixed, equally paid": rate % 1 > 0}
    counts = "".join(f"<br>{reason}: {rows.sum():,}" for reason, rows in reasons.items())
    hover = f"no spread<br>%{{y:.1%}} of groups<br>{len(groups):,} of {n:,}{counts}<extra></extra>"
    pattern = {"shape": "/", "fgcolor": "white", "bgcolor": COLOURS[1], "solidity": 0.2}
    fig.add_bar(
        x=[-1.5 * width],
        y=[len(groups) / n],
        width=2 * width,
        showlegend=False,
        marker={"color": COLOURS[1], "pattern": pattern},
        hovertemplate=hover,
        **RIGHT,
    )
    text = (
        f"{_percent(len(groups), n)} % of groups: no spread, no gradient" if len(groups) else "spread in all"
    )
    fig.add_annotation(
        x=1,
        y=1.02,
        xref="x2 domain",
        yref="y2 domain",
        text=text,
        showarrow=False,
        xanchor="right",
        yanchor="bottom",
        font={"size": 14, "color": COLOURS[1]},
    )


def _percent(part: int, whole: int) -> str:
    """A whole number, but never 0 unless there are none, nor 100 unless these are all."""
    value = 100 * part / whole
    if value in (0, 100) or 1 <= value <= 99:
        return f"{value:.0f}"
    return f"{value:.2g}" if value < 1 else f"{value:.1f}"
