"""Tables that compare methods over their seeds, and problems by level of difficulty."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from effwb.analysis.benchmark_tables import each_benchmark
from effwb.errors import ConfigError, DataError
from effwb.metrics import aes, clustered_interval
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
        A row per method: `name`, `seeds`, `accuracy` and `length` (means over seeds; tokens),
        `Δ accuracy` and `Δ area` (differences to the baseline; area in accuracy x tokens) and
        `length ratio` (of the mean lengths; its interval is computed on the logarithm), the last three each
        with ` low` and ` high` (Student's 95 % over seeds).

    Raises:
        ConfigError: No run has the method `baseline`.
    """
    base = _baseline(runs, baseline)
    rows = []
    for name, part in runs.groupby("name", sort=False):
        pairs = part.set_index("seed").join(base.add_suffix(" base"), how="inner")
        logs = np.log(pairs["mean length"] / pairs["mean length base"])
        intervals = {
            "Δ accuracy": over_seeds(pairs["accuracy"] - pairs["accuracy base"]),
            "length ratio": tuple(np.exp(over_seeds(logs))),
            "Δ area": over_seeds(pairs["area"] - pairs["area base"]),
        }
        row = {"name": name, "seeds": len(pairs)}
        row |= {"accuracy": pairs["accuracy"].mean(), "length": pairs["mean length"].mean()}
        for key, (mean, low, high) in intervals.items():
            row |= {key: mean, f"{key} low": low, f"{key} high": high}
        rows.append(row)
    return pd.DataFrame(rows)


@each_benchmark
def aes_table(runs: pd.DataFrame, baseline: str = "base") -> pd.DataFrame:
    """Accuracy-efficiency score (`metrics.aes`) of each method against a baseline, over the seeds.

    AES has a kink where the accuracy does not change, so the mean of scores is not the score of the means.

    Args:
        runs: A row per run, as `RunSet.table` gives it; several benchmarks are compared one by one.
        baseline: Name of the method to compare with, seed by seed.

    Returns:
        A row per other method: `name`, `seeds`, `AES`, `AES low`, `AES high` (Student's 95 %).
    """
    base = _baseline(runs, baseline)
    rows = []
    for name, part in runs[runs["name"] != baseline].groupby("name", sort=False):
        pairs = part.set_index("seed").join(base.add_suffix(" base"), how="inner")
        scores = [
            aes(row["accuracy base"], row["mean length base"], row["accuracy"], row["mean length"])
            for _, row in pairs.iterrows()
        ]
        mean, low, high = over_seeds(scores)
        rows.append({"name": name, "seeds": len(scores), "AES": mean, "AES low": low, "AES high": high})
    return pd.DataFrame(rows)


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
