"""Accuracy against token budget: curves with their intervals, frontiers, and the gap between them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from effwb._internal.benchmarks import AVERAGE, POOLED
from effwb.curves import BudgetCurve, Curve
from effwb.errors import DataError, one_of
from effwb.frontier import Frontier, reg
from effwb.plots.style import AXES, GREY, LineStyle, check_table, line_styles, token_axis, with_alpha


def frontier_figure(
    frontiers: Mapping[str, Frontier],
    *,
    l_max: float | None = None,
    methods: Mapping[str, str] | None = None,
    title: str = "",
    axis: str = "log",
) -> go.Figure:
    """Draw the best known accuracy against the token budget, one line per frontier.

    The hover box names the run that owns a point where the owners are known.

    Args:
        frontiers: Frontiers by the name that the legend shows.
        l_max: Largest budget shown, in tokens; default: all.
        methods: The method of each name, which decides its colour; default: read from the name.
        title: Title of the figure.
        axis: "log" or "linear" token axis.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: `frontiers` is empty.
        ConfigError: `axis` is unknown.

    Example:
        >>> from effwb import Frontier, plots
        >>> fig = plots.frontier_figure({"Qwen3-8B": Frontier.published("qwen3-8b")}, l_max=16384)
    """
    fig, zero = _budget_figure(frontiers, title, axis, l_max)
    styles = line_styles(frontiers, methods)
    for name, frontier in frontiers.items():
        _add_line(fig, name, frontier, zero, _owner_hover(frontier), styles[name])
    return fig


def curve_figure(
    curves: Mapping[str, BudgetCurve],
    frontier: Curve | None = None,
    *,
    l_max: float | None = None,
    level: float = 0.95,
    shade: str | None = None,
    bands: Collection[str] | None = None,
    resamples: int = 10_000,
    methods: Mapping[str, str] | None = None,
    title: str = "",
    axis: str = "log",
) -> go.Figure:
    """Draw accuracy-budget curves with their confidence bands, and a frontier in black.

    The hover box shows the interval at each budget, the mean response length and the number of problems.

    Args:
        curves: Curves by the name that the legend shows.
        frontier: Frontier to compare with; default: none.
        l_max: Largest budget shown, in tokens; default: all.
        level: Confidence level of bands and hover boxes.
        shade: Name of the curve whose gap to the frontier is filled. The legend then shows its REG up to
            `l_max` (default: the last common budget). The filled area is proportional to REG only with
            axis="linear".
        bands: Names of the curves whose band is drawn; default: all.
        resamples: Number of bootstrap resamples over problems behind the intervals.
        methods: The method of each name, which decides its colour; default: read from the name.
        title: Title of the figure.
        axis: "log" or "linear" token axis.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: There are no curves, or `shade` is given without a frontier.
        ConfigError: `shade` is not a name of a curve, or `axis` is unknown.

    Example:
        >>> from effwb import BudgetCurve, plots
        >>> curve = BudgetCurve([0, 256, 512], [0.1, 0.4, 0.5])
        >>> fig = plots.curve_figure({"base": curve})
    """
    all_curves = {**curves, **({} if frontier is None else {"frontier": frontier})}
    fig, zero = _budget_figure(all_curves, title, axis, l_max)
    if shade is not None:
        one_of("shade", shade, curves)
        if frontier is None:
            raise DataError(f"shade={shade!r} fills the gap to the frontier, so it needs a frontier")
        _add_gap(fig, curves[shade], frontier, zero, l_max)
    styles = line_styles(curves, methods)
    for name, curve in curves.items():
        interval = None if curve.per_problem is None else curve.interval(level, resamples=resamples)
        has_band = interval is not None and not np.isnan(interval).any()
        if interval is not None and has_band and (bands is None or name in bands):
            x, (low, high) = _positions(curve.budgets, zero), interval
            fig.add_scatter(
                x=np.concatenate([x, x[::-1]]),
                y=np.concatenate([low, high[::-1]]),
                fill="toself",
                fillcolor=with_alpha(styles[name].colour, 0.18),
                line={"width": 0},
                mode="lines",
                legendgroup=name,
                showlegend=False,
                hoverinfo="skip",
            )
        _add_line(fig, name, curve, zero, _curve_hover(curve, interval, level), styles[name])
    if frontier is not None:
        _add_line(fig, "frontier", frontier, zero, _owner_hover(frontier), None)
    return fig


def owner_figure(
    frontier: Frontier,
    *,
    most: int = 6,
    l_max: float | None = None,
    methods: Mapping[str, str] | None = None,
    title: str = "",
    axis: str = "log",
) -> go.Figure:
    """Draw a frontier with the budgets that each run owns in the colour of that run.

    Args:
        frontier: A measured frontier, whose owners are known.
        most: Number of runs with a colour: those that own the most budgets. All other runs are grey.
        l_max: Largest budget shown, in tokens; default: all.
        methods: The method of each run, which decides its colour; default: read from the name.
        title: Title of the figure.
        axis: "log" or "linear" token axis.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: The owners are not known, as for a published frontier.
        ConfigError: `axis` is unknown.

    Example:
        >>> from effwb import Frontier, plots
        >>> frontier = Frontier([0, 4, 8], [0.1, 0.2, 0.3], owner=("vanilla", "reo_rl", "reo_rl"))
        >>> fig = plots.owner_figure(frontier, most=2)
    """
    if frontier.owner is None:
        raise DataError(
            f"the owners of {frontier.name!r} are not known: a published one has none, an average over "
            "benchmarks has those of its `parts`"
        )
    fig, zero = _budget_figure({"frontier": frontier}, title, axis, l_max)
    names, counts = np.unique(frontier.owner, return_counts=True)
    top_names = [str(name) for name in names[np.argsort(-counts, kind="stable")][:most]]
    x, owner = _positions(frontier.budgets, zero), np.array(frontier.owner)
    line: dict = {"mode": "lines", "line": {"color": GREY, "width": 1}, "showlegend": False}
    fig.add_scatter(x=x, y=frontier.accuracy, hoverinfo="skip", **line)
    for name, style in line_styles(top_names, methods).items():
        _add_owned_budgets(fig, frontier, x, owner == name, name, style)
    other_owners = np.isin(owner, top_names, invert=True)
    if other_owners.any():
        legend = f"{len(names) - len(top_names)} others"
        _add_owned_budgets(fig, frontier, x, other_owners, legend, LineStyle(GREY, "circle-open"))
    return fig


def question_budget_figure(table: pd.DataFrame, cap: int, *, bins: int = 24, title: str = "") -> go.Figure:
    """Draw how many problems have which token budget: stacked bars, one shade per level (light: easy).

    Args:
        table: One row per problem, with the columns `budget` (tokens, at most `cap`) and `level` (difficulty;
            levels are ordered as numbers where they are numbers).
        cap: Largest possible budget in tokens: the end of the axis.
        bins: Number of bars; they are equally wide on the logarithmic axis.
        title: Title of the figure.

    Returns:
        plotly.graph_objects.Figure

    Raises:
        DataError: The table is empty or lacks a column.

    Example:
        >>> import pandas as pd
        >>> from effwb import plots
        >>> budgets = pd.DataFrame({"budget": [64, 128, 512], "level": [1, 1, 2]})
        >>> fig = plots.question_budget_figure(budgets, cap=512)
    """
    if len(table) == 0:
        raise DataError("there are no budgets to draw: the table is empty")
    table = check_table(table, ("budget", "level"))
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


# ------------------------------------------------------------------------------------------ the axes
def _budget_figure(
    curves: Mapping[str, Curve], title: str, axis: str, l_max: float | None
) -> tuple[go.Figure, float]:
    """An empty accuracy-budget figure, and the x position of budget 0."""
    one_of("axis", axis, AXES)
    if not curves:
        raise DataError("no curves to draw")
    budgets = np.unique(np.concatenate([c.budgets for c in curves.values()]))
    budgets = budgets if l_max is None else budgets[budgets <= l_max]
    highest = max(c.accuracy[c.budgets <= budgets[-1]].max() for c in curves.values())
    legend = {"xanchor": "left", "x": 0.01, "yanchor": "top", "y": 0.99}  # where rising curves leave room
    if axis == "linear":
        legend = {"xanchor": "right", "x": 0.99, "yanchor": "bottom", "y": 0.02}
    fig = go.Figure().update_layout(template="effwb", title=title, legend=legend)
    fig.update_layout(margin={"t": 60 if title else 25})
    y_range = [0, min(1.02, 1.12 * highest + 0.01)]
    fig.update_yaxes(title=_accuracy_title(curves), rangemode="tozero", tickformat=".1f", range=y_range)
    snaps = [getattr(c, "snap", None) for c in curves.values()]
    blocks = ", ".join(str(snap) for snap in sorted({snap for snap in snaps if snap}))
    note = f", {'' if all(snaps) else 'some '}cut down to blocks of {blocks}" if blocks else ""
    x_title, has_zero = f"token budget (tokens{note})", budgets[0] == 0
    return fig, token_axis(fig, budgets[budgets > 0], axis, has_zero=has_zero, title=x_title)


def _accuracy_title(curves: Mapping[str, Curve]) -> str:
    """The title of the accuracy axis, with how several benchmarks are weighted if all curves agree."""
    kinds = {(curve.benchmark, curve.benchmarks) for curve in curves.values() if curve.benchmarks}
    if len(kinds) != 1:
        return "accuracy"
    benchmark, names = kinds.pop()
    listed = " and ".join(names) if len(names) == 2 else f"{len(names)} benchmarks"
    forms = {AVERAGE: f"accuracy, average of {listed}", POOLED: f"accuracy, {listed}, pooled"}
    return forms.get(benchmark, "accuracy")


def _positions(budgets: np.ndarray, zero: float) -> np.ndarray:
    return np.where(budgets == 0, zero, budgets).astype(float)


# ------------------------------------------------------------------------------------------ the traces
def _add_line(
    fig: go.Figure, name: str, curve: Curve, zero: float, hover: Sequence[str], style: LineStyle | None
) -> None:
    """Draw a curve; without a style it is the dashed black frontier.

    On a broken axis the stretch from budget 0 to the first budget is dotted.
    """
    x, is_broken = _positions(curve.budgets, zero), bool(curve.budgets[0] == 0 and zero > 0)
    template = (
        f"{name}<br>budget %{{customdata[0]:,}}<br>accuracy %{{y:.3f}}%{{customdata[1]}}<extra></extra>"
    )
    shared = {
        "legendgroup": name,
        "hovertemplate": template,
        "mode": "lines+markers" if style else "lines",
        "marker": {"symbol": style.symbol if style else "circle", "size": 7},
    }
    colour = style.colour if style else "black"
    customdata = np.array([curve.budgets.astype(object), hover]).T
    start = int(is_broken)
    fig.add_scatter(
        x=x[start:],
        y=curve.accuracy[start:],
        name=name,
        customdata=customdata[start:],
        line={"color": colour, "width": 2, "dash": "solid" if style else "dash"},
        **shared,
    )
    if is_broken:
        fig.add_scatter(
            x=x[:2],
            y=curve.accuracy[:2],
            customdata=customdata[:2],
            line={"color": colour, "width": 1.5, "dash": "dot"},
            showlegend=False,
            **shared,
        )


def _add_owned_budgets(
    fig: go.Figure, frontier: Frontier, x: np.ndarray, is_owned: np.ndarray, name: str, style: LineStyle
) -> None:
    """Draw the budgets of one owner, joined where they are neighbours."""
    fig.add_scatter(
        x=x,
        y=np.where(is_owned, frontier.accuracy, np.nan),
        name=f"{name} ({is_owned.sum()})",
        mode="lines+markers",
        line={"color": style.colour, "width": 3},
        marker={"symbol": style.symbol, "size": 8},
        customdata=np.array([frontier.budgets.astype(object), frontier.owner]).T,
        hovertemplate="%{customdata[1]}<br>budget %{customdata[0]:,}<br>accuracy %{y:.3f}<extra></extra>",
    )


def _add_gap(fig: go.Figure, curve: Curve, frontier: Curve, zero: float, l_max: float | None) -> None:
    """Fill the area between a curve and the frontier, and show its REG in the legend."""
    end = float(min(curve.budgets[-1], frontier.budgets[-1]) if l_max is None else l_max)
    value = reg(frontier, curve, end)
    sides = []
    for c in (frontier, curve):
        below = c.budgets < end
        sides.append(
            (np.append(_positions(c.budgets[below], zero), end), np.append(c.accuracy[below], c.at(end)))
        )
    (x_top, y_top), (x_bottom, y_bottom) = sides
    fig.add_scatter(
        x=np.concatenate([x_top, x_bottom[::-1]]),
        y=np.concatenate([y_top, y_bottom[::-1]]),
        fill="toself",
        fillcolor="rgba(120,120,120,0.22)",
        line={"width": 0},
        mode="lines",
        name=f"gap to the frontier: REG {value:,.1f}",
        hoverinfo="skip",
    )


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
