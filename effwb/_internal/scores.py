"""Which rollout is right at which budget: the array code behind `effwb.curves`, fast on millions of rows.

Arrays carry their axes: N rollouts sorted by (problem, sample), P problems, K budgets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from effwb.errors import ConfigError, DataError, one_of
from effwb.verifiers import STATUSES

if TYPE_CHECKING:
    import pandas as pd

FINISH_REASONS = ("stop", "length")
CHUNK_ROWS = 4_000_000  # probe rows processed at a time, so that tens of millions fit in memory


class RolloutArrays:
    """The rollout table as arrays sorted by (problem, sample), and a lookup from that pair to a row.

    Args:
        table: The rollout table.

    Raises:
        DataError: The table is empty, or rows are duplicate or illegal.

    Attributes:
        ids: The problem ids, (P,), sorted.
        samples: The distinct sample numbers.
        key: One integer per row for (problem, sample), increasing.
        length: Tokens, int (N,).
        stopped: Whether the rollout ended by itself, bool (N,).
        correct: Whether its own verdict is "correct", bool (N,).
        starts: The first row of each problem, (P,).
        rank: The position of each row within its problem, from 0.
    """

    def __init__(self, table: pd.DataFrame):
        import pandas as pd

        if len(table) == 0:
            raise DataError("rollouts is empty")
        ids = table["problem_id"]
        if hasattr(ids, "cat"):  # else factorize would sort them by the order of the categories
            ids = ids.cat.reorder_categories(sorted(ids.cat.categories))
        problem, unique_ids = pd.factorize(ids, sort=True)
        sample, self.samples = pd.factorize(table["sample"], sort=True)
        if (problem < 0).any() or (sample < 0).any():
            raise DataError("rollouts hold a missing problem_id or sample")
        self.ids = np.asarray(unique_ids)
        self.index = pd.Index(unique_ids)
        order = np.lexsort((sample, problem))
        self.key = problem[order].astype(np.int64) * len(self.samples) + sample[order]
        if (np.diff(self.key) == 0).any():
            repeated = self.key[1:][np.diff(self.key) == 0]
            raise DataError(f"duplicate rollouts (problem_id, sample): {self.names(np.unique(repeated))}")
        self.length = _whole_numbers(table, "length")[order]
        self.stopped = codes_of(table, "finish_reason", FINISH_REASONS)[order] == 0
        self.correct = codes_of(table, "verdict", STATUSES)[order] == 0
        self.starts = np.flatnonzero(np.diff(problem[order], prepend=-1))
        self.rank = np.arange(len(order)) - np.repeat(self.starts, np.diff(self.starts, append=len(order)))

    def rows_of(self, problem_id: pd.Series, sample: pd.Series) -> np.ndarray:
        """Return the row of each (problem_id, sample); -1 if there is no such rollout."""
        problem, number = _lookup(self.index, problem_id), _lookup(self.samples, sample)
        key = np.where((problem < 0) | (number < 0), -1, problem * len(self.samples) + number)
        row = np.searchsorted(self.key, key).clip(max=len(self.key) - 1)
        return np.where(self.key[row] == key, row, -1)

    def names(self, keys: np.ndarray, *columns: np.ndarray) -> str:
        """Return the first three keys as text: (problem_id, sample, values of `columns` ...)."""
        parts = [
            (self.ids[k // len(self.samples)], self.samples[k % len(self.samples)], *(c[i] for c in columns))
            for i, k in enumerate(keys[:3])
        ]
        text = ", ".join("(" + ", ".join(str(p) for p in part) + ")" for part in parts)
        return text + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def scores_by_budget(rows: RolloutArrays, probes: pd.DataFrame, budgets: np.ndarray) -> np.ndarray:
    """Score each rollout at each budget by the rule of `effwb.curves.budget_curve`.

    Args:
        rows: The rollouts.
        probes: Table with problem_id, sample, budget (tokens), verdict.
        budgets: Tokens, (K,), increasing.

    Returns:
        0 or 1, int8 (N, K).

    Raises:
        DataError: Probes are missing, duplicate or illegal; the message names the first ones.
    """
    probed_NK, at_cap_N = _probe_verdicts(rows, probes, budgets)
    ended_NK = rows.length[:, None] <= budgets
    own_NK = rows.stopped[:, None] & ended_NK
    score_NK = np.where(own_NK, rows.correct[:, None].astype(np.int8), probed_NK)
    beyond_NK = (score_NK < 0) & ~rows.stopped[:, None] & ended_NK
    if beyond_NK.any():
        # a rollout that ended between two budgets of the grid cannot have a probe at its length
        expected = beyond_NK.any(axis=1) & np.isin(rows.length, budgets)
        if (at_cap_N[~rows.stopped] >= 0).any() and (at_cap_N[expected] < 0).any():
            missing = np.flatnonzero(expected & (at_cap_N < 0))
            raise DataError(
                "only some truncated rollouts were probed at the cap; missing (problem_id, sample, budget): "
                + rows.names(rows.key[missing], rows.length[missing])
            )
        last_N = np.where(at_cap_N < 0, rows.correct, at_cap_N).astype(np.int8)
        score_NK = np.where(beyond_NK, last_N[:, None], score_NK)
    if (score_NK < 0).any():
        row, k = np.nonzero(score_NK < 0)
        raise DataError(
            "no probe for (problem_id, sample, budget) "
            + rows.names(rows.key[row], budgets[k])
            + "; probe these, or leave the budget out"
        )
    return score_NK


def _probe_verdicts(
    rows: RolloutArrays, probes: pd.DataFrame, budgets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Probe scores at `budgets`, (N, K), and of truncated rollouts at their length, (N,); -1: no probe."""
    n, k = len(rows.key), budgets.size
    probed, at_cap = np.full(n * k, -1, dtype=np.int8), np.full(n, -1, dtype=np.int8)
    for start in range(0, len(probes), CHUNK_ROWS):
        part = probes.iloc[start : start + CHUNK_ROWS]
        score = (codes_of(part, "verdict", STATUSES) == 0).astype(np.int8)
        budget = _whole_numbers(part, "budget")
        row = rows.rows_of(part["problem_id"], part["sample"])
        column = np.searchsorted(budgets, budget).clip(max=k - 1)
        on_grid = (row >= 0) & (budgets[column] == budget)
        cell = row[on_grid] * k + column[on_grid]
        _refuse_duplicates(rows, probed, cell, budgets)
        probed[cell] = score[on_grid]
        last = (row >= 0) & ~rows.stopped[row] & (budget == rows.length[row])
        at_cap[row[last]] = score[last]
    return probed.reshape(n, k), at_cap


def _refuse_duplicates(
    rows: RolloutArrays, probed: np.ndarray, cell: np.ndarray, budgets: np.ndarray
) -> None:
    """Raise if an earlier chunk has filled one of the cells, or if a cell occurs twice in this one."""
    repeated = cell[probed[cell] >= 0]
    occupied = np.zeros(probed.size, dtype=bool)
    occupied[cell] = True
    if not repeated.size and int(occupied.sum()) < cell.size:
        values, counts = np.unique(cell, return_counts=True)
        repeated = values[counts > 1]
    if repeated.size:
        row, k = np.divmod(repeated, budgets.size)
        raise DataError(
            f"duplicate probes (problem_id, sample, budget): {rows.names(rows.key[row], budgets[k])}"
        )


def means_by_problem(
    starts: np.ndarray, values_NK: np.ndarray, include: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Average rows over each problem.

    Args:
        starts: The first row of each problem, (P,).
        values_NK: Integer values, a row per rollout.
        include: Which rows count, bool (N,); by default all.

    Returns:
        The means, float (P, K), and the number of rows of each problem, int (P,).
    """
    include = np.ones(len(values_NK), dtype=bool) if include is None else include
    sums = np.add.reduceat(values_NK * include[:, None], starts, axis=0, dtype=np.int64)
    counts = np.add.reduceat(include, starts, dtype=np.int64)
    return sums / counts[:, None], counts


def require_columns(table: pd.DataFrame, name: str, columns: tuple[str, ...]) -> None:
    """Raise `DataError` unless the table called `name` has all the columns."""
    missing = [c for c in columns if c not in getattr(table, "columns", ())]
    if missing:
        raise DataError(f"{name} lacks the columns {', '.join(missing)}; it needs {', '.join(columns)}")


def _lookup(index: pd.Index, values: pd.Series) -> np.ndarray:
    """Positions of `values` in `index`, -1 if absent."""
    import pandas as pd

    if hasattr(values, "cat"):  # look up the few categories, not every row
        table = np.append(index.get_indexer(values.cat.categories), -1)
        return table[values.cat.codes.to_numpy()]
    return index.get_indexer(pd.Index(values))


def codes_of(table: pd.DataFrame, column: str, legal: tuple[str, ...]) -> np.ndarray:
    """Return the position of each value in `legal`; any other value is a `DataError` that names it."""
    import pandas as pd

    codes = _lookup(pd.Index(legal), table[column])
    if (codes < 0).any():
        value = table[column].iloc[int(np.argmax(codes < 0))]
        try:
            one_of(column, value, legal)
        except ConfigError as error:
            raise DataError(str(error)) from None
        raise DataError(f"{column} holds {value!r}; legal: {', '.join(legal)}")
    return codes


def _whole_numbers(table: pd.DataFrame, column: str) -> np.ndarray:
    values = table[column].to_numpy()
    if values.dtype.kind not in "iu":
        values = np.asarray(values, dtype=float)
        if not (values == np.floor(values)).all():
            raise DataError(
                f"{column} {values[values != np.floor(values)][0]} is not a whole number of tokens"
            )
    if (values < 0).any():
        raise DataError(f"{column} {values[values < 0][0]} is negative")
    return values.astype(np.int64)
