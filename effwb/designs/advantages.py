"""How the rewards of a step become advantages: the rules of the field as functions on (P, G) arrays.

    group         (r - mean) / (std + eps) within the group                      GRPO
    group_no_std  r - mean within the group                                      Dr.GRPO, prime-rl
    rloo          r - mean of the others = (r - mean) n / (n - 1)                Arora & Zanette
    batch         r - group mean, over the std of the whole batch                DLER, REINFORCE++ baseline
    decoupled     each component by `group`, weighted sum, then batch whitening  GDPO, LEAD
    none          r                                                              AdaptThink

`std` is "sample" (n - 1; torch.std, hence verl and TRL), "population" (n; Arora's reward, GFPO) or "none";
`eps` is added to the standard deviation. Both change results: they belong in the caption of a figure.

Masked rollouts (mask False) get advantage 0. `masked_in_statistics=True` still counts their rewards in mean
and std, which is what masking the loss alone does; False computes the statistics over the kept ones only.

Rewards that are all equal give exactly 0, with any eps and in the batch rules too (the token-weighted
whitening of the released code gives such groups a constant instead; the papers drop those groups). A group
of one is refused: verl takes mean 0 and std 1 there, so the raw reward becomes the advantage, which no
paper describes.
"""

import numpy as np

from effwb.designs import statistics
from effwb.errors import ConfigError, DataError, one_of

STDS = {"sample": 1, "population": 0, "none": None}
EQUAL = 1e-12  # rewards whose spread is below this share of their size differ by rounding only
DEFAULTS = {
    "group": ("sample", 1e-6),
    "group_no_std": ("none", 0.0),
    "rloo": ("none", 0.0),
    "batch": ("sample", 1e-8),
    "decoupled": ("sample", 1e-6),
    "none": ("none", 0.0),
}


def group(reward_PG, *, std="sample", eps=1e-6, mask_PG=None, masked_in_statistics=True) -> np.ndarray:
    """(r - group mean) / (group std + eps), float (P, G). Shao et al. 2402.03300 (GRPO).

    >>> group([[1, 1, 0, 0]], std="population", eps=0.0).tolist()
    [[1.0, 1.0, -1.0, -1.0]]
    """
    reward, keep, counted = _prepare(reward_PG, mask_PG, masked_in_statistics, std, eps)
    return np.where(keep, _normalised(reward, counted, std, eps), 0.0)


def group_no_std(reward_PG, *, std="none", eps=0.0, mask_PG=None, masked_in_statistics=True) -> np.ndarray:
    """R - group mean, float (P, G). Dr.GRPO; `std` must be "none" and is there to be uniform.

    >>> group_no_std([[1, 1, 0, 0]]).tolist()
    [[0.5, 0.5, -0.5, -0.5]]
    """
    if std != "none":
        raise ConfigError(f"rule group_no_std divides by no std, got std={std!r}; use rule 'group'")
    return group(reward_PG, std="none", eps=0.0, mask_PG=mask_PG, masked_in_statistics=masked_in_statistics)


def rloo(reward_PG, *, std="none", eps=0.0, mask_PG=None, masked_in_statistics=True) -> np.ndarray:
    """R minus the mean of the other rollouts, float (P, G). Ahmadian et al. 2402.14740.

    >>> rloo([[1, 1, 0, 0]]).round(6).tolist()
    [[0.666667, 0.666667, -0.666667, -0.666667]]
    """
    reward, keep, counted = _prepare(reward_PG, mask_PG, masked_in_statistics, std, eps)
    n = statistics.count(counted)
    others = np.where(n > 1, n / np.maximum(n - 1, 1), 0.0)
    return np.where(keep, _normalised(reward, counted, std, eps) * others, 0.0)


def batch(
    reward_PG, *, std="sample", eps=1e-8, mask_PG=None, masked_in_statistics=True, weight_PG=None
) -> np.ndarray:
    """R - group mean, divided by the std of that over the batch, float (P, G). DLER, 2510.15110.

    `weight_PG` (lengths) gives the released code's masked whitening over tokens, which also subtracts the
    token-weighted batch mean, so group means are then not 0.

    >>> batch([[1, 0], [1, 1]], std="population", eps=0.0).round(6).tolist()
    [[1.414214, -1.414214], [0.0, 0.0]]
    """
    reward, keep, counted = _prepare(reward_PG, mask_PG, masked_in_statistics, std, eps)
    centred, still = _centred(reward, counted), _uniform(reward, counted)
    return np.where(keep, _whiten(centred, counted, std, eps, weight_PG, still), 0.0)


def decoupled(
    components,
    weights,
    *,
    std="sample",
    eps=1e-6,
    whiten_eps=1e-8,
    mask_PG=None,
    masked_in_statistics=True,
    weight_PG=None,
) -> np.ndarray:
    """Batch-whitened sum_k w_k (r_k - mean_k) / (std_k + eps), float (P, G). GDPO, 2601.05242.

    `components` and `weights` are dicts with the same keys. A component that is equal within a group adds 0
    there, so a scarce reward is not drowned by a constant one.

    >>> both = {"correct": np.array([[1.0, 0.0]]), "short": np.array([[1.0, 1.0]])}
    >>> decoupled(both, {"correct": 1, "short": 1}, std="population", eps=0, whiten_eps=0).tolist()
    [[1.0, -1.0]]
    """
    if not components or set(components) != set(weights):
        raise ConfigError(f"weights {sorted(weights)} do not match the components {sorted(components)}")
    summed, still = 0.0, True
    for name, reward_PG in components.items():
        reward, keep, counted = _prepare(reward_PG, mask_PG, masked_in_statistics, std, eps)
        summed = summed + weights[name] * _normalised(reward, counted, std, eps)
        still = still & _uniform(reward, counted)
    return np.where(keep, _whiten(summed, counted, std, whiten_eps, weight_PG, still), 0.0)


def none(reward_PG, *, std="none", eps=0.0, mask_PG=None, masked_in_statistics=True) -> np.ndarray:
    """R itself, float (P, G): for rewards that have their own baseline. 2505.13417; `std` must be "none".

    >>> none([[0.25, -0.75]]).tolist()
    [[0.25, -0.75]]
    """
    if std != "none":
        raise ConfigError(f"rule none divides by no std, got std={std!r}")
    reward, keep, _ = _prepare(reward_PG, mask_PG, masked_in_statistics, std, eps)
    return np.where(keep, reward, 0.0)


RULES = {"group": group, "group_no_std": group_no_std, "rloo": rloo, "batch": batch, "none": none}


def _prepare(reward_PG, mask_PG, masked_in_statistics: bool, std: str, eps: float):
    """Rewards as float, the kept rollouts, and those that enter the statistics; all (P, G)."""
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


def _uniform(reward: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """(P, 1): no two counted rewards of the group differ."""
    high = np.where(counted, reward, -np.inf).max(axis=1, keepdims=True)
    low = np.where(counted, reward, np.inf).min(axis=1, keepdims=True)
    some = np.isfinite(high)
    high, low = np.where(some, high, 0.0), np.where(some, low, 0.0)
    return high - low <= EQUAL * np.maximum(np.abs(high), np.abs(low))


def _centred(reward: np.ndarray, counted: np.ndarray) -> np.ndarray:
    return np.where(_uniform(reward, counted), 0.0, reward - statistics.mean(reward, counted))


def _normalised(reward: np.ndarray, counted: np.ndarray, std: str, eps: float) -> np.ndarray:
    centred = _centred(reward, counted)
    if std == "none":
        return centred
    scale = statistics.std(reward, counted, STDS[std]) + eps
    return centred / np.where(scale > 0, scale, 1.0)


def _whiten(values, counted, std: str, eps: float, weight_PG, still) -> np.ndarray:
    """Divide by the std over the counted rollouts of the batch; `still` groups (P, 1) stay exactly 0."""
    weight = counted * (1.0 if weight_PG is None else np.asarray(weight_PG, dtype=float))
    total = weight.sum()
    if total <= 0:
        return np.zeros_like(values)
    mean = (weight * values).sum() / total
    centred = np.where(still, 0.0, values - mean if weight_PG is not None else values)
    if std == "none":
        return centred
    spread = (weight * (values - mean) ** 2).sum() / max(total - STDS[std], 1e-300)
    scale = np.sqrt(spread) + eps
    return centred / scale if scale > 0 else np.zeros_like(values)
