"""`RunSet`: a set of finished runs, read when they are needed.

Opening a set lists the runs and reads no table. The tables of a run are read when it is used. The last 32
runs that were used stay in memory, and so does every curve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from effwb._internal.benchmarks import AVERAGE, POOLED
from effwb._internal.checked import PathText, Seed, Text, check_value, checked_arguments
from effwb.analysis import benchmark_tables, effect_tables, offline_tables
from effwb.analysis.benchmark_tables import frontier_on, stack_benchmarks
from effwb.analysis.finished import (
    RunInfo,
    differences,
    finished_runs,
    group_alike,
    run_name_below,
)
from effwb.analysis.run_analysis import ALL, Library, RunAnalysis
from effwb.curves import BudgetCurve
from effwb.errors import ConfigError, DataError, one_of
from effwb.frontier import Frontier, pooled_seeds, reg, reg_changes, reg_row
from effwb.rollouts import problems_of, read_rollouts
from effwb.runs import RunDir
from effwb.verifiers.opinions import disagree, opinions


class RunSet:
    """A set of finished runs: list, filter, read and compare them.

    Made by `RunSet.find`, by `Study.train`, or by filtering another set. A run has a `name` (its directory),
    a `method` (what was trained or prompted, the same for all seeds) and a `seed`.

    Example:
        >>> runs = RunSet.find("data/runs/training/pocket")  # doctest: +SKIP
        >>> runs.filter(design="reo_rl").effects("vanilla")  # doctest: +SKIP
    """

    def __init__(
        self, library: Library, names: Iterable[str], benchmark: str = ALL, labels: Mapping | None = None
    ):
        self._library, self.names, self.benchmark = library, list(names), benchmark
        self._labels = dict(labels or {})  # method -> the name to show for it

    @classmethod
    def find(cls, *roots: str | Path) -> RunSet:
        """Find the finished evaluations below some directories.

        Args:
            *roots: Directories to search. Of several, the directory's name comes first in the run's name.

        Raises:
            ConfigError: A directory does not exist.
            DataError: Nothing below a directory is finished, or two runs get the same name.
        """
        runs: dict[str, RunDir] = {}
        for name in roots:
            check_value("root", name, PathText)
        for root in map(Path, roots):
            below = finished_runs(root)
            if not below:
                raise DataError(f"no finished evaluation below {root}; `effwb eval` makes one")
            for name, run in below.items():
                full = name if len(roots) == 1 or name == root.name else f"{root.name}/{name}"
                if full in runs:
                    raise DataError(f"two runs are called {full!r}: {runs[full].path} and {run.path}")
                runs[full] = run
        return cls(Library(runs), runs)

    @classmethod
    def of(cls, root: str | Path, folders: Iterable[str | Path]) -> RunSet:
        """Make a set of known evaluations.

        Args:
            root: Directory below which the runs are named by their path.
            folders: Directories of finished evaluations, in the order of the set.
        """
        runs = {run_name_below(Path(root), Path(folder)): RunDir(folder) for folder in folders}
        return cls(Library(runs), runs)

    # ------------------------------------------------------------------------------- which runs
    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[RunAnalysis]:
        return map(self._read, self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> RunAnalysis:
        """The run of that name, or the only run of that method."""
        if name in self.names:
            return self._read(name)
        of_method = [run for run in self.names if self.method(run) == name]
        if len(of_method) > 1:
            raise ConfigError(f"{len(of_method)} runs have the method {name!r}: {', '.join(of_method)}")
        one_of("run", of_method[0] if of_method else name, self.names)
        return self._read(of_method[0])

    def __repr__(self) -> str:
        return f"RunSet of {len(self)} runs: {', '.join(self.names[:8])}{' ...' if len(self) > 8 else ''}"

    def info(self, name: str) -> RunInfo:
        """What a run is: method, seed, design, parameters."""
        info = self._library.info(name)
        return info._replace(method=self._labels.get(info.method, info.method))

    def method(self, name: str) -> str:
        """The method of a run."""
        return self.info(name).method

    @property
    def methods(self) -> dict[str, list[str]]:
        """The names of the runs of each method, by seed; methods in order of appearance."""
        methods: dict[str, list[str]] = {}
        for name in self.names:
            methods.setdefault(self.method(name), []).append(name)
        return {method: sorted(names, key=lambda n: self.info(n).seed) for method, names in methods.items()}

    @property
    def original_methods(self) -> dict[str, str]:
        """The method before `rename` of each run and of each label: it decides the colour in figures."""
        originals = {name: self._library.info(name).method for name in self.names}
        return {**{self.method(name): method for name, method in originals.items()}, **originals}

    def filter(
        self,
        *,
        names: Iterable[str] | None = None,
        method: str | Iterable[str] | None = None,
        design: str | Iterable[str] | None = None,
        seed: int | Iterable[int] | None = None,
        where: Callable[[RunInfo], bool] | None = None,
    ) -> RunSet:
        """The runs that meet all conditions; a condition that is not given holds for every run.

        Args:
            names: Names of runs; the new set has their order. An unknown name raises `ConfigError`.
            method: One method, or several.
            design: One name in `DESIGNS`, or several.
            seed: One seed, or several.
            where: A function of a run's `RunInfo`.
        """
        if not isinstance(seed, Iterable):
            check_value("seed", seed, Seed | None)
        chosen = list(self.names if names is None else names)
        for name in chosen:
            one_of("run", name, self.names)
        for field, values in (("method", method), ("design", design), ("seed", seed)):
            if values is not None:
                legal = {values} if isinstance(values, str | int) else set(values)
                chosen = [name for name in chosen if getattr(self.info(name), field) in legal]
        if where is not None:
            chosen = [name for name in chosen if where(self.info(name))]
        return self._with(chosen)

    def rename(self, labels: Mapping[str, str]) -> RunSet:
        """The same runs with other names for their methods in tables and figures.

        Args:
            labels: New name by method; methods that are not in it keep theirs.
        """
        return RunSet(self._library, self.names, self.benchmark, {**self._labels, **labels})

    def on(self, benchmark: str) -> RunSet:
        """The same runs on one of `benchmarks`.

        Args:
            benchmark: A name; "average": tables then have the rows of the average only; or "pooled": all
                problems count equally, whatever their benchmark.
        """
        one_of("benchmark", benchmark, [*dict.fromkeys([*self.benchmarks(), AVERAGE, POOLED])])
        alone = benchmark == AVERAGE and not self._mixed()
        return RunSet(self._library, self.names, ALL if alone else benchmark, self._labels)

    def benchmarks(self) -> list[str]:
        """What the runs can be looked at on: "average" and each benchmark; "all" where there is only one."""
        sources = {source for name in self.names for source in self._library.benchmarks(name) if source}
        return [AVERAGE, *sorted(sources)] if len(sources) > 1 else [ALL]

    def by_benchmark(self) -> dict[str, RunSet]:
        """The set on each benchmark of its runs and, last, on their average, by the name of the benchmark.

        A set whose runs have one benchmark each, or that is `on` one, is returned alone.
        """
        mixed = self._mixed()
        if self.benchmark != ALL or not mixed:
            return {self.benchmark: self}
        parts = {}
        for benchmark in sorted({b for benchmarks in mixed.values() for b in benchmarks}):
            names = [name for name, benchmarks in mixed.items() if benchmark in benchmarks]
            parts[benchmark] = RunSet(self._library, names, benchmark, self._labels)
        return {**parts, AVERAGE: self}

    def _mixed(self) -> dict[str, list[str]]:
        """The benchmarks of each run that has several."""
        benchmarks = {name: self._library.benchmarks(name) for name in self.names}
        return {name: names for name, names in benchmarks.items() if len(names) > 1}

    def largest(self) -> RunSet:
        """The largest subset whose runs were measured alike, so that they can be compared."""
        sets = group_alike(self._measures()).values()
        return self._with(sorted(sets, key=len)[-1] if sets else [])

    def like(self, name: str) -> RunSet:
        """The runs that were measured like the run `name`, that run among them."""
        measures = self._measures()
        return self._with([other for other in self.names if measures[other] == measures[name]])

    def check_alike(self) -> RunSet:
        """This set, if its runs may be compared.

        Raises:
            DataError: They differ in problems, budgets, forced answer or verifier; the message says in which.
        """
        sets = group_alike(self._measures())
        if len(sets) > 1:
            largest = len(self.largest())
            advice = f"; RunSet.largest() takes the {largest} that agree" if largest > 1 else ""
            raise DataError(f"these evaluations are not measured alike ({differences(sets)}){advice}")
        return self

    def measure(self, name: str) -> str:
        """What another run must share with this one to be compared with it; see `finished.measure_of`."""
        return self._library.measure(name)

    def run_dir(self, name: str) -> Path:
        """The directory of a run's evaluation."""
        return self._library.runs[name].path

    def extended(self, runs: Mapping[str, RunDir]) -> RunSet:
        """This set and more finished runs, sorted by name; what was read before stays in memory.

        Args:
            runs: Run directories by name.
        """
        self._library.runs.update(runs)
        return self._with(sorted({*self.names, *runs}))

    def _measures(self) -> dict[str, str]:
        return {name: self.measure(name) for name in self.names}

    def _with(self, names: Iterable[str]) -> RunSet:
        return RunSet(self._library, names, self.benchmark, self._labels)

    def _read(self, name: str) -> RunAnalysis:
        run = self._library.read(name, self.benchmark)
        if run.info.method not in self._labels:
            return run
        return replace(run, info=self.info(name))

    # ---------------------------------------------------------------------------- what they say
    # A table has the column `benchmark` where a run has several: see `benchmark_tables`.
    def table(self) -> pd.DataFrame:
        """A row per run with its accuracy, lengths and area.

        Returns:
            Columns `name` (the method), `seed`, `run`, `accuracy`, `low`, `high` (95 % over problems),
            `mean length`, `length, correct`, `length, wrong` (tokens), `truncated` (share of rollouts),
            `area` (under the curve, accuracy x tokens).
        """
        return stack_benchmarks({benchmark: part._table() for benchmark, part in self.by_benchmark().items()})

    def _table(self) -> pd.DataFrame:
        rows = []
        for run in self:
            area = run.curve.area(int(run.curve.budgets[-1]))
            rows.append({**run.summary(), "seed": run.seed, "run": run.name, "area": area})
        table = pd.DataFrame(rows)
        first = ["name", "seed", "run"]
        return table[[*first, *(c for c in table if c not in first)]]

    @checked_arguments(baseline=Text)
    def effects(self, baseline: str = "vanilla") -> pd.DataFrame:
        """A row per method: differences to `baseline`, paired by seed; see `effect_tables.effects`."""
        return effect_tables.effects(self.table(), baseline)

    @checked_arguments(baseline=Text)
    def aes(self, baseline: str = "base") -> pd.DataFrame:
        """A row per method: the AES against `baseline`; see `effect_tables.aes_table`."""
        return effect_tables.aes_table(self.table(), baseline)

    def examples(self) -> pd.DataFrame:
        """A row per run of an offline method: what it learned from; see `offline_tables.examples_table`."""
        return offline_tables.examples_table(self)

    def solved_by_all(self, share: float = 0.5) -> pd.DataFrame:
        """A row per method: lengths on the problems that all solve; see `benchmark_tables.solved_by_all`."""
        return benchmark_tables.solved_by_all(self, share)

    def by_level(self, levels: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """A row per run and level of difficulty; see `effect_tables.level_table`.

        Args:
            levels: Level by problem id; default: the levels that the problems have.
        """
        return effect_tables.level_table(self, levels)

    def curve(self, name: str) -> BudgetCurve:
        """The accuracy-budget curve of one run; it stays in memory."""
        return self._library.curve(name, self.benchmark)

    def curves(self) -> dict[str, BudgetCurve]:
        """The accuracy-budget curve of each run, by name."""
        return {name: self.curve(name) for name in self.names}

    def pooled(self) -> dict[str, BudgetCurve]:
        """The curve of each method: the mean over its seeds, problem by problem."""
        curves = self.curves()
        return {
            method: pooled_seeds(method, [curves[name] for name in names])
            for method, names in self.methods.items()
        }

    def metrics(self) -> dict[str, pd.DataFrame]:
        """The training metrics of every run that was trained, by name of the run."""
        tables = {run.name: run.metrics for run in self}
        return {name: table for name, table in tables.items() if table is not None}

    @checked_arguments()
    def frontier(self, method: str = "max") -> Frontier:
        """The best accuracy of these runs at each budget; its owners are run names.

        Of several benchmarks it is the average of their frontiers, which has no owners but `parts`.

        Args:
            method: "max", the paper's definition, or "cross_fit", without the upward bias of a maximum.

        Raises:
            DataError: The runs were not measured alike.
        """
        return self._library.frontier(self.check_alike().names, self.benchmark, method)

    @checked_arguments(frontier=Frontier)
    def reg(self, frontier: Frontier | None = None, l_max: int | None = None) -> pd.DataFrame:
        """A row per run: its Reasoning Efficiency Gap to one frontier (2506.07104, section 3).

        Args:
            frontier: Default: the frontier of this set. A frontier that was measured on the same problems is
                resampled together with the run. Each benchmark takes its part of an average frontier; where
                there is none, it has no row.
            l_max: Last budget that counts, in tokens; default: the last one of frontier and curves.

        Returns:
            Columns `name` (the method), `seed`, `run`, `J(<l_max>)`, `mean tokens`, `REG`, `REG low`,
            `REG high` (95 % over problems; accuracy x tokens); with the set's own frontier also
            `REG, cross-fitted`, against the frontier without the upward bias.
        """
        return self._against(frontier, lambda part, best: part._reg(best, l_max))

    def _reg(self, frontier: Frontier | None, l_max: int | None) -> pd.DataFrame:
        cross_fitted = None
        if frontier is None:
            frontier, cross_fitted = self.frontier(), self.frontier("cross_fit")
        curves = self.curves()
        l_max = l_max or int(min(c.budgets[-1] for c in (frontier, *curves.values())))
        rows = []
        for name, curve in curves.items():
            row = {"name": self.method(name), "seed": self.info(name).seed, "run": name}
            row |= reg_row(frontier, curve, l_max)
            if cross_fitted is not None:
                row["REG, cross-fitted"] = reg(cross_fitted, curve, l_max)
            rows.append(row)
        return pd.DataFrame(rows)

    def _against(
        self, frontier: Frontier | None, make: Callable[[RunSet, Frontier | None], pd.DataFrame]
    ) -> pd.DataFrame:
        """The tables of all benchmarks that `frontier` has a part for; None: the frontier of each."""
        parts, tables = self.by_benchmark(), {}
        for benchmark, part in parts.items():
            best = frontier and frontier_on(frontier, benchmark, len(parts))
            if frontier is None or best is not None:
                tables[benchmark] = make(part, best)
        return stack_benchmarks(tables)

    @checked_arguments(frontier=Frontier)
    def reg_changes(
        self, frontier: Frontier | None = None, baseline: str = "vanilla", l_max: int | None = None
    ) -> pd.DataFrame:
        """A row per method: REG of the mean over seeds and its change against `baseline`.

        See `frontier.reg_changes` for the columns. `frontier` defaults to the frontier of this set.
        """

        def changes(part: RunSet, best: Frontier | None) -> pd.DataFrame:
            curves = part.curves()
            by_method = {method: [curves[name] for name in names] for method, names in part.methods.items()}
            return reg_changes(best or part.frontier(), by_method, baseline, l_max)

        return self._against(frontier, changes)

    def opinions(self, name: str) -> pd.DataFrame:
        """What several verifiers say of every stored answer of a run, and whether they disagree.

        Returns:
            Columns of `verifiers.opinions`, and `disagree`; the index is (problem_id, sample).
        """
        keys = ["problem_id", "sample"]
        run = self._library.runs[name]
        table = read_rollouts(run.path, [*keys, "extracted", "verdict"])
        golds = problems_of(run.path).set_index("problem_id")["answer"]
        answers = opinions(table["extracted"], table["problem_id"].map(golds))
        answers = answers.assign(disagree=disagree(table["verdict"], answers))
        return answers.set_index(pd.MultiIndex.from_frame(table[keys])).sort_index()
