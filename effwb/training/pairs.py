"""Which rollouts of a pool offline methods learn from: pure functions on a rollout table.

A rollout that the cap cut off is wrong. Of equally good rollouts the shorter one is chosen and the longer one
rejected, then the one with the first effort prompt by name, then the smallest sample: the order of the rows
changes nothing. Whatever prompt a rollout was sampled with, it is learned after the plain prompt (as in TOPS,
2502.18080, section 4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from effwb._internal.checked import NotNegative, Positive, checked_arguments
from effwb.errors import DataError
from effwb.rollouts import sample_seed
from effwb.training.selections import (
    KEY,
    Examples,
    Pairs,
    dropped_table,
    paired,
    pool_of,
    pooled,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Examples",
    "Pairs",
    "dast",
    "dast_scores",
    "o1_pruner",
    "pooled",
    "random_correct",
    "shortest",
    "shortest_correct",
    "tops",
    "tops_correct",
    "tops_iter_dpo",
]

UNSOLVED = "without a correct rollout"
WEIGHT_RANGE = (-2.0, 4.0)  # O1-Pruner's released code clips its weights to this
Ratio = Annotated[float, Field(gt=0, le=1)]
FilteredShare = Annotated[float, Field(ge=0, lt=1)]


# -------------------------------------------------------------------------------------- examples (SFT)
def shortest_correct(rollouts: pd.DataFrame) -> Examples:
    """Choose the shortest correct rollout of each problem: SFT_shortest (2506.07104, App. D).

    Arora & Zanette's comparison "Rejection Sampling + SFT" (2502.04463, section 5.2) is the same of 8.

    Args:
        rollouts: A rollout table, with the column effort where it has several prompts.

    Raises:
        DataError: The table cannot be used, see `selections.pool_of`.
    """
    pool = pool_of(rollouts)
    return _examples(_first(pool[pool["correct"]], "length"), pool)


def tops_correct(rollouts: pd.DataFrame) -> Examples:
    """Choose the shortest correct rollout under any of several effort prompts: SFT_TOPS.

    2506.07104, App. D, samples 16 under each of three prompts; TOPS itself (2502.18080, section 5.1) samples
    one under each.

    Args:
        rollouts: A rollout table with the column effort (`pooled`).

    Raises:
        DataError: The table cannot be used, or has fewer than two effort prompts.
    """
    _check_efforts(rollouts)
    return shortest_correct(rollouts)


@checked_arguments(per_problem=Positive)
def random_correct(rollouts: pd.DataFrame, *, per_problem: int = 1, seed: int = 0) -> Examples:
    """Choose correct rollouts at random, however long: TOPS's control "Random" (2502.18080, section 5.1).

    Args:
        rollouts: A rollout table.
        per_problem: Most examples of one problem.
        seed: Decides the draw, of each problem apart from the others.

    Raises:
        DataError: The table cannot be used, see `selections.pool_of`.
    """
    pool = pool_of(rollouts)
    return _examples(_drawn(pool[pool["correct"]], per_problem, seed), pool)


@checked_arguments(per_problem=Positive, alpha=NotNegative, reading=Literal["released", "paper"])
def o1_pruner(
    rollouts: pd.DataFrame,
    *,
    alpha: float = 2.0,
    per_problem: int = 2,
    seed: int = 0,
    reading: Literal["released", "paper"] = "released",
) -> Examples:
    """Choose random rollouts of each problem, right or wrong, each with a weight: O1-Pruner (2501.12570).

        reward = mean length / length - 1 + alpha (correct - accuracy)

    Mean length and accuracy are those of all rollouts of the problem. Where none is correct, shorter wrong
    ones have larger rewards.

    Args:
        rollouts: A rollout table of the model that is trained.
        alpha: Weight of accuracy, lambda in the paper: 2 for Marco-o1 (default), 5 for QwQ.
        per_problem: Rollouts drawn of each problem; the released code has 2.
        seed: Decides the draw, of each problem apart from the others.
        reading: "released" (o1_scripts/construct_dataset.py): the weight is the reward, clipped to [-2, 4],
            then z-scored over all chosen rollouts with the population's deviation. "paper": it is the reward.

    Returns:
        Examples with the columns reward and weight. All weights are 0 where all rewards are equal.

    Raises:
        DataError: The table cannot be used, see `selections.pool_of`.
    """
    pool = pool_of(rollouts)
    mean = pool.groupby("problem_id")[["length", "correct"]].transform("mean")
    reward = mean["length"] / pool["length"] - 1 + alpha * (pool["correct"] - mean["correct"])
    table = _drawn(pool.assign(reward=reward), per_problem, seed)
    if reading == "paper":
        return _examples(table.assign(weight=table["reward"]), pool)
    clipped = table["reward"].clip(*WEIGHT_RANGE)
    deviation = clipped.std(ddof=0)
    # equal rewards can differ in the last digit, and a z-score would blow that up
    weight = (clipped - clipped.mean()) / deviation if deviation > 1e-12 else 0.0 * clipped
    return _examples(table.assign(weight=weight), pool)


# ------------------------------------------------------------------------------- pairs (SimPO and DPO)
@checked_arguments(rejected=Literal["longest", "longest_correct"])
def shortest(rollouts: pd.DataFrame, *, rejected: Literal["longest", "longest_correct"] = "longest") -> Pairs:
    """Prefer the shortest correct rollout of each problem to the longest: SimPO_shortest.

    Args:
        rollouts: A rollout table, with the column effort where it has several prompts.
        rejected: "longest": of all rollouts, correct or not (2506.07104, App. D). "longest_correct": of the
            correct ones (DPO in 2502.04463, section 5.2).

    Raises:
        DataError: The table cannot be used, see `selections.pool_of`.
    """
    pool = pool_of(rollouts)
    correct = pool[pool["correct"]]
    losers = pool if rejected == "longest" else correct
    table = paired(_first(correct, "length"), _last(losers, "length"))
    table = table[table["margin"] > 0]
    name = "rollout" if rejected == "longest" else "correct rollout"
    return _pairs(table, pool, f"in which no {name} is longer than the shortest correct one")


def tops(rollouts: pd.DataFrame) -> Pairs:
    """Prefer the shortest correct rollout under any effort prompt to the longest: SimPO_TOPS.

    It is `shortest` on three effort prompts x 16 rollouts (2506.07104, App. D).

    Args:
        rollouts: A rollout table with the column effort (`pooled`).

    Raises:
        DataError: The table cannot be used, or has fewer than two effort prompts.
    """
    _check_efforts(rollouts)
    return shortest(rollouts)


def tops_iter_dpo(rollouts: pd.DataFrame) -> Pairs:
    """Prefer the shortest correct rollout to wrong ones: TOPS's own pairs (2502.18080, section 5.3).

    The rejected ones are the longest wrong rollout and, against thinking too little, the shortest wrong one
    where it is shorter than the chosen one. If they are the same, there is one pair.

    Args:
        rollouts: A rollout table; the paper has 8 rollouts of the model after TOPS's SFT.

    Raises:
        DataError: The table cannot be used, see `selections.pool_of`.
    """
    import pandas as pd

    pool = pool_of(rollouts)
    chosen, wrong = _first(pool[pool["correct"]], "length"), pool[~pool["correct"]]
    longest = paired(chosen, _last(wrong, "length"))
    short = paired(chosen, _first(wrong, "length"))
    table = pd.concat([longest, short[short["margin"] < 0]])
    table = table.drop_duplicates(["problem_id", "rejected_effort", "rejected_sample"])
    return _pairs(table, pool, "in which every rollout is correct")


@checked_arguments(cap=Positive)
def dast_scores(rollouts: pd.DataFrame, *, cap: int | None = None) -> pd.DataFrame:
    """Score the rollouts of each problem against its token length budget (DAST, 2503.04472, section 3).

        budget = p L_correct + (1 - p) cap          p: share of correct rollouts, L_correct: their mean length
        excess = (length - budget) / budget
        score  = max(0.5 - 0.5 excess, 0.1)  if correct
                 min(0.9 excess - 0.1, -0.1) if wrong

    Args:
        rollouts: A rollout table.
        cap: Cap of the rollouts in tokens; 4096 in the paper. None: the length of the longest rollout, which
            is the cap where one was cut off.

    Returns:
        problem_id, effort, sample, length, correct, budget (tokens) and score, by problem, effort and sample.

    Raises:
        DataError: The table cannot be used, or a rollout is longer than the cap.
    """
    pool = pool_of(rollouts)
    longest = pool["length"].max()
    if cap is not None and longest > cap:
        raise DataError(f"a rollout has {longest} tokens, more than cap={cap}")
    cap = longest if cap is None else cap
    # p times the mean length of the correct ones is the sum of their lengths over all rollouts
    spent = (pool["length"] * pool["correct"]).groupby(pool["problem_id"]).transform("mean")
    budget = spent + (1 - pool.groupby("problem_id")["correct"].transform("mean")) * cap
    excess = (pool["length"] - budget) / budget
    score = np.where(
        pool["correct"], np.maximum(0.5 - 0.5 * excess, 0.1), np.minimum(0.9 * excess - 0.1, -0.1)
    )
    return pool.assign(budget=budget, score=score)


@checked_arguments(cap=Positive, delta=FilteredShare, reading=Literal["paper", "reo_rl"], much_shorter=Ratio)
def dast(
    rollouts: pd.DataFrame,
    *,
    cap: int | None = None,
    delta: float = 0.15,
    reading: Literal["paper", "reo_rl"] = "paper",
    much_shorter: float = 1.0,
) -> Pairs:
    """Prefer, among two correct and among two wrong rollouts, one to another: DAST (2503.04472, section 3.3).

    Each problem gives at most one pair of correct and one of wrong rollouts, those with the largest margin.
    Then the share `delta` of all pairs with the smallest margins is left out.

    Args:
        rollouts: A rollout table; the paper has 20 rollouts per problem.
        cap: As in `dast_scores`.
        delta: Share of the pairs that is left out. The paper has 0.15 and 0.18: section 4.1 gives 0.15 to the
            7B model, section 4.2.4 to the 32B one.
        reading: Which one is preferred. "paper": the one with the higher score (`dast_scores`), that is the
            shorter of two correct ones and, up to the budget, the LONGER of two wrong ones; the margin is the
            difference of the scores. "reo_rl": the shorter one, of wrong ones too, as 2506.07104 describes
            SimPO_DAST; the margin is the difference of the lengths in budgets, which is not printed.
        much_shorter: The shorter one of a pair has at most this share of the longer one's tokens, in (0, 1].
            Both papers say "much shorter" without a number. 1.0: any difference will do.

    Returns:
        Pairs with the further columns chosen_score, rejected_score and budget (tokens).

    Raises:
        DataError: The table cannot be used, or a rollout is longer than the cap.
        ConfigError: A parameter is out of range.
    """
    scored = dast_scores(rollouts, cap=cap)
    table = _extremes(scored, reading)
    lengths = table[["chosen_length", "rejected_length"]]
    is_pair = (table["margin"] > 0) & (lengths.min(axis=1) <= much_shorter * lengths.max(axis=1))
    table = table[is_pair].sort_values(["margin", "problem_id", "kind"])
    n_filtered = int(delta * len(table) + 1e-9)  # 0.15 x 20 is 3, whatever its last digit
    filtered, table = table.iloc[:n_filtered], table.iloc[n_filtered:]
    alike = set(scored["problem_id"]) - set(table["problem_id"]) - set(filtered["problem_id"])
    reasons = {
        "without two rollouts of the same verdict that differ enough": alike,
        f"with a pair among the share {delta:g} of the smallest margins": filtered["problem_id"],
    }
    return Pairs(_in_order(table), dropped_table(reasons), scored["problem_id"].nunique())


# ------------------------------------------------------------------------------------------- helpers
def _extremes(scored: pd.DataFrame, reading: str) -> pd.DataFrame:
    """The pair with the largest margin among the correct and among the wrong rollouts of each problem."""
    import pandas as pd

    ranked = scored.assign(cost=-scored["score"] if reading == "paper" else scored["length"])
    parts = [ranked[ranked["correct"]], ranked[~ranked["correct"]]]
    both = pd.concat([paired(_first(part, "cost"), _last(part, "cost")) for part in parts], ignore_index=True)
    difference = both["rejected_cost"] - both["chosen_cost"]
    margin = difference if reading == "paper" else difference / both["chosen_budget"]
    unused = ["chosen_cost", "rejected_cost", "rejected_budget"]
    return both.assign(margin=margin).drop(columns=unused).rename(columns={"chosen_budget": "budget"})


def _first(pool: pd.DataFrame, column: str) -> pd.DataFrame:
    """The row of each problem with the smallest value; ties: the shortest, then by effort and sample."""
    return pool.sort_values(list(dict.fromkeys([column, "length", *KEY]))).drop_duplicates("problem_id")


def _last(pool: pd.DataFrame, column: str) -> pd.DataFrame:
    """The row of each problem with the largest value; ties: the longest, then by effort and sample."""
    order = list(dict.fromkeys([column, "length", *KEY]))
    falling = [name in (column, "length") for name in order]
    return pool.sort_values(order, ascending=[not f for f in falling]).drop_duplicates("problem_id")


def _drawn(pool: pd.DataFrame, per_problem: int, seed: int) -> pd.DataFrame:
    """At most `per_problem` random rows of each problem, whatever the other problems."""
    keys = zip(*(pool[name] for name in KEY), strict=True)
    draw = [sample_seed(f"{pid}|{effort}", sample, f"draw|{seed}") for pid, effort, sample in keys]
    drawn = pool.assign(draw=draw).sort_values("draw").groupby("problem_id", sort=False).head(per_problem)
    return drawn.drop(columns="draw")


def _check_efforts(rollouts: pd.DataFrame) -> None:
    efforts = sorted(set(rollouts["effort"].fillna(""))) if "effort" in rollouts else []
    if len(efforts) < 2:
        raise DataError(
            f"TOPS chooses among rollouts of several effort prompts; the column effort has {efforts}, and "
            'pairs.pooled({"low": ..., "medium": ..., "high": ...}) puts them together'
        )


def _examples(table: pd.DataFrame, pool: pd.DataFrame) -> Examples:
    table = table.sort_values(list(KEY), ignore_index=True)
    missing = set(pool["problem_id"]) - set(table["problem_id"])
    return Examples(table, dropped_table({UNSOLVED: missing}), pool["problem_id"].nunique())


def _pairs(table: pd.DataFrame, pool: pd.DataFrame, reason: str) -> Pairs:
    """The pairs; `reason` says why problems with a correct rollout have none."""
    solved_ids = set(pool.loc[pool["correct"], "problem_id"])
    reasons = {UNSOLVED: set(pool["problem_id"]) - solved_ids, reason: solved_ids - set(table["problem_id"])}
    return Pairs(_in_order(table), dropped_table(reasons), pool["problem_id"].nunique())


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    order = ["problem_id", "kind", "rejected_effort", "rejected_sample"]
    return table.sort_values(order, ignore_index=True)
