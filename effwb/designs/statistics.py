"""Means and spreads within a group, over the rollouts that count. Nothing here mixes two problems.

All functions take values (P, G) and keep_PG, bool (P, G), which marks the rollouts that count, and return
(P, 1). Where no rollout counts the result is 0, never NaN: each design decides before it divides what an
empty set means.
"""

import numpy as np


def count(keep_PG: np.ndarray) -> np.ndarray:
    """Number of rollouts that count, int (P, 1)."""
    return keep_PG.sum(axis=1, keepdims=True)


def mean(values_PG: np.ndarray, keep_PG: np.ndarray) -> np.ndarray:
    """Mean over the rollouts that count, float (P, 1)."""
    return np.where(keep_PG, values_PG, 0.0).sum(axis=1, keepdims=True) / np.maximum(count(keep_PG), 1)


def std(values_PG: np.ndarray, keep_PG: np.ndarray, ddof: int) -> np.ndarray:
    """Standard deviation over the rollouts that count, float (P, 1).

    Args:
        values_PG: Float (P, G).
        keep_PG: Bool (P, G), the rollouts that count.
        ddof: 0 for the population, 1 for the sample standard deviation.

    Returns:
        Float (P, 1); 0 where at most `ddof` rollouts count.
    """
    n = count(keep_PG)
    squares = np.where(keep_PG, (values_PG - mean(values_PG, keep_PG)) ** 2, 0.0).sum(axis=1, keepdims=True)
    return np.where(n > ddof, np.sqrt(squares / np.maximum(n - ddof, 1)), 0.0)


def smallest(values_PG: np.ndarray, keep_PG: np.ndarray) -> np.ndarray:
    """Minimum over the rollouts that count, float (P, 1)."""
    minimum = np.where(keep_PG, values_PG, np.inf).min(axis=1, keepdims=True)
    return np.where(count(keep_PG) > 0, minimum, 0.0)


def median(values_PG: np.ndarray, keep_PG: np.ndarray) -> np.ndarray:
    """Median over the rollouts that count, float (P, 1); of an even number, the mean of the middle two."""
    n, ordered = count(keep_PG), np.sort(np.where(keep_PG, values_PG, np.inf), axis=1)
    middle = [np.take_along_axis(ordered, np.maximum(i, 0), axis=1) for i in ((n - 1) // 2, n // 2)]
    return np.where(n > 0, 0.5 * (middle[0] + middle[1]), 0.0)


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)), computed with tanh because exp overflows for long rollouts."""
    return 0.5 * (1.0 + np.tanh(0.5 * z))
