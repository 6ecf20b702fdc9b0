"""Accuracy against token budget: curves with their intervals, frontiers, the gap between them."""

from collections.abc import Collection

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from effwb.curves import BudgetCurve, Curve
from effwb.errors import DataError, one_of
from effwb.frontier import Frontier, reg
from effwb.plots.style import AXES, GREY, faint, looks_of, token_axis


def frontier_figure(
    frontiers: dict[str, Frontier], *, l_max: float | None = None, title: str = "", axis: str = "log"
) -> go.Figure:
    """Best known accuracy against token budget, one line a frontier; hover names the owner where it is
    known.
    """
    fig, zero = _budget_figure(frontiers, title, axis, l_max)
    looks = looks_of(frontiers)
    for name, frontier in frontiers.items():
        text = (
            [f"<br>from {owner}" for owner in frontier.owner]
            if frontier.owner
            else [""] * frontier.budgets.size
        )
        _add_line(fig, name, frontier, zero, text, *looks[name])
    return fig


def curve_figure(
    curves: dict[str, BudgetCurve],
    frontier: Curve | None = None,
    *,
    l_max: float | None = None,
    level: float = 0.95,
    shade: str | None = None,
    bands: Collection[str] | None = None,
    resamples: int = 10_000,
    title: str = "",
    axis: str = "log",
) -> go.Figure:
    """Accuracy-budget curves with clustered interval bands, and the frontier in black where one is given.

    `bands` names the curves whose band is drawn (default: all); the hover box shows every interval, from a
    bootstrap of `resamples`.
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
    looks = looks_of(curves)
    for name, curve in curves.items():
        colour, symbol = looks[name]
        band = None if curve.per_problem is None else curve.interval(level, resamples=resamples)
        if band is not None and len(curve.per_problem) > 1 and (bands is None or name in bands):
            _add_band(fig, name, curve, band, zero, colour)
        _add_line(fig, name, curve, zero, _curve_hover(curve, band, level), colour, symbol)
    if frontier is not None:
        text = [f"<br>from {owner}" for owner in getattr(frontier, "owner", None) or []] or [
            ""
        ] * frontier.budgets.size
        _add_line(fig, "frontier", frontier, zero, text, "black", None, dash="dash")
    return fig


def owner_figure(
    frontier: Frontier, *, most: int = 6, l_max: float | None = None, title: str = "", axis: str = "log"
) -> go.Figure:
    """A frontier with the stretch each run owns in a colour: the `most` that own the most budgets, the rest
    together in grey. Raises DataError for a frontier whose owners are not known.
    """
    if frontier.owner is None:
        raise DataError(f"the owners of {frontier.name!r} are not known: a published frontier has none")
    fig, zero = _budget_figure({"frontier": frontier}, title, axis, l_max)
    owners, counts = np.unique(frontier.owner, return_counts=True)
    shown = [str(owner) for owner in owners[np.argsort(-counts, kind="stable")][:most]]
    x, owner = _positions(frontier.budgets, zero), np.array(frontier.owner)
    fig.add_scatter(
        x=x,
        y=frontier.accuracy,
        mode="lines",
        line={"color": GREY, "width": 1},
        showlegend=False,
        hoverinfo="skip",
    )
    for name, look in looks_of(shown).items():
        _add_stretch(fig, frontier, x, owner == name, name, look)
    rest = np.isin(owner, shown, invert=True)
    if rest.any():
        others = f"{len(owners) - len(shown)} others"
        _add_stretch(fig, frontier, x, rest, others, (GREY, "circle-open"))
    return fig


def _add_stretch(fig, frontier: Frontier, x, mine, name: str, look: tuple[str, str]) -> None:
    """The budgets of one owner, joined to the next budget where that is its own too."""
    colour, symbol = look
    joined = np.where(mine, frontier.accuracy, np.nan)
    fig.add_scatter(
        x=x,
        y=joined,
        name=f"{name} ({mine.sum()})",
        mode="lines+markers",
        line={"color": colour, "width": 3},
        marker={"symbol": symbol, "size": 8},
        customdata=np.array([frontier.budgets.astype(object), frontier.owner]).T,
        hovertemplate="%{customdata[1]}<br>budget %{customdata[0]:,}<br>accuracy %{y:.3f}<extra></extra>",
    )


def question_budget_figure(table, cap: int, *, bins: int = 24, title: str = "") -> go.Figure:
    """How many problems have a budget of so many tokens: stacked bars, a shade per level, light is easy.

    `table` has a row per problem with `budget` (tokens, at most `cap`) and `level` (levels are ordered as
    numbers where they are numbers). Bins are equally wide on the logarithmic axis.
    """
    if len(table) == 0:
        raise DataError("there are no budgets to draw")
    budget, level = table["budget"].to_numpy(dtype=float), table["level"].astype(str).to_numpy()
    levels = sorted(set(level), key=lambda v: (not v.isdigit(), int(v) if v.isdigit() else 0, v))
    low = min(float(budget.min()), cap / 2)
    edges = np.geomspace(low, cap * 1.001, bins + 1)
    shades = sample_colorscale("Viridis", list(np.linspace(0.95, 0.05, max(2, len(levels)))))
    fig = go.Figure()
    for name, shade in zip(levels, shades, strict=False):
        fig.add_bar(
            x=np.sqrt(edges[1:] * edges[:-1]),
            y=np.histogram(budget[level == name], edges)[0],
            width=np.diff(edges),
            name=name,
            marker={"color": shade, "line": {"width": 0.5, "color": "white"}},
            hovertemplate=f"level {name}<br>about %{{x:,.0f}} tokens<br>%{{y}} problems<extra></extra>",
        )
    legend = {"title": {"text": "level"}, "x": 1.01, "y": 1}
    fig.update_layout(template="effwb", title=title, barmode="stack", bargap=0, legend=legend)
    few = len(table) <= 20  # no ticks between whole numbers
    fig.update_yaxes(title="problems", rangemode="tozero", dtick=1 if few else None)
    token_axis(fig, [low, cap], "log", has_zero=False, title="budget of the problem (tokens)")
    return fig


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
    blocks = sorted({c.snap for c in curves.values() if getattr(c, "snap", None)})
    which = "" if all(getattr(c, "snap", None) for c in curves.values()) else "some "
    snapped = f", {which}cut down to blocks of {', '.join(map(str, blocks))}" if blocks else ""
    title = f"token budget (tokens{snapped})"
    zero = token_axis(fig, budgets[budgets > 0], axis, has_zero=budgets[0] == 0, title=title)
    return fig, zero


def _top(curves: dict, last: float) -> float:
    return min(1.02, 1.12 * max(c.accuracy[c.budgets <= last].max() for c in curves.values()) + 0.01)


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
        fillcolor=faint(colour, 0.18),
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
