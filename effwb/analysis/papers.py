"""The figures of each paper from the runs that exist: which designs belong to it, what is drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from effwb.analysis.benchmark_tables import frontier_on
from effwb.analysis.finished import BASE, RunInfo
from effwb.analysis.run_set import RunSet
from effwb.errors import ConfigError, DataError, one_of
from effwb.frontier import Frontier

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MAX_METHODS = 7  # in one figure: more are hard to read
ALWAYS = (BASE, "vanilla")  # methods that are drawn with every paper


@dataclass(frozen=True)
class Paper:
    """A paper and the designs whose runs belong to its figures.

    Attributes:
        title: Title of the paper.
        arxiv: Its arXiv id.
        designs: Names in `DESIGNS`.
        notebook: The notebook that makes the runs.
        also_longer: Take runs of `vanilla` that continue another run as well: trained as long as two stages.
    """

    title: str
    arxiv: str
    designs: tuple[str, ...]
    notebook: str
    also_longer: bool = False

    def has(self, info: RunInfo) -> bool:
        """Whether a run belongs to the paper."""
        return info.design in self.designs or (
            self.also_longer and info.design == "vanilla" and info.after is not None
        )


PAPERS = {
    "reo-rl": Paper(
        "How Far Are We from Optimal Reasoning Efficiency?",
        "2506.07104",
        ("reo_rl", "token_budget"),
        "20_reo_rl",
    ),
    "train-to-reason-efficiently": Paper(
        "Training Language Models to Reason Efficiently",
        "2502.04463",
        ("length_group_norm",),
        "11_train_to_reason_efficiently",
    ),
    "lapo": Paper(
        "LAPO: Internalizing Reasoning Efficiency via Length-Adaptive Policy Optimization",
        "2507.15758",
        ("lapo_discovery", "lapo_internalization"),
        "30_lapo",
        also_longer=True,
    ),
    "lead": Paper("LEAD", "2605.09806", ("lead", "laser"), "31_lead"),
    "art": Paper(
        "The Art of Efficient Reasoning", "2602.20945", ("truncation", "dler"), "15_laser_dler_gdpo"
    ),
}


def trained_alike(runs: RunSet, steps: int | None = None) -> RunSet:
    """The runs for one figure: those trained for one number of steps, offline ones, and untrained ones.

    Args:
        runs: The runs.
        steps: Optimizer updates of the trained ones; default: the number that most runs have, of several the
            largest.

    Raises:
        ConfigError: No run was trained for `steps` steps.
    """
    counts = training_lengths(runs)
    if steps is None:
        steps = max(counts, key=lambda number: (counts[number], number), default=None)
    elif steps not in counts:
        trained = ", ".join(map(str, counts)) or "none: no run was trained"
        raise ConfigError(f"steps={steps}: no run was trained so long; the runs' steps: {trained}")
    return runs.filter(where=lambda info: info.steps in (None, steps))


def training_lengths(runs: RunSet) -> dict[int, int]:
    """How many runs were trained for each number of steps, by that number."""
    steps = [runs.info(name).steps for name in runs.names]
    return dict(sorted(Counter(number for number in steps if number is not None).items()))


def check_trained_alike(runs: RunSet) -> None:
    """Raise `DataError` for runs of several training lengths, which no figure may mix."""
    counts = training_lengths(runs)
    if len(counts) > 1:
        parts = ", ".join(f"{count} of {number} steps" for number, count in counts.items())
        raise DataError(
            f"these runs were trained for different numbers of steps ({parts}); "
            "papers.trained_alike(runs, steps) takes those of one length"
        )


def runs_of(paper: str, runs: RunSet) -> RunSet:
    """The runs of a paper's methods, at most 7 methods; `base` and `vanilla` come first.

    Args:
        paper: Name in `PAPERS`.
        runs: Where to look for them.

    Returns:
        The runs, method by method and seed by seed; an empty set where no method of the paper itself has any.
    """
    one_of("paper", paper, PAPERS)
    methods = runs.methods
    own = [m for m, names in methods.items() if m not in ALWAYS and PAPERS[paper].has(runs.info(names[0]))]
    if not own:
        return runs.filter(names=[])
    chosen = [*(m for m in ALWAYS if m in methods), *own][:MAX_METHODS]
    return runs.filter(names=[name for method in chosen for name in methods[method]])


def reo_rl_figures(runs: RunSet, frontier: Frontier) -> dict[str, tuple[Figure | None, pd.DataFrame]]:
    """Draw what arXiv 2506.07104 shows besides, for own runs.

    Args:
        runs: The runs, measured alike; at most 7 methods.
        frontier: What the curves are drawn against and REG is measured against.

    Returns:
        (figure, the DataFrame it was drawn from) by name: `benchmarks`, the curves of each benchmark that the
        frontier has a part for, and of the average; `reg-tradeoff`, REG against length and accuracy (as
        Fig. 6); and `solved-by-all`, lengths on the problems that all methods solve (Table 2; no figure).

    Raises:
        DataError: The runs were not measured alike, or trained for different numbers of steps.
    """
    from effwb import plots

    check_trained_alike(runs)
    parts = runs.check_alike().by_benchmark()
    known = {benchmark: frontier_on(frontier, benchmark, len(parts)) for benchmark in parts}
    frontiers = {benchmark: part for benchmark, part in known.items() if part is not None}
    curves = {benchmark: parts[benchmark].pooled() for benchmark in frontiers}
    points = [
        curve.table().assign(benchmark=benchmark)
        for benchmark in curves
        for curve in (*curves[benchmark].values(), frontiers[benchmark])
    ]
    ends = [frontier.budgets[-1], *(c.budgets[-1] for own in curves.values() for c in own.values())]
    l_max = int(min(ends))
    regs, methods = runs.reg_changes(frontier, _baseline(runs), l_max), runs.original_methods
    small_multiples = plots.benchmark_figure(curves, frontiers, l_max=l_max, methods=methods)
    tradeoff = plots.reg_tradeoff_figure(regs.assign(method=regs["name"].map(methods)))
    return {
        "benchmarks": (small_multiples, pd.concat(points)),
        "reg-tradeoff": (tradeoff, regs),
        "solved-by-all": (None, runs.solved_by_all()),
    }


def _baseline(runs: RunSet) -> str:
    """The method that the others are compared with: vanilla RL, else the base model, else the first."""
    methods = runs.methods
    return next(method for method in ("vanilla", BASE, *methods) if method in methods)


def figures_of(runs: RunSet, frontier: Frontier) -> dict[str, tuple[Figure | None, pd.DataFrame]]:
    """Draw the figures of a paper.

    Args:
        runs: The runs of its methods, as `runs_of` gives them; at most 7 methods.
        frontier: What the curves are drawn against.

    Returns:
        (figure, the DataFrame it was drawn from) by name: `curves` with the seeds of a method averaged,
        `accuracy-tokens` with a point per run and lines of equal AES where there is a base, `lengths` by
        level of difficulty for the first seed, and `reg`, the paper's table as numbers (its figure is None).

    Raises:
        DataError: There are no runs, or they were not measured alike or trained for different numbers of
            steps.
    """
    from effwb import plots

    if not len(runs):
        raise DataError("there are no runs to draw")
    check_trained_alike(runs)
    runs.check_alike()
    pooled = runs.pooled()
    l_max = int(min(frontier.budgets[-1], *(c.budgets[-1] for c in pooled.values())))
    columns = ["name", "accuracy", "low", "high", "mean length", "truncated"]
    points = pd.DataFrame([run.summary() for run in runs])[columns]
    methods, bands = runs.original_methods, list(pooled)[-1:]
    curve_figure = plots.curve_figure(pooled, frontier, l_max=l_max, bands=bands, methods=methods)
    iso_aes = (0.0, 0.5, 1.0) if BASE in pooled else None
    with_methods = points.assign(method=points["name"].map(methods))
    tradeoff = plots.tradeoff_figure(with_methods, iso_aes=iso_aes, base=BASE)
    figures: dict[str, tuple[Figure | None, pd.DataFrame]] = {
        "curves": (curve_figure, pd.concat([curve.table() for curve in (*pooled.values(), frontier)])),
        "accuracy-tokens": (tradeoff, points),
        "reg": (None, runs.reg_changes(frontier, _baseline(runs), l_max)),
    }
    first = {method: runs[names[0]] for method, names in runs.methods.items()}
    levels = next(iter(first.values())).levels
    if levels is not None:
        tables = {method: run.rollouts for method, run in first.items()}
        rows = pd.concat(tables, names=["method"])
        level = rows["problem_id"].astype(str).map(levels).rename("level")
        means = rows.groupby(["method", level])["length"].mean().rename("mean length").reset_index()
        figures["lengths"] = (plots.level_figure(tables, levels, methods=methods), means)
    return figures
