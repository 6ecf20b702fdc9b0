"""The numbers of a training round, as they stand in metrics.jsonl."""

from __future__ import annotations

import numpy as np

from effwb.designs import Group
from effwb.metrics import mean_at_k, pass_at_k
from effwb.training.rounds import Round, without_advantage


def round_metrics(
    rollouts: Round, group: Group, rewards: dict[str, np.ndarray], advantage: np.ndarray, mask: np.ndarray
) -> dict[str, float]:
    """The numbers of a round. A truncated rollout is not accurate.

    Args:
        rollouts: The round.
        group: The same round as the design reads it.
        rewards: The components of the reward and their total, each (P, G).
        advantage: The design's advantages, (P, G) or (P, G, K + 1).
        mask: Bool (P, G); False leaves the loss.

    Returns:
        Values by name; NaN where there is nothing to average.
    """
    length, correct = group.length_PG, group.correct_PG & group.finished_PG
    metrics = {
        "accuracy": correct.mean(),
        "length/mean": length.mean(),
        "length/correct": _mean(length[correct]),
        "length/wrong": _mean(length[~correct]),
        "truncated": 1 - group.finished_PG.mean(),
        **{f"reward/{name}": part.mean() for name, part in rewards.items()},
        "spread": rewards["total"].std(axis=1).mean(),
        "zero_variance": without_advantage(advantage).mean(),
        "masked": 1 - mask.mean(),
        "refilled": rollouts.refilled,
        "tokens": rollouts.tokens,
        **within_budgets(correct, length, int(group.cap)),
    }
    budgets, at_budget = rollouts.probe_budgets_PGK, rollouts.probe_correct_PGK
    if budgets is not None and at_budget is not None:
        shared = budgets[0, 0] if (budgets == budgets[0, 0]).all() else []  # budgets of all rollouts
        metrics |= {f"probe/{budget}": at_budget[..., k].mean() for k, budget in enumerate(shared)}
        metrics |= {
            f"probe_pass/{budget}": pass_at_k(at_budget[..., k], group.G) for k, budget in enumerate(shared)
        }
        metrics |= {"probe_unparsed": rollouts.unparsed, "probe_mean": at_budget.mean()}
    if group.empty_PG is not None:  # rollouts that think, and those that do not
        metrics["modes/empty"] = group.empty_PG.mean()
        for name, members in (("think", ~group.empty_PG), ("empty", group.empty_PG)):
            metrics[f"accuracy/{name}"] = _mean(correct[members])
            metrics[f"length/{name}"] = _mean(length[members])
    return {name: float(value) for name, value in metrics.items()}


def doubling_budgets(cap: int) -> list[int]:
    """Budgets of cap / 32, cap / 16, ..., cap in whole tokens, rising; those below one token are left out.

    >>> doubling_budgets(96)
    [3, 6, 12, 24, 48, 96]
    >>> doubling_budgets(10)
    [1, 2, 5, 10]
    """
    return sorted({cap // 2**k for k in range(6)} - {0})


def within_budgets(correct_PG: np.ndarray, length_PG: np.ndarray, cap: int) -> dict[str, float]:
    """Mean@G and Pass@G at each of `doubling_budgets`, without forced answers.

    At a budget a rollout counts if it is correct and ended by itself within the budget.

    Args:
        correct_PG: Bool (P, G), rollouts that are correct and ended by themselves.
        length_PG: Int (P, G), their tokens.
        cap: The cap of a completion, in tokens.

    Returns:
        `mean@G/<budget>`, the share of rollouts that count, and `pass@G/<budget>`, the share of problems with
        at least one; with the size of the group in place of G.

    >>> within_budgets(np.array([[True, False], [True, True]]), np.array([[3, 4], [2, 4]]), 4)
    {'mean@2/1': 0.0, 'mean@2/2': 0.25, 'mean@2/4': 0.75, 'pass@2/1': 0.0, 'pass@2/2': 0.5, 'pass@2/4': 1.0}
    """
    G, budgets = correct_PG.shape[1], doubling_budgets(cap)
    counted = {budget: correct_PG & (length_PG <= budget) for budget in budgets}
    mean = {f"mean@{G}/{budget}": mean_at_k(c_PG) for budget, c_PG in counted.items()}
    return mean | {f"pass@{G}/{budget}": pass_at_k(c_PG, G) for budget, c_PG in counted.items()}


def _mean(values: np.ndarray) -> float:
    return values.mean() if values.size else np.nan
