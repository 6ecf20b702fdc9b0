"""The accuracy-budget curve J(L): how accurate a model is when its reasoning is stopped after L tokens.

Made from the two tables of a run (rollouts, probes) and nothing else, so every curve can be recomputed with
a better verifier. The rule is that of arXiv 2506.07104, section 3.1: a rollout that ended by itself within
L counts its own answer, any other counts the answer forced after its first L tokens.
"""

from dataclasses import dataclass

import numpy as np

from effwb.budgets import check_budgets, trapezoid_weights
from effwb.errors import ConfigError, DataError, one_of
from effwb.metrics import bootstrap_mean

VERDICTS = ("correct", "wrong", "unparsed", "bad_gold", "timeout")  # only `correct` scores 1
FINISH_REASONS = ("stop", "length")
CHUNK_ROWS = 4_000_000  # probe rows looked up at once, so that tens of millions fit in memory


@dataclass(frozen=True, eq=False)
class Curve:
    """Accuracy in [0, 1] at K token budgets, linear in between. Base of BudgetCurve and Frontier."""

    budgets: np.ndarray
    accuracy: np.ndarray

    def __post_init__(self):
        object.__setattr__(self, "budgets", check_budgets(self.budgets))
        object.__setattr__(self, "accuracy", self._accuracies("accuracy", self.accuracy, self.budgets.shape))

    def _accuracies(self, name: str, values, shape: tuple) -> np.ndarray:
        values = np.asarray(values, dtype=float)
        if values.shape != shape:
            raise DataError(
                f"{name} has shape {values.shape}, expected {shape} for {self.budgets.size} budgets"
            )
        bad = ~((values >= 0) & (values <= 1))  # written so that NaN is bad too
        if bad.any():
            where = self.budgets[np.argwhere(bad)[0][-1]]
            raise DataError(f"{name} {values[bad][0]:g} at budget {where} is not in [0, 1]")
        return values

    def at(self, budget):
        """Accuracy at `budget` (number or array), linear between measured budgets; raises outside them."""
        wanted = np.asarray(budget, dtype=float)
        outside = ~((wanted >= self.budgets[0]) & (wanted <= self.budgets[-1]))
        if outside.any():
            first, last = self.budgets[[0, -1]]
            raise ConfigError(f"budget {wanted[outside][0]:g} is outside the measured {first} to {last}")
        values = np.interp(wanted, self.budgets, self.accuracy)
        return float(values) if values.ndim == 0 else values

    def area_weights(self, l_max: float | None = None) -> np.ndarray:
        """Weights w (K,) such that `w @ accuracy` is the area over [0, l_max], accuracy x tokens.

        l_max defaults to the last budget; between two budgets the curve is cut linearly. The curve must
        start at budget 0: leaving out the first stretch would silently be a smaller area.
        """
        x = self.budgets
        l_max = x[-1] if l_max is None else l_max
        if x[0] != 0:
            raise DataError(
                f"the curve starts at budget {x[0]}; an area from 0 needs the accuracy at budget 0"
            )
        if not 0 < l_max <= x[-1]:
            raise ConfigError(f"l_max={l_max} is outside the measured budgets: it must be in (0, {x[-1]}]")
        k = int(np.searchsorted(x, l_max))  # x[k-1] < l_max <= x[k]
        cut = trapezoid_weights(np.append(x[:k], l_max))
        share = (l_max - x[k - 1]) / (x[k] - x[k - 1])
        weights = np.zeros(x.size)
        weights[:k] = cut[:k]
        weights[[k - 1, k]] += cut[k] * np.array([1 - share, share])
        return weights

    def area(self, l_max: float | None = None) -> float:
        """Trapezoid area under the curve on [0, l_max], accuracy x tokens (arXiv 2506.07104, appendix F)."""
        return float(self.area_weights(l_max) @ self.accuracy)

    def table(self):
        """The curve as a DataFrame, a row per budget: what a figure of it was drawn from."""
        import pandas as pd

        name = getattr(self, "name", "")
        return pd.DataFrame({"curve": name, "budget": self.budgets, "accuracy": self.accuracy})


@dataclass(frozen=True, eq=False)
class BudgetCurve(Curve):
    """One model's curve, with what its intervals need: the problem is the unit.

    per_problem (P, K): each problem's own accuracy; halves (2, P, K): the same on the even and on the odd
    samples (for cross-fitting a frontier); n_samples (P,): samples drawn; mean_tokens: mean whole-response
    length, the mean over problems of each problem's mean. All optional; what needs a missing one says so.
    snap: rollouts were cut down to whole blocks of so many tokens (prompt included), so that the accuracy at
    L is that of up to snap - 1 tokens fewer; None where they were cut at L.
    """

    per_problem: np.ndarray | None = None
    problem_ids: np.ndarray | None = None
    halves: np.ndarray | None = None
    n_samples: np.ndarray | None = None
    mean_tokens: float | None = None
    name: str = ""
    snap: int | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.per_problem is None:
            return
        problems, k = len(self.per_problem), self.budgets.size
        values = self._accuracies("per_problem accuracy", self.per_problem, (problems, k))
        if problems == 0 or np.abs(values.mean(axis=0) - self.accuracy).max() > 1e-6:
            raise DataError("accuracy is not the mean of per_problem over its problems")
        object.__setattr__(self, "per_problem", values)
        if self.halves is not None:
            halves = self._accuracies("halves accuracy", self.halves, (2, problems, k))
            object.__setattr__(self, "halves", halves)
        for name in ("problem_ids", "n_samples"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, np.asarray(getattr(self, name)))
                if len(getattr(self, name)) != problems:
                    raise DataError(
                        f"{len(getattr(self, name))} {name} for {problems} problems in per_problem"
                    )

    def interval(
        self, level: float = 0.95, seed: int = 0, resamples: int = 10_000
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ends (low_K, high_K) of the pointwise bootstrap interval over problems; NaN for one problem.

        Kept, because every figure and every table of a curve asks for it again.
        """
        known = self.__dict__.setdefault("_intervals", {})
        key = (level, seed, resamples)
        if key not in known:
            known[key] = tuple(bootstrap_mean(self.need_per_problem(), resamples, level, seed)[1:])
        return known[key]

    def table(self):
        """As `Curve.table`, with the ends of the 95 % interval where there are per-problem accuracies."""
        frame = super().table()
        frame = frame if self.snap is None else frame.assign(snap=self.snap)
        if self.per_problem is None:
            return frame
        low, high = self.interval()
        return frame.assign(low=low, high=high)

    def need_per_problem(self) -> np.ndarray:
        """`per_problem` (P, K), or a DataError that says why it is needed."""
        if self.per_problem is None:
            raise DataError(
                f"curve {self.name!r} has no per_problem accuracies, so it has no interval over problems"
            )
        return self.per_problem


def tokens_to_reach(curve: Curve, share: float = 0.9) -> float:
    """Smallest budget, in tokens, where the curve reaches `share` of its final accuracy; linear in between.

    NaN for a curve that ends at accuracy 0.
    """
    if not 0 < share <= 1:
        raise ConfigError(f"share={share} must be in (0, 1]")
    x, y = curve.budgets, curve.accuracy
    target = share * y[-1]
    if target == 0:
        return float("nan")
    k = int(np.argmax(y >= target))
    if k == 0:
        return float(x[0])
    return float(x[k - 1] + (x[k] - x[k - 1]) * (target - y[k - 1]) / (y[k] - y[k - 1]))


def verdict_counts(table, by: str | list[str] | None = None):
    """How often each of the five verdicts occurs in a rollout or probe table, zeros included.

    A Series by verdict, or with `by` (column names, e.g. "budget") a DataFrame with a row per group.
    """
    import pandas as pd

    verdicts = pd.Categorical.from_codes(_codes(table, "verdict", VERDICTS), categories=VERDICTS)
    if by is None:
        return pd.Series(verdicts).value_counts(sort=False)
    frame = table[[by] if isinstance(by, str) else by].assign(verdict=verdicts)
    keys = [c for c in frame.columns if c != "verdict"]
    return frame.groupby([*keys, "verdict"], observed=False).size().unstack("verdict")


def budget_curve(rollouts, probes, budgets, name: str = "", snap: int | None = None) -> BudgetCurve:
    """The curve of one run at `budgets` (K,), from its rollout and probe tables; `snap` as in `BudgetCurve`.

    `rollouts` has problem_id, sample, length, finish_reason (stop | length), verdict; `probes` has
    problem_id, sample, budget, verdict (one of VERDICTS). At budget L a rollout counts
      - its own verdict where finish_reason is "stop" and length <= L;
      - otherwise the verdict of its probe at L, which must exist;
      - truncated at the cap it has no more tokens to give: at every L >= its length it counts its probe
        at L, else its probe at the cap (the answer forced there), else its own verdict (the truncated
        text as graded, the paper's reading). If only some truncated at a budget have that probe, it raises.
    Probes of other rollouts or budgets are ignored. Problems count equally, however many samples each has,
    and come out sorted by id. Raises DataError naming the first missing, duplicate or illegal rows.
    """
    budgets = check_budgets(budgets)
    _require(rollouts, "rollouts", ("problem_id", "sample", "length", "finish_reason", "verdict"))
    _require(probes, "probes", ("problem_id", "sample", "budget", "verdict"))
    runs = _Rollouts(rollouts)
    score_NK = _scores(runs, probes, budgets)
    per_problem, n_samples = _means_by(runs.starts, score_NK)
    halves = None
    if n_samples.min() >= 2:
        odd = runs.rank % 2 == 1
        halves = np.stack([_means_by(runs.starts, score_NK, keep)[0] for keep in (~odd, odd)])
    return BudgetCurve(
        budgets,
        per_problem.mean(axis=0),
        per_problem=per_problem,
        problem_ids=runs.ids,
        halves=halves,
        n_samples=n_samples,
        mean_tokens=float(_means_by(runs.starts, runs.length[:, None])[0].mean()),
        name=name,
        snap=snap,
    )


def score_table(rollouts, probes, budgets):
    """0 or 1 for each rollout (row) at each of `budgets` (column), by the rule of `budget_curve`.

    A DataFrame of int8; its index is (problem_id, sample), sorted.
    """
    import pandas as pd

    runs = _Rollouts(rollouts)
    problem, sample = np.divmod(runs.key, len(runs.samples))
    index = pd.MultiIndex.from_arrays(
        [runs.ids[problem], runs.samples[sample]], names=["problem_id", "sample"]
    )
    return pd.DataFrame(_scores(runs, probes, check_budgets(budgets)), index, list(budgets))


def first_right(scores):
    """The smallest budget at which each row of a `score_table` is right, in tokens; NaN where it never is."""
    import pandas as pd

    values = scores.to_numpy()
    budgets = scores.columns.to_numpy(dtype=float)
    first = np.where(values.any(axis=1), budgets[values.argmax(axis=1)], np.nan)
    return pd.Series(first, scores.index, name="first_right")


class _Rollouts:
    """The rollout table as arrays sorted by (problem, sample), with a lookup from that pair to its row."""

    def __init__(self, table):
        import pandas as pd

        if len(table) == 0:
            raise DataError("rollouts is empty")
        ids = table["problem_id"]
        if hasattr(ids, "cat"):  # else sorted in the order of its categories
            ids = ids.cat.reorder_categories(sorted(ids.cat.categories))
        problem, ids = pd.factorize(ids, sort=True)
        sample, self.samples = pd.factorize(table["sample"], sort=True)
        if (problem < 0).any() or (sample < 0).any():
            raise DataError("rollouts hold a missing problem_id or sample")
        self.ids = np.asarray(ids)
        self.index = pd.Index(ids)
        order = np.lexsort((sample, problem))
        self.key = problem[order].astype(np.int64) * len(self.samples) + sample[order]
        if (np.diff(self.key) == 0).any():
            again = self.key[1:][np.diff(self.key) == 0]
            raise DataError(f"duplicate rollouts (problem_id, sample): {self.names(np.unique(again))}")
        self.length = _whole_numbers(table, "length")[order]
        self.stopped = _codes(table, "finish_reason", FINISH_REASONS)[order] == 0
        self.correct = _codes(table, "verdict", VERDICTS)[order] == 0
        self.starts = np.flatnonzero(np.diff(problem[order], prepend=-1))
        self.rank = np.arange(len(order)) - np.repeat(self.starts, np.diff(self.starts, append=len(order)))

    def rows_of(self, problem_id, sample) -> np.ndarray:
        """Row of each (problem_id, sample), -1 where there is no such rollout."""
        problem, sample = _lookup(self.index, problem_id), _lookup(self.samples, sample)
        key = np.where((problem < 0) | (sample < 0), -1, problem * len(self.samples) + sample)
        row = np.searchsorted(self.key, key).clip(max=len(self.key) - 1)
        return np.where(self.key[row] == key, row, -1)

    def names(self, keys: np.ndarray, *more: np.ndarray) -> str:
        """The first few keys, readable: (problem_id, sample) and whatever else is given per key."""
        parts = [
            (self.ids[k // len(self.samples)], self.samples[k % len(self.samples)], *(m[i] for m in more))
            for i, k in enumerate(keys[:3])
        ]
        text = ", ".join("(" + ", ".join(str(p) for p in part) + ")" for part in parts)
        return text + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def _scores(runs: _Rollouts, probes, budgets: np.ndarray) -> np.ndarray:
    """0 or 1 for each rollout and budget, int8 (N, K)."""
    probed_NK, at_cap_N = _probe_verdicts(runs, probes, budgets)
    own_NK = runs.stopped[:, None] & (runs.length[:, None] <= budgets)
    score_NK = np.where(own_NK, runs.correct[:, None].astype(np.int8), probed_NK)
    beyond_NK = (score_NK < 0) & ~runs.stopped[:, None] & (runs.length[:, None] <= budgets)
    if beyond_NK.any():
        cut = beyond_NK.any(axis=1) & np.isin(runs.length, budgets)  # off the grid no probe can be expected
        if (at_cap_N[~runs.stopped] >= 0).any() and (at_cap_N[cut] < 0).any():
            gone = np.flatnonzero(cut & (at_cap_N < 0))
            raise DataError(
                "only some truncated rollouts were probed at the cap; missing (problem_id, sample, budget): "
                + runs.names(runs.key[gone], runs.length[gone])
            )
        last_N = np.where(at_cap_N < 0, runs.correct, at_cap_N).astype(np.int8)
        score_NK = np.where(beyond_NK, last_N[:, None], score_NK)
    if (score_NK < 0).any():
        row, k = np.nonzero(score_NK < 0)
        raise DataError(
            "no probe for (problem_id, sample, budget) "
            + runs.names(runs.key[row], budgets[k])
            + "; probe these, or leave the budget out"
        )
    return score_NK


def _probe_verdicts(runs: _Rollouts, probes, budgets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probe scores at `budgets`, int8 (N, K), and truncated rollouts' at their length (N,); -1: none."""
    n, k = len(runs.key), budgets.size
    probed, at_cap = np.full(n * k, -1, dtype=np.int8), np.full(n, -1, dtype=np.int8)
    for start in range(0, len(probes), CHUNK_ROWS):
        part = probes.iloc[start : start + CHUNK_ROWS]
        score = (_codes(part, "verdict", VERDICTS) == 0).astype(np.int8)
        budget = _whole_numbers(part, "budget")
        row = runs.rows_of(part["problem_id"], part["sample"])
        column = np.searchsorted(budgets, budget).clip(max=k - 1)
        on = (row >= 0) & (budgets[column] == budget)
        cell = row[on] * k + column[on]
        _refuse_duplicates(runs, probed, cell, budgets)
        probed[cell] = score[on]
        last = (row >= 0) & ~runs.stopped[row] & (budget == runs.length[row])
        at_cap[row[last]] = score[last]
    return probed.reshape(n, k), at_cap


def _refuse_duplicates(runs: _Rollouts, probed: np.ndarray, cell: np.ndarray, budgets: np.ndarray) -> None:
    """Raise on a cell that an earlier chunk has filled, or that occurs twice in this one."""
    again = cell[probed[cell] >= 0]
    seen = np.zeros(probed.size, dtype=bool)
    seen[cell] = True
    if not again.size and int(seen.sum()) < cell.size:
        values, counts = np.unique(cell, return_counts=True)
        again = values[counts > 1]
    if again.size:
        row, k = np.divmod(again, budgets.size)
        raise DataError(
            f"duplicate probes (problem_id, sample, budget): {runs.names(runs.key[row], budgets[k])}"
        )


def _means_by(starts: np.ndarray, values_NK: np.ndarray, keep=None) -> tuple[np.ndarray, np.ndarray]:
    """Means (P, K) of consecutive rows and their counts (P,); `keep` (N,) leaves rows out."""
    keep = np.ones(len(values_NK), dtype=bool) if keep is None else keep
    sums = np.add.reduceat(values_NK * keep[:, None], starts, axis=0, dtype=np.int64)
    counts = np.add.reduceat(keep, starts, dtype=np.int64)
    return sums / counts[:, None], counts


def _require(table, name: str, columns: tuple) -> None:
    missing = [c for c in columns if c not in getattr(table, "columns", ())]
    if missing:
        raise DataError(f"{name} lacks the columns {', '.join(missing)}; it needs {', '.join(columns)}")


def _lookup(index, values) -> np.ndarray:
    """Positions in `index` (-1: absent); a categorical is looked up by its few categories, not row by row."""
    if hasattr(values, "cat"):
        table = np.append(index.get_indexer(values.cat.categories), -1)
        return table[values.cat.codes.to_numpy()]
    return index.get_indexer(values)


def _codes(table, column: str, legal: tuple[str, ...]) -> np.ndarray:
    """Position of each value in `legal`; anything else is a DataError that names the value."""
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


def _whole_numbers(table, column: str) -> np.ndarray:
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
