"""The reasoning-efficiency frontier and the distance to it, REG (arXiv 2506.07104, section 3, appendix F).

REG is the area between the best known accuracy at each budget and a model's own curve, over [0, l_max]; its
unit is accuracy x tokens. Negative local gaps count as they are, and a frontier that is not monotone stays
so: the published ones drop at small budgets. Never read REG without the accuracy beside it: in the paper's
own ablation the lowest REG belongs to a less accurate model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from effwb._internal.alignment import aligned, check_same_grid, check_same_problems
from effwb._internal.paths import data_dir
from effwb.budgets import PAPER_CAP
from effwb.curves import BudgetCurve, Curve
from effwb.errors import ConfigError, DataError, one_of
from effwb.metrics import Interval, bootstrap_mean, interval_columns

if TYPE_CHECKING:
    import pandas as pd

MODELS = ("r1-distill-qwen-1.5b", "r1-distill-qwen-7b", "qwen3-4b", "qwen3-8b")
BENCHMARKS = ("aime24", "aime25", "amc23", "minerva_math", "average")
METHODS = ("max", "cross_fit")
FORMAT = "effwb-frontier-1"


@dataclass(frozen=True, eq=False)
class Frontier(Curve):
    """The best known accuracy at each budget.

    Attributes:
        budgets: Tokens, int (K,), increasing.
        accuracy: Accuracy in [0, 1] at each budget, float (K,).
        owner: Name of the curve that gave each point, (K,).
        name: The name of the frontier in tables and figures.
        provenance: Where the frontier comes from; `save` and `load` keep it.
        per_problem: The owners' accuracy on each problem, float (P, K), if the frontier was measured here.
        problem_ids: The id of each problem, (P,).
    """

    owner: tuple[str, ...] | None = None
    name: str = ""
    provenance: dict = field(default_factory=dict)
    per_problem: np.ndarray | None = None
    problem_ids: np.ndarray | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.owner is not None:
            if len(self.owner) != self.budgets.size:
                raise DataError(f"{len(self.owner)} owners for {self.budgets.size} budgets")
            object.__setattr__(self, "owner", tuple(self.owner))

    @classmethod
    def published(cls, model: str, benchmark: str = "average") -> Frontier:
        """Return a frontier that the authors released: 48 budgets up to 32768 tokens.

        Args:
            model: One of `MODELS`.
            benchmark: One of `BENCHMARKS`; "average" is the mean of the other four.

        Raises:
            ConfigError: `model` or `benchmark` is unknown.
        """
        one_of("model", model, MODELS)
        one_of("benchmark", benchmark, BENCHMARKS)
        record = json.loads(data_dir("frontiers", f"{model}.json").read_text(encoding="utf-8"))
        if benchmark == "average":
            accuracy = np.mean([record["accuracy"][b] for b in BENCHMARKS[:-1]], axis=0)
        else:
            accuracy = record["accuracy"][benchmark]
        provenance = {"source": record["source"], "arxiv": record["arxiv"], "benchmark": benchmark}
        return cls(record["budgets"], accuracy, name=model, provenance=provenance)

    @classmethod
    def pocket(cls) -> Frontier:
        """Return the frontier of the pocket model that comes with the repository, up to 512 tokens.

        It is the best of many runs of the notebooks; its provenance names them.
        """
        return cls.load(data_dir("pocket", "frontier.json"))

    @classmethod
    def from_curves(
        cls, curves: Mapping[str, BudgetCurve] | Iterable[BudgetCurve], method: str = "max"
    ) -> Frontier:
        """Build the frontier of measured curves.

        Args:
            curves: A list, or a dict by name. All have the same budgets and the same problems.
            method: "max" is the paper's definition: the largest accuracy at each budget. It is biased
                upwards, because the luckiest of many noisy curves is chosen. "cross_fit" chooses the owner on
                one half of the samples and takes its accuracy on the other half, averaged over both
                directions; it needs the `halves` that `budget_curve` computes.

        Raises:
            ConfigError: `method` is unknown.
            DataError: There is no curve, two have one name, or budgets, problems or halves do not fit.
        """
        one_of("method", method, METHODS)
        names, measured = _named(curves)
        first = measured[0]
        for curve in measured[1:]:
            check_same_grid(first, curve)
            check_same_problems(first, curve)
        build = _maximum if method == "max" else _cross_fitted
        accuracy, owner, per_problem = build(names, measured)
        return cls(
            first.budgets,
            accuracy,
            owner=tuple(owner),
            name=f"frontier of {len(names)} curves",
            provenance={"method": method, "curves": names},
            per_problem=per_problem,
            problem_ids=first.problem_ids,
        )

    def table(self) -> pd.DataFrame:
        """Return the frontier as a table with a row per budget: `Curve.table`, and `owner` if it is known."""
        frame = super().table()
        return frame if self.owner is None else frame.assign(owner=self.owner)

    def save(self, path: str | Path) -> Path:
        """Write the frontier as JSON, without its per-problem values, and return the path."""
        record = {
            "format": FORMAT,
            "name": self.name,
            "provenance": self.provenance,
            "budgets": self.budgets.tolist(),
            "accuracy": self.accuracy.tolist(),
            "owner": self.owner,
        }
        path = Path(path)
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path) -> Frontier:
        """Read a frontier that `save` wrote.

        Raises:
            ConfigError: There is no such file.
            DataError: The file is not a saved frontier.
        """
        try:
            record = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"no frontier file {path}") from None
        except json.JSONDecodeError as error:
            raise DataError(f"{path} is not JSON: {error}") from None
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise DataError(f"{path} is not a saved frontier (its format is not {FORMAT!r})")
        return cls(**{k: record[k] for k in ("budgets", "accuracy", "owner", "name", "provenance")})


def reg(frontier: Curve, curve: Curve, l_max: float = PAPER_CAP, *, interpolate: bool = False) -> float:
    """Return the Reasoning Efficiency Gap: area under the frontier minus area under the curve.

    Args:
        frontier: The best known accuracy at each budget.
        curve: The model's own curve, at the same budgets up to l_max.
        l_max: The end of both areas, in tokens.
        interpolate: Read both curves on the union of their budgets instead of requiring the same budgets.
            The trapezoid areas of two different grids differ by more than the gap of two good models.

    Returns:
        The gap, accuracy x tokens. It may be negative.

    Raises:
        ConfigError: A curve ends before l_max.
        DataError: The budgets up to l_max differ, or do not start at 0.
    """
    x, frontier_y, curve_y = aligned(frontier, curve, l_max, interpolate)
    return Curve(x, frontier_y).area(l_max) - Curve(x, curve_y).area(l_max)


def reg_interval(
    frontier: Curve,
    curve: BudgetCurve,
    l_max: float = PAPER_CAP,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    *,
    resample_frontier: bool = False,
) -> Interval:
    """Return REG with its interval, from a bootstrap over the problems of the curve.

    Choosing the best of several curves adds an error that no interval here contains; see
    `Frontier.from_curves(method="cross_fit")`.

    Args:
        frontier: The best known accuracy at each budget.
        curve: The model's own curve, with per-problem accuracies.
        l_max: The end of both areas, in tokens.
        level: Coverage of the interval.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.
        resample_frontier: False treats the frontier as fixed, as the paper does. True resamples it jointly
            with the curve: for a frontier measured on the same problems (`Frontier.from_curves`), where hard
            problems are hard for both.

    Returns:
        REG and the ends of its interval, accuracy x tokens.

    Raises:
        ConfigError: A curve ends before l_max.
        DataError: Budgets or problems differ, or per-problem accuracies are missing.
    """
    x, frontier_y, _ = aligned(frontier, curve, l_max, interpolate=False)
    weights = Curve(x, frontier_y).area_weights(l_max)
    reference = frontier_y
    if resample_frontier:
        per_problem = getattr(frontier, "per_problem", None)
        if per_problem is None:
            raise DataError(
                "resample_frontier=True needs a frontier made by Frontier.from_curves (per_problem)"
            )
        check_same_problems(frontier, curve)
        reference = per_problem[:, : x.size]
    gap_P = (reference - curve.need_per_problem()[:, : x.size]) @ weights
    return bootstrap_mean(gap_P, resamples, level, seed)


def reg_difference(
    a: BudgetCurve,
    b: BudgetCurve,
    l_max: float = PAPER_CAP,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Return REG(a) - REG(b) with its interval, paired by problem. The frontier cancels out.

    Args:
        a: A curve with per-problem accuracies.
        b: Another one, on the same problems in the same order.
        l_max: The end of both areas, in tokens.
        level: Coverage of the interval.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap.

    Returns:
        The difference and the ends of its interval, accuracy x tokens. Negative: `a` is closer to the
        frontier.

    Raises:
        ConfigError: A curve ends before l_max.
        DataError: Budgets or problems differ, or per-problem accuracies are missing.
    """
    x, _, _ = aligned(a, b, l_max, interpolate=False)
    check_same_problems(a, b)
    gap_PK = b.need_per_problem()[:, : x.size] - a.need_per_problem()[:, : x.size]
    weights = Curve(x, a.accuracy[: x.size]).area_weights(l_max)
    return bootstrap_mean(gap_PK @ weights, resamples, level, seed)


def reg_row(frontier: Frontier, curve: BudgetCurve, l_max: float) -> dict[str, float | None]:
    """Return the REG of one curve as the row of a table.

    Args:
        frontier: A frontier measured on the same problems is resampled jointly with the curve; a loaded one
            is fixed.
        curve: The model's own curve, with per-problem accuracies.
        l_max: The end of both areas, in tokens.

    Returns:
        `J(<l_max>), mean tokens, REG, REG low, REG high`; the interval is 95 %, over problems.

    Raises:
        ConfigError, DataError: As `reg_interval`.
    """
    measured_here = frontier.per_problem is not None
    gap = reg_interval(frontier, curve, l_max, resample_frontier=measured_here)
    row = {f"J({l_max})": curve.at(l_max), "mean tokens": curve.mean_tokens}
    return row | interval_columns({"REG": gap})


def reg_changes(
    frontier: Frontier,
    curves: Mapping[str, Sequence[BudgetCurve]],
    baseline: str = "vanilla",
    l_max: float | None = None,
) -> pd.DataFrame:
    """Return REG as the paper prints it (Tables 1 and 3): absolute, and as a change against a baseline.

    The seeds of a method are averaged problem by problem, so that REG is the mean over seeds. All intervals
    (95 %) are over problems and say nothing about another seed; so they carry no p-values. The test over seeds
    is that of `Δ area` in `RunSet.effects`: the frontier cancels, so it is `Δ REG` with the other sign.

    Args:
        frontier: A frontier measured on the same problems is resampled jointly with each curve; a loaded one
            is fixed.
        curves: For each method, the curves of its seeds, all on the same problems.
        baseline: The name of the method that the others are compared with.
        l_max: The end of the areas in tokens, by default the last budget of the frontier.

    Returns:
        A row per method: `name, seeds`, the columns of `reg_row`, then `Δ REG, Δ REG low, Δ REG high`
        (`reg_difference` to the baseline, accuracy x tokens) and `REG %, REG % low, REG % high` (the same in
        percent of the baseline's REG, which counts as exact; NaN if that is not positive). The changes are
        NaN for the baseline itself.

    Raises:
        ConfigError: `baseline` is not in `curves`, or a curve ends before l_max.
        DataError: A method has no curve, budgets or problems differ, or per-problem accuracies are missing.
    """
    import pandas as pd

    one_of("baseline", baseline, curves)
    l_max = int(frontier.budgets[-1]) if l_max is None else l_max
    pooled = {name: pooled_seeds(name, list(seeds)) for name, seeds in curves.items()}
    baseline_reg = reg(frontier, pooled[baseline], l_max)
    rows = []
    for name, curve in pooled.items():
        change = np.full(3, np.nan)
        if name != baseline:
            change = np.array(reg_difference(curve, pooled[baseline], l_max))
        percent = 100 * change / baseline_reg if baseline_reg > 0 else np.full(3, np.nan)
        changes = {"Δ REG": Interval(*change.tolist()), "REG %": Interval(*percent.tolist())}
        row = {"name": name, "seeds": len(curves[name])}
        rows.append({**row, **reg_row(frontier, curve, l_max), **interval_columns(changes)})
    return pd.DataFrame(rows)


def pooled_seeds(name: str, curves: list[BudgetCurve]) -> BudgetCurve:
    """Average the curves of a method's seeds, problem by problem.

    Args:
        name: The name of the new curve.
        curves: One curve per seed, with the same budgets and problems.

    Returns:
        A curve with the mean accuracy of each problem over the seeds.

    Raises:
        DataError: There is no curve, budgets or problems differ, or per-problem accuracies are missing.
    """
    if not curves:
        raise DataError(f"there is no curve of {name!r}")
    first = curves[0]
    for other in curves[1:]:
        check_same_grid(first, other)
        check_same_problems(first, other)
    per_problem = np.mean([c.need_per_problem() for c in curves], axis=0)
    tokens = [c.mean_tokens for c in curves if c.mean_tokens is not None]
    return BudgetCurve(
        first.budgets,
        per_problem.mean(axis=0),
        per_problem=per_problem,
        problem_ids=first.problem_ids,
        mean_tokens=float(np.mean(tokens)) if len(tokens) == len(curves) else None,
        name=name,
        snap=first.snap,
    )


def wasted_tokens(
    frontier: Curve,
    curve: Curve,
    l_max: float = PAPER_CAP,
    *,
    monotone: str | None = None,
    shared_levels: bool = False,
    interpolate: bool = False,
) -> float:
    """Return REG read along the token axis: how many more tokens the curve needs than the frontier.

    T_f(a) is the smallest budget at which f reaches accuracy a, and l_max if f does not reach it by then.
    The result is the integral over a from 0 to 1 of T_curve(a) - T_frontier(a). For two non-decreasing curves
    it equals `reg`; a falling stretch breaks that and is an error by default.

    Args:
        frontier: The best known accuracy at each budget.
        curve: The model's own curve, at the same budgets up to l_max.
        l_max: The end of the token axis, in tokens.
        monotone: "running_max" replaces both curves by their running maximum over the grid first.
        shared_levels: Integrate only over the accuracies that both curves reach and neither has at budget 0,
            and divide by their span.
        interpolate: Read both curves on the union of their budgets, as in `reg`.

    Returns:
        Accuracy x tokens. With `shared_levels`, tokens: the mean excess at an accuracy that both reach; NaN
        if there is no such accuracy.

    Raises:
        ConfigError: A curve ends before l_max, or `monotone` is unknown.
        DataError: The budgets up to l_max differ, or a curve falls.
    """
    if monotone is not None:
        one_of("monotone", monotone, ("running_max",))
    x, *ys = aligned(frontier, curve, l_max, interpolate)
    below = x < l_max
    ys = [np.append(y[below], np.interp(l_max, x, y)) for y in ys]
    x = np.append(x[below], l_max)
    ys = [_rising(name, x, y, monotone) for name, y in zip(("frontier", "curve"), ys, strict=True)]
    edges = np.unique(np.concatenate([[0.0, 1.0], *ys]))
    edges = edges[np.diff(edges, prepend=-1) > 1e-12]  # slopes between nearly equal levels would overflow
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    # The smallest budget where each curve reaches each level. The levels lie between neighbouring values of
    # the curves, so a flat stretch is never hit and the inverse is linear there: the midpoint rule is exact.
    frontier_t, curve_t = (
        np.where(middle > y[-1], l_max, np.where(middle < y[0], 0.0, np.interp(middle, y, x))) for y in ys
    )
    if not shared_levels:
        return float((curve_t - frontier_t) @ width)
    low, high = max(y[0] for y in ys), min(y[-1] for y in ys)
    shared = (middle > low) & (middle < high)
    if not shared.any():
        return float("nan")
    return float((curve_t - frontier_t)[shared] @ width[shared] / (high - low))


def _rising(name: str, x: np.ndarray, y: np.ndarray, monotone: str | None) -> np.ndarray:
    falls = np.flatnonzero(np.diff(y) < 0)
    if falls.size and monotone is None:
        k = falls[0] + 1
        raise DataError(
            f"the {name} falls from {y[k - 1]:.4f} to {y[k]:.4f} at budget {x[k]:g}: reading the gap along "
            'the token axis needs a non-decreasing curve; monotone="running_max" takes running maxima'
        )
    return np.maximum.accumulate(y)


def _named(curves: Mapping[str, BudgetCurve] | Iterable[BudgetCurve]) -> tuple[list[str], list[BudgetCurve]]:
    """Names and curves; a curve without a name is called by its position."""
    pairs = list(curves.items()) if isinstance(curves, Mapping) else [(c.name, c) for c in curves]
    if not pairs:
        raise DataError("a frontier needs at least one curve")
    names = [name or f"curve {i}" for i, (name, _) in enumerate(pairs)]
    if len(set(names)) < len(names):
        raise DataError(
            f"two curves are both called {next(n for n in names if names.count(n) > 1)!r}; rename one"
        )
    return names, [curve for _, curve in pairs]


def _maximum(names: list[str], curves: list[BudgetCurve]) -> tuple[np.ndarray, list[str], np.ndarray | None]:
    """Accuracy (K,), owners and per-problem accuracy (P, K) of the best curve at each budget."""
    best_K = np.argmax([c.accuracy for c in curves], axis=0)  # ties: the first curve
    per_problem = None
    if all(c.per_problem is not None for c in curves):
        columns = [curves[c].need_per_problem()[:, k] for k, c in enumerate(best_K)]
        per_problem = np.stack(columns, axis=1)
    accuracy = np.max([c.accuracy for c in curves], axis=0)
    return accuracy, [names[c] for c in best_K], per_problem


def _cross_fitted(names: list[str], curves: list[BudgetCurve]) -> tuple[np.ndarray, list[str], np.ndarray]:
    """The same, with the best curve chosen on one half of the samples and read on the other half."""
    halves = [c.halves for c in curves if c.halves is not None]
    if len(halves) < len(curves):
        name = next(n for n, c in zip(names, curves, strict=True) if c.halves is None)
        raise DataError(
            f"curve {name!r} has no halves: cross_fit needs two samples per problem (budget_curve)"
        )
    halves_CHPK = np.stack(halves)
    chosen, values = [], []
    for half in (0, 1):
        best_K = np.argmax(halves_CHPK[:, half].mean(axis=1), axis=0)
        chosen.append([names[c] for c in best_K])
        values.append(np.stack([halves_CHPK[c, 1 - half, :, k] for k, c in enumerate(best_K)], axis=1))
    per_problem = np.mean(values, axis=0)
    owner = [a if a == b else f"{a} | {b}" for a, b in zip(*chosen, strict=True)]
    return per_problem.mean(axis=0), owner, per_problem
