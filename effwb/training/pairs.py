"""Which rollouts of a pool offline methods learn from: pure functions on a rollout table.

A rollout that the cap cut off is wrong. Of equally long rollouts the one with the first effort prompt (by
name), then the smallest sample, counts, so the order of the rows changes nothing. Whatever prompt a rollout
was sampled with, it is learnt after the plain prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from effwb.training.selections import Examples, Pairs, pooled

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Examples",
    "Pairs",
    "dast",
    "dast_scores",
    "every_correct",
    "o1_pruner",
    "pooled",
    "shortest",
    "shortest_correct",
    "tops",
    "tops_correct",
    "tops_iter_dpo",
]


def shortest_correct(rollouts: pd.DataFrame) -> Examples:
    """SFT_shortest (2506.07104, App. D): the shortest correct rollout of each problem."""
    raise NotImplementedError


def tops_correct(rollouts: pd.DataFrame) -> Examples:
    """SFT_TOPS (2506.07104, App. D): the shortest correct rollout under any of several effort prompts."""
    raise NotImplementedError


def every_correct(rollouts: pd.DataFrame, per_problem: int | None = None, seed: int = 0) -> Examples:
    """Rejection SFT: correct rollouts, however long; all of them, or `per_problem` drawn with a seed."""
    raise NotImplementedError


def shortest(rollouts: pd.DataFrame) -> Pairs:
    """SimPO_shortest (2506.07104, App. D): the shortest correct rollout over the longest, correct or not."""
    raise NotImplementedError


def tops(rollouts: pd.DataFrame) -> Pairs:
    """SimPO_TOPS (2506.07104, App. D): `shortest` on the rollouts of several effort prompts."""
    raise NotImplementedError


def tops_iter_dpo(rollouts: pd.DataFrame) -> Pairs:
    """TOPS's own pairs (2502.18080): the shortest correct over the longest wrong and over a shorter wrong."""
    raise NotImplementedError


def dast(
    rollouts: pd.DataFrame,
    *,
    cap: int,
    delta: float = 0.15,
    reading: Literal["paper", "reo_rl"] = "paper",
    much_shorter: float = 1.0,
) -> Pairs:
    """DAST (2503.04472): pairs of equal verdict, the one nearer to the problem's token budget preferred."""
    raise NotImplementedError


def dast_scores(rollouts: pd.DataFrame, *, cap: int) -> pd.DataFrame:
    """DAST's budget of each problem and score of each rollout: EXAMPLE_COLUMNS, budget, score."""
    raise NotImplementedError


def o1_pruner(
    rollouts: pd.DataFrame,
    *,
    alpha: float = 2.0,
    per_problem: int = 2,
    seed: int = 0,
    clip: tuple[float, float] | None = (-2.0, 4.0),
    reading: Literal["released", "paper"] = "released",
) -> Examples:
    """O1-Pruner's data (2501.12570): random rollouts of each problem, each with a weight."""
    raise NotImplementedError


def _unused() -> np.ndarray:
    return np.empty(0)
