"""`RunAnalysis`: one finished run with what is computed from it; `Library` reads runs and keeps them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from effwb._internal.benchmarks import AVERAGE, POOLED, benchmark_of
from effwb.analysis.finished import RunInfo, measure_of, read_evaluation, run_info
from effwb.curves import BudgetCurve, budget_curve, first_right, score_table
from effwb.errors import DataError
from effwb.evaluation import Evaluation
from effwb.frontier import Frontier
from effwb.rollouts import problems_of, read_rollouts, solved
from effwb.runs import RunDir

ALL = "all"  # all problems of a run; of several benchmarks their average
KEPT = 32  # runs whose tables stay in memory


@dataclass(frozen=True, eq=False)
class RunAnalysis(Evaluation):
    """One finished run on all of its problems, or on those of one benchmark.

    Attributes:
        name: Name of the run, unique within its set.
        run_dir: Directory of its evaluation.
        rollouts: A row per rollout: problem_id, sample, length (tokens), finish_reason, verdict; see `texts`.
        probes: A row per forced answer: problem_id, sample, budget (tokens), verdict.
        curve: Accuracy at each token budget.
        info: What the run is: method, seed, design, parameters.
        benchmark: Which problems these are: "all" (of several benchmarks their average), the name of one
            benchmark, or "pooled" (the problems of several benchmarks, each counted equally).
    """

    info: RunInfo
    benchmark: str = ALL

    @property
    def method(self) -> str:
        """Short name of what was trained or prompted, the same for all seeds of it."""
        return self.info.method

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return self.info.seed

    def texts(self) -> pd.DataFrame:
        """Read the rollouts with their texts and tokens (`rollouts.COLUMNS`); they are not kept."""
        table = read_rollouts(self.run_dir)
        if self.benchmark in (ALL, POOLED):
            return table
        return table[benchmark_of(table["problem_id"]) == self.benchmark]

    @property
    def model(self) -> str | None:
        """Directory of the trained model; None where nothing was trained."""
        return None if self.info.training_dir is None else str(self.info.training_dir / "model")

    @property
    def metrics(self) -> pd.DataFrame | None:
        """The training's metrics, a row per step; None where nothing was trained."""
        from effwb.training.record import read_metrics

        folder = self.info.training_dir
        return None if folder is None else read_metrics(folder / "train" / "metrics.jsonl")

    @property
    def state(self) -> dict[str, Any] | None:
        """What the design had learned at the end of training; None where nothing was trained."""
        from effwb.training.record import done_marker

        folder = self.info.training_dir
        return None if folder is None else done_marker(folder / "train")["design"]

    @property
    def config(self) -> dict[str, Any]:
        """The settings of the run: its config.json."""
        return RunDir(self.run_dir).config

    def summary(self) -> dict[str, Any]:
        """Accuracy with its 95 % interval over problems, mean lengths (tokens), share of truncated."""
        return {**super().summary(), "name": self.method}

    def summaries(self) -> pd.DataFrame:
        """As `Evaluation.summaries`, with the method as the name."""
        return super().summaries().assign(name=self.method)

    @cached_property
    def per_problem(self) -> pd.DataFrame:
        """Share of correct rollouts and mean length (tokens) of each problem, sorted by id."""
        table = self.rollouts.assign(correct=solved(self.rollouts).astype(float))
        return table.groupby("problem_id")[["correct", "length"]].mean()

    @cached_property
    def scores(self) -> pd.DataFrame:
        """0 or 1 for each rollout (row) at each budget (column); see `curves.score_table`."""
        return score_table(self.rollouts, self.probes, self.curve.budgets)

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """What became of each rollout, indexed like `scores`.

        Columns: `length`, `finish_reason`, `verdict`, `first_right` (tokens after which the answer was first
        right) and `wasted` (tokens after that); NaN where the answer is never right.
        """
        table = self.rollouts.set_index(["problem_id", "sample"]).sort_index()
        first = np.minimum(first_right(self.scores), table["length"])
        return table.assign(first_right=first, wasted=table["length"] - first)

    @cached_property
    def levels(self) -> dict[str, int] | None:
        """Difficulty of each problem; None where the problems have no levels that are numbers."""
        problems = problems_of(self.run_dir)
        if "level" not in problems or not problems["level"].astype(str).str.isdigit().all():
            return None
        return dict(zip(problems["problem_id"], problems["level"].astype(int), strict=True))

    def on(self, benchmark: str) -> RunAnalysis:
        """The same run on the problems of one benchmark, or on all of them.

        Args:
            benchmark: A name; "average" or "all": as the run was read; "pooled": all problems count equally,
                whatever their benchmark.

        Raises:
            DataError: The run has no problem of it, or was reduced to another benchmark before.
        """
        whole = ALL if benchmark == AVERAGE else benchmark
        if whole == self.benchmark:
            return self
        rollouts, budgets = self.rollouts, self.curve.budgets
        if self.benchmark != ALL or whole != POOLED:
            rollouts = rollouts[benchmark_of(rollouts["problem_id"]) == whole]
        if len(rollouts) == 0:
            raise DataError(f"{self.name} has no problem of {benchmark!r}")
        curve = budget_curve(rollouts, self.probes, budgets, name=self.curve.name, snap=self.curve.snap)
        return replace(self, rollouts=rollouts, curve=curve, benchmark=whole)


class Library:
    """Reads the runs of a `RunSet` and of all sets made from it, and keeps what was read."""

    def __init__(self, runs: Mapping[str, RunDir]):
        self.runs = dict(runs)
        self._analyses: OrderedDict[tuple[str, str], RunAnalysis] = OrderedDict()
        self._curves: dict[tuple[str, str], BudgetCurve] = {}
        self._frontiers: dict[tuple, Frontier] = {}
        self._infos: dict[str, RunInfo] = {}
        self._measures: dict[str, str] = {}
        self._benchmarks: dict[str, list[str]] = {}
        self._problems: dict[tuple, str] = {}

    def info(self, name: str) -> RunInfo:
        """What a run is, from its config.json."""
        if name not in self._infos:
            self._infos[name] = run_info(self.runs[name].path)
        return self._infos[name]

    def measure(self, name: str) -> str:
        """What a run must share with another to be compared with it."""
        if name not in self._measures:
            self._measures[name] = measure_of(self.runs[name], self._problems)
        return self._measures[name]

    def benchmarks(self, name: str) -> list[str]:
        """The sources of a run's problems."""
        if name not in self._benchmarks:
            ids = problems_of(self.runs[name].path, ["problem_id"])["problem_id"]
            self._benchmarks[name] = sorted(set(benchmark_of(ids).tolist()))
        return self._benchmarks[name]

    def read(self, name: str, benchmark: str) -> RunAnalysis:
        """A run on one benchmark, out of memory where it is one of the last that were read."""
        benchmark = ALL if benchmark == AVERAGE else benchmark
        key = (name, benchmark)
        if key not in self._analyses:
            if benchmark == ALL:
                evaluation = read_evaluation(self.runs[name].path, name)
                self._analyses[key] = RunAnalysis(**vars(evaluation), info=self.info(name))
            else:
                self._analyses[key] = self.read(name, ALL).on(benchmark)
            self._curves[key] = self._analyses[key].curve
        self._analyses.move_to_end(key)
        while len(self._analyses) > KEPT:
            self._analyses.popitem(last=False)
        return self._analyses[key]

    def curve(self, name: str, benchmark: str) -> BudgetCurve:
        """The curve of a run; it stays in memory, the tables do not have to."""
        benchmark = ALL if benchmark == AVERAGE else benchmark
        if (name, benchmark) not in self._curves:
            self.read(name, benchmark)
        return self._curves[name, benchmark]

    def frontier(self, names: list[str], benchmark: str, method: str) -> Frontier:
        """The frontier of some runs."""
        key = (tuple(names), benchmark, method)
        if key not in self._frontiers:
            curves = {name: self.curve(name, benchmark) for name in names}
            self._frontiers[key] = Frontier.from_curves(curves, method)
        return self._frontiers[key]
