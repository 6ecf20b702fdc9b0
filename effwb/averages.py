"""Curves averaged over benchmarks, as the tables of arXiv 2506.07104 are, and over the seeds of a method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from effwb._internal.alignment import check_same_average, check_same_grid, check_same_problems
from effwb._internal.benchmarks import benchmark_of, mean_over_problems
from effwb.curves import BudgetCurve, Curve, budget_curve
from effwb.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def macro_average(curves: Mapping[str, Curve], name: str = "") -> BudgetCurve:
    """Return the mean of the curves of several benchmarks, however many problems each has (2506.07104).

    >>> small, large = BudgetCurve([0, 8], [0, 1], [[0, 1]]), BudgetCurve([0, 8], [0, 0], [[0, 0]] * 3)
    >>> macro_average({"aime24": small, "minerva_math": large}).at(8)
    0.5

    Args:
        curves: A curve of each benchmark, by its name, at the same budgets.
        name: The name of the average in tables and figures; default: the name that all curves share.

    Returns:
        The mean accuracy at each budget and the mean of `mean_tokens`. If all curves have per-problem
        accuracies it has them too, with the benchmark of each problem (`benchmark_P`): its intervals resample
        problems within their benchmark.

    Raises:
        DataError: There is no curve, budgets or `snap` differ, one problem is in two benchmarks, or a curve
            is an average already.
    """
    if not curves:
        raise DataError("macro_average needs a curve of at least one benchmark, got none")
    curves = dict(sorted(curves.items()))  # the order of the problems must not depend on that of the names
    parts, first = [*curves.values()], next(iter(curves.values()))
    for benchmark, curve in curves.items():
        check_same_grid(first, curve)
        if len(curve.benchmarks) > 1:
            raise DataError(f"curves[{benchmark!r}] is of several benchmarks: {', '.join(curve.benchmarks)}")
    snaps = {getattr(curve, "snap", None) for curve in parts}
    if len(snaps) > 1:
        raise DataError(f"the curves have different snap {sorted(snaps, key=str)}; measure them alike")
    tokens: list = [getattr(curve, "mean_tokens", None) for curve in parts]
    names = {getattr(curve, "name", "") for curve in parts}
    return BudgetCurve(
        first.budgets,
        np.mean([curve.accuracy for curve in parts], axis=0),
        mean_tokens=None if None in tokens else float(np.mean(tokens)),
        name=name or (names.pop() if len(names) == 1 else ""),
        snap=snaps.pop(),
        **concatenated(curves),
    )


def concatenated(curves: Mapping[str, Curve]) -> dict[str, Any]:
    """Return the per-problem fields of several benchmarks, one after the other; empty if one has none.

    Raises:
        DataError: One problem is in two benchmarks.
    """
    tables: list = [getattr(curve, "per_problem", None) for curve in curves.values()]
    if any(table is None for table in tables):
        return {}
    fields: dict[str, Any] = {"benchmark_P": np.repeat([*curves], [len(table) for table in tables])}
    for field, axis in (("per_problem", 0), ("problem_ids", 0), ("n_samples", 0), ("halves", 1)):
        values: list = [getattr(curve, field, None) for curve in curves.values()]
        if all(value is not None for value in values):
            fields[field] = np.concatenate(values, axis=axis)
    ids = fields.get("problem_ids")
    if ids is not None and len(np.unique(ids)) < len(ids):
        unique, counts = np.unique(ids, return_counts=True)
        raise DataError(f"problem {str(unique[counts > 1][0])!r} is in two benchmarks")
    return fields


def run_curve(
    rollouts: pd.DataFrame, probes: pd.DataFrame, budgets: ArrayLike, name: str = "", snap: int | None = None
) -> BudgetCurve:
    """Compute the curve of one run: that of its benchmark, or the average over its benchmarks.

    For the curve in which all problems of several benchmarks count equally, call `curves.budget_curve`.

    Args:
        rollouts: As for `curves.budget_curve`; a problem's id begins with its benchmark.
        probes: As for `curves.budget_curve`.
        budgets: Tokens, (K,), increasing.
        name: The name of the curve.
        snap: As in `BudgetCurve`.

    Raises:
        DataError: As `curves.budget_curve`.
    """
    benchmarks = benchmark_of(rollouts["problem_id"])
    names = np.unique(benchmarks)
    if len(names) < 2:
        return budget_curve(rollouts, probes, budgets, name, snap)
    parts = {}
    for benchmark in names:
        own = rollouts[benchmarks == benchmark]
        probed = probes[probes["problem_id"].isin(own["problem_id"].unique())]
        parts[str(benchmark)] = budget_curve(own, probed, budgets, name, snap)
    return macro_average(parts, name)


def split_by_benchmark(curve: BudgetCurve) -> dict[str, BudgetCurve]:
    """Split an average into the curves of its benchmarks, which lack `mean_tokens`.

    Raises:
        DataError: The curve has no per-problem accuracies.
    """
    values, names = curve.need_per_problem(), np.asarray(curve.benchmark_P)
    parts = {}
    for benchmark in curve.benchmarks:
        rows = names == benchmark
        own = {
            field: getattr(curve, field)[rows]
            for field in ("problem_ids", "n_samples", "benchmark_P")
            if getattr(curve, field) is not None
        }
        own["halves"] = None if curve.halves is None else curve.halves[:, rows]
        own |= {"accuracy": values[rows].mean(axis=0), "per_problem": values[rows], "mean_tokens": None}
        parts[benchmark] = replace(curve, **own)
    return parts


def pooled_seeds(name: str, curves: list[BudgetCurve]) -> BudgetCurve:
    """Average the curves of a method's seeds, problem by problem.

    Args:
        name: The name of the new curve.
        curves: One curve per seed, with the same budgets and problems.

    Returns:
        A curve with the mean accuracy of each problem over the seeds.

    Raises:
        DataError: There is no curve, budgets or problems differ, or per-problem accuracies are missing.
    """
    if not curves:
        raise DataError(f"there is no curve of {name!r}")
    first = curves[0]
    for other in curves[1:]:
        check_same_grid(first, other)
        check_same_problems(first, other)
        check_same_average(first, other)
    per_problem = np.mean([c.need_per_problem() for c in curves], axis=0)
    tokens = [c.mean_tokens for c in curves if c.mean_tokens is not None]
    return BudgetCurve(
        first.budgets,
        mean_over_problems(per_problem, first.benchmark_P),
        per_problem=per_problem,
        problem_ids=first.problem_ids,
        mean_tokens=float(np.mean(tokens)) if len(tokens) == len(curves) else None,
        name=name,
        snap=first.snap,
        benchmark_P=first.benchmark_P,
    )
