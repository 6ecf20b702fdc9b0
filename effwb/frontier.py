"""The reasoning-efficiency frontier and the distance to it, REG (arXiv 2506.07104, section 3, appendix F).

REG is the area between the best known accuracy at each budget and a model's own curve, over [0, l_max]; its
unit is accuracy x tokens. Negative local gaps count as they are, and a frontier that is not monotone stays
so: the published ones drop at small budgets. Never read REG without the accuracy beside it: in the paper's
own ablation the lowest REG belongs to a less accurate model.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from effwb._internal.paths import data_dir
from effwb.budgets import PAPER_CAP
from effwb.curves import BudgetCurve, Curve
from effwb.errors import ConfigError, DataError, one_of
from effwb.metrics import Interval, bootstrap_mean

MODELS = ("r1-distill-qwen-1.5b", "r1-distill-qwen-7b", "qwen3-4b", "qwen3-8b")
BENCHMARKS = ("aime24", "aime25", "amc23", "minerva_math", "average")
METHODS = ("max", "cross_fit")
FORMAT = "effwb-frontier-1"


@dataclass(frozen=True, eq=False)
class Frontier(Curve):
    """Best known accuracy at each of K budgets.

    owner (K,): name of the curve that gave each point; per_problem (P, K) and problem_ids: the owners'
    per-problem accuracies where the frontier was measured here; provenance: where it comes from, kept by
    save and load.
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
    def published(cls, model: str, benchmark: str = "average") -> "Frontier":
        """A frontier the authors released, 48 budgets to 32768; "average" is the mean of four benchmarks."""
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
    def from_curves(cls, curves, method: str = "max") -> "Frontier":
        """Frontier of measured curves (a list, or a dict by name) on one grid and one set of problems.

        "max" is the paper's definition: the largest accuracy at each budget. It is biased upwards, because
        the luckiest of many noisy curves is chosen. "cross_fit" chooses the owner on one half of the
        samples and takes its accuracy on the other half, averaged over both directions; it needs `halves`,
        which budget_curve makes.
        """
        one_of("method", method, METHODS)
        names, curves = _named(curves)
        for curve in curves[1:]:
            _same_grid(curves[0], curve)
            _same_problems(curves[0], curve)
        build = _maximum if method == "max" else _cross_fitted
        accuracy, owner, per_problem = build(names, curves)
        return cls(
            curves[0].budgets,
            accuracy,
            owner=owner,
            name=f"frontier of {len(names)} curves",
            provenance={"method": method, "curves": names},
            per_problem=per_problem,
            problem_ids=curves[0].problem_ids,
        )

    def table(self):
        """As `Curve.table`, with the owner of each point where it is known."""
        frame = super().table()
        return frame if self.owner is None else frame.assign(owner=self.owner)

    def save(self, path: str | Path) -> Path:
        """Write budgets, accuracy, owner and provenance as JSON; per-problem values are not kept."""
        record = {"format": FORMAT, "name": self.name, "provenance": self.provenance}
        record |= {"budgets": self.budgets.tolist(), "accuracy": self.accuracy.tolist()}
        record["owner"] = None if self.owner is None else list(self.owner)
        path = Path(path)
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Frontier":
        """Read what `save` wrote."""
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
    """Reasoning Efficiency Gap: area under the frontier minus that under the curve, accuracy x tokens.

    Both must have the same budgets up to l_max (DataError otherwise): the trapezoid areas of two grids
    differ by more than the gap of two good models. `interpolate=True` reads both on the union of their
    grids instead.
    """
    x, frontier_y, curve_y = _aligned(frontier, curve, l_max, interpolate)
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
    """REG with its interval from a bootstrap over the curve's problems.

    The frontier is a fixed yardstick by default, as in the paper. `resample_frontier=True` resamples it
    together with the curve: for a frontier measured on the same problems (Frontier.from_curves), where hard
    problems are hard for both. What the choice of the best curve adds is in neither; see
    method="cross_fit".
    """
    x, frontier_y, _ = _aligned(frontier, curve, l_max, interpolate=False)
    weights = Curve(x, frontier_y).area_weights(l_max)
    yardstick = frontier_y
    if resample_frontier:
        if getattr(frontier, "per_problem", None) is None:
            raise DataError(
                "resample_frontier=True needs a frontier made by Frontier.from_curves (per_problem)"
            )
        _same_problems(frontier, curve)
        yardstick = frontier.per_problem[:, : x.size]
    gap_P = (yardstick - curve.need_per_problem()[:, : x.size]) @ weights
    return bootstrap_mean(gap_P, resamples, level, seed)


def reg_difference(
    a: BudgetCurve,
    b: BudgetCurve,
    l_max: float = PAPER_CAP,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """REG(a) - REG(b) of two curves on the same problems, paired by problem.

    Negative: `a` is closer to the frontier. The frontier itself cancels, so none is asked for. Problems
    must come in the same order.
    """
    x, _, _ = _aligned(a, b, l_max, interpolate=False)
    _same_problems(a, b)
    gap_PK = b.need_per_problem()[:, : x.size] - a.need_per_problem()[:, : x.size]
    weights = Curve(x, a.accuracy[: x.size]).area_weights(l_max)
    return bootstrap_mean(gap_PK @ weights, resamples, level, seed)


def reg_row(frontier: Frontier, curve: BudgetCurve, l_max: float) -> dict[str, float]:
    """What a table says of one curve: `J(l_max), mean tokens, REG, low, high` (95 %, over problems).

    A frontier measured on the same problems is resampled with the curve, a loaded one is a fixed yardstick.
    """
    own = frontier.per_problem is not None
    ends = reg_interval(frontier, curve, l_max, resample_frontier=own)
    row = {f"J({l_max})": curve.at(l_max), "mean tokens": curve.mean_tokens}
    return row | dict(zip(("REG", "low", "high"), ends, strict=True))


def reg_changes(
    frontier: Frontier,
    curves: Mapping[str, Sequence[BudgetCurve]],
    baseline: str = "vanilla",
    l_max: float | None = None,
):
    """REG as the paper prints it (Tables 1 and 3): absolute, and as a change against `baseline`.

    A row per name: `name, seeds, J(l_max), mean tokens, REG, low, high, Δ REG, Δ REG low, Δ REG high, REG %,
    % low, % high`. The curves of a name are seeds of one method on the same problems; they are averaged
    problem by problem, so that REG is the mean over seeds. All intervals (95 %) are over problems and say
    nothing about another seed. A frontier measured on the same problems is resampled with the curve, a loaded
    one is a fixed yardstick. `Δ REG` is `reg_difference` to `baseline`, `REG %` the same divided by the REG
    of `baseline` as it is: NaN where that is not positive. Both are NaN for `baseline` itself. l_max defaults
    to the last budget of the frontier.
    """
    import pandas as pd

    one_of("baseline", baseline, curves)
    l_max = int(frontier.budgets[-1]) if l_max is None else l_max
    pooled = {name: pooled_seeds(name, list(seeds)) for name, seeds in curves.items()}
    unit, rows = reg(frontier, pooled[baseline], l_max), []
    for name, curve in pooled.items():
        row = {"name": name, "seeds": len(curves[name]), **reg_row(frontier, curve, l_max)}
        change = np.full(3, np.nan)
        if name != baseline:
            change = np.array(reg_difference(curve, pooled[baseline], l_max))
        share = 100 * change / unit if unit > 0 else np.full(3, np.nan)
        for keys, values in (
            (("Δ REG", "Δ REG low", "Δ REG high"), change),
            (("REG %", "REG % low", "REG % high"), share),
        ):
            row |= dict(zip(keys, values.tolist(), strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def pooled_seeds(name: str, curves: list[BudgetCurve]) -> BudgetCurve:
    """One curve with the mean accuracy of each problem over the seeds of a method, measured alike."""
    if not curves:
        raise DataError(f"there is no curve of {name!r}")
    for other in curves[1:]:
        _same_grid(curves[0], other)
        _same_problems(curves[0], other)
    per_problem = np.mean([c.need_per_problem() for c in curves], axis=0)
    tokens = [c.mean_tokens for c in curves]
    return BudgetCurve(
        curves[0].budgets,
        per_problem.mean(axis=0),
        per_problem=per_problem,
        problem_ids=curves[0].problem_ids,
        mean_tokens=None if None in tokens else float(np.mean(tokens)),
        name=name,
        snap=curves[0].snap,
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
    """The area of REG read along the token axis: how many more tokens the curve needs than the frontier.

    T_f(a) is the smallest budget at which f reaches accuracy a, and l_max where f does not reach it by then.
    The result is the integral over a from 0 to 1 of T_curve(a) - T_frontier(a), accuracy x tokens. For two
    non-decreasing curves it equals `reg`. Each falling stretch breaks that: it is a DataError unless
    monotone="running_max" asks for the running maximum over the grid of both first.

    `shared_levels=True` integrates only over the accuracies that both reach and neither has at budget 0,
    and divides by their span: tokens, the mean excess at an accuracy both reach. NaN where there is no such
    level.
    """
    if monotone is not None:
        one_of("monotone", monotone, ("running_max",))
    x, *ys = _aligned(frontier, curve, l_max, interpolate)
    x, ys = _cut(x, ys, l_max)
    ys = [_rising(name, x, y, monotone) for name, y in zip(("frontier", "curve"), ys, strict=True)]
    edges = np.unique(np.concatenate([[0.0, 1.0], *ys]))
    edges = edges[np.diff(edges, prepend=-1) > 1e-12]  # slopes between nearly equal levels would overflow
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    frontier_t, curve_t = (_first_budget(x, y, middle) for y in ys)
    if not shared_levels:
        return float((curve_t - frontier_t) @ width)
    low, high = max(y[0] for y in ys), min(y[-1] for y in ys)
    shared = (middle > low) & (middle < high)
    return (
        float((curve_t - frontier_t)[shared] @ width[shared] / (high - low)) if shared.any() else float("nan")
    )


def _first_budget(x: np.ndarray, y: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Smallest budget where non-decreasing y reaches each level; l_max where it never does.

    `levels` are midpoints between neighbouring values of y, so a flat stretch is never hit and the inverse is
    linear around each of them: the midpoint rule is exact.
    """
    reached = np.interp(levels, y, x)
    return np.where(levels > y[-1], x[-1], np.where(levels < y[0], 0.0, reached))


def _rising(name: str, x: np.ndarray, y: np.ndarray, monotone: str | None) -> np.ndarray:
    falls = np.flatnonzero(np.diff(y) < 0)
    if falls.size and monotone is None:
        k = falls[0] + 1
        raise DataError(
            f"the {name} falls from {y[k - 1]:.4f} to {y[k]:.4f} at budget {x[k]:g}: reading the gap along "
            'the token axis needs a non-decreasing curve; monotone="running_max" takes running maxima'
        )
    return np.maximum.accumulate(y)


def _cut(x: np.ndarray, ys: list[np.ndarray], l_max: float) -> tuple[np.ndarray, list[np.ndarray]]:
    keep = x < l_max
    return np.append(x[keep], l_max), [np.append(y[keep], np.interp(l_max, x, y)) for y in ys]


def _aligned(
    a: Curve, b: Curve, l_max: float, interpolate: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both curves on one grid that reaches l_max: their common one, or the union of both."""
    for curve, name in ((a, "first"), (b, "second")):
        if l_max > curve.budgets[-1]:
            raise ConfigError(
                f"l_max={l_max} is beyond the last budget {curve.budgets[-1]} of the {name} curve; "
                f"pass l_max={min(a.budgets[-1], b.budgets[-1])} or measure further"
            )
    if not interpolate:
        _same_grid(a, b, l_max)
        n = int(np.searchsorted(a.budgets, l_max)) + 1
        return a.budgets[:n], a.accuracy[:n], b.accuracy[:n]
    x = np.union1d(a.budgets, b.budgets)
    x = x[(x >= max(a.budgets[0], b.budgets[0])) & (x <= min(a.budgets[-1], b.budgets[-1]))]
    return x, a.at(x), b.at(x)


def _same_grid(a: Curve, b: Curve, l_max: float | None = None) -> None:
    """Equal budgets (up to the first one at or beyond l_max), or a DataError that lists what differs."""
    grids = [
        c.budgets if l_max is None else c.budgets[: np.searchsorted(c.budgets, l_max) + 1] for c in (a, b)
    ]
    if not np.array_equal(*grids):
        only = [np.setdiff1d(*pair)[:5].tolist() for pair in (grids, grids[::-1])]
        raise DataError(
            f"the curves have different budgets: only in the first {only[0]}, only in the second {only[1]} "
            "(first five each); measure both on one grid"
            + ("" if l_max is None else ", or pass interpolate=True where it is offered")
        )


def _same_problems(a, b) -> None:
    ids = [getattr(c, "problem_ids", None) for c in (a, b)]
    sizes = [None if c.per_problem is None else len(c.per_problem) for c in (a, b)]
    if None not in sizes and sizes[0] != sizes[1]:
        raise DataError(
            f"the two curves have {sizes[0]} and {sizes[1]} problems; measure both on the same ones"
        )
    if ids[0] is not None and ids[1] is not None and not np.array_equal(*ids):
        odd = np.setxor1d(*[i.astype(str) for i in ids])
        what = f"{odd.size} are in one only, such as {odd[0]}" if odd.size else "their order differs"
        raise DataError(f"the two curves are not on the same problems: {what}")


def _named(curves) -> tuple[list[str], list[BudgetCurve]]:
    pairs = list(curves.items()) if isinstance(curves, dict) else [(c.name, c) for c in curves]
    if not pairs:
        raise DataError("a frontier needs at least one curve")
    names = [name or f"curve {i}" for i, (name, _) in enumerate(pairs)]
    if len(set(names)) < len(names):
        raise DataError(
            f"two curves are both called {next(n for n in names if names.count(n) > 1)!r}; rename one"
        )
    return names, [curve for _, curve in pairs]


def _maximum(names: list[str], curves: list[BudgetCurve]):
    best_K = np.argmax([c.accuracy for c in curves], axis=0)  # ties: the first curve
    per_problem = None
    if all(c.per_problem is not None for c in curves):
        per_problem = np.stack([curves[c].per_problem[:, k] for k, c in enumerate(best_K)], axis=1)
    accuracy = np.max([c.accuracy for c in curves], axis=0)
    return accuracy, [names[c] for c in best_K], per_problem


def _cross_fitted(names: list[str], curves: list[BudgetCurve]):
    for name, curve in zip(names, curves, strict=True):
        if curve.halves is None:
            raise DataError(
                f"curve {name!r} has no halves: cross_fit needs two samples per problem (budget_curve)"
            )
    halves_CHPK = np.stack([c.halves for c in curves])
    chosen, values = [], []
    for half in (0, 1):
        best_K = np.argmax(halves_CHPK[:, half].mean(axis=1), axis=0)
        chosen.append([names[c] for c in best_K])
        values.append(np.stack([halves_CHPK[c, 1 - half, :, k] for k, c in enumerate(best_K)], axis=1))
    per_problem = np.mean(values, axis=0)
    owner = [a if a == b else f"{a} | {b}" for a, b in zip(*chosen, strict=True)]
    return per_problem.mean(axis=0), owner, per_problem
