"""Tables over several benchmarks: a row for each and one for their average, and problems that all solve.

The convention of every table: the column `benchmark` is there only where the problems of a run are of
several benchmarks. Each run or method then has a row per benchmark, and a last row "average": the mean over
benchmarks, whatever their sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec

import numpy as np
import pandas as pd

from effwb._internal.benchmarks import AVERAGE, POOLED, benchmark_of
from effwb.errors import ConfigError
from effwb.frontier import BENCHMARKS, Frontier
from effwb.metrics import Interval, clustered_interval, interval_columns
from effwb.rollouts import solved

if TYPE_CHECKING:
    from effwb.analysis.run_set import RunSet

P = ParamSpec("P")
NO_INTERVAL = Interval(float("nan"), float("nan"), float("nan"))


def stack_benchmarks(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Stack the tables of several benchmarks into one with the column `benchmark`.

    Args:
        tables: A table of each benchmark, the last one "average", with the columns `name` or `run` and the
            rows of all in the same order. The only table of a set with one benchmark is returned as it is.

    Returns:
        The rows of each run (or method) together, in the order of the benchmarks.
    """
    if AVERAGE not in tables:
        return next(iter(tables.values()))
    rows = pd.concat([table.assign(benchmark=name) for name, table in tables.items()], ignore_index=True)
    key = "run" if "run" in rows else "name"
    order = {value: i for i, value in enumerate(dict.fromkeys(tables[AVERAGE][key]))}
    rows = rows.sort_values(key, key=lambda column: column.map(order), kind="stable", ignore_index=True)
    first = [column for column in ("name", "seed", "run", "benchmark") if column in rows]
    return rows[[*first, *(column for column in rows if column not in first)]]


def each_benchmark(
    make: Callable[Concatenate[pd.DataFrame, P], pd.DataFrame],
) -> Callable[Concatenate[pd.DataFrame, P], pd.DataFrame]:
    """Let a function of a `RunSet.table` treat each benchmark apart, where the table has several."""

    @wraps(make)
    def stacked(runs: pd.DataFrame, *args: P.args, **kwargs: P.kwargs) -> pd.DataFrame:
        if "benchmark" not in runs:
            return make(runs, *args, **kwargs)
        groups = runs.groupby("benchmark", sort=False)
        return stack_benchmarks(
            {str(b): make(rows.drop(columns="benchmark"), *args, **kwargs) for b, rows in groups}
        )

    return stacked


def frontier_on(frontier: Frontier, benchmark: str, benchmarks: int) -> Frontier | None:
    """Return the frontier that a row of a table is compared with.

    Args:
        frontier: The frontier of the whole table.
        benchmark: The benchmark of the row.
        benchmarks: How many kinds of rows the table has.

    Returns:
        `frontier` itself for the average and where there is one benchmark; its part for any other row; None
        if it has no such part.
    """
    if benchmarks == 1 or benchmark == AVERAGE:
        return frontier
    return (frontier.parts or {}).get(benchmark)


def published_frontier(model: str, runs: RunSet) -> Frontier:
    """Return the frontier that the authors released for the benchmarks of some runs.

    Args:
        model: One of `frontier.MODELS`.
        runs: The runs; those of one benchmark, or on several.

    Returns:
        That of the runs' benchmark; of several benchmarks the average over them; the average over all four
        where one of them has no released frontier.
    """
    own = runs.curve(runs.names[0])
    known = own.benchmark != POOLED and own.benchmarks and set(own.benchmarks) <= set(BENCHMARKS)
    return Frontier.published(model, own.benchmarks if known else AVERAGE)


def solved_by_all(runs: RunSet, share: float = 0.5) -> pd.DataFrame:
    """Compare methods on the problems that all of them solve (2506.07104, Table 2).

    A problem counts as solved by a method if more than `share` of its rollouts, over all seeds, are right.

    Args:
        runs: The runs, measured alike.
        share: The share of right rollouts that has to be exceeded, in [0, 1).

    Returns:
        A row per method: `name`, `seeds`, `problems` (solved by all), and `accuracy`, `mean length`,
        `length, correct` (tokens; of all rollouts and of the right ones), each with ` low` and ` high` (95 %
        over problems, NaN for fewer than two). Of several benchmarks a row for each, "average" (NaN where one
        has no such problem) and "pooled" (all problems count equally).

    Raises:
        ConfigError: `share` is not in [0, 1).
        DataError: The runs were not measured alike.
    """
    if not 0 <= share < 1:
        raise ConfigError(f"share={share} must be in [0, 1): the paper takes 0.5")
    runs.check_alike()
    tables = {method: _problem_means(runs, names) for method, names in runs.methods.items()}
    shares = pd.DataFrame({method: table["accuracy"] for method, table in tables.items()})
    benchmarks = pd.Series(benchmark_of(shares.index), shares.index)
    chosen = (shares > share).all(axis=1)
    kinds = sorted(set(benchmarks)) if benchmarks.nunique() > 1 and runs.benchmark != POOLED else []
    each = [AVERAGE] if runs.benchmark == AVERAGE else [*kinds, AVERAGE, POOLED]
    rows = []
    for method, names in runs.methods.items():
        for kind in each if kinds else [POOLED]:
            inside = chosen & (benchmarks == kind) if kind in kinds else chosen
            row = {"name": method, "seeds": len(names), "benchmark": kind, "problems": int(inside.sum())}
            missing = not inside.any() or (kind == AVERAGE and benchmarks[inside].nunique() < len(kinds))
            benchmark_P = benchmarks[inside].to_numpy() if kind == AVERAGE else None
            intervals = {
                column: NO_INTERVAL
                if missing
                else clustered_interval(values[inside].to_numpy()[:, None], benchmark_P=benchmark_P)
                for column, values in tables[method].items()
            }
            rows.append(row | interval_columns(intervals))
    table = pd.DataFrame(rows)
    return table if kinds else table.drop(columns="benchmark")


def _problem_means(runs: RunSet, names: list[str]) -> pd.DataFrame:
    """Accuracy, length and length of right rollouts of each problem, over the rollouts of all seeds."""
    rollouts = pd.concat([runs[name].rollouts.astype({"problem_id": str}) for name in names])
    right = solved(rollouts)
    frame = pd.DataFrame(
        {
            "problem_id": rollouts["problem_id"],
            "accuracy": right.astype(float),
            "mean length": rollouts["length"].astype(float),
            "length, correct": np.where(right, rollouts["length"], np.nan),
        }
    )
    return frame.groupby("problem_id").mean()
