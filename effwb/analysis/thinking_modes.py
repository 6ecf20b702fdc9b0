"""Whether a model thinks, and whether it should have: shares, accuracy and length of both modes.

A rollout does not think if its first token closes the thinking that the prompt has opened (2505.14631 HGPO,
2505.13417 AdaptThink, 2505.13379 Thinkless). Such a rollout may still reason behind that tag: then it is
long.
"""

import numpy as np

from effwb.errors import DataError
from effwb.metrics import Interval, bootstrap_mean, interval_columns
from effwb.rollouts import solved


def not_thinking(rollouts, closing: int) -> np.ndarray:
    """Bool (R,): which rows of a rollout table close their thinking at once; `closing` is that token's id
    (`prompts.closing_id`).
    """
    return np.array([len(ids) > 0 and ids[0] == closing for ids in rollouts["completion_ids"]], dtype=bool)


def mode_table(rollouts, closing: int, by=None):
    """A row per mode, `think` and `empty` (of each group, with `by`): `share`, `accuracy`, `length`, with
    95 % limits over problems, and `length p95`, the 95th percentile over rollouts (tokens).

    `by` maps problem ids to a group, such as the level of difficulty. Accuracy and length are means over the
    problems that have a rollout of the mode; NaN where none has. Truncated rollouts are wrong.
    """
    import pandas as pd

    if len(rollouts) == 0:
        raise DataError("there are no rollouts to tell modes apart in")
    table = rollouts[["problem_id", "length"]].assign(
        right=solved(rollouts),
        empty=not_thinking(rollouts, closing),
    )
    if by is not None and (lost := set(table["problem_id"]) - set(by)):
        raise DataError(f"`by` misses {len(lost)} problems, e.g. {sorted(lost)[0]}")
    groups = [(None, table)] if by is None else table.groupby(table["problem_id"].map(by), sort=True)
    rows = []
    for group, part in groups:
        for mode, members in (("think", ~part["empty"]), ("empty", part["empty"])):
            row = {} if by is None else {"group": group}
            rows.append({**row, "mode": mode, **_mode_row(part, members)})
    return pd.DataFrame(rows)


def _mode_row(part, members) -> dict[str, float]:
    inside = part[members].groupby("problem_id")
    found = {
        "share": bootstrap_mean(members.groupby(part["problem_id"]).mean().to_numpy()),
        "accuracy": _mean(inside["right"].mean()),
        "length": _mean(inside["length"].mean()),
    }
    longest = part["length"][members].quantile(0.95) if members.any() else np.nan
    return {"rollouts": int(members.sum()), "length p95": float(longest), **interval_columns(found)}


def _mean(values) -> Interval:
    return bootstrap_mean(values.to_numpy(dtype=float)) if len(values) else Interval(*[float("nan")] * 3)


def mode_accuracy(free, think, empty, closing: int, delta: float = 0.0) -> dict[str, Interval]:
    """HAcc: how often the mode that was chosen is the one with the higher accuracy. 2505.14631, section 4.

    `free` are rollouts in which the model chose, `think` and `empty` rollouts of the same problems forced
    into either mode. Not thinking is the better mode where its accuracy plus `delta` is higher; where the two
    are equal there is no better mode and the problem is left out. Returned beside `chosen` are what always
    thinking (`always think`) and never thinking (`never think`) would score, each a mean over problems with
    95 % limits, and `decided`, the share of problems that have a better mode.
    """
    rate = {name: _accuracy(table) for name, table in (("think", think), ("empty", empty))}
    picked = free.assign(empty=not_thinking(free, closing)).groupby("problem_id")["empty"].mean()
    if not (set(picked.index) == set(rate["think"].index) == set(rate["empty"].index)):
        raise DataError("the three tables need the same problems")
    gain = rate["empty"] + delta - rate["think"]
    differ = np.abs(gain) > 1e-12
    decided = gain.index[differ]
    wins = (gain[decided] > 0).to_numpy(dtype=float)
    share = picked[decided].to_numpy()
    scores = {
        "chosen": wins * share + (1 - wins) * (1 - share),
        "always think": 1 - wins,
        "never think": wins,
    }
    found = {name: bootstrap_mean(v) if v.size else _mean(gain[:0]) for name, v in scores.items()}
    return {**found, "decided": bootstrap_mean(differ.to_numpy(dtype=float))}


def _accuracy(table):
    """Mean accuracy by problem id."""
    return solved(table).groupby(table["problem_id"]).mean()
