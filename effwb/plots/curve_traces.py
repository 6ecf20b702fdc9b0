"""What the figures over token budgets share: axes, curves with their bands, and the gap to the frontier."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from effwb._internal.benchmarks import AVERAGE, POOLED
from effwb.curves import BudgetCurve, Curve
from effwb.errors import DataError, one_of
from effwb.frontier import reg, reg_interval
from effwb.plots.legends import legend_below
from effwb.plots.style import AXES, LineStyle, interval_text, token_axis, with_alpha
from effwb.plots.token_axes import STUB, TokenAxis, add_inset, add_switch, stub_dash

BAND = 0.18  # opacity of a band


def budget_figure(curves: Mapping[str, Curve], axis: str, l_max: float | None) -> tuple[go.Figure, TokenAxis]:
    """An empty accuracy-budget figure, and the range of its token axis."""
    one_of("axis", axis, AXES)
    if not curves:
        raise DataError("no curves to draw")
    budgets = np.unique(np.concatenate([c.budgets for c in curves.values()]))
    budgets = budgets if l_max is None else budgets[budgets <= l_max]
    fig = go.Figure().update_layout(template="effwb")
    fig.update_yaxes(title=_accuracy_title(curves), rangemode="tozero", tickformat=".1f")
    snaps = [getattr(c, "snap", None) for c in curves.values()]
    blocks = ", ".join(str(snap) for snap in sorted({snap for snap in snaps if snap}))
    note = f", {'' if all(snaps) else 'some '}cut down to blocks of {blocks}" if blocks else ""
    x_title, has_zero = f"token budget (tokens{note})", bool(budgets[0] == 0)
    positive = budgets[budgets > 0]
    token_axis(fig, positive, axis, has_zero=has_zero, title=x_title)
    return fig, TokenAxis(float(positive[0]), float(positive[-1]), has_zero)


def _accuracy_title(curves: Mapping[str, Curve]) -> str:
    """The title of the accuracy axis, with how several benchmarks are weighted if all curves agree."""
    kinds = {(curve.benchmark, curve.benchmarks) for curve in curves.values() if curve.benchmarks}
    if len(kinds) != 1:
        return "accuracy"
    benchmark, names = kinds.pop()
    listed = " and ".join(names) if len(names) == 2 else f"{len(names)} benchmarks"
    forms = {AVERAGE: f"accuracy, average of {listed}", POOLED: f"accuracy, {listed}, pooled"}
    return forms.get(benchmark, "accuracy")


def positions(budgets: np.ndarray, zero: float) -> np.ndarray:
    """The x positions of budgets (K,), where budget 0 lies at `zero`."""
    return np.where(budgets == 0, zero, budgets).astype(float)


def finished(fig: go.Figure, tokens: TokenAxis, axis: str, title: str) -> go.Figure:
    """Add the title, the legend, the switch of the axis and, on a linear axis, the inset."""
    fig.update_layout(title=title, margin={"t": 60 if title else 25})
    fig.update_yaxes(range=[0, highest_accuracy(fig, tokens.high)])
    if axis == "linear":
        add_inset(fig, tokens.high)
    return add_switch(legend_below(fig), {"x": tokens}, axis)


def highest_accuracy(fig: go.Figure, l_max: float) -> float:
    """The end of the accuracy axis: it leaves room above every line and band up to `l_max` tokens."""
    drawn = [trace for trace in fig.data if trace.x[0] is not None]
    tops = [np.nanmax(np.array(t.y, dtype=float)[np.array(t.x) <= l_max], initial=0) for t in drawn]
    return float(min(1.02, 1.06 * max(tops) + 0.01))


# ------------------------------------------------------------------------------------------ the curves
def draw_curves(
    curves: Mapping[str, BudgetCurve],
    frontier: Curve | None,
    *,
    styles: Mapping[str, LineStyle],
    axis: str,
    l_max: float | None = None,
    level: float = 0.95,
    bands: Collection[str] | None = None,
    resamples: int = 10_000,
) -> tuple[go.Figure, TokenAxis]:
    """Draw what `budget.curve_figure` draws, without gap, legend, title and buttons."""
    all_curves = {**curves, **({} if frontier is None else {"frontier": frontier})}
    fig, tokens = budget_figure(all_curves, axis, l_max)
    has_band = False
    for name, curve in curves.items():
        interval = None if curve.per_problem is None else curve.interval(level, resamples=resamples)
        if interval is not None and not np.isnan(interval).any() and (bands is None or name in bands):
            _add_band(fig, name, curve, interval, tokens.zero(axis), styles[name])
            has_band = True
        add_line(fig, name, curve, tokens, axis, styles[name], _curve_hover(curve, interval, level))
    if frontier is not None:
        add_line(fig, "frontier", frontier, tokens, axis, None)
    if has_band:
        swatch = {"symbol": "square", "size": 15, "color": "rgba(120,120,120,0.3)"}
        name = f"band: {level:.0%} interval over problems"
        fig.add_scatter(x=[None], y=[None], mode="markers", marker=swatch, name=name, hoverinfo="skip")
    return fig, tokens


def add_line(
    fig: go.Figure,
    name: str,
    curve: Curve,
    tokens: TokenAxis,
    axis: str,
    style: LineStyle | None,
    hover: Sequence[str] | None = None,
) -> None:
    """Draw a curve; without a style it is the dashed black frontier.

    The stretch from budget 0 to the first budget is a line of its own: it is dotted where the axis is broken.
    """
    x, start = positions(curve.budgets, tokens.zero(axis)), int(curve.budgets[0] == 0)
    template = (
        f"{name}<br>budget %{{customdata[0]:,}}<br>accuracy %{{y:.3f}}%{{customdata[1]}}<extra></extra>"
    )
    shared = {
        "legendgroup": name,
        "hovertemplate": template,
        "mode": "lines+markers" if style else "lines",
        "marker": {"symbol": style.symbol if style else "circle", "size": 7},
    }
    colour, dash = (style.colour, style.dash) if style else ("black", "dash")
    customdata = np.array([curve.budgets.astype(object), hover or _owner_hover(curve)]).T
    fig.add_scatter(
        x=x[start:],
        y=curve.accuracy[start:],
        name=name,
        customdata=customdata[start:],
        line={"color": colour, "width": 2, "dash": dash},
        **shared,
    )
    if start and len(x) > 1:
        fig.add_scatter(
            x=x[:2],
            y=curve.accuracy[:2],
            customdata=customdata[:2],
            line={"color": colour, "width": 1.5, "dash": stub_dash(dash, axis)},
            meta=[STUB, dash],
            showlegend=False,
            **shared,
        )


def _add_band(
    fig: go.Figure,
    name: str,
    curve: BudgetCurve,
    interval: tuple[np.ndarray, np.ndarray],
    zero: float,
    style: LineStyle,
) -> None:
    x, (low, high) = positions(curve.budgets, zero), interval
    fig.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([low, high[::-1]]),
        fill="toself",
        fillcolor=with_alpha(style.colour, BAND),
        line={"width": 0},
        mode="lines",
        legendgroup=name,
        showlegend=False,
        hoverinfo="skip",
    )


def add_gap(
    fig: go.Figure,
    curve: BudgetCurve,
    frontier: Curve,
    zero: float,
    *,
    l_max: float | None = None,
    level: float = 0.95,
) -> None:
    """Fill the area between a curve and the frontier, behind all lines, and show its REG in the legend."""
    end = float(min(curve.budgets[-1], frontier.budgets[-1]) if l_max is None else l_max)
    reg_text = _reg_text(frontier, curve, end, level)
    sides = []
    for c in (frontier, curve):
        below = c.budgets < end
        sides.append(
            (np.append(positions(c.budgets[below], zero), end), np.append(c.accuracy[below], c.at(end)))
        )
    (x_top, y_top), (x_bottom, y_bottom) = sides
    fig.add_scatter(
        x=np.concatenate([x_top, x_bottom[::-1]]),
        y=np.concatenate([y_top, y_bottom[::-1]]),
        fill="toself",
        fillcolor="rgba(120,120,120,0.22)",
        line={"width": 0},
        mode="lines",
        name=f"gap to the frontier: REG {reg_text}",
        hoverinfo="skip",
    )
    fig.data = (fig.data[-1], *fig.data[:-1])


def _reg_text(frontier: Curve, curve: BudgetCurve, end: float, level: float) -> str:
    """REG up to `end` tokens, with the interval that tables have (`reg_interval`'s own resamples)."""
    if curve.per_problem is None:
        return f"{reg(frontier, curve, end):,.1f}"
    jointly = getattr(frontier, "per_problem", None) is not None  # measured on the same problems
    gap = reg_interval(frontier, curve, end, level, resample_frontier=jointly)
    interval = interval_text((gap.low, gap.high), ",.1f")
    return f"{gap.mean:,.1f}{interval}" + (f" ({level:.0%} over problems)" if interval else "")


def _owner_hover(frontier: Curve) -> list[str]:
    owner = getattr(frontier, "owner", None)
    return [f"<br>from {name}" for name in owner] if owner else [""] * frontier.budgets.size


def _curve_hover(curve: BudgetCurve, interval: Sequence[np.ndarray] | None, level: float) -> list[str]:
    """What the hover box adds to name, budget and accuracy: interval, mean tokens, n."""
    tail = "" if curve.mean_tokens is None else f"<br>mean response {curve.mean_tokens:,.1f} tokens"
    if curve.per_problem is not None:
        tail += f"<br>n = {len(curve.per_problem)} problems"
    if curve.n_samples is not None:
        fewest, largest = int(np.min(curve.n_samples)), int(np.max(curve.n_samples))
        tail += f" x {fewest}" + ("" if fewest == largest else f" to {largest}") + " samples"
    if interval is None:
        return [tail] * curve.budgets.size
    return [f" [{low:.3f}, {high:.3f}] ({level:.0%}){tail}" for low, high in zip(*interval, strict=True)]
