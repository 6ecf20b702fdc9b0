"""Compare a few runs: accuracy, REG and AES with intervals over their problems, computed in a moment."""

from __future__ import annotations

import numpy as np
import pandas as pd

from effwb._internal.benchmarks import averages_only, benchmark_of
from effwb.analysis.benchmark_tables import frontier_on, stack_benchmarks
from effwb.analysis.run_analysis import RunAnalysis
from effwb.analysis.run_set import RunSet
from effwb.errors import one_of
from effwb.frontier import Frontier, reg, reg_row
from effwb.metrics import Interval, aes_interval, clustered_interval, interval_columns

NAN = float("nan")
UNKNOWN = Interval(NAN, NAN, NAN)
MAX_RUNS = 12  # in one figure
ISO_AES = (-0.5, 0.0, 0.5, 1.0)  # lines of equal AES in a figure of accuracy and tokens
ACCURACY_AND_J = (
    "Accuracy counts a rollout that the cap cut off as wrong; J(L) counts the answer that a rollout longer "
    "than L is forced to give there, so J at the cap is often a little higher."
)
DIGITS = {"mean tokens": 1, "REG": 1, "AES": 2}  # decimals in a printed table


def compare(
    runs: RunSet, frontier: Frontier, l_max: int, baseline: str, resamples: int = 10_000
) -> pd.DataFrame:
    """Compare runs with each other and with a frontier.

    Args:
        runs: The runs; they must be measured alike.
        frontier: What REG is measured against. One that was measured on the same problems is resampled
            together with the run. Where its budgets differ from the runs', REG is computed from linear
            interpolations and has no interval.
        l_max: Last budget that counts, in tokens.
        baseline: Name of the run that AES compares with.
        resamples: Bootstrap resamples of AES; those of REG are the same everywhere (`frontier.reg_row`).

    Returns:
        A row per run: `name`, `problems`, `accuracy`, `mean tokens`, `J(<l_max>)`, `REG` (accuracy x tokens),
        `AES`; accuracy, REG and AES each with ` low` and ` high` (95 % over problems). Of several benchmarks
        there is a row for each and the average, with the column `benchmark`; REG is NaN on a benchmark that
        the frontier has no part for.
    """
    one_of("base", baseline, runs.names)
    parts, tables = runs.by_benchmark(), {}
    for benchmark, part in parts.items():
        best, base = frontier_on(frontier, benchmark, len(parts)), part[baseline]
        tables[benchmark] = pd.DataFrame([_row(run, best, l_max, base, resamples) for run in part])
    return stack_benchmarks(tables)


def tradeoff_table(table: pd.DataFrame, runs: RunSet) -> pd.DataFrame:
    """Return the numbers of `compare` as `plots.tradeoff_figure` takes them.

    Args:
        table: As `compare` returns it; of several benchmarks the averages are taken.
        runs: The runs of the table; their methods decide the colours.
    """
    table = averages_only(table).rename(columns={"accuracy low": "low", "accuracy high": "high"})
    return table.assign(method=table["name"].map(runs.original_methods))


def _row(run: RunAnalysis, frontier: Frontier | None, l_max: int, base: RunAnalysis, resamples: int) -> dict:
    benchmark_P = None if run.curve.benchmark_P is None else benchmark_of(run.per_problem.index)
    own, reference = (table.per_problem.to_numpy()[..., None] for table in (run, base))
    row = {"name": run.name, "problems": len(own)}
    row |= interval_columns({"accuracy": clustered_interval(own[:, 0], benchmark_P=benchmark_P)})
    row |= {"mean tokens": run.curve.mean_tokens, f"J({l_max})": run.curve.at(l_max)}
    aes = UNKNOWN
    if run.name != base.name:
        pairs = (reference[:, 0], reference[:, 1], own[:, 0], own[:, 1])
        aes = aes_interval(*pairs, resamples, benchmark_P=benchmark_P)
    if frontier is not None and same_budgets(run, frontier, l_max):
        row |= reg_row(frontier, run.curve, l_max)  # the interval of `effwb reg`
    else:
        gap = NAN if frontier is None else reg(frontier, run.curve, l_max, interpolate=True)
        row |= interval_columns({"REG": Interval(gap, NAN, NAN)})
    return row | interval_columns({"AES": aes})


def same_budgets(run: RunAnalysis, frontier: Frontier, l_max: int) -> bool:
    """Whether run and frontier were measured at the same budgets up to `l_max`, and at `l_max` itself."""
    own, reference = (c.budgets[c.budgets <= l_max] for c in (run.curve, frontier))
    return np.array_equal(own, reference) and own[-1] == l_max
