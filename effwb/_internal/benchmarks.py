"""Which benchmark a problem belongs to, and the rows of each benchmark in an array over problems."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from effwb.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

AVERAGE = "average"  # the mean over benchmarks, whatever their sizes
POOLED = "pooled"  # the problems of several benchmarks, each counted equally


def benchmark_of(problem_ids: ArrayLike) -> np.ndarray:
    """Return the benchmark of each problem: its id without the digest behind the last "-".

    Args:
        problem_ids: Ids (N,); they may repeat, as in a rollout table.

    Returns:
        Names, str (N,). All are "" if an id has no "-", or if every problem would be a benchmark of its own,
        as with ids from elsewhere (UUIDs).
    """
    import pandas as pd

    codes, ids = pd.factorize(pd.Series(problem_ids))
    names = np.array([str(i).rpartition("-")[0] for i in ids], dtype=str)
    if "" in names or (len(names) > 1 and len(set(names)) == len(names)):
        names = np.full(len(names), "")
    return names[codes]


def averages_only(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that a figure with one point per run draws: of several benchmarks the averages.

    A table with the column `benchmark` but no row "average" was filtered before, and is returned as it is.
    """
    if "benchmark" not in table or AVERAGE not in set(table["benchmark"]):
        return table
    return table[table["benchmark"] == AVERAGE].drop(columns="benchmark").reset_index(drop=True)


def benchmark_rows(benchmark_P: ArrayLike | None, problems: int) -> list[slice | np.ndarray]:
    """Return the rows of each benchmark, by name; one slice of all rows where there is only one.

    Args:
        benchmark_P: Benchmark of each problem, (P,); None: one benchmark.
        problems: The number P of problems.

    Raises:
        DataError: `benchmark_P` has another length.
    """
    if benchmark_P is None:
        return [slice(None)]
    names = np.asarray(benchmark_P, dtype=str)
    if names.shape != (problems,):
        raise DataError(f"benchmark_P has shape {names.shape}, expected ({problems},): one name per problem")
    unique = np.unique(names)
    return [slice(None)] if len(unique) < 2 else [np.flatnonzero(names == name) for name in unique]


def mean_over_problems(values: ArrayLike, benchmark_P: ArrayLike | None = None) -> np.ndarray:
    """Return the mean over problems, or the mean over benchmarks of their means over problems.

    >>> float(mean_over_problems([1, 1, 0], ["aime24", "aime24", "amc23"]))
    0.5

    Args:
        values: One value per problem, (P,), or K of them, (P, K).
        benchmark_P: Benchmark of each problem, (P,); None: all problems count equally.

    Raises:
        DataError: `benchmark_P` has another length than `values`.
    """
    values = np.asarray(values, dtype=float)
    means = [values[rows].mean(axis=0) for rows in benchmark_rows(benchmark_P, len(values))]
    return means[0] if len(means) == 1 else np.mean(means, axis=0)


def has_single_problem(problems: int, benchmark_P: ArrayLike | None) -> bool:
    """Return whether there is one problem only, or a benchmark with one: no interval is known then."""
    return min(len(np.arange(problems)[rows]) for rows in benchmark_rows(benchmark_P, problems)) < 2
