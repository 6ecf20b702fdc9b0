"""Accuracy-budget curves for each level of difficulty."""

from __future__ import annotations

from effwb.analysis.run_set import RunSet
from effwb.curves import BudgetCurve, budget_curve
from effwb.errors import DataError


def level_of(runs: RunSet) -> dict[str, int]:
    """The level of each problem of runs that were measured alike.

    Raises:
        DataError: The problems have no levels that are numbers.
    """
    levels = runs[runs.names[0]].levels
    if levels is None:
        raise DataError("the problems of these runs have no levels that are numbers (column level)")
    return levels


def curves_by_level(runs: RunSet) -> dict[str, dict[str, BudgetCurve]]:
    """The curve of each run on the problems of each level; all problems of a level count equally.

    Args:
        runs: The runs, measured alike.

    Returns:
        The curves by name of the run, by "level <l>", easiest first; as `plots.benchmark_figure` takes them.

    Raises:
        DataError: The problems have no levels that are numbers.
    """
    levels = level_of(runs)
    curves: dict[str, dict[str, BudgetCurve]] = {f"level {level}": {} for level in sorted({*levels.values()})}
    for run in runs:
        level_R = run.rollouts["problem_id"].astype(str).map(levels)
        level_Q = run.probes["problem_id"].astype(str).map(levels)
        for level in sorted({*level_R}):
            rollouts, probes = run.rollouts[level_R == level], run.probes[level_Q == level]
            curve = budget_curve(rollouts, probes, run.curve.budgets, name=run.name, snap=run.curve.snap)
            curves[f"level {level}"][run.name] = curve
    return {level: own for level, own in curves.items() if own}
