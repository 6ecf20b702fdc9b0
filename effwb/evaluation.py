"""One evaluation, from problems to a curve: sample, probe, measure. Notebooks and the trainer share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from effwb import metrics, probes, rollouts
from effwb._internal.benchmarks import AVERAGE, benchmark_of
from effwb._internal.checked import checked_arguments
from effwb._internal.interrupts import brief_interrupts, resumable
from effwb._internal.keywords import moved_keywords
from effwb._internal.progress import has_label
from effwb.averages import run_curve
from effwb.budgets import check_budgets
from effwb.curves import BudgetCurve
from effwb.errors import ConfigError
from effwb.probes import Probing, ShardProber
from effwb.profiles import Profile
from effwb.prompts import Prompting
from effwb.rollouts import RolloutTable
from effwb.runs import RunDir, enumerate_parts, read_parquet, write_parquet
from effwb.samplers import Sampler

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset
    from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What one model and prompt did on a set of problems.

    Where the problems are of several benchmarks, `curve` and `summary` are averages over the benchmarks.

    Attributes:
        name: The name in tables and figures.
        run_dir: The run directory; both tables are stored there.
        rollouts: The rollout table (`effwb.rollouts.COLUMNS`).
        probes: The probe table (`effwb.probes.COLUMNS`).
        curve: Accuracy at every budget; of several benchmarks the average (`frontier.macro_average`).
    """

    name: str
    run_dir: Path
    rollouts: pd.DataFrame
    probes: pd.DataFrame
    curve: BudgetCurve

    def correct_PN(self) -> np.ndarray:
        """Return 0 or 1 per rollout, float (P, N) as in `per_problem`; truncated ones are wrong."""
        return per_problem(self.rollouts, rollouts.solved(self.rollouts))

    def length_PN(self) -> np.ndarray:
        """Return the length of every rollout in tokens, float (P, N) as in `per_problem`."""
        return per_problem(self.rollouts, self.rollouts["length"])

    def benchmark_P(self) -> np.ndarray | None:
        """Return the benchmark of each problem, (P,) as in `per_problem`; None if all count equally."""
        if self.curve.benchmark != AVERAGE:
            return None
        return benchmark_of(self.rollouts["problem_id"].drop_duplicates())

    def summary(self) -> dict[str, str | float]:
        """Summarize the rollouts in one row.

        Returns:
            `name`, `accuracy` with its limits `low` and `high` (95 %, clustered by problem), `mean length`,
            `length, correct` and `length, wrong` in tokens, and `truncated`, the share cut off by the cap. Of
            several benchmarks all are means over benchmarks (`summaries` has a row for each).
        """
        return {"name": self.name, **[*self._summaries().values()][-1]}

    def summaries(self) -> pd.DataFrame:
        """Summarize the rollouts of each benchmark, and the average over benchmarks.

        Returns:
            The columns of `summary`. Of several benchmarks a row for each and a last row "average", with the
            column `benchmark` behind `name`; otherwise one row without that column.
        """
        import pandas as pd

        rows = self._summaries()
        table = pd.DataFrame([{"name": self.name, **row} for row in rows.values()])
        if len(rows) > 1:
            table.insert(1, "benchmark", [*rows])
        return table

    def _summaries(self) -> dict[str, dict[str, float]]:
        """The numbers of each benchmark and, last, of their average; of one benchmark only its own."""
        cut = self.rollouts["finish_reason"] == "length"
        values = (self.correct_PN(), self.length_PN(), per_problem(self.rollouts, cut))
        benchmark_P = self.benchmark_P()
        if benchmark_P is None:
            return {self.curve.benchmark: _numbers(*values)}
        rows = {b: _numbers(*(v[benchmark_P == b] for v in values)) for b in self.curve.benchmarks}
        keys = next(iter(rows.values()))
        average = {key: float(np.mean([row[key] for row in rows.values()])) for key in keys}
        interval = metrics.clustered_interval(values[0], benchmark_P=benchmark_P)
        return rows | {AVERAGE: average | dict(zip(("accuracy", "low", "high"), interval, strict=True))}

    def caption(self) -> str:
        """Return the settings that every table and figure has to name."""
        settings = RunDir(self.run_dir).identity("rollouts")
        snap = self.curve.snap
        snapped = f", budgets cut down to whole blocks of {snap} tokens" if snap else ""
        verifier = settings["verifier"]["verifier"]
        return (
            f"{self._problems_text()} x {settings['n']} samples, "
            f"{settings['model']}, T = {settings['temperature']}, top-p = {settings['top_p']}, "
            f"cap {settings['max_tokens']} tokens "
            f"(truncated: wrong in the accuracy, forced answer in the curve){snapped}, "
            f"{settings['engine_version']}, {settings['dtype']}, "
            f"verifier {verifier['name']} {verifier['version']} (math-verify {verifier['math_verify']})"
        )

    def _problems_text(self) -> str:
        """How many problems there are, of which benchmarks, and how these are weighted."""
        ids = self.rollouts["problem_id"].drop_duplicates()
        if len(self.curve.benchmarks) < 2:
            return f"{len(ids)} problems"
        names, counts = np.unique(benchmark_of(ids), return_counts=True)
        each = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
        weights = "average over benchmarks" if self.curve.benchmark == AVERAGE else "benchmarks pooled"
        return f"{len(ids)} problems ({each}; {weights})"


@moved_keywords(
    **{f: f"prompting=Prompting({f}=...)" for f in ("hint", "hint_place", "thinking", "opening")},
    n="profile.override(n_samples=...)",
)
@checked_arguments(profile=Profile, prompting=Prompting)
@brief_interrupts(resumable)
def evaluate(
    problems: Dataset,
    sampler: Sampler,
    profile: Profile,
    *,
    run_dir: str | Path,
    name: str = "",
    seed: int = 0,
    effort: str | None = None,
    prompting: Prompting | None = None,
    budgets: Sequence[int] | None = None,
    snap: int | None = None,
    progress: bool = True,
) -> Evaluation:
    """Sample problems as a profile says, force answers at every budget, and measure the curve.

    Each shard is sampled and probed together, while the engine still holds its keys and values. A killed
    evaluation continues where it stopped; a finished one is read back.

    Args:
        problems: A data set with the columns problem_id, question and answer (`effwb.problems.load`).
        sampler: An open sampler (`effwb.samplers.open_sampler`).
        profile: Samples per problem, cap, temperature, template and answer length.
        run_dir: The run directory to write, continue or read back.
        name: The name in tables and figures; default: that of the directory.
        seed: Decides the seed of every rollout.
        effort: Short for `prompting=Prompting(effort=...)`.
        prompting: Effort, length hint, thinking mode and opening. Its template defaults to the profile's.
        budgets: Budgets in tokens, increasing; default: the profile's grid.
        snap: Moves every cut down to whole blocks of so many tokens, such as those of an engine's prefix
            cache (`effwb.probes.Probing`); the curve then says so.
        progress: Whether to show the progress.

    Returns:
        The two tables and the curve.

    Raises:
        ConfigError: A setting is illegal, or prompt, cap and forced answer exceed the model's context.
        DataError: There are no problems, ids repeat, or a column is missing.
        IdentityError: `run_dir` holds another run.

    Example:
        with open_sampler("pocket") as sampler:
            low = evaluate(problems, sampler, PROFILES["pocket"], run_dir="data/runs/low", effort="low")
        low.curve.at(128)
    """
    budgets = profile.budgets if budgets is None else budgets
    check_budgets(budgets, profile.max_tokens)
    prompting = prompting or Prompting()
    if effort is not None and prompting.effort is not None:
        raise ConfigError(
            f"effort={effort!r} and prompting=Prompting(effort={prompting.effort!r}) are both given; "
            "give one of them"
        )
    effort = prompting.effort if effort is None else effort
    table = RolloutTable(
        problems,
        sampler,
        profile.n_samples,
        run_dir=run_dir,
        seed=seed,
        sampling=profile.sampling(),
        prompting=replace(prompting, effort=effort, template=prompting.template or profile.template),
    )
    size = profile.shard_problems * profile.n_samples  # rollouts of one shard
    probe_size = table.run.identity("probes").get("shard_rollouts", size)  # older runs may have another
    probing = Probing(profile.answer_tokens, snap=snap, shard_rollouts=probe_size)
    prober = ShardProber(sampler, table.template, budgets, probing)
    if not table.run.is_done("rollouts"):  # before hours of sampling, not after
        table.check_context()
        prober.check_context(table.longest_prompt, min(table.params.max_tokens, int(budgets[-1])))
        if probe_size == size and table.prompting.opening == "free":
            _sample_and_probe(table, prober, progress)
            progress = False  # nothing is left but to mark and read the tables
    sampled = table.complete(progress)
    probed = probes.probe(sampled, sampler, budgets, run_dir=run_dir, probing=probing, progress=progress)
    curve = run_curve(sampled, probed, budgets, name=name, snap=snap)
    return Evaluation(name or Path(run_dir).name, Path(run_dir), sampled, probed, curve)


def _sample_and_probe(table: RolloutTable, prober: ShardProber, progress: bool) -> None:
    """Write the missing shards of both tables.

    The shards of the two tables hold the same rollouts. A rollout shard is written before its probe shard,
    so after a kill at most the last probe shard is missing, and it is made from the stored rollouts. What
    marks the tables as done, and ties them together, is left to `RolloutTable.complete` and `probe`.
    """
    run = table.run
    with run.lock():
        table.begin()
        prober.begin(run, None)
        table.drop_stale_probes()
        title, parts = "evaluation" if has_label() else f"evaluation of {run.path.name}", table.parts()
        with brief_interrupts(lambda: f"{title}: {run.interruption('probes', parts, 'problem')}"):
            for index, problems in enumerate_parts(parts, title, unit="problem", progress=progress):
                _write_shards(table, prober, index, problems)


def _write_shards(table: RolloutTable, prober: ShardProber, index: int, problems: pd.DataFrame) -> None:
    """Write those of the two shards of some problems that are missing."""
    rollout_shard, probe_shard = table.run.shard("rollouts", index), table.run.shard("probes", index)
    if not rollout_shard.exists():
        completions, answers = prober.sample(problems, table.params, table.seeds(problems))
        sampled = table.shard(problems, completions)
        write_parquet(rollout_shard, sampled)
        write_parquet(probe_shard, prober.shard(sampled, problems, answers))
    elif not probe_shard.exists():
        write_parquet(probe_shard, prober.probe_shard(read_parquet(rollout_shard), problems))


def _numbers(correct_PN: np.ndarray, length_PN: np.ndarray, cut_PN: np.ndarray) -> dict[str, float]:
    """The numbers of a summary, over problems that count equally."""
    mean, low, high = (float(v) for v in metrics.clustered_interval(correct_PN))
    correct_length, wrong_length = metrics.length_given(correct_PN, length_PN)
    return {
        "accuracy": mean,
        "low": low,
        "high": high,
        "mean length": float(np.nanmean(length_PN)),
        "length, correct": correct_length,
        "length, wrong": wrong_length,
        "truncated": float(np.nanmean(cut_PN)),
    }


def per_problem(rollouts: pd.DataFrame, values: ArrayLike) -> np.ndarray:
    """Arrange a value per rollout by problem and sample.

    Args:
        rollouts: A rollout table, with the same number of samples for every problem.
        values: A number or bool per row of it.

    Returns:
        Float (P, N): problems in order of appearance, samples in order of their numbers.
    """
    wide = rollouts.assign(_value=values).pivot(index="problem_id", columns="sample", values="_value")
    return wide.loc[rollouts["problem_id"].drop_duplicates()].to_numpy(dtype=float)
