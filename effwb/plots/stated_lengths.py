"""The length used against the length asked for."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from effwb.metrics import clustered_interval
from effwb.plots.style import COLOURS, GREY, SYMBOLS, bars, checked, faint, interval_text, log_tokens

BINS = 12  # asked lengths are pooled into so many bins where more than VALUES were asked for
VALUES = 16


def hint_figure(table, *, title: str = "") -> go.Figure:
    """Length used against length asked for (tokens, both logarithmic), and the accuracy at each, below.

    `table` has a row per rollout: `asked` and `length` in tokens, `correct`. Line: the median used; band: 10
    to 90 % of rollouts; dashed: used = asked. More than 16 different lengths asked for are pooled into 12
    bins, drawn at their median. With a column `problem_id` accuracies have a 95 % interval over problems.
    Raises DataError for a missing column, an empty table, NaN, or lengths that are not positive.
    """
    columns = ("asked", "length", "correct")
    table = checked(table, columns, numbers=columns, positive=("asked", "length"))
    used = _by_asked(table)
    fig = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.66, 0.34], vertical_spacing=0.06)
    _add_used(fig, used)
    _add_hint_accuracy(fig, used)
    fig.update_layout(template="effwb", title=title, height=640, margin={"t": 60 if title else 25})
    fig.update_layout(legend={"x": 0.01, "y": 0.99, "yanchor": "top"})
    fig.update_xaxes(**log_tokens(used["asked"].min(), used["asked"].max()))
    fig.update_xaxes(title="length asked for (tokens)", row=2, col=1)
    ends = used[["asked", "low", "high"]]
    fig.update_yaxes(
        title="length used (tokens)", row=1, col=1, **log_tokens(ends.min().min(), ends.max().max())
    )
    fig.update_yaxes(title="accuracy", rangemode="tozero", row=2, col=1)
    return fig


def _by_asked(table) -> pd.DataFrame:
    """A row per length asked for, or per bin: quantiles of the length used, accuracy, hover text."""
    asked = table["asked"].to_numpy(dtype=float)
    bins = asked
    if len(np.unique(asked)) > VALUES:
        bins = np.digitize(asked, np.geomspace(asked.min(), asked.max(), BINS + 1)[1:-1])
    return pd.DataFrame([_used(rows) for _, rows in table.groupby(bins)])


def _used(rows) -> dict:
    low, median, high = np.quantile(rows["length"], [0.1, 0.5, 0.9])
    asked, accuracy, ends = float(rows["asked"].median()), float(rows["correct"].mean()), (np.nan, np.nan)
    if "problem_id" in rows and rows["problem_id"].nunique() > 1:
        means = rows["correct"].astype(float).groupby(rows["problem_id"]).mean()
        accuracy, *ends = clustered_interval(means.to_numpy()[:, None])
    few, many = rows["asked"].min(), rows["asked"].max()
    head = f"asked for {few:,.0f}" + ("" if few == many else f" to {many:,.0f}") + " tokens"
    off = np.abs(rows["length"] / rows["asked"] - 1).mean()
    over = (rows["length"] > rows["asked"]).mean()
    problems = f", {rows['problem_id'].nunique():,} problems" if "problem_id" in rows else ""
    hover = (
        f"{head}<br>used: median {median:,.0f}, 10-90 % {low:,.0f} to {high:,.0f}, mean "
        f"{rows['length'].mean():,.1f}<br>mean deviation {off:.0%} of asked, {over:.0%} over"
        f"<br>accuracy {accuracy:.3f}{interval_text(tuple(ends), '.3f')}"
        f"<br>n = {len(rows):,} rollouts{problems}"
    )
    interval = dict(zip(("worst", "best"), ends, strict=True))
    return {
        "asked": asked,
        "low": low,
        "median": median,
        "high": high,
        "accuracy": accuracy,
        **interval,
        "hover": hover,
    }


def _add_used(fig, used) -> None:
    at = {"row": 1, "col": 1}
    asked, low, high = (used[c].to_numpy() for c in ("asked", "low", "high"))
    fig.add_scatter(
        x=np.concatenate([asked, asked[::-1]]),
        y=np.concatenate([low, high[::-1]]),
        fill="toself",
        fillcolor=faint(COLOURS[0], 0.18),
        mode="lines",
        line={"width": 0},
        name="10-90 % of rollouts",
        hoverinfo="skip",
        **at,
    )
    ends = [asked.min() / 2, asked.max() * 2]
    line = {"color": GREY, "dash": "dash", "width": 1.5}
    fig.add_scatter(x=ends, y=ends, mode="lines", line=line, name="used = asked", hoverinfo="skip", **at)
    spread = bars(used["median"].tolist(), list(zip(low, high, strict=True)), COLOURS[0])
    _add_hint_line(fig, used, "median", "median used", at, {**spread, "visible": len(used) == 1})


def _add_hint_accuracy(fig, used) -> None:
    spread = bars(used["accuracy"].tolist(), list(zip(used["worst"], used["best"], strict=True)), COLOURS[0])
    _add_hint_line(fig, used, "accuracy", "accuracy", {"row": 2, "col": 1}, spread, showlegend=False)


def _add_hint_line(fig, used, column: str, name: str, at: dict, spread: dict, **more) -> None:
    fig.add_scatter(
        x=used["asked"],
        y=used[column],
        error_y=spread,
        name=name,
        mode="lines+markers",
        line={"color": COLOURS[0], "width": 2},
        marker={"symbol": SYMBOLS[0], "size": 8},
        customdata=used["hover"],
        hovertemplate="%{customdata}<extra></extra>",
        **more,
        **at,
    )
