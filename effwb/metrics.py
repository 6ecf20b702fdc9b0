"""Scores of a model and their intervals over problems.

Samples of one problem are never counted as independent: the problem is the unit. Arrays carry their axes: P
problems, N samples per problem, K budgets. NaN marks a sample that was not drawn, so problems may have
different numbers of samples. For a single problem the ends of an interval are NaN, not zero.

With `benchmark_P`, the benchmark of each problem, a mean is the mean over benchmarks (the macro-average of
arXiv 2506.07104, Table 1), and its interval holds the benchmarks fixed and their problems random.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from effwb._internal.benchmarks import benchmark_rows, has_single_problem
from effwb._internal.benchmarks import mean_over_problems as mean_over_problems
from effwb._internal.checked import checked_arguments
from effwb._internal.multiple_tests import holm as holm
from effwb._internal.numbers import floats
from effwb._internal.resampling import chunked_means, spearman
from effwb._internal.student_t import t_half_width
from effwb._internal.student_t import t_quantile as t_quantile
from effwb.errors import ConfigError, DataError

if TYPE_CHECKING:
    from effwb.curves import Curve

# Random indices drawn at a time (16 MB per thread), so that memory does not grow with P or the resamples.
CHUNK_DRAWS = 2_000_000


class Interval(NamedTuple):
    """An estimate and the ends of its interval.

    Attributes:
        mean: The estimate: a float, or an array (K,) for a curve.
        low: The lower end, of the same shape.
        high: The upper end, of the same shape.
    """

    mean: Any
    low: Any
    high: Any


# ---------------------------------------------------------------------------------------------- scores
def mean_at_k(correct_PN: ArrayLike) -> float:
    """Return the share of correct samples, averaged over problems (Mean@N of arXiv 2602.20945, section 3).

    Args:
        correct_PN: Verdicts 0 or 1, (P, N); NaN: not drawn.

    Raises:
        DataError: A value is not 0, 1 or NaN, or a problem has no samples.
    """
    return float(np.mean(_problem_means(_verdicts(correct_PN))))


def pass_at_k(correct_PN: ArrayLike, k: int) -> float:
    """Return the unbiased pass@k, 1 - C(n-c, k) / C(n, k) per problem, averaged over problems.

    Source: arXiv 2107.03374, section 2.1. n is the number of samples of a problem, c that of correct ones.

    Args:
        correct_PN: Verdicts 0 or 1, (P, N); NaN: not drawn.
        k: Number of samples of which at least one has to be correct.

    Returns:
        A value in [0, 1]. NaN if a problem has fewer than `k` samples: its pass@k is unknown then, and
        counting the samples that were never drawn as wrong halves the score at every doubling of k
        (open-r1 #655).

    Raises:
        ConfigError: `k` is not a whole number of at least 1.
        DataError: A value is not 0, 1 or NaN, or a problem has no samples.
    """
    if isinstance(k, str) or k != int(k) or k < 1:
        raise ConfigError(f"k={k!r} must be a whole number of at least 1")
    correct = _verdicts(correct_PN)
    n = np.sum(~np.isnan(correct), axis=1)
    wrong = n - np.nansum(correct, axis=1)
    if (n < k).any():
        return float("nan")
    steps = np.arange(int(k))
    all_wrong = np.prod(np.clip(wrong[:, None] - steps, 0, None) / (n[:, None] - steps), axis=1)
    return float(np.mean(1 - all_wrong))


@checked_arguments(base_accuracy=float, base_length=float, accuracy=float, length=float)
def aes(
    base_accuracy: float,
    base_length: float,
    accuracy: float,
    length: float,
    *,
    alpha: float = 1.0,
    beta: float = 3.0,
    gamma: float = 5.0,
) -> float:
    """Return the accuracy-efficiency score of O1-Pruner (arXiv 2501.12570, section 4.1); higher is better.

    dLen = (base_length - length) / base_length and dAcc = (accuracy - base_accuracy) / base_accuracy;
    AES = alpha dLen + beta |dAcc| if dAcc >= 0, and alpha dLen - gamma |dAcc| otherwise.

    Args:
        base_accuracy: Accuracy of the model to compare with, above 0.
        base_length: Its mean length, above 0.
        accuracy: Accuracy of the model, in the same unit: both in [0, 1] or both in percent.
        length: Its mean length, in the same unit as `base_length`.
        alpha: Weight of the length.
        beta: Weight of a gain in accuracy.
        gamma: Weight of a loss in accuracy.

    Raises:
        ConfigError: A base value is not positive, or another value is negative.
    """
    for name, value in (("base_accuracy", base_accuracy), ("base_length", base_length)):
        if not 0 < value < math.inf:
            raise ConfigError(f"{name}={value} must be positive and finite: AES is relative to the base")
    for name, value in (("accuracy", accuracy), ("length", length)):
        if not 0 <= value < math.inf:
            raise ConfigError(f"{name}={value} must be finite and not negative")
    d_length = (base_length - length) / base_length
    d_accuracy = (accuracy - base_accuracy) / base_accuracy
    return float(alpha * d_length + (beta if d_accuracy >= 0 else gamma) * d_accuracy)


def aes_interval(
    base_correct_PN: ArrayLike,
    base_length_PN: ArrayLike,
    correct_PN: ArrayLike,
    length_PN: ArrayLike,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    benchmark_P: ArrayLike | None = None,
) -> Interval:
    """Return `aes` of a model against another, with its interval from a bootstrap over problems.

    Both models are evaluated on the same problems (row i of all four tables), and the bootstrap resamples
    both jointly. AES has a kink where the accuracies are equal, so the interval may be lopsided there.

    Args:
        base_correct_PN: Verdicts of the model to compare with, (P, N).
        base_length_PN: Its lengths in tokens, (P, N).
        correct_PN: Verdicts of the model, (P, N').
        length_PN: Its lengths in tokens, (P, N').
        resamples: Number of bootstrap resamples.
        level: Coverage of the interval.
        seed: Seed of the bootstrap.
        benchmark_P: As in `bootstrap_mean`; the score is then that of the averages over benchmarks.

    Returns:
        The score and the ends of its interval. The ends are NaN for a single problem, and if the base has no
        correct answer in some resample.

    Raises:
        ConfigError: The base is never correct, or `level` is illegal.
        DataError: The tables have different problems, or a problem has no samples.
    """
    _check_level(level)
    tables = (base_correct_PN, base_length_PN, correct_PN, length_PN)
    means = [_problem_means(_table(values)) for values in tables]
    if len({m.size for m in means}) > 1:
        raise DataError(f"the tables have {[m.size for m in means]} problems; pair them by problem first")
    values_P4 = np.stack(means, axis=1)
    point = aes(*mean_over_problems(values_P4, benchmark_P))
    if has_single_problem(len(values_P4), benchmark_P):
        return Interval(point, float("nan"), float("nan"))
    base_accuracy, base_length, accuracy, length = bootstrap_means(values_P4, resamples, seed, benchmark_P).T
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = accuracy / base_accuracy - 1
        scores = 1 - length / base_length + np.where(gain >= 0, 3.0, 5.0) * gain
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return Interval(point, float(low), float(high))


def ock_score(accuracy: float, mean_tokens: float) -> float:
    """Return the OckScore, accuracy - 10 ln(mean_tokens / 10000 + 1) (arXiv 2511.05722).

    Args:
        accuracy: In PERCENT, unlike everywhere else in effwb.
        mean_tokens: Mean tokens of prompt and completion, as OckBench counts them.

    Raises:
        ConfigError: `accuracy` is not in [0, 100], or `mean_tokens` is negative.
    """
    if not 0 <= accuracy <= 100:
        raise ConfigError(f"accuracy={accuracy} must be a percentage in [0, 100]")
    if not mean_tokens >= 0:
        raise ConfigError(f"mean_tokens={mean_tokens} must not be negative")
    return float(accuracy - 10 * math.log(mean_tokens / 10000 + 1))


def anytime_accuracy(curve: Curve, budgets: ArrayLike | None = None) -> float:
    """Return the mean accuracy of a curve over token budgets (AnytimeReasoner, arXiv 2505.13438).

    Args:
        curve: The curve, linear between its budgets.
        budgets: Tokens, inside the curve. The default is 32 equally spaced ones that end at the last budget
            of the curve (every 250 up to 8000 in the paper). Equally spaced budgets make this the mean height
            of the curve, apart from its ends; on a grid that is dense at small budgets it is not.

    Returns:
        A value in [0, 1].

    Raises:
        ConfigError: A budget is outside the curve, or there is none.
    """
    if budgets is None:
        budgets = np.linspace(0, curve.budgets[-1], 33)[1:]
    values = np.asarray(budgets, dtype=float)
    if values.ndim != 1 or values.size == 0:
        raise ConfigError(f"budgets must be a non-empty list of token counts, got shape {values.shape}")
    return float(np.mean(curve.at(values)))


def length_given(correct_PN: ArrayLike, length_PN: ArrayLike) -> tuple[float, float]:
    """Return the mean length of the correct and of the wrong samples, pooled over problems.

    Args:
        correct_PN: Verdicts 0 or 1, (P, N); NaN: not drawn.
        length_PN: Lengths in tokens, (P, N), NaN at the same places.

    Returns:
        Tokens of the correct and of the wrong samples; NaN if there are none.

    Raises:
        DataError: Shapes or NaN places differ, or a verdict is illegal.
    """
    correct, length = _verdicts(correct_PN), np.asarray(length_PN, dtype=float)
    if correct.shape != length.shape:
        raise DataError(f"correct_PN {correct.shape} and length_PN {length.shape} must have the same shape")
    if (np.isnan(length) != np.isnan(correct)).any():
        raise DataError("correct_PN and length_PN are NaN at different samples")
    groups = (length[correct == 1], length[correct == 0])
    right, wrong = (float(g.mean()) if g.size else float("nan") for g in groups)
    return right, wrong


# ------------------------------------------------------------------------------------------- intervals
def clustered_interval(
    values_PN: ArrayLike, level: float = 0.95, benchmark_P: ArrayLike | None = None
) -> Interval:
    """Return the mean of the per-problem means with its Student-t interval, P - 1 degrees of freedom.

    Samples of one problem are averaged first, so the interval shrinks with more problems, never with more
    samples alone.

    Args:
        values_PN: Any value per sample, (P, N); NaN: not drawn.
        level: Coverage of the interval.
        benchmark_P: Benchmark of each problem, (P,); None: one benchmark. For B benchmarks the mean is that
            of their means, its variance sum_b s_b^2 / P_b / B^2, and the degrees of freedom are Welch's.

    Raises:
        ConfigError: `level` is not in (0, 1).
        DataError: A problem has no samples.
    """
    return _t_interval(_problem_means(_table(values_PN)), level, benchmark_P)


def paired_difference(
    a_PN: ArrayLike, b_PN: ArrayLike, level: float = 0.95, benchmark_P: ArrayLike | None = None
) -> Interval:
    """Return the mean of a - b over the same problems, with a t interval on the per-problem differences.

    Args:
        a_PN: Any value per sample, (P, N); NaN: not drawn.
        b_PN: The same for the other model, (P, N'); row i is the same problem in both.
        level: Coverage of the interval.
        benchmark_P: As in `clustered_interval`.

    Raises:
        ConfigError: `level` is not in (0, 1).
        DataError: The numbers of problems differ, or a problem has no samples in one of them.
    """
    a, b = _problem_means(_table(a_PN)), _problem_means(_table(b_PN))
    if a.shape != b.shape:
        raise DataError(f"a_PN has {a.size} problems and b_PN {b.size}; pair them by problem first")
    return _t_interval(a - b, level, benchmark_P)


def bootstrap_mean(
    values: ArrayLike,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
    benchmark_P: ArrayLike | None = None,
) -> Interval:
    """Return the mean over problems with its interval from a clustered bootstrap.

    Whole problems are resampled, with all their samples; the ends are percentiles of the resampled means.
    Percentile intervals are a little too narrow below about 30 problems.

    Args:
        values: One value per problem, (P,), or one per problem and budget, (P, K).
        resamples: Number of bootstrap resamples.
        level: Coverage of the interval.
        seed: Seed of the bootstrap; the same seed gives the same interval.
        benchmark_P: Benchmark of each problem, (P,): the mean is that of the benchmarks' means, and problems
            are resampled within their benchmark. None: one benchmark.

    Returns:
        Floats for (P,), arrays (K,) for (P, K).

    Raises:
        ConfigError: `level` or `resamples` is illegal.
        DataError: There are no problems, or a value is NaN.
    """
    _check_level(level)
    values = np.asarray(values, dtype=float)
    if values.ndim not in (1, 2) or len(values) == 0:
        raise DataError(f"values must be (P,) or (P, K) with at least one problem, got shape {values.shape}")
    if np.isnan(values).any():
        raise DataError("values hold NaN; drop or fill the problems without a measurement first")
    mean = mean_over_problems(values, benchmark_P)
    if has_single_problem(len(values), benchmark_P):
        low = high = np.full_like(mean, np.nan)
    else:
        means = bootstrap_means(values, resamples, seed, benchmark_P)
        low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Interval(float(mean), float(low), float(high)) if values.ndim == 1 else Interval(mean, low, high)


def interval_columns(intervals: Mapping[str, Interval]) -> dict[str, float]:
    """Return intervals as table columns: `name`, `name low`, `name high` for each.

    Args:
        intervals: Intervals of floats, by column name.
    """
    return {
        f"{name}{end}": value
        for name, interval in intervals.items()
        for end, value in zip(("", " low", " high"), interval, strict=True)
    }


def rank_correlation(
    x_P: ArrayLike, y_P: ArrayLike, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return Spearman's rank correlation over problems, with an interval from a bootstrap over problems.

    Equal values share their mean rank. With few problems the interval is too narrow.

    >>> rank_correlation([1, 2, 3, 4], [10, 20, 20, 50]).mean.__round__(4)
    0.9487

    Args:
        x_P: A value per problem, (P,).
        y_P: Another value per problem, (P,).
        resamples: Number of bootstrap resamples.
        level: Coverage of the interval.
        seed: Seed of the bootstrap.

    Returns:
        The correlation and the ends of its percentile interval. All are NaN for fewer than two problems, or
        if one side is constant; resamples in which one side is constant are left out of the interval.

    Raises:
        ConfigError: `level` is not in (0, 1).
        DataError: The shapes differ, or a value is NaN.
    """
    _check_level(level)
    x, y = (np.asarray(values, dtype=float) for values in (x_P, y_P))
    if x.ndim != 1 or x.shape != y.shape:
        raise DataError(f"x_P and y_P need a value per problem each, got shapes {x.shape} and {y.shape}")
    if np.isnan(x).any() or np.isnan(y).any():
        raise DataError("x_P and y_P hold NaN; leave out the problems without a measurement first")
    rho = spearman(x, y)
    if np.isnan(rho):
        return Interval(rho, rho, rho)
    picks = np.random.default_rng(seed).integers(0, x.size, size=(resamples, x.size))
    drawn = np.array([spearman(x[rows], y[rows]) for rows in picks])
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(rho, float(low), float(high))


def bootstrap_means(
    values: ArrayLike, resamples: int, seed: int = 0, benchmark_P: ArrayLike | None = None
) -> np.ndarray:
    """Return the means of many resamples of the problems, drawn with replacement.

    The work is split into chunks whose size depends on P alone, with a random stream for each, so the answer
    does not depend on the number of threads.

    Args:
        values: One value per problem, (P,), or K of them, (P, K).
        resamples: Number R of resamples.
        seed: Seed of the random streams.
        benchmark_P: As in `bootstrap_mean`; each benchmark has streams of its own.

    Returns:
        Float (R,) for (P,), (R, K) for (P, K).

    Raises:
        ConfigError: `resamples` is below 1.
    """
    if resamples < 1:
        raise ConfigError(f"resamples={resamples} must be at least 1")
    values = np.asarray(values, dtype=float)
    groups = benchmark_rows(benchmark_P, len(values))
    seeds: list = [seed] if len(groups) == 1 else [(seed, i) for i in range(len(groups))]
    parts = [
        chunked_means(values[rows], resamples, entropy, CHUNK_DRAWS)
        for rows, entropy in zip(groups, seeds, strict=True)
    ]
    return parts[0] if len(parts) == 1 else np.mean(parts, axis=0)


# --------------------------------------------------------------------------------------------- helpers
def _t_interval(means_P: np.ndarray, level: float, benchmark_P: ArrayLike | None = None) -> Interval:
    _check_level(level)
    mean = float(mean_over_problems(means_P, benchmark_P))
    if has_single_problem(means_P.size, benchmark_P):
        return Interval(mean, float("nan"), float("nan"))
    half = t_half_width([means_P[rows] for rows in benchmark_rows(benchmark_P, means_P.size)], level)
    return Interval(mean, float(mean - half), float(mean + half))


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ConfigError(f"level={level} must lie strictly between 0 and 1, as 0.95 does")


def _table(values_PN) -> np.ndarray:
    values = floats("a table of problems x samples", values_PN)
    if values.ndim != 2 or 0 in values.shape:
        raise DataError(f"expected problems x samples with at least one of each, got shape {values.shape}")
    empty = np.isnan(values).all(axis=1)
    if empty.any():
        raise DataError(f"problem {int(np.argmax(empty))} has no samples (all NaN)")
    return values


def _verdicts(correct_PN) -> np.ndarray:
    values = _table(correct_PN)
    odd = values[~np.isnan(values) & (values != 0) & (values != 1)]
    if odd.size:
        raise DataError(f"verdicts must be 0 or 1 (NaN: not drawn), got {odd[0]:g}")
    return values


def _problem_means(values_PN: np.ndarray) -> np.ndarray:
    return np.nanmean(values_PN, axis=1)
