"""Means and spreads within a group, over the rollouts that count. Nothing here ever crosses a row.

All take values (P, G) and keep (P, G) bool, and return (P, 1). Where nothing counts the answer is 0, never
NaN: each design decides what an empty set means before it divides.
"""

import numpy as np


def count(keep_PG: np.ndarray) -> np.ndarray:
    return keep_PG.sum(axis=1, keepdims=True)


def mean(values_PG: np.ndarray, keep_PG: np.ndarray) -> np.ndarray:
    return np.where(keep_PG, values_PG, 0.0).sum(axis=1, keepdims=True) / np.maximum(count(keep_PG), 1)


def std(values_PG: np.ndarray, keep_PG: np.ndarray, ddof: int) -> np.ndarray:
    """Ddof 0 is the population, 1 the sample standard deviation; 0 where at most `ddof` rollouts count."""
    n = count(keep_PG)
    squares = np.where(keep_PG, (values_PG - mean(values_PG, keep_PG)) ** 2, 0.0).sum(axis=1, keepdims=True)
    return np.where(n > ddof, np.sqrt(squares / np.maximum(n - ddof, 1)), 0.0)


def smallest(values_PG: np.ndarray, keep_PG: np.ndarray) -> np.ndarray:
    found = np.where(keep_PG, values_PG, np.inf).min(axis=1, keepdims=True)
    return np.where(count(keep_PG) > 0, found, 0.0)


def median(values_PG: np.ndarray, keep_PG: np.ndarray) -> np.ndarray:
    n, ordered = count(keep_PG), np.sort(np.where(keep_PG, values_PG, np.inf), axis=1)
    middle = [np.take_along_axis(ordered, np.maximum(i, 0), axis=1) for i in ((n - 1) // 2, n // 2)]
    return np.where(n > 0, 0.5 * (middle[0] + middle[1]), 0.0)


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)) by way of tanh, which does not overflow for long rollouts."""
    return 0.5 * (1.0 + np.tanh(0.5 * z))
