"""The rollouts of a run as a list: which kind, which level, which words, in which order, page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from effwb.analysis.rollout_view import SIGNS
from effwb.analysis.run_analysis import RunAnalysis
from effwb.errors import one_of
from effwb.rollouts import problems_of

PAGE = 100  # rollouts
ALL_LEVELS = "all levels"
KINDS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "all": lambda t: t["length"] > 0,
    "right at the budget clicked": lambda t: t["at"] == 1,
    "wrong at the budget clicked": lambda t: t["at"] == 0,
    "right at the end": lambda t: t["end"] == 1,
    "right before, wrong at the end": lambda t: t["first_right"].notna() & (t["end"] == 0),
    "never right": lambda t: t["first_right"].isna(),
    "cut off by the cap": lambda t: t["finish_reason"] == "length",
    "verifiers disagree": lambda t: t["disagree"],
}
ORDERS: dict[str, tuple[str, bool]] = {  # the column, and whether it rises
    "most written after it was right": ("wasted", False),
    "longest first": ("length", False),
    "shortest first": ("length", True),
    "right earliest": ("first_right", True),
    "hardest level first": ("level", False),
    "by problem": ("problem_id", True),
}


def rollout_table(
    run: RunAnalysis, budget: int | None = None, disagree: pd.Series | None = None
) -> pd.DataFrame:
    """Return what the list of a run's rollouts is chosen from.

    Args:
        run: The run, on all of its problems or on a benchmark.
        budget: A budget in tokens at which the verdicts are shown too.
        disagree: Whether verifiers disagree about each rollout (`RunSet.opinions`); default: not known.

    Returns:
        `RunAnalysis.outcomes` with `at` and `end` (0 or 1 at the budget and at the end), `disagree`, and
        `level` (NaN where the problems have none).
    """
    scores, outcomes = run.scores, run.outcomes
    level = outcomes.index.get_level_values("problem_id").map(run.levels or {})
    return outcomes.assign(
        at=scores.get(budget, np.nan),
        end=scores.iloc[:, -1],
        disagree=False if disagree is None else disagree.reindex(outcomes.index, fill_value=False),
        level=np.asarray(level, dtype=float),
    )


def choose_rollouts(
    table: pd.DataFrame,
    kind: str = "all",
    *,
    level: int | str = ALL_LEVELS,
    words: str = "",
    texts: pd.Series | None = None,
    order: str = "most written after it was right",
) -> pd.DataFrame:
    """Return the rollouts of one kind in an order.

    Args:
        table: As `rollout_table` returns it.
        kind: One of `KINDS`.
        level: A level of difficulty; default: all.
        words: Words that must all occur in the question, the reference answer or what the model wrote, in
            any case; "" for all.
        texts: As `searchable_texts` returns; needed where there are words.
        order: One of `ORDERS`. Where two are equal, by problem and sample.

    Raises:
        ConfigError: `kind` or `order` is unknown.
    """
    one_of("kind of rollouts", kind, KINDS)
    one_of("order", order, ORDERS)
    table = table[KINDS[kind](table)]
    if level != ALL_LEVELS:
        table = table[table["level"] == level]
    for word in words.lower().split():
        assert texts is not None
        table = table[texts.reindex(table.index).str.contains(word, regex=False)]
    column, rising = ORDERS[order]
    if column in table.index.names:
        return table.sort_index(ascending=rising)
    return table.sort_values(column, ascending=rising, kind="stable")


def page_of(table: pd.DataFrame, page: int) -> tuple[pd.DataFrame, int]:
    """Return one page of a table, and how many pages there are.

    Args:
        table: The rows.
        page: The number of the page, from 1; beyond the last page it is the last.
    """
    pages = max(1, -(-len(table) // PAGE))
    start = (min(page, pages) - 1) * PAGE
    return table.iloc[start : start + PAGE], pages


def searchable_texts(run: RunAnalysis) -> pd.Series:
    """Return question, reference answer and completion of each rollout, in small letters, for a search."""
    problems = problems_of(run.run_dir, ["problem_id", "question", "answer"]).set_index("problem_id")
    rollouts = run.texts()
    asks = rollouts["problem_id"].map(
        problems["question"].astype(str) + "\n" + problems["answer"].astype(str)
    )
    texts = (asks.astype(str) + "\n" + rollouts["text"]).str.lower()
    return texts.set_axis(pd.MultiIndex.from_frame(rollouts[["problem_id", "sample"]]))


def rollout_line(row: Any) -> str:
    """A rollout in the list: problem, sample, tokens, and when it was right.

    Args:
        row: A row of `rollout_table`, as `itertuples` gives it.
    """
    problem, sample = row.Index
    end = SIGNS["correct" if row.end else "wrong"]
    never = row.wasted != row.wasted
    when = "never right" if never else f"right at {row.first_right:,.0f}, {row.wasted:,.0f} after"
    at = "" if row.at != row.at else f" [{SIGNS['correct' if row.at else 'wrong']}]"
    return f"{problem[-6:]} #{sample}{at} {row.length:>6,} tokens {end} {when}"


def other_sample(run: RunAnalysis, problem_id: str, sample: int) -> int | None:
    """Return the sample of a run that stands beside a rollout of another: the same one, else the first.

    Args:
        run: The run that is set beside.
        problem_id: The problem.
        sample: The number of the rollout in the other run.

    Returns:
        None where the run has no rollout of the problem.
    """
    outcomes = run.outcomes
    samples: Mapping[Any, Any] = (
        outcomes.loc[problem_id] if problem_id in outcomes.index.get_level_values(0) else {}
    )
    numbers = [int(number) for number in getattr(samples, "index", ())]
    return sample if sample in numbers else next(iter(numbers), None)
