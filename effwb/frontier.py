"""The reasoning-efficiency frontier and the distance to it, REG (arXiv 2506.07104, section 3, appendix F).

REG is the area between the best known accuracy at each budget and a model's own curve, over [0, l_max]; its
unit is accuracy x tokens. Negative local gaps count as they are, and a frontier that is not monotone stays
so: the published ones drop at small budgets. Never read REG without the accuracy beside it: in the paper's
own ablation the lowest REG belongs to a less accurate model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from effwb._internal.alignment import check_same_average, check_same_grid, check_same_problems
from effwb._internal.benchmarks import AVERAGE, POOLED
from effwb._internal.checked import checked_arguments
from effwb._internal.paths import data_dir
from effwb.averages import macro_average, pooled_seeds, split_by_benchmark
from effwb.curves import BudgetCurve, Curve
from effwb.efficiency_gap import (
    macro_reg,
    reg,
    reg_changes,
    reg_difference,
    reg_interval,
    reg_row,
    wasted_tokens,
)
from effwb.errors import ConfigError, DataError, one_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "BENCHMARKS",
    "METHODS",
    "MODELS",
    "Frontier",
    "macro_average",
    "macro_reg",
    "pooled_seeds",
    "reg",
    "reg_changes",
    "reg_difference",
    "reg_interval",
    "reg_row",
    "wasted_tokens",
]
MODELS = ("r1-distill-qwen-1.5b", "r1-distill-qwen-7b", "qwen3-4b", "qwen3-8b")
BENCHMARKS = ("aime24", "aime25", "amc23", "minerva_math", AVERAGE)
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
        parts: The frontier of each benchmark, by its name, if this one is their average.
    """

    owner: tuple[str, ...] | None = None
    name: str = ""
    provenance: dict = field(default_factory=dict)
    per_problem: np.ndarray | None = None
    problem_ids: np.ndarray | None = None
    parts: dict[str, Frontier] | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.owner is not None:
            if len(self.owner) != self.budgets.size:
                raise DataError(f"{len(self.owner)} owners for {self.budgets.size} budgets")
            object.__setattr__(self, "owner", tuple(self.owner))

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """The benchmarks of the problems, sorted, from `parts` or `provenance`; empty if not known."""
        if self.parts is not None:
            return tuple(sorted(self.parts))
        known = self.provenance.get("benchmark", AVERAGE)
        return () if known == AVERAGE else tuple([known] if isinstance(known, str) else known)

    @property
    def benchmark(self) -> str:
        """As in `Curve`."""
        if len(self.benchmarks) == 1:
            return self.benchmarks[0]
        if self.parts is not None or self.provenance.get("benchmark") == AVERAGE:
            return AVERAGE
        return POOLED if self.benchmarks else ""

    @classmethod
    @checked_arguments(benchmark=str | Sequence[str])
    def published(cls, model: str, benchmark: str | Sequence[str] = AVERAGE) -> Frontier:
        """Return a frontier that the authors released: 48 budgets up to 32768 tokens.

        Args:
            model: One of `MODELS`.
            benchmark: One of `BENCHMARKS`; "average" is the mean of the other four. Several of them: their
                mean.

        Raises:
            ConfigError: `model` or `benchmark` is unknown.
        """
        one_of("model", model, MODELS)
        names = [benchmark] if isinstance(benchmark, str) else list(benchmark)
        for name in names:
            one_of("benchmark", name, BENCHMARKS if len(names) == 1 else BENCHMARKS[:-1])
        record = json.loads(data_dir("frontiers", f"{model}.json").read_text(encoding="utf-8"))
        source = {"source": record["source"], "arxiv": record["arxiv"]}
        parts = {
            name: cls(
                record["budgets"],
                record["accuracy"][name],
                name=model,
                provenance={**source, "benchmark": name},
            )
            for name in BENCHMARKS[:-1]
            if names == [AVERAGE] or name in names
        }
        if len(names) == 1 and names != [AVERAGE]:
            return parts[names[0]]
        return replace(cls.average(parts), provenance={**source, "benchmark": AVERAGE})

    @classmethod
    def average(cls, frontiers: Mapping[str, Frontier], name: str = "") -> Frontier:
        """Average the frontiers of several benchmarks, as the paper does; each benchmark counts equally.

        Args:
            frontiers: The frontier of each benchmark, by its name, at the same budgets.
            name: The name of the average; default: the name that all frontiers share.

        Returns:
            The mean, with `parts`. It has no owners: each benchmark has its own.

        Raises:
            DataError: As `macro_average`.
        """
        mean = macro_average(frontiers, name)
        return cls(
            mean.budgets,
            mean.accuracy,
            name=mean.name,
            provenance={"benchmark": AVERAGE},
            per_problem=mean.per_problem,
            problem_ids=mean.problem_ids,
            parts=dict(frontiers),
        )

    def on(self, *benchmarks: str) -> Frontier:
        """Return the part of an average for one of its benchmarks, or the average over some of them.

        Raises:
            ConfigError: A benchmark is not one of the average's.
            DataError: The frontier is no average, or its parts are not known.
        """
        if self.parts is None:
            raise DataError(f"frontier {self.name!r} is not an average whose parts are known")
        for benchmark in benchmarks:
            one_of("benchmark", benchmark, self.parts)
        if len(benchmarks) == 1:
            return self.parts[benchmarks[0]]
        parts = {benchmark: self.parts[benchmark] for benchmark in benchmarks}
        return replace(Frontier.average(parts, self.name), provenance=self.provenance)

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
            check_same_average(first, curve)
        provenance, name = {"method": method, "curves": names}, f"frontier of {len(names)} curves"
        if first.benchmark == AVERAGE:
            by_curve = [split_by_benchmark(curve) for curve in measured]
            parts = {b: dict(zip(names, [own[b] for own in by_curve], strict=True)) for b in first.benchmarks}
            frontiers = {b: cls.from_curves(part, method) for b, part in parts.items()}
            return replace(cls.average(frontiers, name), provenance={**provenance, "benchmark": AVERAGE})
        if first.benchmarks:
            known = first.benchmarks
            provenance |= {"benchmark": known[0] if len(known) == 1 else list(known)}
        build = _maximum if method == "max" else _cross_fitted
        accuracy, owner, per_problem = build(names, measured)
        return cls(
            first.budgets,
            accuracy,
            owner=tuple(owner),
            name=name,
            provenance=provenance,
            per_problem=per_problem,
            problem_ids=first.problem_ids,
        )

    def table(self) -> pd.DataFrame:
        """Return the frontier as a table with a row per budget: `Curve.table`, and `owner` if it is known."""
        frame = super().table()
        return frame if self.owner is None else frame.assign(owner=self.owner)

    def save(self, path: str | Path) -> Path:
        """Write the frontier as JSON, without its per-problem values, and return the path."""
        record = {"format": FORMAT, **self._record()}
        path = Path(path)
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return path

    def _record(self) -> dict:
        record = {
            "name": self.name,
            "provenance": self.provenance,
            "budgets": self.budgets.tolist(),
            "accuracy": self.accuracy.tolist(),
            "owner": self.owner,
        }
        if self.parts is not None:
            record["parts"] = {benchmark: part._record() for benchmark, part in self.parts.items()}
        return record

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
        return cls._of_record(record)

    @classmethod
    def _of_record(cls, record: dict) -> Frontier:
        parts = record.get("parts")
        return cls(
            **{field: record[field] for field in ("budgets", "accuracy", "owner", "name", "provenance")},
            parts=parts and {benchmark: cls._of_record(part) for benchmark, part in parts.items()},
        )


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
