"""Figures: curves or DataFrames in, `go.Figure` out. Nothing here computes a result or shows a window.

Token axes are logarithmic by default, with ticks at powers of two. Budget 0, accuracy without thinking, has
no place on such an axis: it is drawn left of the first tick, behind a break in the axis, and joined by a
dotted line.
"""

from collections.abc import Collection

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
from plotly.subplots import make_subplots

from effwb.curves import BudgetCurve, Curve
from effwb.errors import DataError, one_of
from effwb.frontier import Frontier, reg

# Okabe and Ito's colours without yellow, which is lost on white; distinct for all common colour blindness
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")  # so that grey prints work
GREY = "#595959"
AXES = ("log", "linear")


def _template() -> go.layout.Template:
    axis = {
        "showline": True,
        "linecolor": "black",
        "ticks": "outside",
        "gridcolor": "#E6E6E6",
        "zeroline": False,
        "title": {"standoff": 12},
        "automargin": True,
    }
    return go.layout.Template(
        layout={
            "colorway": COLOURS,
            "font": {"family": "Arial, Helvetica, sans-serif", "size": 16, "color": "black"},
            "title": {"x": 0.0, "xref": "paper", "font": {"size": 18}},
            "paper_bgcolor": "white",
            "plot_bgcolor": "white",
            "xaxis": axis,
            "yaxis": axis,
            "legend": {"bgcolor": "rgba(255,255,255,0.8)", "font": {"size": 14}},
            "margin": {"l": 70, "r": 25, "t": 60, "b": 65},
            "width": 860,
            "height": 520,
            "hoverlabel": {"font": {"size": 14}},
        }
    )


pio.templates["effwb"] = _template()


def frontier_figure(
    frontiers: dict[str, Frontier], *, l_max: float | None = None, title: str = "", axis: str = "log"
) -> go.Figure:
    """Best known accuracy against token budget, one line a frontier; hover names the owner where it is
    known.
    """
    fig, zero = _budget_figure(frontiers, title, axis, l_max)
    for i, (name, frontier) in enumerate(frontiers.items()):
        text = (
            [f"<br>from {owner}" for owner in frontier.owner]
            if frontier.owner
            else [""] * frontier.budgets.size
        )
        _add_line(fig, name, frontier, zero, text, COLOURS[i % len(COLOURS)], SYMBOLS[i % len(SYMBOLS)])
    return fig


def curve_figure(
    curves: dict[str, BudgetCurve],
    frontier: Curve | None = None,
    *,
    l_max: float | None = None,
    level: float = 0.95,
    shade: str | None = None,
    bands: Collection[str] | None = None,
    title: str = "",
    axis: str = "log",
) -> go.Figure:
    """Accuracy-budget curves with clustered interval bands, and the frontier in black where one is given.

    `bands` names the curves whose band is drawn (default: all); the hover box shows every interval.
    `shade` names the curve whose gap to the frontier is filled; its legend entry gives REG up to the end of
    the grid (or l_max). On a logarithmic axis the filled area is not proportional to REG: use axis="linear"
    for that.
    """
    everything = {**curves, **({} if frontier is None else {"frontier": frontier})}
    fig, zero = _budget_figure(everything, title, axis, l_max)
    if shade is not None:
        one_of("shade", shade, curves)
        if frontier is None:
            raise DataError(f"shade={shade!r} needs a frontier to shade up to")
        _add_gap(fig, curves[shade], frontier, zero, l_max)
    for i, (name, curve) in enumerate(curves.items()):
        colour, symbol = COLOURS[i % len(COLOURS)], SYMBOLS[i % len(SYMBOLS)]
        band = None if curve.per_problem is None else curve.interval(level)
        if band is not None and len(curve.per_problem) > 1 and (bands is None or name in bands):
            _add_band(fig, name, curve, band, zero, colour)
        _add_line(fig, name, curve, zero, _curve_hover(curve, band, level), colour, symbol)
    if frontier is not None:
        text = [f"<br>from {owner}" for owner in getattr(frontier, "owner", None) or []] or [
            ""
        ] * frontier.budgets.size
        _add_line(fig, "frontier", frontier, zero, text, "black", None, dash="dash")
    return fig


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
            fillcolor=_faint(colour, 0.25),
            hovertemplate=f"{name}<br>about %{{x:,.0f}} tokens<br>%{{y:.1%}} of rollouts<extra></extra>",
        )
        if chosen.any():
            _add_mean(fig, float(length[chosen].mean()), name, colour, axis)
    fig.update_layout(template="effwb", title=title, legend={"x": 0.01, "y": 0.99})
    fig.update_yaxes(title="share of rollouts in bin", rangemode="tozero", tickformat=".1~%")
    _token_axis(fig, [low, high], axis, has_zero=False, title="response length (tokens)")
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
    ticks = _powers(values.min(), values.max())
    fig.update_layout(template="effwb", title=title)
    fig.update_xaxes(title="budget, in increasing order", dtick=1)
    fig.update_yaxes(title="budget (tokens)", type="log", tickvals=ticks, ticktext=[_label(t) for t in ticks])
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
def _budget_figure(
    curves: dict, title: str, axis: str, l_max: float | None
) -> tuple[go.Figure, float | None]:
    """An empty accuracy-budget figure and the x position of budget 0."""
    one_of("axis", axis, AXES)
    if not curves:
        raise DataError("no curves to draw")
    budgets = np.unique(np.concatenate([c.budgets for c in curves.values()]))
    budgets = budgets if l_max is None else budgets[budgets <= l_max]
    fig = go.Figure().update_layout(template="effwb", title=title)
    x, y = ("left", "top") if axis == "log" else ("right", "bottom")  # where rising curves leave room
    fig.update_layout(legend={"x": 0.01 if x == "left" else 0.99, "xanchor": x, "yanchor": y})
    fig.update_layout(legend={"y": 0.99 if y == "top" else 0.02}, margin={"t": 60 if title else 25})
    fig.update_yaxes(
        title="accuracy", rangemode="tozero", tickformat=".1f", range=[0, _top(curves, budgets[-1])]
    )
    zero = _token_axis(
        fig, budgets[budgets > 0], axis, has_zero=budgets[0] == 0, title="token budget (tokens)"
    )
    return fig, zero


def _top(curves: dict, last: float) -> float:
    return min(1.02, 1.12 * max(c.accuracy[c.budgets <= last].max() for c in curves.values()) + 0.01)


def _token_axis(fig: go.Figure, budgets, axis: str, *, has_zero: bool, title: str) -> float:
    """Set up the token axis and return where budget 0 goes: 0 itself, or half the first budget on a log
    axis.
    """
    low, high = float(budgets[0]), float(budgets[-1])
    ticks = _powers(low, high)
    if axis == "linear":
        fig.update_xaxes(title=title, range=[0, high * 1.01], tickformat=",d")
        return 0.0
    zero, labels = low / 2, [_label(t) for t in ticks]
    if has_zero:
        ticks, labels = [zero, *ticks], ["0", *labels]
        fig.add_annotation(
            x=np.log10(zero * 2**0.5),
            y=0,
            yref="paper",
            text="//",
            showarrow=False,
            bgcolor="white",
            yanchor="middle",
        )
    start = np.log10((zero if has_zero else low) / 1.25)
    fig.update_xaxes(
        title=title, type="log", tickvals=ticks, ticktext=labels, range=[start, np.log10(high * 1.15)]
    )
    return zero


def _powers(low: float, high: float) -> list[int]:
    return [2**i for i in range(int(np.ceil(np.log2(low))), int(np.floor(np.log2(high))) + 1)]


def _label(tokens: int) -> str:
    return f"{tokens // 1024}k" if tokens >= 1024 else str(tokens)


def _positions(budgets: np.ndarray, zero: float) -> np.ndarray:
    return np.where(budgets == 0, zero, budgets).astype(float)


def _add_line(
    fig, name: str, curve: Curve, zero: float, text: list[str], colour: str, symbol, dash="solid"
) -> None:
    """The curve, and on a broken axis a dotted stretch from budget 0 to the first budget."""
    x, cut = _positions(curve.budgets, zero), int(curve.budgets[0] == 0 and zero > 0)
    hover = f"{name}<br>budget %{{customdata[0]:,}}<br>accuracy %{{y:.3f}}%{{customdata[1]}}<extra></extra>"
    shared = {"legendgroup": name, "hovertemplate": hover}
    custom = np.array([curve.budgets.astype(object), text]).T
    marker = {"symbol": symbol or "circle", "size": 7}
    fig.add_scatter(
        x=x[cut:],
        y=curve.accuracy[cut:],
        name=name,
        customdata=custom[cut:],
        mode="lines+markers" if symbol else "lines",
        line={"color": colour, "width": 2, "dash": dash},
        marker=marker,
        **shared,
    )
    if cut:
        fig.add_scatter(
            x=x[:2],
            y=curve.accuracy[:2],
            customdata=custom[:2],
            mode="lines+markers" if symbol else "lines",
            line={"color": colour, "width": 1.5, "dash": "dot"},
            marker=marker,
            showlegend=False,
            **shared,
        )


def _add_band(fig, name: str, curve: Curve, band: tuple, zero: float, colour: str) -> None:
    x = _positions(curve.budgets, zero)
    fig.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([band[0], band[1][::-1]]),
        fill="toself",
        fillcolor=_faint(colour, 0.18),
        line={"width": 0},
        mode="lines",
        legendgroup=name,
        showlegend=False,
        hoverinfo="skip",
    )


def _add_gap(fig, curve: Curve, frontier: Curve, zero: float, l_max: float | None) -> None:
    end = float(min(curve.budgets[-1], frontier.budgets[-1]) if l_max is None else l_max)
    value = reg(frontier, curve, end)
    sides = []
    for c in (frontier, curve):
        keep = c.budgets < end
        x, y = np.append(_positions(c.budgets[keep], zero), end), np.append(c.accuracy[keep], c.at(end))
        sides.append((x, y))
    fig.add_scatter(
        x=np.concatenate([sides[0][0], sides[1][0][::-1]]),
        y=np.concatenate([sides[0][1], sides[1][1][::-1]]),
        fill="toself",
        fillcolor="rgba(120,120,120,0.22)",
        line={"width": 0},
        mode="lines",
        name=f"gap to the frontier: REG {value:,.1f}",
        hoverinfo="skip",
    )


def _curve_hover(curve: BudgetCurve, band, level: float) -> list[str]:
    """What the hover box adds to model, budget and accuracy: interval, mean tokens, n."""
    tail = "" if curve.mean_tokens is None else f"<br>mean response {curve.mean_tokens:,.1f} tokens"
    if curve.per_problem is not None:
        tail += f"<br>n = {len(curve.per_problem)} problems"
    if curve.n_samples is not None:
        few, many = int(np.min(curve.n_samples)), int(np.max(curve.n_samples))
        tail += f" x {few}" + ("" if few == many else f" to {many}") + " samples"
    if band is None:
        return [tail] * curve.budgets.size
    return [f" [{a:.3f}, {b:.3f}] ({level:.0%}){tail}" for a, b in zip(*band, strict=True)]


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


def _faint(colour: str, alpha: float) -> str:
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{alpha})"
