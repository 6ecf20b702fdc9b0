"""Rewards at many budgets: returns and advantages per segment of a rollout.

A rollout with budgets L_1 < ... < L_K has K + 1 segments: [0, L_1), [L_1, L_2), ..., [L_K, its end). Arrays
(P, G, K + 1) hold one number per segment.
"""

import numpy as np

from effwb.designs import advantages


def returns_to_go(values_PGK: np.ndarray) -> np.ndarray:
    """Sum of each entry and all later ones along the last axis."""
    return np.cumsum(values_PGK[..., ::-1], axis=-1)[..., ::-1]


def normalised(values_PGK: np.ndarray, **options) -> np.ndarray:
    """Every segment normalised over its group by itself (`advantages.group`); same shape."""
    parts = [advantages.group(values_PGK[..., k], **options) for k in range(values_PGK.shape[-1])]
    return np.stack(parts, axis=-1)


def normalised_over_all(values_PGK: np.ndarray, real_PGK: np.ndarray, std: str, eps: float) -> np.ndarray:
    """The segments of all rollouts of a problem normalised together; 0 where `real` says there is none."""
    P, G, K = values_PGK.shape
    flat, real = values_PGK.reshape(P, G * K), real_PGK.reshape(P, G * K)
    options = {"std": std, "eps": eps, "mask_PG": real, "masked_in_statistics": False}
    return advantages.group(flat, **options).reshape(P, G, K)


def per_token(advantage: np.ndarray, budgets: np.ndarray, length: int) -> np.ndarray:
    """The advantage of each of `length` tokens of one rollout, from (K + 1,) and its budgets (K,).

    Token t, counted from 0, lies in the segment after the budgets that are at most t.

    >>> per_token(np.array([1.0, 2.0, 3.0]), np.array([2, 4]), 6).tolist()
    [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    """
    return np.asarray(advantage)[np.searchsorted(budgets, np.arange(length), side="right")]
