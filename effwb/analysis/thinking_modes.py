"""Whether a model thinks, and whether it should have: share, accuracy and length of both modes.

A rollout does not think if its first token closes the thinking that the prompt has opened (HGPO 2505.14631,
AdaptThink 2505.13417, Thinkless 2505.13379). It may still reason after that tag; then it is long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from effwb.errors import DataError
from effwb.metrics import Interval, bootstrap_mean, interval_columns
from effwb.rollouts import solved


def not_thinking(rollouts: pd.DataFrame, closing: int) -> np.ndarray:
    """Tell which rollouts close their thinking at once.

    Args:
        rollouts: A rollout table with `completion_ids`.
        closing: Id of the token that closes the thinking (`prompts.closing_id`).

    Returns:
        bool (R,), one for each of the R rows.
    """
    return np.array([len(ids) > 0 and ids[0] == closing for ids in rollouts["completion_ids"]], dtype=bool)


def mode_table(rollouts: pd.DataFrame, closing: int, by: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Share, accuracy and length of the rollouts that think and of those that do not.

    Args:
        rollouts: A rollout table with tokens; truncated rollouts are wrong.
        closing: Id of the token that closes the thinking.
        by: Group of each problem by problem id, such as its level of difficulty.

    Returns:
        A row per mode, `think` and `empty` (with `by`: per group and mode): `mode`, `rollouts`, `length p95`
        (95th percentile over rollouts, tokens), `share`, `accuracy`, `length`, each with ` low` and ` high`
        (95 % over problems). Accuracy and length are means over the problems that have a rollout of the
        mode; NaN where none has.

    Raises:
        DataError: There are no rollouts, or `by` misses a problem.
    """
    if len(rollouts) == 0:
        raise DataError("there are no rollouts to tell modes apart in")
    table = rollouts[["problem_id", "length"]].assign(
        right=solved(rollouts), empty=not_thinking(rollouts, closing)
    )
    if by is not None and (missing := set(table["problem_id"]) - set(by)):
        raise DataError(f"`by` misses {len(missing)} problems, e.g. {sorted(missing)[0]}")
    groups = [(None, table)] if by is None else table.groupby(table["problem_id"].map(by), sort=True)
    rows = []
    for group, part in groups:
        for mode, members in (("think", ~part["empty"]), ("empty", part["empty"])):
            inside = part[members].groupby("problem_id")
            intervals = {
                "share": bootstrap_mean(members.groupby(part["problem_id"]).mean().to_numpy()),
                "accuracy": _mean(inside["right"].mean()),
                "length": _mean(inside["length"].mean()),
            }
            p95 = part["length"][members].quantile(0.95) if members.any() else np.nan
            row = {} if by is None else {"group": group}
            row |= {"mode": mode, "rollouts": int(members.sum()), "length p95": float(p95)}
            rows.append(row | interval_columns(intervals))
    return pd.DataFrame(rows)


def _mean(values: pd.Series) -> Interval:
    return bootstrap_mean(values.to_numpy(dtype=float)) if len(values) else Interval(*[float("nan")] * 3)


def mode_accuracy(
    free: pd.DataFrame, think: pd.DataFrame, empty: pd.DataFrame, closing: int, delta: float = 0.0
) -> dict[str, Interval]:
    """HAcc: how often the model chooses the mode with the higher accuracy (2505.14631, section 4).

    Not thinking is the better mode where its accuracy plus `delta` is higher. Where both are equal there is
    no better mode and the problem is left out.

    Args:
        free: Rollouts in which the model chose its mode.
        think: Rollouts of the same problems that were forced to think.
        empty: Rollouts of the same problems that were forced not to think.
        closing: Id of the token that closes the thinking.
        delta: Bonus in accuracy for not thinking.

    Returns:
        Means over problems with 95 % limits: `chosen` (HAcc), `always think` and `never think` (what a model
        that always or never thinks would score), and `decided` (share of problems that have a better mode).

    Raises:
        DataError: The three tables do not have the same problems.
    """
    accuracy = {
        name: solved(table).groupby(table["problem_id"]).mean()
        for name, table in (("think", think), ("empty", empty))
    }
    picked = free.assign(empty=not_thinking(free, closing)).groupby("problem_id")["empty"].mean()
    if not (set(picked.index) == set(accuracy["think"].index) == set(accuracy["empty"].index)):
        raise DataError("the three tables need the same problems")
    gain = accuracy["empty"] + delta - accuracy["think"]
    differ = np.abs(gain) > 1e-12
    decided = gain.index[differ]
    wins = (gain[decided] > 0).to_numpy(dtype=float)
    share = picked[decided].to_numpy()
    scores = {
        "chosen": wins * share + (1 - wins) * (1 - share),
        "always think": 1 - wins,
        "never think": wins,
    }
    means = {name: bootstrap_mean(v) if v.size else _mean(gain[:0]) for name, v in scores.items()}
    return {**means, "decided": bootstrap_mean(np.asarray(differ, dtype=float))}
