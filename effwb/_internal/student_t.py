"""Quantiles and p-values of Student's t distribution, so that effwb needs no scipy."""

import math
from functools import lru_cache

import numpy as np

from effwb.errors import ConfigError


@lru_cache(maxsize=256)
def t_quantile(p: float, df: float) -> float:
    """Return the quantile of Student's t, by bisection on its exact distribution.

    Args:
        p: Probability in [0.5, 1).
        df: Degrees of freedom, above 0.

    Raises:
        ConfigError: `p` or `df` is out of range.
    """
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


def t_half_width(groups: list[np.ndarray], level: float) -> float:
    """Return half the width of the interval of the mean over groups of their means.

    For one group it is Student's. For B groups the variance is sum_b s_b^2 / n_b / B^2, with the degrees of
    freedom of Welch and Satterthwaite.

    Args:
        groups: The values of each group, at least two each.
        level: Coverage of the interval, in (0, 1).
    """
    if len(groups) == 1:
        values = groups[0]
        quantile = t_quantile((1 + level) / 2, values.size - 1)
        return float(quantile * values.std(ddof=1) / math.sqrt(values.size))
    variances = np.array([values.var(ddof=1) / values.size for values in groups])
    freedom = np.array([values.size - 1 for values in groups])
    df = variances.sum() ** 2 / (variances**2 / freedom).sum() if variances.any() else freedom.sum()
    return t_quantile((1 + level) / 2, float(df)) * math.sqrt(variances.sum()) / len(groups)


def t_p_value(t: float, df: float) -> float:
    """Return the two-sided p-value P(|T| >= |t|) of Student's t, exact also far out in the tails.

    Args:
        t: The t statistic.
        df: Degrees of freedom, above 0.

    Raises:
        ConfigError: `df` is out of range.
    """
    if not df > 0:
        raise ConfigError(f"df={df} must be positive")
    if t * t / (df + t * t) < _turning_point(df):
        return 1 - _t_central(t, df)
    return _beta_fraction(df / (df + t * t), df / 2, 0.5)


def _t_central(t: float, df: float) -> float:
    """P(|T| <= t) = I_y(1/2, df/2) with y = t^2 / (df + t^2), the regularised incomplete beta function."""
    y = t * t / (df + t * t)
    if y < _turning_point(df):
        return _beta_fraction(y, 0.5, df / 2)
    return 1 - _beta_fraction(df / (df + t * t), df / 2, 0.5)


def _turning_point(df: float) -> float:
    """Below this y the continued fraction of I_y(1/2, df/2) converges fast; above it the mirrored one."""
    return 1.5 / (df / 2 + 2.5)


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
