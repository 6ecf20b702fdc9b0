"""Advantage rules: how the rewards of a step become advantages, as functions on (P, G) arrays.

    group         (r - mean) / (std + eps) within the group                      GRPO
    group_no_std  r - mean within the group                                      Dr.GRPO, prime-rl
    rloo          r - mean of the others = (r - mean) n / (n - 1)                Arora & Zanette
    batch         r - group mean, over the std of the whole batch                DLER, REINFORCE++ baseline
    decoupled     each component by `group`, weighted sum, then batch whitening  GDPO, LEAD
    none          r                                                              AdaptThink

All rules take these keyword arguments:

- `std`: "sample" divides squares by n - 1 (torch.std, hence verl and TRL), "population" by n (Arora's
  reward, GFPO), "none" does not divide by a standard deviation.
- `eps`: added to the standard deviation. `std` and `eps` both change results: name them in the caption of a
  figure.
- `mask_PG`: bool (P, G). A rollout with False gets advantage 0. None: no rollout is masked.
- `masked_in_statistics`: True still counts masked rewards in mean and std, as masking only the loss does;
  False computes the statistics over the other rollouts only.

Two corner cases are the same in every rule that compares rollouts:

- If all rewards of a group are equal, its advantages are exactly 0, with any eps and in the batch rules too.
  The token-weighted whitening of the released code gives such groups a constant; the papers drop them.
- A group of one rollout is refused. verl takes mean 0 and std 1 there, so that the raw reward becomes the
  advantage, which no paper describes.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from effwb.designs import statistics
from effwb.errors import ConfigError, DataError, one_of

DDOF = {"sample": 1, "population": 0}
STDS = (*DDOF, "none")
# Rewards whose spread is below this share of their size differ by floating-point rounding only. Dividing
# that by its own std would turn it into advantages of size 1.
EQUAL = 1e-12
# (std, eps) of each rule, used where a design gives none
DEFAULTS = {
    "group": ("sample", 1e-6),
    "group_no_std": ("none", 0.0),
    "rloo": ("none", 0.0),
    "batch": ("sample", 1e-8),
    "decoupled": ("sample", 1e-6),
    "none": ("none", 0.0),
}


def group(
    reward_PG: ArrayLike,
    *,
    std: str = "sample",
    eps: float = 1e-6,
    mask_PG: ArrayLike | None = None,
    masked_in_statistics: bool = True,
) -> np.ndarray:
    """(r - group mean) / (group std + eps), float (P, G). Shao et al. 2402.03300 (GRPO).

    The arguments are described at the top of this module.

    >>> group([[1, 1, 0, 0]], std="population", eps=0.0).tolist()
    [[1.0, 1.0, -1.0, -1.0]]
    """
    reward, keep, counted = _prepare(reward_PG, mask_PG, masked_in_statistics, std, eps)
    return np.where(keep, _normalise(reward, counted, std, eps), 0.0)


def group_no_std(
    reward_PG: ArrayLike,
    *,
    std: str = "none",
    eps: float = 0.0,
    mask_PG: ArrayLike | None = None,
    masked_in_statistics: bool = True,
) -> np.ndarray:
    """R - group mean, float (P, G). Dr.GRPO, 2503.20783.

    `std` must be "none" and `eps` is not used; all rules take the same arguments, see the top of this module.

    >>> group_no_std([[1, 1, 0, 0]]).tolist()
    [[0.5, 0.5, -0.5, -0.5]]
    """
    if std != "none":
        raise ConfigError(f"rule group_no_std divides by no std, got std={std!r}; use rule 'group'")
    return group(reward_PG, std="none", eps=0.0, mask_PG=mask_PG, masked_in_statistics=masked_in_statistics)


def rloo(
    reward_PG: ArrayLike,
    *,
    std: str = "none",
    eps: float = 0.0,
    mask_PG: ArrayLike | None = None,
    masked_in_statistics: bool = True,
) -> np.ndarray:
    """R minus the mean of the other rollouts, float (P, G). Ahmadian et al. 2402.14740.

    The arguments are described at the top of this module.

    >>> rloo([[1, 1, 0, 0]]).round(6).tolist()
    [[0.666667, 0.666667, -0.666667, -0.666667]]
    """
    reward, keep, counted = _prepare(reward_PG, mask_PG, masked_in_statistics, std, eps)
    n = statistics.count(counted)
    leave_one_out = np.where(n > 1, n / np.maximum(n - 1, 1), 0.0)
    return np.where(keep, _normalise(reward, counted, std, eps) * leave_one_out, 0.0)


def batch(
    reward_PG: ArrayLike,
    *,
    std: str = "sample",
    eps: float = 1e-8,
    mask_PG: ArrayLike | None = None,
    masked_in_statistics: bool = True,
    weight_PG: ArrayLike | None = None,
) -> np.ndarray:
    """R - group mean, divided by the std of that over the batch, float (P, G). DLER, 2510.15110.

    Args:
        reward_PG: Float (P, G).
        std: See the top of this module.
        eps: See the top of this module.
        mask_PG: See the top of this module.
        masked_in_statistics: See the top of this module.
        weight_PG: Float (P, G): lengths in tokens, for the masked whitening over tokens of the released code.
            It also subtracts the token-weighted batch mean, so that group means are no longer 0. None: every
            rollout counts once.

    >>> batch([[1, 0], [1, 1]], std="population", eps=0.0).round(6).tolist()
    [[1.414214, -1.414214], [0.0, 0.0]]
    """
    reward, keep, counted = _prepare(reward_PG, mask_PG, masked_in_statistics, std, eps)
    centred, equal = _centre(reward, counted), _all_equal(reward, counted)
    return np.where(keep, _whiten(centred, counted, std, eps, weight_PG, equal), 0.0)


def decoupled(
    components: Mapping[str, ArrayLike],
    weights: Mapping[str, float],
    *,
    std: str = "sample",
    eps: float = 1e-6,
    whiten_eps: float = 1e-8,
    mask_PG: ArrayLike | None = None,
    masked_in_statistics: bool = True,
    weight_PG: ArrayLike | None = None,
) -> np.ndarray:
    """Batch-whitened sum_k w_k (r_k - mean_k) / (std_k + eps), float (P, G). GDPO, 2601.05242.

    A component whose values are equal within a group adds 0 there, so that a constant component does not
    drown a rare one.

    Args:
        components: The parts of the reward by name, each float (P, G).
        weights: w_k of each part, under the same names.
        std: See the top of this module; used within the group and over the batch.
        eps: Added to the std within the group.
        whiten_eps: Added to the std over the batch.
        mask_PG: See the top of this module.
        masked_in_statistics: See the top of this module.
        weight_PG: Lengths in tokens, float (P, G), to whiten over tokens. None: over rollouts.

    >>> parts = {"correct": np.array([[1.0, 0.0]]), "short": np.array([[1.0, 1.0]])}
    >>> decoupled(parts, {"correct": 1, "short": 1}, std="population", eps=0, whiten_eps=0).tolist()
    [[1.0, -1.0]]
    """
    if not components or set(components) != set(weights):
        raise ConfigError(f"weights {sorted(weights)} do not match the components {sorted(components)}")
    total, equal = np.zeros(()), np.ones((), bool)
    for name, reward_PG in components.items():
        reward, keep, counted = _prepare(reward_PG, mask_PG, masked_in_statistics, std, eps)
        total = total + weights[name] * _normalise(reward, counted, std, eps)
        equal = equal & _all_equal(reward, counted)
    return np.where(keep, _whiten(total, counted, std, whiten_eps, weight_PG, equal), 0.0)


def none(
    reward_PG: ArrayLike,
    *,
    std: str = "none",
    eps: float = 0.0,
    mask_PG: ArrayLike | None = None,
    masked_in_statistics: bool = True,
) -> np.ndarray:
    """R itself, float (P, G), for rewards that have their own baseline. AdaptThink, 2505.13417.

    `std` must be "none"; all rules take the same arguments, see the top of this module.

    >>> none([[0.25, -0.75]]).tolist()
    [[0.25, -0.75]]
    """
    if std != "none":
        raise ConfigError(f"rule none divides by no std, got std={std!r}")
    reward, keep, _ = _prepare(reward_PG, mask_PG, masked_in_statistics, std, eps)
    return np.where(keep, reward, 0.0)


def whiten_tokens(
    advantage: ArrayLike, tokens: ArrayLike, mask: ArrayLike, *, shift_zeros: bool = False, eps: float = 1e-8
) -> np.ndarray:
    """Whiten the advantages of a batch over its tokens: (A - mean) / sqrt(max(variance, eps)).

    Mean and population variance count the advantage of every token once. This is `normalize` of OpenRLHF's
    replay buffer, which the released code of 2502.04463 calls after its rule (`ppo_trainer.py`, line 237).
    Unlike rule "batch" with token weights it can follow any rule, and knows the segments of a rollout.

    Args:
        advantage: Float (P, G), or (P, G, K + 1) by segment.
        tokens: Int of the same shape: the tokens that have this advantage.
        mask: Bool (P, G). A rollout with False is in no statistic and gets 0.
        shift_zeros: What happens where no rollout of a problem has an advantage, in that segment. False
            (default): they keep exactly 0, as in all rules here, although they count in mean and variance.
            True: the released code, which gives them the same constant as every other zero.
        eps: The smallest variance that is divided by.

    Returns:
        Float, of the same shape; 0 where there are no tokens.

    >>> A, ones = [[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]], np.ones((2, 4), bool)
    >>> tokens = [[1, 2, 3, 2], [2, 2, 2, 2]]
    >>> whiten_tokens(A, tokens, ones).round(4).tolist()
    [[2.4797, -2.188, 0.1459, 0.1459], [0.0, 0.0, 0.0, 0.0]]
    """
    values, mask_PG = np.asarray(advantage, dtype=float), np.asarray(mask, dtype=bool)
    weight = np.asarray(tokens, dtype=float) * mask_PG.reshape(mask_PG.shape + (1,) * (values.ndim - 2))
    total = weight.sum()
    if total <= 0:
        return np.zeros_like(values)
    mean = (weight * values).sum() / total
    variance = (weight * (values - mean) ** 2).sum() / total
    counted = weight > 0
    if not shift_zeros:
        counted = counted & (values != 0).any(axis=1, keepdims=True)
    return np.where(counted, (values - mean) / np.sqrt(max(variance, eps)), 0.0)


RULES: dict[str, Callable[..., np.ndarray]] = {
    "group": group,
    "group_no_std": group_no_std,
    "rloo": rloo,
    "batch": batch,
    "none": none,
}


def _prepare(
    reward_PG: ArrayLike, mask_PG: ArrayLike | None, masked_in_statistics: bool, std: str, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Check the arguments; return rewards as float, the unmasked rollouts, and those in the statistics."""
    one_of("std", std, STDS)
    if not (np.isfinite(eps) and eps >= 0):
        raise ConfigError(f"eps={eps} must be a finite number of at least 0")
    reward = np.asarray(reward_PG, dtype=float)
    if reward.ndim != 2:
        raise DataError(f"rewards must be (P, G), got shape {reward.shape}")
    if not np.isfinite(reward).all():
        p, g = np.argwhere(~np.isfinite(reward))[0]
        raise DataError(f"the reward of rollout ({p}, {g}) is {reward[p, g]}")
    if reward.shape[1] < 2:
        raise ConfigError(
            f"G={reward.shape[1]}: a rule that compares rollouts of one problem needs at least 2"
        )
    keep = np.ones(reward.shape, bool) if mask_PG is None else np.asarray(mask_PG, dtype=bool)
    if keep.shape != reward.shape:
        raise DataError(f"mask has shape {keep.shape}, rewards have {reward.shape}")
    return reward, keep, np.ones(reward.shape, bool) if masked_in_statistics else keep


def _all_equal(reward: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Bool (P, 1): no two counted rewards of the group differ."""
    high = np.where(counted, reward, -np.inf).max(axis=1, keepdims=True)
    low = np.where(counted, reward, np.inf).min(axis=1, keepdims=True)
    nonempty = np.isfinite(high)
    high, low = np.where(nonempty, high, 0.0), np.where(nonempty, low, 0.0)
    return high - low <= EQUAL * np.maximum(np.abs(high), np.abs(low))


def _centre(reward: np.ndarray, counted: np.ndarray) -> np.ndarray:
    return np.where(_all_equal(reward, counted), 0.0, reward - statistics.mean(reward, counted))


def _normalise(reward: np.ndarray, counted: np.ndarray, std: str, eps: float) -> np.ndarray:
    centred = _centre(reward, counted)
    if std == "none":
        return centred
    scale = statistics.std(reward, counted, DDOF[std]) + eps
    return centred / np.where(scale > 0, scale, 1.0)


def _whiten(
    values: np.ndarray,
    counted: np.ndarray,
    std: str,
    eps: float,
    weight_PG: ArrayLike | None,
    equal: np.ndarray,
) -> np.ndarray:
    """Divide by the std over the counted rollouts of the batch; groups marked in `equal` (P, 1) stay 0."""
    weight = counted * (1.0 if weight_PG is None else np.asarray(weight_PG, dtype=float))
    total = weight.sum()
    if total <= 0:
        return np.zeros_like(values)
    mean = (weight * values).sum() / total
    centred = np.where(equal, 0.0, values - mean if weight_PG is not None else values)
    if std == "none":
        return centred
    # 1e-300 only avoids 0 / 0: with one counted token there is no sample std, and the sum above it is 0
    spread = (weight * (values - mean) ** 2).sum() / max(total - DDOF[std], 1e-300)
    scale = np.sqrt(spread) + eps
    return centred / scale if scale > 0 else np.zeros_like(values)
