"""Means of resampled problems and ranks: array code behind the intervals of `effwb.metrics`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np


def chunked_means(
    values: np.ndarray, resamples: int, entropy: int | tuple[int, int], chunk_draws: int
) -> np.ndarray:
    """Return the means of resampled problems, (R,) or (R, K), computed in chunks by two threads.

    Args:
        values: One value per problem, (P,), or K of them, (P, K).
        resamples: Number R of resamples.
        entropy: What the random stream of each chunk is derived from.
        chunk_draws: Random indices drawn at a time.
    """
    rows = max(1, chunk_draws // len(values))
    sizes = [min(rows, resamples - start) for start in range(0, resamples, rows)]
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(entropy).spawn(len(sizes))]
    draw = resampled_means if values.ndim == 1 else resampled_rows
    with ThreadPoolExecutor(max_workers=2) as pool:  # numpy releases the interpreter lock in both functions
        return np.concatenate(list(pool.map(draw, [values] * len(sizes), sizes, streams)))


def resampled_means(values_P: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Return the means of `rows` resamples of P values, (rows,)."""
    picks = rng.integers(0, len(values_P), size=(rows, len(values_P)), dtype=np.int64)
    return values_P.take(picks).mean(axis=1)


def resampled_rows(values_PK: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Return the means of `rows` resamples of P rows, (rows, K).

    Counts of each problem times the values: one matrix product instead of gathering (rows, P, K).
    """
    n = len(values_PK)
    picks = rng.integers(0, n, size=(rows, n), dtype=np.int64)
    picks += np.arange(rows)[:, None] * n
    counts = np.bincount(picks.ravel(), minlength=rows * n).reshape(rows, n)
    return counts @ values_PK / n


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Return Spearman's rank correlation; NaN for fewer than two values, or if one side is constant."""
    if x.size < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[place]
