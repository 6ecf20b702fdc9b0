"""The length that a model uses against the length that its prompt asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from effwb.metrics import clustered_interval
from effwb.plots.legends import add_note, legend_below
from effwb.plots.style import (
    COLOURS,
    GREY,
    SYMBOLS,
    check_table,
    error_bars,
    interval_text,
    log_token_axis,
    with_alpha,
)

MAX_LENGTHS = 16  # more different lengths in the prompts than this are pooled ...
BINS = 12  # ... into this many bins


def hint_figure(table: pd.DataFrame, *, title: str = "") -> go.Figure:
    """Draw the length used against the length asked for, and below it the accuracy at each length.

    Line: the median length used. Band: 10 to 90 % of the rollouts. Dashed line: used = asked. More than 16
    different lengths are pooled into 12 bins, drawn at their median.

    Args:
        table: One row per rollout. Columns: `asked` (tokens that the prompt asks for), `length` (tokens
            used), `correct` (bool; a truncated rollout is not correct, see `effwb.rollouts.solved`). With the
            optional column `problem_id`, accuracies have 95 % intervals over problems.
        title: Title of the figure.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: The table is empty, lacks a column, holds NaN, or holds a length that is not positive.

    Example:
        >>> import pandas as pd
        >>> from effwb import plots
        >>> table = pd.DataFrame({"asked": [64, 64, 128], "length": [60, 70, 131], "correct": [1, 0, 1]})
        >>> fig = plots.hint_figure(table)
    """
    columns = ("asked", "length", "correct")
    table = check_table(table, columns, numbers=columns, positive=("asked", "length"))
    bins = target = table["asked"].to_numpy(dtype=float)
    if len(np.unique(target)) > MAX_LENGTHS:
        bins = np.digitize(target, np.geomspace(target.min(), target.max(), BINS + 1)[1:-1])
    summary = pd.DataFrame([_summary(rows) for _, rows in table.groupby(bins)])
    fig = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.66, 0.34], vertical_spacing=0.06)
    _add_lengths(fig, summary)
    intervals = list(zip(summary["accuracy low"], summary["accuracy high"], strict=True))
    spread = error_bars(summary["accuracy"].tolist(), intervals, COLOURS[0])
    accuracy: dict[str, Any] = {"y": summary["accuracy"], "name": "accuracy", "showlegend": False}
    fig.add_scatter(error_y=spread, row=2, col=1, **accuracy, **_line(summary))
    fig.update_layout(template="effwb", title=title, height=640, margin={"t": 60 if title else 25})
    fig.update_xaxes(**log_token_axis(summary["asked"].min(), summary["asked"].max()))
    fig.update_xaxes(title="length asked for (tokens)", row=2, col=1)
    ends = summary[["asked", "low", "high"]]
    y_axis = log_token_axis(ends.min().min(), ends.max().max())
    fig.update_yaxes(title="length used (tokens)", row=1, col=1, **y_axis)
    fig.update_yaxes(title="accuracy", rangemode="tozero", row=2, col=1)
    add_note(fig, "bars: 95 % intervals over problems" if "problem_id" in table else "")
    return legend_below(fig)


def _summary(rows: pd.DataFrame) -> dict[str, Any]:
    """Of one length asked for, or one bin: quantiles of the length used, accuracy, hover text."""
    low, median, high = np.quantile(rows["length"], [0.1, 0.5, 0.9])
    accuracy, interval = float(rows["correct"].mean()), (np.nan, np.nan)
    if "problem_id" in rows and rows["problem_id"].nunique() > 1:
        means = rows["correct"].astype(float).groupby(rows["problem_id"]).mean()
        mean, lower, upper = clustered_interval(means.to_numpy()[:, None])
        accuracy, interval = float(mean), (float(lower), float(upper))
    shortest, longest = rows["asked"].min(), rows["asked"].max()
    target = f"{shortest:,.0f}" + ("" if shortest == longest else f" to {longest:,.0f}")
    deviation = np.abs(rows["length"] / rows["asked"] - 1).mean()
    share_over = (rows["length"] > rows["asked"]).mean()
    problems = f", {rows['problem_id'].nunique():,} problems" if "problem_id" in rows else ""
    hover = (
        f"asked for {target} tokens<br>used: median {median:,.0f}, 10-90 % {low:,.0f} to {high:,.0f}, mean "
        f"{rows['length'].mean():,.1f}<br>mean deviation {deviation:.0%} of asked, {share_over:.0%} over"
        f"<br>accuracy {accuracy:.3f}{interval_text(interval, '.3f')}"
        f"<br>n = {len(rows):,} rollouts{problems}"
    )
    return {
        "asked": float(rows["asked"].median()),
        "low": low,
        "median": median,
        "high": high,
        "accuracy": accuracy,
        "accuracy low": interval[0],
        "accuracy high": interval[1],
        "hover": hover,
    }


def _add_lengths(fig: go.Figure, summary: pd.DataFrame) -> None:
    panel: dict[str, Any] = {"row": 1, "col": 1}
    target, low, high = (summary[c].to_numpy() for c in ("asked", "low", "high"))
    fig.add_scatter(
        x=np.concatenate([target, target[::-1]]),
        y=np.concatenate([low, high[::-1]]),
        fill="toself",
        fillcolor=with_alpha(COLOURS[0], 0.18),
        mode="lines",
        line={"width": 0},
        name="10-90 % of rollouts",
        hoverinfo="skip",
        **panel,
    )
    ends = [target.min() / 2, target.max() * 2]
    line = {"color": GREY, "dash": "dash", "width": 1.5}
    fig.add_scatter(x=ends, y=ends, mode="lines", line=line, name="used = asked", hoverinfo="skip", **panel)
    spread = error_bars(summary["median"].tolist(), list(zip(low, high, strict=True)), COLOURS[0])
    spread["visible"] = len(summary) == 1  # the band of a single length has no width
    fig.add_scatter(y=summary["median"], error_y=spread, name="median used", **_line(summary), **panel)


def _line(summary: pd.DataFrame) -> dict[str, Any]:
    """What the lines of both panels share."""
    return {
        "x": summary["asked"],
        "mode": "lines+markers",
        "line": {"color": COLOURS[0], "width": 2},
        "marker": {"symbol": SYMBOLS[0], "size": 8},
        "customdata": summary["hover"],
        "hovertemplate": "%{customdata}<extra></extra>",
    }
