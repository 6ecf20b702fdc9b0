"""Rewards at several budgets: returns and advantages for each segment of a rollout.

A rollout with budgets L_1 < ... < L_K has K + 1 segments: [0, L_1), [L_1, L_2), ..., [L_K, its end). Arrays
(P, G, K + 1) hold one number per segment.
"""

from typing import Any

import numpy as np

from effwb.designs import advantages


def returns_to_go(values_PGK: np.ndarray) -> np.ndarray:
    """Sum of each entry and all later ones along the last axis; same shape as the input."""
    return np.cumsum(values_PGK[..., ::-1], axis=-1)[..., ::-1]


def normalise_each(values_PGK: np.ndarray, **options: Any) -> np.ndarray:
    """Normalise every segment over its group, separately from the other segments.

    Args:
        values_PGK: Float (P, G, K + 1), one value per segment.
        **options: Keyword arguments of `advantages.group`.

    Returns:
        Float (P, G, K + 1).
    """
    parts = [advantages.group(values_PGK[..., k], **options) for k in range(values_PGK.shape[-1])]
    return np.stack(parts, axis=-1)


def normalise_together(values_PGK: np.ndarray, nonempty_PGK: np.ndarray, **options: Any) -> np.ndarray:
    """Normalise the segments of all rollouts of a problem together.

    Args:
        values_PGK: Float (P, G, K + 1), one value per segment.
        nonempty_PGK: Bool (P, G, K + 1); False where a segment has no tokens. Those are in no statistic.
        **options: `std` and `eps` of `advantages.group`.

    Returns:
        Float (P, G, K + 1), 0 for empty segments.
    """
    P, G, K = values_PGK.shape
    values, nonempty = values_PGK.reshape(P, G * K), nonempty_PGK.reshape(P, G * K)
    normalised = advantages.group(values, mask_PG=nonempty, masked_in_statistics=False, **options)
    return normalised.reshape(P, G, K)


def token_counts(edges: np.ndarray | None, length_PG: np.ndarray) -> np.ndarray:
    """Count the tokens of every segment.

    Args:
        edges: Int (P, G, K), tokens, rising along K: where the segments change. None: each rollout is one.
        length_PG: Int (P, G), tokens.

    Returns:
        Int (P, G, K + 1), or `length_PG` itself where there are no edges.

    >>> token_counts(np.array([[[3, 3], [3, 3]]]), np.array([[5, 2]])).tolist()
    [[[3, 0, 2], [2, 0, 0]]]
    """
    if edges is None:
        return length_PG
    length = length_PG[..., None]
    ends = np.concatenate([np.minimum(edges, length), length], axis=-1)
    return np.diff(ends, axis=-1, prepend=0)


def per_token(advantage: np.ndarray, budgets: np.ndarray, length: int) -> np.ndarray:
    """Spread the segment advantages of one rollout over its tokens.

    Args:
        advantage: Float (K + 1,), one advantage per segment.
        budgets: Int (K,), tokens, rising: where the segments change.
        length: Number of tokens of the rollout.

    Returns:
        Float (length,). Token t, counted from 0, is in the segment after all budgets that are at most t.

    >>> per_token(np.array([1.0, 2.0, 3.0]), np.array([2, 4]), 6).tolist()
    [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    """
    return np.asarray(advantage)[np.searchsorted(budgets, np.arange(length), side="right")]
