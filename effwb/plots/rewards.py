"""A reward before it trains: what it pays at which length, and whether a group has anything to learn from."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from effwb.errors import DataError
from effwb.plots.style import COLOURS, DASHES, SYMBOLS, checked, log_tokens, round_ticks

DRAWN = 2000  # rollouts drawn at most; shares and spreads are of all of them
BINS = 20
SAME = 1e-9  # rewards of a group that differ by less are equal: rounding is no signal
KINDS = ("right", "wrong", "truncated")


def reward_figure(table, *, title: str = "") -> go.Figure:
    """Reward against length for right and wrong answers, and the spread of the reward within groups.

    `table` has a row per rollout: `problem_id`, `length` (tokens), `correct`, `finished` (bool) and `total`;
    components `reward/<name>` appear in the hover box. Rollouts of one problem, and of one `step` where
    there is that column, are a group. Left: at most 2,000 rollouts, always the same ones; a rollout that is
    not finished is truncated, whatever its answer. Right: population standard deviation of `total` within
    each group of two or more; groups whose rewards are all equal have no advantage and so no gradient, and
    get a bar of their own. Raises DataError for a missing column, no rows, NaN, or if no group has two
    rollouts.
    """
    columns = ("problem_id", "length", "correct", "finished", "total")
    table = checked(table, columns, numbers=columns[1:], positive=("length",))
    spread = group_spread(table)
    fig = make_subplots(1, 2, column_widths=[0.58, 0.42], horizontal_spacing=0.12)
    _add_rollouts(fig, table)
    _add_spread(fig, spread)
    fig.update_layout(template="effwb", title=title, width=1060, bargap=0)
    fig.update_layout(
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        margin={"t": 100 if title else 70},
    )
    return fig


def group_spread(table) -> pd.DataFrame:
    """A row per group of two or more rollouts: `std` of the total (exactly 0 where all are equal), `n`,
    `accuracy`.
    """
    keys = [c for c in ("step", "problem_id") if c in table]
    groups = table.groupby(keys, sort=False)
    total = groups["total"]
    spread = pd.DataFrame({"std": total.std(ddof=0), "n": total.size(), "accuracy": groups["correct"].mean()})
    spread["std"] = spread["std"].where(total.max() - total.min() > SAME, 0.0)
    spread = spread[spread["n"] > 1]
    if spread.empty:
        raise DataError(f"no group by {keys} has two rollouts; a spread within groups needs them")
    return spread.reset_index()


def shape_figure(table, *, title: str = "") -> go.Figure:
    """A reward as a function of length, a panel per rule and a line per kind of answer.

    `table` has the columns `panel`, `line`, `length` (tokens) and `reward`, in the order to be drawn. Raises
    DataError for a missing column, an empty table, NaN, or a length that is not positive.
    """
    numbers = ("length", "reward")
    table = checked(table, ("panel", "line", *numbers), numbers=numbers, positive=("length",))
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
    axis = log_tokens(table["length"].min(), table["length"].max())
    fig.update_xaxes(title="length (tokens)", **axis)
    fig.update_yaxes(title="reward", row=1, col=1)
    fig.update_layout(template="effwb", title=title, width=1060, height=440)
    margin = {"t": 130 if title else 100}
    return fig.update_layout(
        margin=margin, legend={"orientation": "h", "x": 0, "y": 1.1, "yanchor": "bottom"}
    )


# ------------------------------------------------------------------------------------------- left panel
def _add_rollouts(fig, table) -> None:
    right, finished = table["correct"].astype(bool), table["finished"].astype(bool)
    kind = np.select([~finished, right], ["truncated", "right"], "wrong")
    some = table.assign(kind=kind)
    some = some if len(some) <= DRAWN else some.sample(DRAWN, random_state=0)
    for i, name in enumerate(KINDS):
        legend = f"{name} ({(kind == name).mean():.0%})"
        _add_kind(fig, some[some["kind"] == name], legend, name, COLOURS[i], SYMBOLS[i])
    few = "" if len(table) <= DRAWN else f", {DRAWN:,} of {len(table):,} rollouts"
    axis = log_tokens(float(table["length"].min()), float(table["length"].max()))
    fig.update_xaxes(title=f"response length (tokens{few})", row=1, col=1, **axis)
    fig.update_yaxes(title="total reward", row=1, col=1)


def _add_kind(fig, rows, legend: str, kind: str, colour: str, symbol: str) -> None:
    fig.add_scatter(
        x=rows["length"],
        y=rows["total"],
        name=legend,
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 7, "opacity": 0.55},
        customdata=_hover(rows),
        hovertemplate=f"{kind}<br>%{{x:,}} tokens<br>total %{{y:.4f}}%{{customdata}}<extra></extra>",
        row=1,
        col=1,
    )


def _hover(rows) -> list[str]:
    """Components, and of which problem; on a truncated rollout also what its answer was."""
    parts = [c for c in rows.columns if c.startswith("reward/")]
    lines = []
    for row in rows.to_dict("records"):
        answer = "" if row["finished"] else f"<br>its answer: {'right' if row['correct'] else 'wrong'}"
        paid = "".join(f"<br>{c.removeprefix('reward/')} {row[c]:+.4f}" for c in parts)
        step = f", step {row['step']}" if "step" in row else ""
        lines.append(f"{paid}{answer}<br>{row['problem_id']}{step}")
    return lines


# ------------------------------------------------------------------------------------------ right panel
def _add_spread(fig, spread) -> None:
    """Bars in equal bins, and left of them, set apart and hatched, the groups without any spread."""
    std, n = spread["std"].to_numpy(), len(spread)
    high = float(std.max()) or 1.0
    width = high / BINS
    count, edges = np.histogram(std[std > 0], BINS, range=(0, high))
    bar = {"width": width, "marker": {"color": COLOURS[0], "line": {"color": "white", "width": 1}}}
    fig.add_bar(
        x=edges[:-1] + width / 2,
        y=count / n,
        showlegend=False,
        customdata=np.stack([edges[:-1], edges[1:], count], axis=1),
        hovertemplate="std %{customdata[0]:.4f} to %{customdata[1]:.4f}<br>%{y:.1%} of groups"
        "<br>%{customdata[2]:,} groups<extra></extra>",
        **bar,
        row=1,
        col=2,
    )
    _add_dead(fig, spread[spread["std"] == 0], n, width)
    _spread_axes(fig, high, width)


def _add_dead(fig, dead, n: int, width: float) -> None:
    share, accuracy = len(dead) / n, dead["accuracy"]
    why = (
        ("all right", accuracy == 1),
        ("all wrong", accuracy == 0),
        ("mixed, equally paid", accuracy % 1 > 0),
    )
    hover = "".join(f"<br>{name}: {chosen.sum():,}" for name, chosen in why)
    fig.add_bar(
        x=[-1.5 * width],
        y=[share],
        width=2 * width,
        showlegend=False,
        marker={
            "color": COLOURS[1],
            "pattern": {"shape": "/", "fgcolor": "white", "bgcolor": COLOURS[1], "solidity": 0.2},
        },
        hovertemplate=f"no spread<br>%{{y:.1%}} of groups<br>{len(dead):,} of {n:,}{hover}<extra></extra>",
        row=1,
        col=2,
    )
    fig.add_annotation(
        x=1,
        y=1.02,
        xref="x2 domain",
        yref="y2 domain",
        text=f"{_percent(len(dead), n)} % of groups: no spread, no gradient"
        if len(dead)
        else "spread in all",
        showarrow=False,
        xanchor="right",
        yanchor="bottom",
        font={"size": 14, "color": COLOURS[1]},
    )


def _percent(part: int, whole: int) -> str:
    """A whole number, but never 0 for some or 100 for not all."""
    value = 100 * part / whole
    return (
        f"{value:.0f}"
        if value in (0, 100) or 1 <= value <= 99
        else f"{value:.2g}"
        if value < 1
        else f"{value:.1f}"
    )


def _spread_axes(fig, high: float, width: float) -> None:
    ticks = round_ticks(0.0, high)[1:]
    at = {"row": 1, "col": 2}
    fig.update_xaxes(
        title="std of total reward within a group",
        tickvals=[-1.5 * width, *ticks],
        ticktext=["= 0", *(f"{t:g}" for t in ticks)],
        range=[-3 * width, high + width / 2],
        **at,
    )
    fig.update_yaxes(title="share of groups", tickformat=".0~%", rangemode="tozero", **at)
