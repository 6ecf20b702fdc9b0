"""Two runs side by side: what changes from one to the other, problem by problem."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from effwb._internal.benchmarks import benchmark_of
from effwb._internal.checked import PathText, check_value
from effwb.analysis.benchmark_tables import frontier_on, stack_benchmarks
from effwb.analysis.finished import finished_runs
from effwb.analysis.run_analysis import RunAnalysis
from effwb.analysis.run_set import RunSet
from effwb.curves import BudgetCurve
from effwb.errors import ConfigError, DataError
from effwb.frontier import Frontier, reg, reg_difference
from effwb.metrics import Interval, interval_columns, paired_difference

NAN = float("nan")
IN_PERCENT = ("tokens", "REG")  # a change of accuracy in percent would be taken for points
DIFFERENCE = "difference"  # the name of the column; its interval is in `difference low` and `difference high`


def two_runs(first: str | Path, second: str | Path) -> RunSet:
    """Make a set of two finished runs, in that order.

    Args:
        first: Directory of an evaluation, or of a training with its evaluation.
        second: Another one.

    Raises:
        ConfigError: There is no such directory, it holds several runs, or both are the same.
        DataError: It holds no finished evaluation.
    """
    folders = [_only_run(first), _only_run(second)]
    if folders[0].resolve() == folders[1].resolve():
        raise ConfigError(f"{first} and {second} are the same run")
    parents = [list(folder.resolve().parents) for folder in folders]
    common = next(parent for parent in parents[0] if parent in parents[1])
    return RunSet.of(common, [folder.resolve() for folder in folders])


def _only_run(place: str | Path) -> Path:
    check_value("run", place, PathText)
    runs = finished_runs(place)
    if not runs:
        raise DataError(f"no finished evaluation in {place}; `effwb ls {place}` lists what is there")
    if len(runs) > 1:
        names = ", ".join(list(runs)[:4]) + (" ..." if len(runs) > 4 else "")
        raise ConfigError(f"{place} holds {len(runs)} runs ({names}); name one of them")
    return next(iter(runs.values())).path


def paired_differences(
    runs: RunSet, frontier: Frontier | None = None, l_max: int | None = None
) -> pd.DataFrame:
    """Compare two runs problem by problem.

    Accuracy and tokens: means of the differences per problem with Student's interval
    (`metrics.paired_difference`). REG: `frontier.reg_difference`, from which the frontier cancels. All
    intervals are 95 % over problems; they say nothing about another seed (`RunSet.effects` does).

    Args:
        runs: A set of two runs, for example `two_runs(a, b)` or `runs.filter(names=[a, b])`.
        frontier: What the REG of each run is measured against; default: the better of the two at each budget.
        l_max: Last budget that counts, in tokens; default: the last one of frontier and curves.

    Returns:
        Rows `accuracy` (a truncated rollout is wrong), `J(<l_max>)` (a longer rollout gives the answer it is
        forced to there), `tokens` (mean length) and `REG` (accuracy x tokens). Columns `measure`, the name of
        each run, `difference` (second minus first) with ` low` and ` high`, and `percent` of the first (of
        tokens and REG). Of several benchmarks there are rows for each and for the average, with the column
        `benchmark`.

    Raises:
        ConfigError: There are not two runs, or a curve ends before `l_max`.
        DataError: The runs were not measured alike; the message says in which they differ.
    """
    if len(runs) != 2:
        raise ConfigError(f"two runs are compared, got {len(runs)}: {', '.join(runs.names)}")
    best = frontier or runs.check_alike().frontier()
    runs.check_alike()
    ends = [best.budgets[-1], *(curve.budgets[-1] for curve in runs.curves().values())]
    l_max = l_max or int(min(ends))
    parts, tables = runs.by_benchmark(), {}
    for benchmark, part in parts.items():
        a, b = part
        tables[benchmark] = _table(a, b, frontier_on(best, benchmark, len(parts)), l_max)
    if len(tables) == 1:
        return next(iter(tables.values()))
    return stack_benchmarks({name: table.assign(name=table["measure"]) for name, table in tables.items()})


def _table(a: RunAnalysis, b: RunAnalysis, frontier: Frontier | None, l_max: int) -> pd.DataFrame:
    benchmark_P = None if a.curve.benchmark_P is None else benchmark_of(a.per_problem.index)

    def change(column: str) -> Interval:
        first, second = (run.per_problem[column].to_numpy()[:, None] for run in (a, b))
        return paired_difference(second, first, benchmark_P=benchmark_P)

    summaries, curves = [run.summary() for run in (a, b)], (a.curve, b.curve)
    gaps = [NAN if frontier is None else reg(frontier, curve, l_max) for curve in curves]
    rows = [
        ("accuracy", [row["accuracy"] for row in summaries], change("correct")),
        (f"J({l_max})", [curve.at(l_max) for curve in curves], _change_at(a.curve, b.curve, l_max)),
        ("tokens", [row["mean length"] for row in summaries], change("length")),
        ("REG", gaps, reg_difference(b.curve, a.curve, l_max)),
    ]
    return pd.DataFrame(
        {
            "measure": measure,
            a.name: first,
            b.name: second,
            **interval_columns({DIFFERENCE: interval}),
            "percent": 100 * interval.mean / first if measure in IN_PERCENT and first > 0 else NAN,
        }
        for measure, (first, second), interval in rows
    )


def _change_at(a: BudgetCurve, b: BudgetCurve, l_max: int) -> Interval:
    """The difference of accuracy at a budget; between two budgets it has no interval."""
    (place,) = np.nonzero(a.budgets == l_max)
    if not place.size:
        return Interval(b.at(l_max) - a.at(l_max), NAN, NAN)
    first, second = (curve.need_per_problem()[:, place] for curve in (a, b))
    return paired_difference(second, first, benchmark_P=a.benchmark_P)
