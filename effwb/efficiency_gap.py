"""REG, the area between the frontier and a curve: its value, intervals, differences and averages.

Source: arXiv 2506.07104, section 3, appendix F. Import these names from `effwb.frontier`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from effwb._internal.alignment import (
    aligned,
    check_same_average,
    check_same_benchmarks,
    check_same_problems,
)
from effwb._internal.checked import checked_arguments
from effwb.averages import pooled_seeds
from effwb.budgets import PAPER_CAP
from effwb.curves import BudgetCurve, Curve
from effwb.errors import DataError, one_of
from effwb.metrics import Interval, bootstrap_mean, interval_columns

if TYPE_CHECKING:
    import pandas as pd

    from effwb.frontier import Frontier


@checked_arguments()
def reg(frontier: Curve, curve: Curve, l_max: float = PAPER_CAP, *, interpolate: bool = False) -> float:
    """Return the Reasoning Efficiency Gap: area under the frontier minus area under the curve.

    Args:
        frontier: The best known accuracy at each budget.
        curve: The model's own curve, at the same budgets up to l_max.
        l_max: The end of both areas, in tokens.
        interpolate: Read both curves on the union of their budgets instead of requiring the same budgets.
            The trapezoid areas of two different grids differ by more than the gap of two good models.

    Returns:
        The gap, accuracy x tokens. It may be negative.

    Raises:
        ConfigError: A curve ends before l_max.
        DataError: The budgets up to l_max differ, or do not start at 0, or frontier and curve are of
            different benchmarks.
    """
    check_same_benchmarks(frontier, curve)
    x, frontier_y, curve_y = aligned(frontier, curve, l_max, interpolate)
    return Curve(x, frontier_y).area(l_max) - Curve(x, curve_y).area(l_max)


def macro_reg(frontiers: Mapping[str, Curve], curves: Mapping[str, Curve], l_max: float = PAPER_CAP) -> float:
    """Return the REG of the paper's tables: the mean of the REGs of several benchmarks (2506.07104, Table 1).

    It is `reg` of the average frontier (`Frontier.average`) and the average curve (`macro_average`), whose
    interval `reg_interval` gives.

    Args:
        frontiers: The frontier of each benchmark, by its name.
        curves: The model's curve on each of the same benchmarks.
        l_max: The end of all areas, in tokens.

    Returns:
        The mean gap, accuracy x tokens.

    Raises:
        ConfigError: A curve ends before l_max.
        DataError: There is no benchmark, the two sets of benchmarks differ, or as `reg`.
    """
    if set(frontiers) != set(curves) or not curves:
        raise DataError(
            f"macro_reg needs the same benchmarks twice: frontiers has {sorted(frontiers)}, "
            f"curves has {sorted(curves)}"
        )
    return float(np.mean([reg(frontiers[benchmark], curves[benchmark], l_max) for benchmark in curves]))


def reg_interval(
    frontier: Curve,
    curve: BudgetCurve,
    l_max: float = PAPER_CAP,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    *,
    resample_frontier: bool = False,
) -> Interval:
    """Return REG with its interval, from a bootstrap over the problems of the curve.

    The problems of an average curve are resampled within their benchmark.

    Choosing the best of several curves adds an error that no interval here contains; see
    `Frontier.from_curves(method="cross_fit")`.

    Args:
        frontier: The best known accuracy at each budget.
        curve: The model's own curve, with per-problem accuracies.
        l_max: The end of both areas, in tokens.
        level: Coverage of the interval.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.
        resample_frontier: False treats the frontier as fixed, as the paper does. True resamples it jointly
            with the curve: for a frontier measured on the same problems (`Frontier.from_curves`), where hard
            problems are hard for both.

    Returns:
        REG and the ends of its interval, accuracy x tokens.

    Raises:
        ConfigError: A curve ends before l_max.
        DataError: Budgets or problems differ, or per-problem accuracies are missing.
    """
    check_same_benchmarks(frontier, curve)
    x, frontier_y, _ = aligned(frontier, curve, l_max, interpolate=False)
    weights = Curve(x, frontier_y).area_weights(l_max)
    reference = frontier_y
    if resample_frontier:
        per_problem = getattr(frontier, "per_problem", None)
        if per_problem is None:
            raise DataError(
                "resample_frontier=True needs a frontier made by Frontier.from_curves (per_problem)"
            )
        check_same_problems(frontier, curve)
        check_same_average(frontier, curve)
        reference = per_problem[:, : x.size]
    gap_P = (reference - curve.need_per_problem()[:, : x.size]) @ weights
    return bootstrap_mean(gap_P, resamples, level, seed, curve.benchmark_P)


def reg_difference(
    a: BudgetCurve,
    b: BudgetCurve,
    l_max: float = PAPER_CAP,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return REG(a) - REG(b) with its interval, paired by problem. The frontier cancels out.

    Args:
        a: A curve with per-problem accuracies.
        b: Another one, on the same problems in the same order.
        l_max: The end of both areas, in tokens.
        level: Coverage of the interval.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.

    Returns:
        The difference and the ends of its interval, accuracy x tokens. Negative: `a` is closer to the
        frontier.

    Raises:
        ConfigError: A curve ends before l_max.
        DataError: Budgets or problems differ, or per-problem accuracies are missing.
    """
    x, _, _ = aligned(a, b, l_max, interpolate=False)
    check_same_problems(a, b)
    check_same_average(a, b)
    gap_PK = b.need_per_problem()[:, : x.size] - a.need_per_problem()[:, : x.size]
    weights = Curve(x, a.accuracy[: x.size]).area_weights(l_max)
    return bootstrap_mean(gap_PK @ weights, resamples, level, seed, a.benchmark_P)


def reg_row(frontier: Frontier, curve: BudgetCurve, l_max: float) -> dict[str, float | None]:
    """Return the REG of one curve as the row of a table.

    Args:
        frontier: A frontier measured on the same problems is resampled jointly with the curve; a loaded one
            is fixed.
        curve: The model's own curve, with per-problem accuracies.
        l_max: The end of both areas, in tokens.

    Returns:
        `J(<l_max>), mean tokens, REG, REG low, REG high`; the interval is 95 %, over problems.

    Raises:
        ConfigError, DataError: As `reg_interval`.
    """
    measured_here = frontier.per_problem is not None
    gap = reg_interval(frontier, curve, l_max, resample_frontier=measured_here)
    row = {f"J({l_max})": curve.at(l_max), "mean tokens": curve.mean_tokens}
    return row | interval_columns({"REG": gap})


def reg_changes(
    frontier: Frontier,
    curves: Mapping[str, Sequence[BudgetCurve]],
    baseline: str = "vanilla",
    l_max: float | None = None,
) -> pd.DataFrame:
    """Return REG as the paper prints it (Tables 1 and 3): absolute, and as a change against a baseline.

    The seeds of a method are averaged problem by problem, so that REG is the mean over seeds. All intervals
    (95 %) are over problems and say nothing about another seed; so they carry no p-values. The test over
    seeds is that of `Δ area` in `RunSet.effects`: the frontier cancels, so it is `Δ REG` with the other sign.

    Args:
        frontier: A frontier measured on the same problems is resampled jointly with each curve; a loaded one
            is fixed.
        curves: For each method, the curves of its seeds, all on the same problems.
        baseline: The name of the method that the others are compared with.
        l_max: The end of the areas in tokens, by default the last budget of the frontier.

    Returns:
        A row per method: `name, seeds`, the columns of `reg_row`, then `Δ REG, Δ REG low, Δ REG high`
        (`reg_difference` to the baseline, accuracy x tokens) and `REG %, REG % low, REG % high` (the same in
        percent of the baseline's REG, which counts as exact; NaN if that is not positive). The changes are
        NaN for the baseline itself.

    Raises:
        ConfigError: `baseline` is not in `curves`, or a curve ends before l_max.
        DataError: A method has no curve, budgets or problems differ, or per-problem accuracies are missing.
    """
    import pandas as pd

    one_of("baseline", baseline, curves)
    l_max = int(frontier.budgets[-1]) if l_max is None else l_max
    pooled = {name: pooled_seeds(name, list(seeds)) for name, seeds in curves.items()}
    baseline_reg = reg(frontier, pooled[baseline], l_max)
    rows = []
    for name, curve in pooled.items():
        change = np.full(3, np.nan)
        if name != baseline:
            change = np.array(reg_difference(curve, pooled[baseline], l_max))
        percent = 100 * change / baseline_reg if baseline_reg > 0 else np.full(3, np.nan)
        changes = {"Δ REG": Interval(*change.tolist()), "REG %": Interval(*percent.tolist())}
        row = {"name": name, "seeds": len(curves[name])}
        rows.append({**row, **reg_row(frontier, curve, l_max), **interval_columns(changes)})
    return pd.DataFrame(rows)


def wasted_tokens(
    frontier: Curve,
    curve: Curve,
    l_max: float = PAPER_CAP,
    *,
    monotone: str | None = None,
    shared_levels: bool = False,
    interpolate: bool = False,
) -> float:
    """Return REG read along the token axis: how many more tokens the curve needs than the frontier.

    T_f(a) is the smallest budget at which f reaches accuracy a, and l_max if f does not reach it by then.
    The result is the integral over a from 0 to 1 of T_curve(a) - T_frontier(a). For two non-decreasing curves
    it equals `reg`; a falling stretch breaks that and is an error by default.

    Args:
        frontier: The best known accuracy at each budget.
        curve: The model's own curve, at the same budgets up to l_max.
        l_max: The end of the token axis, in tokens.
        monotone: "running_max" replaces both curves by their running maximum over the grid first.
        shared_levels: Integrate only over the accuracies that both curves reach and neither has at budget 0,
            and divide by their span.
        interpolate: Read both curves on the union of their budgets, as in `reg`.

    Returns:
        Accuracy x tokens. With `shared_levels`, tokens: the mean excess at an accuracy that both reach; NaN
        if there is no such accuracy.

    Raises:
        ConfigError: A curve ends before l_max, or `monotone` is unknown.
        DataError: The budgets up to l_max or the benchmarks differ, or a curve falls.
    """
    check_same_benchmarks(frontier, curve)
    if monotone is not None:
        one_of("monotone", monotone, ("running_max",))
    x, *ys = aligned(frontier, curve, l_max, interpolate)
    below = x < l_max
    ys = [np.append(y[below], np.interp(l_max, x, y)) for y in ys]
    x = np.append(x[below], l_max)
    ys = [_rising(name, x, y, monotone) for name, y in zip(("frontier", "curve"), ys, strict=True)]
    edges = np.unique(np.concatenate([[0.0, 1.0], *ys]))
    edges = edges[np.diff(edges, prepend=-1) > 1e-12]  # slopes between nearly equal levels would overflow
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    # The smallest budget where each curve reaches each level. The levels lie between neighbouring values of
    # the curves, so a flat stretch is never hit and the inverse is linear there: the midpoint rule is exact.
    frontier_t, curve_t = (
        np.where(middle > y[-1], l_max, np.where(middle < y[0], 0.0, np.interp(middle, y, x))) for y in ys
    )
    if not shared_levels:
        return float((curve_t - frontier_t) @ width)
    low, high = max(y[0] for y in ys), min(y[-1] for y in ys)
    shared = (middle > low) & (middle < high)
    if not shared.any():
        return float("nan")
    return float((curve_t - frontier_t)[shared] @ width[shared] / (high - low))


def _rising(name: str, x: np.ndarray, y: np.ndarray, monotone: str | None) -> np.ndarray:
    falls = np.flatnonzero(np.diff(y) < 0)
    if falls.size and monotone is None:
        k = falls[0] + 1
        raise DataError(
            f"the {name} falls from {y[k - 1]:.4f} to {y[k]:.4f} at budget {x[k]:g}: reading the gap along "
            'the token axis needs a non-decreasing curve; monotone="running_max" takes running maxima'
        )
    return np.maximum.accumulate(y)
