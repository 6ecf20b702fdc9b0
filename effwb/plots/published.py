"""Figures of published numbers: quadrature errors, the oracle's budgets, REG against accuracy."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from effwb.plots.style import COLOURS, GREY, SYMBOLS, label, powers


def quadrature_figure(table, *, title: str = "") -> go.Figure:
    """Size of the quadrature error (%) against the number of budgets N, a panel per model, a line per scheme.

    `table` has the columns model, scheme, n, error_pct; grey: within the paper's 1 %. Hover has the sign.
    """
    models, schemes = list(dict.fromkeys(table["model"])), list(dict.fromkeys(table["scheme"]))
    rows = (len(models) + 1) // 2
    fig = make_subplots(
        rows,
        min(2, len(models)),
        subplot_titles=models,
        shared_yaxes="all",
        shared_xaxes="all",
        vertical_spacing=0.12,
    )
    for m, model in enumerate(models):
        at = {"row": m // 2 + 1, "col": m % 2 + 1}
        for s, scheme in enumerate(schemes):
            part = table[(table["model"] == model) & (table["scheme"] == scheme)]
            fig.add_scatter(
                x=part["n"],
                y=part["error_pct"].abs(),
                customdata=part["error_pct"],
                name=scheme,
                legendgroup=scheme,
                showlegend=m == 0,
                mode="lines+markers",
                line={"color": COLOURS[s]},
                marker={"symbol": SYMBOLS[s], "size": 8},
                hovertemplate=f"{model}<br>{scheme}<br>N = %{{x}}<br>%{{customdata:+.3f}} %<extra></extra>",
                **at,
            )
        fig.add_hrect(0.001, 1, fillcolor="#D9D9D9", opacity=0.5, line_width=0, layer="below", **at)
        fig.update_yaxes(title="|error| (% of area)" if m % 2 == 0 else None, **at)
        fig.update_yaxes(type="log", range=[-2, 1.75], tickvals=[0.01, 0.1, 1, 10], **at)
        fig.update_xaxes(title="number of budgets N" if m // 2 == rows - 1 else None, dtick=2, **at)
    fig.update_layout(template="effwb", title=title, height=120 + 330 * rows)
    fig.update_layout(
        legend={"orientation": "h", "y": -0.13, "yanchor": "top", "x": 0}, margin={"b": 110, "t": 90}
    )
    return fig


def oracle_figure(
    picks: dict[str, np.ndarray], rules: dict[str, np.ndarray], *, title: str = ""
) -> go.Figure:
    """Budgets in increasing order, log scale: the oracle's `picks` by model as markers, closed `rules` as
    lines.

    An exponential rule is a straight line here. Hover gives the step at which the greedy oracle chose a
    budget.
    """
    fig = go.Figure()
    for i, (name, budgets) in enumerate(rules.items()):
        dash = ("solid", "dash", "dot", "dashdot")[i % 4]
        fig.add_scatter(
            x=np.arange(1, len(budgets) + 1),
            y=np.sort(budgets),
            name=name,
            mode="lines",
            line={"color": GREY, "dash": dash},
            hovertemplate=f"{name}<br>budget %{{y:,}}<extra></extra>",
        )
    for i, (name, budgets) in enumerate(picks.items()):
        order = np.argsort(budgets)
        shift = 0.06 * (i - (len(picks) - 1) / 2)  # models often pick the same budget
        fig.add_scatter(
            x=np.arange(1, len(budgets) + 1) + shift,
            y=np.asarray(budgets)[order],
            name=f"oracle, {name}",
            mode="markers",
            marker={
                "color": COLOURS[i],
                "symbol": SYMBOLS[i],
                "size": 11,
                "line": {"width": 1, "color": "white"},
            },
            customdata=order + 1,
            hovertemplate=f"{name}<br>budget %{{y:,}}<br>chosen at step %{{customdata}}<extra></extra>",
        )
    values = np.concatenate([np.asarray(v) for v in (*picks.values(), *rules.values())])
    ticks = powers(values.min(), values.max())
    fig.update_layout(template="effwb", title=title)
    fig.update_xaxes(title="budget, in increasing order", dtick=1)
    fig.update_yaxes(title="budget (tokens)", type="log", tickvals=ticks, ticktext=[label(t) for t in ticks])
    return fig


def reg_figure(table, *, labels: tuple[str, ...] = (), title: str = "") -> go.Figure:
    """REG against final accuracy, a marker per method: neither is read without the other.

    `table` has the columns model, method, accuracy (percent), reg and length (tokens); `labels` are methods
    to be named beside their marker. Each model has its panel and axes, because REG values of different
    frontiers do not compare. Better is down and to the right.
    """
    models = list(dict.fromkeys(table["model"]))
    rows = (len(models) + 1) // 2
    fig = make_subplots(rows, min(2, len(models)), subplot_titles=models, horizontal_spacing=0.14)
    for m, model in enumerate(models):
        middle = table.loc[table["model"] == model, "accuracy"].agg(["min", "max"]).mean()
        for named in (False, True):  # named ones last, so that they lie on top
            part = table[(table["model"] == model) & (table["method"].isin(labels) == named)]
            fig.add_scatter(
                x=part["accuracy"],
                y=part["reg"],
                mode="markers+text" if named else "markers",
                marker={"color": COLOURS[named], "symbol": SYMBOLS[named], "size": 10, "opacity": 0.85},
                text=part["method"] if named else None,
                textposition=np.where(part["accuracy"] < middle, "middle right", "middle left"),
                textfont={"size": 13, "color": COLOURS[1]},
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
    fig.update_yaxes(title="REG (accuracy x tokens)", col=1)
    return fig


# --------------------------------------------------------------------------------------------- helpers
