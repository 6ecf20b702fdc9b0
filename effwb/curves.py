"""The accuracy-budget curve J(L): how accurate a model is when its reasoning is stopped after L tokens.

A curve is computed from the two tables of a run (rollouts and probes) and nothing else, so it can always be
recomputed with a better verifier. The rule is that of arXiv 2506.07104, section 3.1: a rollout that ended by
itself within L counts its own answer, any other counts the answer forced after its first L tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import ArrayLike

from effwb._internal.benchmarks import AVERAGE, POOLED, benchmark_of
from effwb._internal.numbers import floats
from effwb._internal.scores import (
    RolloutArrays,
    codes_of,
    means_by_problem,
    require_columns,
    scores_by_budget,
)
from effwb.budgets import check_budgets, trapezoid_weights
from effwb.errors import ConfigError, DataError
from effwb.metrics import bootstrap_mean, mean_over_problems
from effwb.verifiers import STATUSES

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Curve:
    """Accuracy at K token budgets, linear in between. Base class of BudgetCurve and Frontier.

    Attributes:
        budgets: Tokens, int (K,), increasing.
        accuracy: Accuracy in [0, 1] at each budget, float (K,).
    """

    budgets: np.ndarray
    accuracy: np.ndarray

    def __post_init__(self):
        object.__setattr__(self, "budgets", check_budgets(self.budgets))
        object.__setattr__(self, "accuracy", self._accuracies("accuracy", self.accuracy, self.budgets.shape))

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """The benchmarks of the problems, sorted; empty where they are not known."""
        return ()

    @property
    def benchmark(self) -> str:
        """The benchmark of the problems: its name, "average" or "pooled" for several, "" if not known.

        "average" is the mean over benchmarks; in "pooled" all problems count equally.
        """
        return self.benchmarks[0] if len(self.benchmarks) == 1 else ""

    def _accuracies(self, name: str, values: ArrayLike, shape: tuple) -> np.ndarray:
        values = floats(name, values)
        if values.shape != shape:
            raise DataError(
                f"{name} has shape {values.shape}, expected {shape} for {self.budgets.size} budgets"
            )
        bad = ~((values >= 0) & (values <= 1))  # written so that NaN is bad too
        if bad.any():
            budget = self.budgets[np.argwhere(bad)[0][-1]]
            raise DataError(f"{name} {values[bad][0]:g} at budget {budget} is not in [0, 1]")
        return values

    @overload
    def at(self, budget: float) -> float: ...
    @overload
    def at(self, budget: np.ndarray | Sequence[float]) -> np.ndarray: ...
    def at(self, budget: ArrayLike) -> float | np.ndarray:
        """Return the accuracy at one budget or several, linear between measured budgets.

        Args:
            budget: Tokens, a number or an array, between the first and the last budget of the curve.

        Returns:
            A float for a number, otherwise an array of the same shape.

        Raises:
            ConfigError: A budget is outside the measured ones.
        """
        wanted = np.asarray(budget, dtype=float)
        outside = ~((wanted >= self.budgets[0]) & (wanted <= self.budgets[-1]))
        if outside.any():
            first, last = self.budgets[[0, -1]]
            raise ConfigError(f"budget {wanted[outside][0]:g} is outside the measured {first} to {last}")
        values = np.interp(wanted, self.budgets, self.accuracy)
        return float(values) if values.ndim == 0 else values

    def area_weights(self, l_max: float | None = None) -> np.ndarray:
        """Return the weights w such that `w @ accuracy` is the area over [0, l_max].

        Args:
            l_max: The end of the area in tokens, by default the last budget. Between two budgets the curve
                is cut linearly.

        Returns:
            Weights in tokens, float (K,).

        Raises:
            ConfigError: `l_max` is outside the measured budgets.
            DataError: The curve does not start at budget 0; without its first stretch the area would be
                too small.
        """
        x = self.budgets
        l_max = x[-1] if l_max is None else l_max
        if x[0] != 0:
            raise DataError(
                f"the curve starts at budget {x[0]}; an area from 0 needs the accuracy at budget 0"
            )
        if not 0 < l_max <= x[-1]:
            raise ConfigError(f"l_max={l_max} is outside the measured budgets: it must be in (0, {x[-1]}]")
        k = int(np.searchsorted(x, l_max))  # x[k-1] < l_max <= x[k]
        cut = trapezoid_weights(np.append(x[:k], l_max))
        share = (l_max - x[k - 1]) / (x[k] - x[k - 1])
        weights = np.zeros(x.size)
        weights[:k] = cut[:k]
        weights[[k - 1, k]] += cut[k] * np.array([1 - share, share])
        return weights

    def area(self, l_max: float | None = None) -> float:
        """Return the area under the curve on [0, l_max] by the trapezoid rule (arXiv 2506.07104, appendix F).

        Args:
            l_max: The end of the area in tokens, by default the last budget.

        Returns:
            The area, accuracy x tokens.

        Raises:
            ConfigError, DataError: As `area_weights`.
        """
        return float(self.area_weights(l_max) @ self.accuracy)

    def table(self) -> pd.DataFrame:
        """Return the curve as a table with a row per budget: `curve` (its name), `budget`, `accuracy`."""
        import pandas as pd

        name = getattr(self, "name", "")
        return pd.DataFrame({"curve": name, "budget": self.budgets, "accuracy": self.accuracy})


@dataclass(frozen=True, eq=False)
class BudgetCurve(Curve):
    """The measured curve of one model, with the accuracy of each problem for intervals over problems.

    All attributes after `accuracy` are optional; a method that needs a missing one says so.

    Attributes:
        budgets: Tokens, int (K,), increasing.
        accuracy: Accuracy in [0, 1] at each budget, float (K,).
        per_problem: Accuracy of each of P problems at each budget, float (P, K); its mean is `accuracy`.
        benchmark_P: Benchmark of each problem, (P,), if `accuracy` is the mean over benchmarks of their means
            over problems (`frontier.macro_average`). Intervals then resample problems within their benchmark.
            None: all problems count equally.
        problem_ids: The id of each problem, (P,).
        halves: Like `per_problem`, from the even and from the odd samples alone, float (2, P, K).
            `Frontier.from_curves(method="cross_fit")` needs them.
        n_samples: Samples drawn per problem, int (P,).
        mean_tokens: Mean length of whole responses in tokens; the mean over problems of each problem's mean.
        name: The name of the curve in tables and figures.
        snap: Rollouts were cut down to whole blocks of this many tokens (prompt included), so the accuracy at
            L is that after up to snap - 1 tokens fewer. None: they were cut at L.
    """

    per_problem: np.ndarray | None = None
    problem_ids: np.ndarray | None = None
    halves: np.ndarray | None = None
    n_samples: np.ndarray | None = None
    mean_tokens: float | None = None
    name: str = ""
    snap: int | None = None
    benchmark_P: np.ndarray | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.per_problem is None:
            return
        problems, k = len(self.per_problem), self.budgets.size
        values = self._accuracies("per_problem accuracy", self.per_problem, (problems, k))
        mean = None if problems == 0 else mean_over_problems(values, self.benchmark_P)
        if mean is None or np.abs(mean - self.accuracy).max() > 1e-6:
            within = "" if self.benchmark_P is None else ", and that over benchmarks (benchmark_P)"
            raise DataError(f"accuracy is not the mean of per_problem over its problems{within}")
        object.__setattr__(self, "per_problem", values)
        if self.halves is not None:
            halves = self._accuracies("halves accuracy", self.halves, (2, problems, k))
            object.__setattr__(self, "halves", halves)
        for field in ("problem_ids", "n_samples", "benchmark_P"):
            if getattr(self, field) is not None:
                entries = np.asarray(getattr(self, field))
                if len(entries) != problems:
                    raise DataError(f"{len(entries)} {field} for {problems} problems in per_problem")
                object.__setattr__(self, field, entries)

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """The benchmarks of the problems, sorted, from `benchmark_P` or the ids; empty if not known."""
        names = self.benchmark_P
        if names is None and self.problem_ids is not None:
            names = benchmark_of(self.problem_ids)
        unique = () if names is None else tuple(sorted({str(name) for name in names}))
        return () if "" in unique else unique

    @property
    def benchmark(self) -> str:
        """As in `Curve`."""
        several = POOLED if self.benchmark_P is None else AVERAGE
        return several if len(self.benchmarks) > 1 else super().benchmark

    def interval(
        self, level: float = 0.95, seed: int = 0, resamples: int = 10_000
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the pointwise interval of the accuracy, from a bootstrap over problems.

        Args:
            level: Coverage of the interval.
            seed: Seed of the bootstrap.
            resamples: Number of bootstrap resamples.

        Returns:
            The lower and the upper ends, float (K,) each; NaN for a single problem, also of a benchmark.

        Raises:
            DataError: The curve has no `per_problem`.
        """
        # cached, because every figure and table of a curve needs it again
        cache = self.__dict__.setdefault("_intervals", {})
        key = (level, seed, resamples)
        if key not in cache:
            values = self.need_per_problem()
            cache[key] = tuple(bootstrap_mean(values, resamples, level, seed, self.benchmark_P)[1:])
        return cache[key]

    def table(self) -> pd.DataFrame:
        """Return the curve as a table with a row per budget.

        Returns:
            `curve`, `budget`, `accuracy`; `snap` if the curve has one; and the ends `low`, `high` of the 95 %
            interval if it has per-problem accuracies.
        """
        frame = super().table()
        frame = frame if self.snap is None else frame.assign(snap=self.snap)
        if self.per_problem is None:
            return frame
        low, high = self.interval()
        return frame.assign(low=low, high=high)

    def need_per_problem(self) -> np.ndarray:
        """Return `per_problem`, float (P, K).

        Raises:
            DataError: The curve has none.
        """
        if self.per_problem is None:
            raise DataError(
                f"curve {self.name!r} has no per_problem accuracies, so it has no interval over problems"
            )
        return self.per_problem


def budget_curve(
    rollouts: pd.DataFrame, probes: pd.DataFrame, budgets: ArrayLike, name: str = "", snap: int | None = None
) -> BudgetCurve:
    """Compute the curve of one run from its rollouts and probes.

    At budget L a rollout counts

    - its own verdict if finish_reason is "stop" and length <= L;
    - otherwise the verdict of its probe at L, which must exist;
    - if it was truncated at the cap and L >= its length: its probe at L, else its probe at the cap (the
      answer forced there), else its own verdict (the truncated text as graded, the paper's reading). If
      only some of the truncated rollouts have a probe at the cap, that is an error.

    Probes of other rollouts or at other budgets are ignored. Problems count equally, however many samples
    each has, and are sorted by id.

    Args:
        rollouts: Table with problem_id, sample, length (tokens), finish_reason ("stop" or "length"), verdict
            (one of `effwb.verifiers.STATUSES`).
        probes: Table with problem_id, sample, budget (tokens), verdict.
        budgets: Tokens, (K,), increasing.
        name: The name of the curve.
        snap: As in `BudgetCurve`.

    Raises:
        DataError: Rows are missing, duplicate or illegal; the message names the first ones.
    """
    budgets = check_budgets(budgets)
    require_columns(rollouts, "rollouts", ("problem_id", "sample", "length", "finish_reason", "verdict"))
    require_columns(probes, "probes", ("problem_id", "sample", "budget", "verdict"))
    rows = RolloutArrays(rollouts)
    score_NK = scores_by_budget(rows, probes, budgets)
    per_problem, n_samples = means_by_problem(rows.starts, score_NK)
    halves = None
    if n_samples.min() >= 2:
        odd = rows.rank % 2 == 1
        halves = np.stack([means_by_problem(rows.starts, score_NK, half)[0] for half in (~odd, odd)])
    return BudgetCurve(
        budgets,
        per_problem.mean(axis=0),
        per_problem=per_problem,
        problem_ids=rows.ids,
        halves=halves,
        n_samples=n_samples,
        mean_tokens=float(means_by_problem(rows.starts, rows.length[:, None])[0].mean()),
        name=name,
        snap=snap,
    )


def score_table(rollouts: pd.DataFrame, probes: pd.DataFrame, budgets: ArrayLike) -> pd.DataFrame:
    """Score each rollout at each budget as 0 or 1, by the rule of `budget_curve`.

    Args:
        rollouts: As for `budget_curve`.
        probes: As for `budget_curve`.
        budgets: Tokens, (K,), increasing.

    Returns:
        A row per rollout, indexed by (problem_id, sample) and sorted; an int8 column per budget.

    Raises:
        DataError: As `budget_curve`.
    """
    import pandas as pd

    budgets = check_budgets(budgets)
    rows = RolloutArrays(rollouts)
    problem, sample = np.divmod(rows.key, len(rows.samples))
    index = pd.MultiIndex.from_arrays(
        [rows.ids[problem], rows.samples[sample]], names=["problem_id", "sample"]
    )
    return pd.DataFrame(scores_by_budget(rows, probes, budgets), index, budgets.tolist())


def first_right(scores: pd.DataFrame) -> pd.Series:
    """Return the smallest budget at which each rollout is right.

    Args:
        scores: A `score_table`.

    Returns:
        Tokens by rollout, named "first_right"; NaN where the rollout is never right.
    """
    import pandas as pd

    values = scores.to_numpy()
    budgets = scores.columns.to_numpy(dtype=float)
    first = np.where(values.any(axis=1), budgets[values.argmax(axis=1)], np.nan)
    return pd.Series(first, scores.index, name="first_right")


def tokens_to_reach(curve: Curve, share: float = 0.9) -> float:
    """Return the smallest budget at which a curve reaches a share of its final accuracy.

    Args:
        curve: The curve, linear between its budgets.
        share: The share of the final accuracy, in (0, 1].

    Returns:
        Tokens; NaN if the curve ends at accuracy 0.

    Raises:
        ConfigError: `share` is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ConfigError(f"share={share} must be in (0, 1]")
    x, y = curve.budgets, curve.accuracy
    target = share * y[-1]
    if target == 0:
        return float("nan")
    k = int(np.argmax(y >= target))
    if k == 0:
        return float(x[0])
    return float(x[k - 1] + (x[k] - x[k - 1]) * (target - y[k - 1]) / (y[k] - y[k - 1]))


def verdict_counts(table: pd.DataFrame, by: str | list[str] | None = None) -> pd.Series | pd.DataFrame:
    """Count how often each verdict occurs in a table, zeros included.

    Args:
        table: A rollout or probe table.
        by: Columns to group by, for example "budget". None: count the whole table.

    Returns:
        A Series by verdict; with `by` a DataFrame with a row per group and a column per verdict.

    Raises:
        DataError: The table holds an unknown verdict.
    """
    import pandas as pd

    codes = codes_of(table, "verdict", STATUSES)
    verdicts = pd.Categorical.from_codes(codes, categories=pd.Index(STATUSES))
    if by is None:
        return pd.Series(verdicts).value_counts(sort=False)
    keys = [by] if isinstance(by, str) else by
    frame = table[keys].assign(verdict=verdicts)
    return frame.groupby([*keys, "verdict"], observed=False).size().unstack("verdict")
