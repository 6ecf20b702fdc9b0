"""The simplest way to spend fewer tokens: a smaller cap, without any training (2502.04463, section 5.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from effwb.budgets import check_budgets
from effwb.errors import DataError
from effwb.rollouts import solved

if TYPE_CHECKING:
    import pandas as pd

CUTOFFS = (8000, 16000, 20000, 24000, 32000)  # the paper's, in tokens


def generation_cutoff(rollouts: pd.DataFrame, cutoffs: Sequence[int] = CUTOFFS) -> pd.DataFrame:
    """Say what a smaller cap would have made of rollouts: a rollout that exceeds it is wrong.

    No answer is forced, unlike on the curve J(L) of `budget_curve`, so accuracy is lower or equal.

    Args:
        rollouts: A rollout table: problem_id, length, verdict, finish_reason.
        cutoffs: The caps in tokens, increasing.

    Returns:
        A row per cutoff: cutoff, accuracy (mean over problems), length (mean tokens, those beyond the cutoff
        not written), cut_off (share of the rollouts).

    Raises:
        DataError: A rollout was cut off below a cutoff, so what it would have become is unknown.
        ConfigError: The cutoffs do not increase.
    """
    import pandas as pd

    caps = check_budgets(cutoffs)
    cut = rollouts.loc[rollouts["finish_reason"] != "stop", "length"]
    if len(cut) and caps[-1] > cut.min():
        raise DataError(
            f"{len(cut)} rollouts were cut off after {cut.min()} tokens or more, so what a cutoff of "
            f"{caps[-1]} would have made of them is unknown; use smaller ones, or sample with a larger cap"
        )
    rows = []
    for cutoff in caps:
        fits = rollouts["length"] <= cutoff
        per_rollout = rollouts[["problem_id"]].assign(
            accuracy=solved(rollouts) & fits, length=rollouts["length"].clip(upper=cutoff), cut_off=~fits
        )
        rows.append({"cutoff": int(cutoff), **per_rollout.groupby("problem_id").mean().mean()})
    return pd.DataFrame(rows)
