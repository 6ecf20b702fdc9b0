"""Scores and their intervals. The problem is the unit: samples of one problem are never counted as
independent.

Arrays carry their axes: P problems, N samples per problem, K budgets. NaN marks a sample that was not
drawn, so problems may have different numbers of samples. Intervals over problems are NaN, not zero, for a
single problem.
"""

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from effwb.errors import ConfigError, DataError


class Interval(NamedTuple):
    """An estimate with the ends of its interval; floats, or arrays (K,) for a curve."""

    mean: float | np.ndarray
    low: float | np.ndarray
    high: float | np.ndarray


# ---------------------------------------------------------------------------------------------- scores
def mean_at_k(correct_PN) -> float:
    """Mean over problems of the share of correct samples (Mean@N of arXiv 2602.20945, section 3)."""
    return float(np.mean(_problem_means(_verdicts(correct_PN))))


def pass_at_k(correct_PN, k: int) -> float:
    """Unbiased pass@k, 1 - C(n-c, k) / C(n, k) per problem, averaged over problems (arXiv 2107.03374,
    section 2.1).

    NaN when any problem has fewer than `k` samples: the truth is unknown there, and counting the samples that
    were never drawn as wrong halves the score at every doubling of k (open-r1 #655).
    """
    if k != int(k) or k < 1:
        raise ConfigError(f"k={k!r} must be a whole number of at least 1")
    correct = _verdicts(correct_PN)
    n = np.sum(~np.isnan(correct), axis=1)
    wrong = n - np.nansum(correct, axis=1)
    if (n < k).any():
        return float("nan")
    steps = np.arange(int(k))
    all_wrong = np.prod(np.clip(wrong[:, None] - steps, 0, None) / (n[:, None] - steps), axis=1)
    return float(np.mean(1 - all_wrong))


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
    """Accuracy-efficiency score of O1-Pruner (arXiv 2501.12570, section 4.1), higher is better.

    dLen = (base_length - length) / base_length, dAcc = (accuracy - base_accuracy) / base_accuracy; AES =
    alpha dLen + beta |dAcc| where dAcc >= 0, alpha dLen - gamma |dAcc| below. Both changes are relative, so
    accuracies may be in percent or in [0, 1] as long as both are alike.
    """
    for name, value in (("base_accuracy", base_accuracy), ("base_length", base_length)):
        if not value > 0:
            raise ConfigError(f"{name}={value} must be positive: AES is relative to the base")
    for name, value in (("accuracy", accuracy), ("length", length)):
        if not value >= 0:
            raise ConfigError(f"{name}={value} must not be negative")
    d_length = (base_length - length) / base_length
    d_accuracy = (accuracy - base_accuracy) / base_accuracy
    return float(alpha * d_length + (beta if d_accuracy >= 0 else gamma) * d_accuracy)


def aes_interval(
    base_correct_PN,
    base_length_PN,
    correct_PN,
    length_PN,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """`aes` of one model against another on the same problems (row i of all four), with its interval from a
    bootstrap over problems that takes both models along.

    AES has a kink where the accuracies are equal, so the interval may be lopsided there. NaN ends for a
    single problem and for a resample in which the base is never right.
    """
    _check_level(level)
    tables = (base_correct_PN, base_length_PN, correct_PN, length_PN)
    means = [_problem_means(_table(values)) for values in tables]
    if len({m.size for m in means}) > 1:
        raise DataError(f"the tables have {[m.size for m in means]} problems; pair them by problem first")
    values_P4 = np.stack(means, axis=1)
    point = aes(*values_P4.mean(axis=0))
    if len(values_P4) == 1:
        return Interval(point, float("nan"), float("nan"))
    base_accuracy, base_length, accuracy, length = bootstrap_means(values_P4, resamples, seed).T
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = accuracy / base_accuracy - 1
        scores = 1 - length / base_length + np.where(gain >= 0, 3.0, 5.0) * gain
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return Interval(point, float(low), float(high))


def ock_score(accuracy: float, mean_tokens: float) -> float:
    """OckScore (arXiv 2511.05722): accuracy - 10 ln(mean_tokens / 10000 + 1).

    `accuracy` is in PERCENT, unlike everywhere else in effwb; OckBench counts prompt and completion tokens.
    """
    if not 0 <= accuracy <= 100:
        raise ConfigError(f"accuracy={accuracy} must be a percentage in [0, 100]")
    if not mean_tokens >= 0:
        raise ConfigError(f"mean_tokens={mean_tokens} must not be negative")
    return float(accuracy - 10 * math.log(mean_tokens / 10000 + 1))


def anytime_accuracy(curve, budgets=None) -> float:
    """Mean accuracy of a curve over token budgets, in [0, 1] (AnytimeReasoner, arXiv 2505.13438).

    `curve` is a `curves.Curve`; between its points it is linear. `budgets` defaults to 32 equally spaced ones
    that end at the last of the curve: every 250 up to 8000 in the paper. Equal steps make it, but for the
    ends, the mean height of the curve, where accuracy over a grid that is dense at small budgets is not.
    Raises `ConfigError` for budgets outside the curve.
    """
    if budgets is None:
        budgets = np.linspace(0, curve.budgets[-1], 33)[1:]
    budgets = np.asarray(budgets, dtype=float)
    if budgets.ndim != 1 or budgets.size == 0:
        raise ConfigError(f"budgets must be a non-empty list of token counts, got shape {budgets.shape}")
    return float(np.mean(curve.at(budgets)))


def length_given(correct_PN, length_PN) -> tuple[float, float]:
    """Mean tokens of the correct and of the wrong samples, pooled over problems; NaN where there are none."""
    correct, length = _verdicts(correct_PN), np.asarray(length_PN, dtype=float)
    if correct.shape != length.shape:
        raise DataError(f"correct_PN {correct.shape} and length_PN {length.shape} must have the same shape")
    if (np.isnan(length) != np.isnan(correct)).any():
        raise DataError("correct_PN and length_PN are NaN at different samples")
    chosen = (length[correct == 1], length[correct == 0])
    right, wrong = (float(c.mean()) if c.size else float("nan") for c in chosen)
    return right, wrong


# ------------------------------------------------------------------------------------------- intervals
def clustered_interval(values_PN, level: float = 0.95) -> Interval:
    """Mean of the per-problem means with its Student-t interval, P - 1 degrees of freedom.

    Samples of one problem are averaged first, so the width shrinks with problems, never with samples alone.
    """
    return _t_interval(_problem_means(_table(values_PN)), level)


def paired_difference(a_PN, b_PN, level: float = 0.95) -> Interval:
    """Mean of a - b over the same problems (row i of both), with a t interval on the per-problem differences.

    The numbers of samples may differ; a problem without samples in either is an error, not dropped silently.
    """
    a, b = _problem_means(_table(a_PN)), _problem_means(_table(b_PN))
    if a.shape != b.shape:
        raise DataError(f"a_PN has {a.size} problems and b_PN {b.size}; pair them by problem first")
    return _t_interval(a - b, level)


def bootstrap_mean(values, resamples: int = 10_000, level: float = 0.95, seed: int = 0) -> Interval:
    """Mean over problems of `values` (P,) or (P, K), with its interval from a bootstrap over problems.

    Resampling a problem takes all its samples along: the clustered bootstrap, percentile interval. (P,)
    gives floats, (P, K) arrays (K,). Percentile intervals are a little narrow below about 30 problems. Same
    seed, same answer.
    """
    _check_level(level)
    values = np.asarray(values, dtype=float)
    if values.ndim not in (1, 2) or len(values) == 0:
        raise DataError(f"values must be (P,) or (P, K) with at least one problem, got shape {values.shape}")
    if np.isnan(values).any():
        raise DataError("values hold NaN; drop or fill the problems without a measurement first")
    mean = values.mean(axis=0)
    if len(values) == 1:
        low = high = np.full_like(mean, np.nan)
    else:
        means = bootstrap_means(values, resamples, seed)
        low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Interval(float(mean), float(low), float(high)) if values.ndim == 1 else Interval(mean, low, high)


def interval_columns(found: Mapping[str, Interval]) -> dict[str, float]:
    """Intervals as a table has them: each name, and behind it its ` low` and ` high`."""
    return {
        f"{name}{end}": value
        for name, ends in found.items()
        for end, value in zip(("", " low", " high"), ends, strict=True)
    }


def rank_correlation(x_P, y_P, resamples: int = 2000, level: float = 0.95, seed: int = 0) -> Interval:
    """Spearman's rank correlation over problems (ties share their mean rank), with a percentile interval from
    a bootstrap over problems.

    NaN where there is none: fewer than two problems, or one side without any variation; resamples without it
    are left out of the interval. With few problems the interval is too narrow.

    >>> rank_correlation([1, 2, 3, 4], [10, 20, 20, 50]).mean.__round__(4)
    0.9487
    """
    _check_level(level)
    x, y = (np.asarray(values, dtype=float) for values in (x_P, y_P))
    if x.ndim != 1 or x.shape != y.shape:
        raise DataError(f"x_P and y_P need a value per problem each, got shapes {x.shape} and {y.shape}")
    if np.isnan(x).any() or np.isnan(y).any():
        raise DataError("x_P and y_P hold NaN; leave out the problems without a measurement first")
    rho = _spearman(x, y)
    if np.isnan(rho):
        return Interval(rho, rho, rho)
    picks = np.random.default_rng(seed).integers(0, x.size, size=(resamples, x.size))
    drawn = np.array([_spearman(x[rows], y[rows]) for rows in picks])
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(rho, float(low), float(high))


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    if x.size < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[place]


CHUNK_DRAWS = (
    2_000_000  # indices drawn at once (16 MB per thread), so memory does not grow with P or resamples
)


def bootstrap_means(values, resamples: int, seed: int = 0) -> np.ndarray:
    """Means of `resamples` draws of P problems with replacement: (R,) from (P,), (R, K) from (P, K).

    Chunks have a size that depends on P alone and a random stream each, so the answer does not depend on the
    number of threads; numpy releases the lock in both steps.
    """
    if resamples < 1:
        raise ConfigError(f"resamples={resamples} must be at least 1")
    values = np.asarray(values, dtype=float)
    rows = max(1, CHUNK_DRAWS // len(values))
    sizes = [min(rows, resamples - start) for start in range(0, resamples, rows)]
    streams = np.random.SeedSequence(seed).spawn(len(sizes))
    draw = _resampled_means if values.ndim == 1 else _resampled_rows
    with ThreadPoolExecutor(max_workers=2) as pool:
        parts = pool.map(
            lambda job: draw(values, job[0], np.random.default_rng(job[1])), zip(sizes, streams, strict=True)
        )
        return np.concatenate(list(parts))


def _resampled_means(values_P: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    picks = rng.integers(0, len(values_P), size=(rows, len(values_P)), dtype=np.int64)
    return values_P.take(picks).mean(axis=1)


def _resampled_rows(values_PK: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Counts of each problem times the values: one matrix product instead of gathering (rows, P, K)."""
    n = len(values_PK)
    picks = rng.integers(0, n, size=(rows, n), dtype=np.int64)
    picks += np.arange(rows)[:, None] * n
    counts = np.bincount(picks.ravel(), minlength=rows * n).reshape(rows, n)
    return counts @ values_PK / n


def _t_interval(means_P: np.ndarray, level: float) -> Interval:
    _check_level(level)
    mean = float(means_P.mean())
    if means_P.size < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = t_quantile((1 + level) / 2, means_P.size - 1) * means_P.std(ddof=1) / math.sqrt(means_P.size)
    return Interval(mean, float(mean - half), float(mean + half))


@lru_cache(maxsize=256)
def t_quantile(p: float, df: float) -> float:
    """Quantile of Student's t for p in [0.5, 1), by bisection on its exact distribution (no scipy here)."""
    if not 0.5 <= p < 1:
        raise ConfigError(f"p={p} must be in [0.5, 1)")
    if not df > 0:
        raise ConfigError(f"df={df} must be positive")
    low, high = 0.0, 1.0
    while _t_central(high, df) < 2 * p - 1:
        low, high = high, 2 * high
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_central(middle, df) < 2 * p - 1 else (low, middle)
    return (low + high) / 2


def _t_central(t: float, df: float) -> float:
    """P(|T| <= t) = I_y(1/2, df/2) with y = t^2 / (df + t^2), the regularised incomplete beta function."""
    y = t * t / (df + t * t)
    if y < 1.5 / (df / 2 + 2.5):  # where the continued fraction converges fast; mirrored otherwise
        return _beta_fraction(y, 0.5, df / 2)
    return 1 - _beta_fraction(df / (df + t * t), df / 2, 0.5)


def _beta_fraction(x: float, a: float, b: float) -> float:
    """I_x(a, b) by Lentz's evaluation of the continued fraction (Abramowitz and Stegun 26.5.8)."""
    if x == 0:
        return 0.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 500):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / (1 + term * d), 1 + term / c
            value *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return math.exp(log_front) * value / a


# ---------------------------------------------------------------------------------------------- checks
def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ConfigError(f"level={level} must lie strictly between 0 and 1, as 0.95 does")


def _table(values_PN) -> np.ndarray:
    values = np.asarray(values_PN, dtype=float)
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
