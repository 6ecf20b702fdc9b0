"""What lies below a directory, read when it is asked for and never with its tokens or texts.

Opening lists the runs and reads no table. The tables of a run are read when it is chosen and kept while few
are; its curve stays.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from effwb._internal.paths import data_dir
from effwb.analysis.finished import check_alike, finished_runs, measure_of, read_evaluation
from effwb.curves import BudgetCurve, budget_curve, first_right, score_table
from effwb.errors import DataError, one_of
from effwb.evaluation import Evaluation
from effwb.frontier import BENCHMARKS, MODELS, Frontier
from effwb.rollouts import problems_of, solved
from effwb.runs import RunDir
from effwb.verifiers.opinions import disagree, opinions

ALL = "all"  # benchmarks
KEPT = 32  # runs whose tables stay in memory
FRONTIERS = (
    "best of the chosen runs",
    "best of the chosen runs, cross-fitted",
    "best of all runs",
    "best of all runs, cross-fitted",
    "pocket",
    *MODELS,
)


@dataclass(frozen=True, eq=False)
class RunAnalysis(Evaluation):
    """A run on one benchmark, and what is computed of it once."""

    @cached_property
    def per_problem(self):
        """A DataFrame by problem_id, sorted: share of correct rollouts, mean length in tokens."""
        table = self.rollouts.assign(correct=solved(self.rollouts).astype(float))
        return table.groupby("problem_id")[["correct", "length"]].mean()

    @cached_property
    def scores(self):
        """0 or 1 by rollout and budget: `score_table`."""
        return score_table(self.rollouts, self.probes, self.curve.budgets)

    @cached_property
    def outcomes(self):
        """A row per rollout, indexed as `scores`: length, finish_reason, verdict, first_right and wasted
        (tokens; NaN where the answer is never right).
        """
        table = self.rollouts.set_index(["problem_id", "sample"]).sort_index()
        first = np.minimum(first_right(self.scores), table["length"])
        return table.assign(first_right=first, wasted=table["length"] - first)

    @property
    def config(self) -> dict:
        """What was asked: the config.json of the run."""
        return RunDir(self.run_dir).config

    @cached_property
    def levels(self) -> dict[str, int] | None:
        """The level of difficulty of each problem; None where they have none, or other ones than numbers."""
        asked = problems_of(self.run_dir)
        if "level" not in asked or not asked["level"].astype(str).str.isdigit().all():
            return None
        return dict(zip(asked["problem_id"], asked["level"].astype(int), strict=True))

    @cached_property
    def sources(self):
        """Where the problem of each rollout comes from: the beginning of its id."""
        return self.rollouts["problem_id"].astype(str).str.rpartition("-")[0]


class RunSet:
    """The finished evaluations below some directories, by name; of several, the directory's name comes first.

    `ConfigError` for a directory that is not there, `DataError` for one without a finished evaluation.
    """

    def __init__(self, *roots: str | Path):
        self.runs: dict[str, RunDir] = {}
        for root in map(Path, roots):
            found = finished_runs(root)
            if not found:
                raise DataError(f"no finished evaluation below {root}; `effwb eval` makes one")
            for name, run in found.items():
                named = name if len(roots) == 1 or name == root.name else f"{root.name}/{name}"
                if named in self.runs:
                    raise DataError(f"two runs are called {named!r}: {self.runs[named].path} and {run.path}")
                self.runs[named] = run
        self._measured: OrderedDict[tuple, RunAnalysis] = OrderedDict()
        self._curves: dict[tuple, BudgetCurve] = {}
        self._frontiers: dict[tuple, Frontier] = {}
        self._measures: dict[str, str] = {}

    @property
    def names(self) -> list[str]:
        return list(self.runs)

    def measured(self, name: str, benchmark: str = ALL) -> RunAnalysis:
        """A run on one benchmark; `DataError` where it has no problem of it."""
        one_of("run", name, self.runs)
        key = (name, benchmark)
        if key not in self._measured:
            found = self._read(name) if benchmark == ALL else _part(self.measured(name), benchmark)
            self._measured[key], self._curves[key] = found, found.curve
        self._measured.move_to_end(key)
        while len(self._measured) > KEPT:
            self._measured.popitem(last=False)
        return self._measured[key]

    def chosen(self, names: Sequence[str], benchmark: str = ALL) -> dict[str, RunAnalysis]:
        """Several runs; `DataError` where they are not measured alike, with what differs."""
        check_alike({name: self._measure(name) for name in names})
        return {name: self.measured(name, benchmark) for name in names}

    def benchmarks(self, names: Sequence[str]) -> list[str]:
        """What the problems of some runs can be split into, `ALL` first."""
        found = sorted({str(source) for name in names for source in self.measured(name).sources.unique()})
        return [ALL, *found] if len(found) > 1 else [ALL]

    def frontier(self, which: str, names: Sequence[str], benchmark: str = ALL, progress=iter) -> Frontier:
        """One of `FRONTIERS`, for the runs `names` on a benchmark.

        "best of all runs" is of those measured like the first of `names`. They are all read the first time:
        `progress` wraps the list of them, as tqdm does.
        """
        one_of("frontier", which, FRONTIERS)
        if which == "pocket":
            return Frontier.load(data_dir("pocket", "frontier.json"))
        if which in MODELS:
            return Frontier.published(which, benchmark if benchmark in BENCHMARKS else "average")
        method = "cross_fit" if which.endswith("cross-fitted") else "max"
        if "chosen" in which:
            return Frontier.from_curves({n: self.measured(n, benchmark).curve for n in names}, method)
        key = (self._measure(names[0]), benchmark, method)
        if key not in self._frontiers:
            same = [name for name in self.runs if self._measure(name) == key[0]]
            curves = {name: self._curve(name, benchmark) for name in progress(same)}
            self._frontiers[key] = Frontier.from_curves(curves, method)
        return self._frontiers[key]

    def opinions(self, name: str):
        """`effwb.verifiers.opinions` of every stored answer of a run, and whether they `disagree`; the index
        is (problem_id, sample).
        """
        keys = ["problem_id", "sample"]
        table = self.runs[name].read("rollouts", columns=[*keys, "extracted", "verdict"])
        golds = problems_of(self.runs[name].path).set_index("problem_id")["answer"]
        said = opinions(table["extracted"], table["problem_id"].map(golds))
        said = said.assign(disagree=disagree(table["verdict"], said))
        return said.set_index(pd.MultiIndex.from_frame(table[keys])).sort_index()

    def _curve(self, name: str, benchmark: str) -> BudgetCurve:
        """Of a run that need not be kept."""
        key = (name, benchmark)
        if key not in self._curves:
            whole = self._read(name)
            self._curves[key] = (whole if benchmark == ALL else _part(whole, benchmark)).curve
        return self._curves[key]

    def _measure(self, name: str) -> str:
        one_of("run", name, self.runs)
        if name not in self._measures:
            self._measures[name] = measure_of(self.runs[name])
        return self._measures[name]

    def _read(self, name: str) -> RunAnalysis:
        return RunAnalysis(**vars(read_evaluation(self.runs[name].path, name)))


def _part(whole: RunAnalysis, benchmark: str) -> RunAnalysis:
    table = whole.rollouts[whole.sources == benchmark]
    if len(table) == 0:
        raise DataError(f"{whole.name} has no problem of {benchmark!r}")
    curve = budget_curve(table, whole.probes, whole.curve.budgets, name=whole.name)
    return RunAnalysis(whole.name, whole.run_dir, table, whole.probes, curve)
