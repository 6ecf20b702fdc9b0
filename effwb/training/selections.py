"""What an offline method learns from a pool of rollouts: `Examples` to imitate, or `Pairs` to compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effwb.errors import DataError
from effwb.rollouts import solved

if TYPE_CHECKING:
    import pandas as pd

KEY = ("problem_id", "effort", "sample")  # names a rollout of a pool; effort is "" for the plain prompt
NEEDED = ("problem_id", "sample", "length", "verdict", "finish_reason")
EXAMPLE_COLUMNS = (*KEY, "length", "correct")
PAIR_COLUMNS = (
    *("problem_id", "kind", "margin"),
    *(
        f"{side}_{name}"
        for side in ("chosen", "rejected")
        for name in ("effort", "sample", "length", "correct")
    ),
)
KINDS = ("correct", "wrong", "correct_over_wrong")  # both correct, both wrong, a correct one over a wrong one


@dataclass(frozen=True)
class Examples:
    """Rollouts that a model learns to write, each after the plain prompt of its problem.

    Attributes:
        table: A row per example: problem_id, effort (of the prompt it was sampled with, "" for the plain
            one), sample, length (tokens), correct, and weight where a method weighs its examples.
        dropped: A row per reason why problems are missing: reason, problems (how many), problem_ids.
        n_problems: Problems of the pool.
    """

    table: pd.DataFrame
    dropped: pd.DataFrame
    n_problems: int

    def __len__(self) -> int:
        return len(self.table)

    def summary(self) -> str:
        """How many examples there are, how long they are, and what was dropped, in one sentence."""
        tokens = f", {self.table['length'].mean():.0f} tokens on average" if len(self) else ""
        return _summary(f"{_counted(len(self), 'example')}{tokens}", self)

    def check(self) -> None:
        """Raise `DataError` if there is nothing to learn; the message has the counts."""
        if not len(self):
            raise DataError(f"nothing to learn: {self.summary()}")
        if "weight" in self.table and not self.table["weight"].any():
            raise DataError(
                "nothing to learn: all weights are 0, because all rollouts of a problem are equally long and "
                f"equally right; {self.summary()}"
            )

    def with_tokens(self, rollouts: pd.DataFrame) -> pd.DataFrame:
        """Return the table with the column completion_ids.

        Args:
            rollouts: The pool that the examples were chosen from.

        Raises:
            DataError: The pool lacks one of the examples.
        """
        return self.table.assign(completion_ids=_tokens(self.table, rollouts, ""))


@dataclass(frozen=True)
class Pairs:
    """Pairs of rollouts of one problem, the chosen one to be preferred, both after its plain prompt.

    Attributes:
        table: A row per pair: problem_id, kind ("correct": both are; "wrong": neither is;
            "correct_over_wrong"), margin (DAST: of the scores; else tokens that the rejected one has more),
            and effort, sample, length and correct of both, with the prefixes chosen_ and rejected_.
        dropped: A row per reason why pairs are missing: reason, problems (how many lost one), problem_ids.
        n_problems: Problems of the pool.
    """

    table: pd.DataFrame
    dropped: pd.DataFrame
    n_problems: int

    def __len__(self) -> int:
        return len(self.table)

    def summary(self) -> str:
        """How many pairs there are of each kind, how long they are, and what was dropped, in one sentence."""
        table = self.table
        if not len(table):
            return _summary("0 pairs", self)
        kinds = ", ".join(f"{n} {kind}" for kind in KINDS if (n := int((table["kind"] == kind).sum())))
        lengths = f"{table['chosen_length'].mean():.0f} over {table['rejected_length'].mean():.0f} tokens"
        return _summary(f"{_counted(len(table), 'pair')} ({kinds}), {lengths} on average", self)

    def check(self) -> None:
        """Raise `DataError` if there is no pair; the message has the counts."""
        if not len(self):
            raise DataError(f"no pair to learn from: {self.summary()}")

    def with_tokens(self, rollouts: pd.DataFrame) -> pd.DataFrame:
        """Return the table with the columns chosen_completion_ids and rejected_completion_ids.

        Args:
            rollouts: The pool that the pairs were chosen from.

        Raises:
            DataError: The pool lacks a rollout of the pairs.
        """
        ids = {f"{s}_completion_ids": _tokens(self.table, rollouts, f"{s}_") for s in ("chosen", "rejected")}
        return self.table.assign(**ids)


def pooled(rollouts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Put the rollouts of several effort prompts into one pool.

    Args:
        rollouts: {name of the effort prompt: rollout table}; "" is the plain prompt.

    Returns:
        One rollout table with the column effort.
    """
    import pandas as pd

    return pd.concat([table.assign(effort=effort) for effort, table in rollouts.items()], ignore_index=True)


def pool_of(rollouts: pd.DataFrame) -> pd.DataFrame:
    """Check a rollout table and bring it into one order, whatever the order of its rows.

    Args:
        rollouts: A rollout table (`rollouts.COLUMNS`), with the column effort where it has several prompts.

    Returns:
        problem_id, effort, sample, length and correct (the right answer, and not cut off: `rollouts.solved`),
        by problem, effort and sample.

    Raises:
        DataError: A column is missing, a length is not at least 1, there are no rows, or a rollout occurs
            twice.
    """
    if missing := [name for name in NEEDED if name not in rollouts]:
        raise DataError(f"the rollouts lack the columns {missing}; they have {list(rollouts.columns)}")
    if rollouts.empty:
        raise DataError("the pool has no rollouts")
    pool = rollouts[["problem_id", "sample", "length"]].assign(
        effort=_efforts(rollouts), correct=solved(rollouts)
    )
    if bad := int((~(pool["length"] >= 1)).sum()):
        raise DataError(f"{bad} of {len(pool)} rollouts have no length of at least 1 token")
    repeated = pool[pool.duplicated(list(KEY))]
    if len(repeated):
        first = repeated.iloc[0]
        raise DataError(
            f"{len(repeated)} rollouts occur twice, such as sample {first['sample']} of "
            f"{first['problem_id']!r}; a pool of several prompts needs the column effort (`pairs.pooled`)"
        )
    return pool[list(EXAMPLE_COLUMNS)].sort_values(list(KEY), ignore_index=True)


def paired(chosen: pd.DataFrame, rejected: pd.DataFrame) -> pd.DataFrame:
    """Put at most one chosen and one rejected rollout of each problem side by side.

    Args:
        chosen: Rows of a pool, at most one per problem; further columns come along.
        rejected: The same; problems that are in one table only are left out.

    Returns:
        `PAIR_COLUMNS`, and the further columns with their prefixes. The margin is in tokens.
    """
    import pandas as pd

    sides = [
        table.add_prefix(prefix).rename(columns={f"{prefix}problem_id": "problem_id"})
        for table, prefix in ((chosen, "chosen_"), (rejected, "rejected_"))
    ]
    both = pd.merge(*sides, on="problem_id")
    right, other = both["chosen_correct"].to_numpy(bool), both["rejected_correct"].to_numpy(bool)
    kinds = np.select([right & other, right], ["correct", "correct_over_wrong"], "wrong")
    table = both.assign(kind=kinds, margin=both["rejected_length"] - both["chosen_length"])
    return table[[*PAIR_COLUMNS, *(name for name in both if name not in PAIR_COLUMNS)]]


def dropped_table(reasons: Mapping[str, Iterable[str]]) -> pd.DataFrame:
    """Return the table `dropped` from the problem ids by reason, without the reasons that have none."""
    import pandas as pd

    ids = {reason: sorted(set(problems)) for reason, problems in reasons.items()}
    rows = [(reason, len(problems), problems) for reason, problems in ids.items() if problems]
    return pd.DataFrame(rows, columns=["reason", "problems", "problem_ids"])


def _summary(count: str, selection: Examples | Pairs) -> str:
    problems = f"{count}, from {selection.table['problem_id'].nunique()} of {selection.n_problems} problems"
    if selection.dropped.empty:
        return f"{problems}; none dropped"
    reasons = [f"{row.problems} {row.reason}" for row in selection.dropped.itertuples()]
    return f"{problems}; dropped: {', '.join(reasons)}"


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _efforts(rollouts: pd.DataFrame) -> list[str]:
    return rollouts["effort"].fillna("").tolist() if "effort" in rollouts else [""] * len(rollouts)


def _tokens(table: pd.DataFrame, rollouts: pd.DataFrame, prefix: str) -> list[np.ndarray]:
    """The token ids of the rollouts that a table names under a prefix."""
    keys = zip(rollouts["problem_id"], _efforts(rollouts), rollouts["sample"], strict=True)
    tokens = dict(zip(keys, rollouts["completion_ids"], strict=True))
    wanted = zip(table["problem_id"], table[f"{prefix}effort"], table[f"{prefix}sample"], strict=True)
    try:
        return [tokens[key] for key in wanted]
    except KeyError as error:
        raise DataError(
            f"the pool lacks the rollout {error} (problem, effort, sample); give the one that the rule was "
            "applied to"
        ) from None
