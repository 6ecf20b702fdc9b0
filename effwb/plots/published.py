"""Figures of published numbers: quadrature errors, the budgets of the oracle, REG against accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from effwb.plots.legends import legend_below
from effwb.plots.style import (
    DASHES,
    GREY,
    LineStyle,
    check_table,
    darker,
    line_styles,
    powers_of_two,
    token_label,
)


def quadrature_figure(table: pd.DataFrame, *, title: str = "") -> go.Figure:
    """Draw the size of the quadrature error against the number of budgets N.

    There is one panel per model and one line per scheme. The grey area is the paper's limit of 1 % (arXiv
    2506.07104). The hover box shows the error with its sign.

    Args:
        table: Columns `model`, `scheme`, `n` (number of budgets) and `error_pct` (error in % of the area).
        title: Title of the figure.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: The table is empty or lacks a column.

    Example:
        >>> import pandas as pd
        >>> from effwb import plots
        >>> errors = pd.DataFrame({"scheme": "exponential", "n": [3, 5], "error_pct": [-3.0, 0.4]})
        >>> fig = plots.quadrature_figure(errors.assign(model="qwen3-8b"))
    """
    table = check_table(table, ("model", "scheme", "n", "error_pct"))
    models, schemes = list(dict.fromkeys(table["model"])), list(dict.fromkeys(table["scheme"]))
    rows = (len(models) + 1) // 2
    shared = {"shared_xaxes": "all", "shared_yaxes": "all"}
    fig = make_subplots(rows, min(2, len(models)), subplot_titles=models, vertical_spacing=0.12, **shared)
    styles = line_styles(schemes)
    for m, model in enumerate(models):
        panel: dict[str, Any] = {"row": m // 2 + 1, "col": m % 2 + 1}
        for scheme in schemes:
            part = table[(table["model"] == model) & (table["scheme"] == scheme)]
            fig.add_scatter(
                x=part["n"],
                y=part["error_pct"].abs(),
                customdata=part["error_pct"],
                name=scheme,
                legendgroup=scheme,
                showlegend=m == 0,
                mode="lines+markers",
                line={"color": styles[scheme].colour, "dash": styles[scheme].dash},
                marker={"symbol": styles[scheme].symbol, "size": 8},
                hovertemplate=f"{model}<br>{scheme}<br>N = %{{x}}<br>%{{customdata:+.3f}} %<extra></extra>",
                **panel,
            )
        fig.add_hrect(0.001, 1, fillcolor="#D9D9D9", opacity=0.5, line_width=0, layer="below", **panel)
        fig.update_yaxes(title="|error| (% of area)" if m % 2 == 0 else None, **panel)
        fig.update_yaxes(type="log", range=[-2, 1.75], tickvals=[0.01, 0.1, 1, 10], **panel)
        fig.update_xaxes(title="number of budgets N" if m // 2 == rows - 1 else None, dtick=2, **panel)
    fig.update_layout(template="effwb", title=title, height=120 + 330 * rows, margin={"t": 90})
    return legend_below(fig)


def oracle_figure(
    picks: Mapping[str, np.ndarray], rules: Mapping[str, np.ndarray], *, title: str = ""
) -> go.Figure:
    """Draw token budgets in increasing order, on a log axis: the oracle's as markers, fixed rules as lines.

    An exponential rule is a straight line in this figure. The hover box of a marker shows the step at which
    the greedy oracle chose the budget.

    Args:
        picks: The oracle's budgets (N,) in tokens, in the order chosen, by model.
        rules: The budgets (N,) of each fixed rule in tokens, by name.
        title: Title of the figure.

    Returns:
        plotly.graph_objects.Figure

    Example:
        >>> from effwb import Frontier, budgets, plots
        >>> picks = {"qwen3-8b": budgets.oracle(Frontier.published("qwen3-8b"), 5, 16384)}
        >>> fig = plots.oracle_figure(picks, {"exponential": budgets.exponential(5, 512, 16384)})
    """
    fig = go.Figure()
    for i, (name, budgets) in enumerate(rules.items()):
        fig.add_scatter(
            x=np.arange(1, len(budgets) + 1),
            y=np.sort(budgets),
            name=name,
            mode="lines",
            line={"color": GREY, "dash": DASHES[i % len(DASHES)]},
            hovertemplate=f"{name}<br>budget %{{y:,}}<extra></extra>",
        )
    styles = line_styles(picks)
    for i, (name, budgets) in enumerate(picks.items()):
        order = np.argsort(budgets)
        shift = 0.06 * (i - (len(picks) - 1) / 2)  # models often pick the same budget
        outline = {"width": 1, "color": "white"}
        fig.add_scatter(
            x=np.arange(1, len(budgets) + 1) + shift,
            y=np.asarray(budgets)[order],
            name=f"oracle, {name}",
            mode="markers",
            marker={"color": styles[name].colour, "symbol": styles[name].symbol, "size": 11, "line": outline},
            customdata=order + 1,
            hovertemplate=f"{name}<br>budget %{{y:,}}<br>chosen at step %{{customdata}}<extra></extra>",
        )
    values = np.concatenate([np.asarray(v) for v in (*picks.values(), *rules.values())])
    ticks = powers_of_two(values.min(), values.max())
    labels = [token_label(t) for t in ticks]
    fig.update_layout(template="effwb", title=title)
    fig.update_xaxes(title="budget, in increasing order", dtick=1)
    fig.update_yaxes(title="budget (tokens)", type="log", tickvals=ticks, ticktext=labels)
    return legend_below(fig)


def reg_figure(table: pd.DataFrame, *, labels: tuple[str, ...] = (), title: str = "") -> go.Figure:
    """Draw REG against final accuracy, a marker per method: neither should be read without the other.

    Each model has its own panel and axes, because REG values of different frontiers cannot be compared.
    Better is down and to the right.

    Args:
        table: Columns `model`, `method`, `accuracy` (percent), `reg` (accuracy x tokens) and `length` (mean
            response, tokens).
        labels: Methods in their own colour, with their name beside the marker; all others are grey.
        title: Title of the figure.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: The table is empty or lacks a column.

    Example:
        >>> from effwb import plots
        >>> from effwb.analysis.published import published_reg_table
        >>> fig = plots.reg_figure(published_reg_table().query("benchmark == 'average'"))
    """
    table = check_table(table, ("model", "method", "accuracy", "reg", "length"))
    models, styles = list(dict.fromkeys(table["model"])), line_styles(labels)
    rows = (len(models) + 1) // 2
    fig = make_subplots(rows, min(2, len(models)), subplot_titles=models, horizontal_spacing=0.14)
    for m, model in enumerate(models):
        middle = table.loc[table["model"] == model, "accuracy"].agg(["min", "max"]).mean()
        for labelled in (False, True):  # labelled ones last, so that they lie on top
            part = table[(table["model"] == model) & (table["method"].isin(labels) == labelled)]
            drawn = [styles.get(method, LineStyle(GREY, "circle")) for method in part["method"]]
            marker = {"color": [s.colour for s in drawn], "symbol": [s.symbol for s in drawn], "size": 10}
            fig.add_scatter(
                x=part["accuracy"],
                y=part["reg"],
                mode="markers+text" if labelled else "markers",
                marker={**marker, "opacity": 1.0 if labelled else 0.6},
                text=part["method"] if labelled else None,
                textposition=np.where(part["accuracy"] < middle, "middle right", "middle left"),
                textfont={"size": 13, "color": [darker(s.colour) for s in drawn]},
                cliponaxis=False,
                showlegend=False,
                customdata=part[["method", "length"]],
                hovertemplate=f"{model}<br>%{{customdata[0]}}<br>accuracy %{{x:.1f}} %<br>REG %{{y:,.1f}}"
                "<br>mean response %{customdata[1]:,.1f} tokens<extra></extra>",
                row=m // 2 + 1,
                col=m % 2 + 1,
            )
    fig.update_layout(template="effwb", title=title, height=120 + 330 * rows, margin={"t": 90})
    fig.update_xaxes(title="final accuracy (%)")
    fig.update_yaxes(rangemode="tozero", tickformat=",d")
    return fig.update_yaxes(title="REG (accuracy x tokens)", col=1)
