"""Tables that compare methods over their seeds, and problems by level of difficulty."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from effwb._internal.student_t import t_p_value
from effwb.analysis.benchmark_tables import each_benchmark
from effwb.errors import ConfigError, DataError
from effwb.metrics import aes, clustered_interval, holm
from effwb.rollouts import problems_of

if TYPE_CHECKING:
    from effwb.analysis.run_analysis import RunAnalysis

MAX_SEEDS = 10  # more values than this are problems or rollouts, passed by mistake


def over_seeds(values: Iterable[float]) -> tuple[float, float, float]:
    """Mean and Student's 95 % interval over seeds.

    Args:
        values: One number per seed, at most 10.

    Returns:
        (mean, low, high); the limits are NaN for a single seed.

    Raises:
        ConfigError: There are no values, or more than 10.

    Example:
        >>> [round(x, 3) for x in over_seeds([1.0, 2.0, 3.0])]
        [2.0, -0.484, 4.484]
    """
    values = np.asarray(list(values), dtype=float)
    if not 1 <= len(values) <= MAX_SEEDS:
        raise ConfigError(f"an interval over seeds needs 1 to {MAX_SEEDS} of them, got {len(values)}")
    mean, low, high = clustered_interval(values[:, None])  # each seed is a cluster of its own
    return float(mean), float(low), float(high)


@each_benchmark
def effects(runs: pd.DataFrame, baseline: str = "vanilla") -> pd.DataFrame:
    """Compare methods with a baseline method, paired by seed.

    Args:
        runs: A row per run, as `RunSet.table` gives it; several benchmarks are compared one by one.
        baseline: Name of the method to compare with.

    Returns:
        A row per method: `name`, `seeds`, `df` (degrees of freedom: seeds - 1), `accuracy` and `length`
        (means over seeds; tokens), `Δ accuracy` and `Δ area` (differences to the baseline; area in accuracy
        x tokens) and `length ratio` (of the mean lengths; interval and test are computed on the logarithm).
        The last three each with ` low` and ` high` (Student's 95 % over seeds), ` p` (two-sided, of the
        paired t test over seeds) and ` p Holm` (`metrics.holm`). A family of tests is one column: one
        comparison for each row but that of the baseline.

    Raises:
        ConfigError: No run has the method `baseline`.
    """
    base = _baseline(runs, baseline)
    rows = []
    for name, part in runs.groupby("name", sort=False):
        pairs = part.set_index("seed").join(base.add_suffix(" base"), how="inner")
        row = {"name": name, "seeds": len(pairs), "df": len(pairs) - 1}
        row |= {"accuracy": pairs["accuracy"].mean(), "length": pairs["mean length"].mean()}
        row |= _tested("Δ accuracy", pairs["accuracy"] - pairs["accuracy base"])
        logs = _tested("length ratio", np.log(pairs["mean length"] / pairs["mean length base"]))
        row |= {key: value if key.endswith(" p") else np.exp(value) for key, value in logs.items()}
        row |= _tested("Δ area", pairs["area"] - pairs["area base"])
        rows.append(row)
    return with_holm(pd.DataFrame(rows), baseline)


def with_holm(table: pd.DataFrame, baseline: str | None = None) -> pd.DataFrame:
    """Return a table of effects with a column ` p Holm` behind each column ` p`.

    Args:
        table: A row per method. The rows are the family: concatenate tables first that are read as one.
        baseline: Name of a row that is compared with itself; it gets NaN, and is no comparison.
    """
    table = table.drop(columns=[column for column in table if column.endswith(" p Holm")])
    for column in [column for column in table if column.endswith(" p")]:
        table.loc[table["name"] == baseline, column] = np.nan
        table.insert(table.columns.get_loc(column) + 1, f"{column} Holm", holm(table[column]))
    return table


def _tested(name: str, differences: pd.Series) -> dict[str, float]:
    """Mean, Student's interval and the p-value of the t test that the mean over seeds is 0, as columns."""
    mean, low, high = over_seeds(differences)
    return {name: mean, f"{name} low": low, f"{name} high": high, f"{name} p": _p_value(differences)}


def _p_value(differences: Iterable[float]) -> float:
    """Two-sided p-value of Student's one-sample t test; NaN for a single value, 1 where all are 0."""
    values = np.asarray(list(differences), dtype=float)
    if len(values) < 2:
        return math.nan
    error = values.std(ddof=1) / math.sqrt(len(values))
    if error == 0:
        return float(values.mean() == 0)
    return t_p_value(float(values.mean() / error), len(values) - 1)


@each_benchmark
def aes_table(runs: pd.DataFrame, baseline: str = "base") -> pd.DataFrame:
    """Accuracy-efficiency score (`metrics.aes`) of each method against a baseline, over the seeds.

    AES has a kink where the accuracy does not change, so the mean of scores is not the score of the means.

    Args:
        runs: A row per run, as `RunSet.table` gives it; several benchmarks are compared one by one.
        baseline: Name of the method to compare with, seed by seed.

    Returns:
        A row per other method: `name`, `seeds`, `df`, `AES`, `AES low`, `AES high` (Student's 95 %),
        `AES p` (of the t test over seeds that the mean score is 0) and `AES p Holm`, as in `effects`.
    """
    base = _baseline(runs, baseline)
    rows = []
    for name, part in runs[runs["name"] != baseline].groupby("name", sort=False):
        pairs = part.set_index("seed").join(base.add_suffix(" base"), how="inner")
        scores = [
            aes(row["accuracy base"], row["mean length base"], row["accuracy"], row["mean length"])
            for _, row in pairs.iterrows()
        ]
        rows.append({"name": name, "seeds": len(scores), "df": len(scores) - 1, **_tested("AES", scores)})
    return with_holm(pd.DataFrame(rows))


def _baseline(runs: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """The rows of the baseline, by seed."""
    if baseline not in set(runs["name"]):
        raise ConfigError(f"no run is called {baseline!r}; there are {sorted(set(runs['name']))}")
    return runs[runs["name"] == baseline].set_index("seed")


def level_table(runs: Iterable[RunAnalysis], levels: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Length and accuracy of each run by level of difficulty.

    Args:
        runs: The runs, for example a `RunSet`.
        levels: Level by problem id; default: the levels that the problems of each run have.

    Returns:
        A row per run and level, in order of the levels (as numbers where they are numbers): `name` (the
        method), `seed`, `level`, `problems`, `length`, `length low`, `length high` (tokens), `accuracy`,
        `low`, `high`; 95 % over the problems of the level, NaN where it has only one.

    Raises:
        DataError: The problems have no levels and none are given.
    """
    rows = []
    for run in runs:
        level_of = levels
        if level_of is None:
            problems = problems_of(run.run_dir)
            if "level" not in problems:
                raise DataError(
                    f"the problems of {run.name} have no levels; give them as {{problem id: level}}"
                )
            level_of = problems.set_index("problem_id")["level"].astype(str)
        names = run.rollouts["problem_id"].drop_duplicates().map(level_of).astype(str).to_numpy()
        for level in sorted(set(names), key=lambda v: (not v.isdigit(), int(v) if v.isdigit() else 0, v)):
            inside = names == level
            row = {"name": run.method, "seed": run.seed, "level": level, "problems": int(inside.sum())}
            for key, prefix, values in (
                ("length", "length ", run.length_PN()),
                ("accuracy", "", run.correct_PN()),
            ):
                interval = clustered_interval(values[inside])
                row |= dict(zip((key, f"{prefix}low", f"{prefix}high"), interval, strict=True))
            rows.append(row)
    return pd.DataFrame(rows)
