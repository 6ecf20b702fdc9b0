"""Check whether a checkpoint is a fit pocket model: each habit, measured, beside the value it must reach."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from effwb import metrics, prompts, rollouts
from effwb.curves import budget_curve, tokens_to_reach
from effwb.evaluation import Evaluation, evaluate, per_problem
from effwb.pocket.world import LEVELS
from effwb.profiles import Profile
from effwb.rollouts import solved
from effwb.samplers import Prefixes, Sampler, SamplingParams
from effwb.verifiers import verify

if TYPE_CHECKING:
    from datasets import Dataset

HINTS = (20, 40, 80, 160, 320)  # tokens
NO_INTERVAL = (float("nan"), float("nan"))


def acceptance(
    problems: Dataset, sampler: Sampler, profile: Profile, run_root: str | Path, seed: int = 0
) -> pd.DataFrame:
    """Measure a pocket model and say which requirements it meets.

    A truncated rollout counts as wrong (`rollouts.solved`); the rows about J(L) follow the rule of
    `curves.budget_curve`.

    Args:
        problems: Held-out pocket problems of all levels.
        sampler: The model.
        profile: The pocket profile.
        run_root: Directory for the runs of all prompt variations. Finished ones are read back.
        seed: Seed of the rollouts.

    Returns:
        A row per requirement: `what, measured, low, high, required, met`. The intervals are 95 %, clustered
        by problem.
    """
    checks = _Acceptance(problems, sampler, profile, Path(run_root), seed)
    free = evaluate(problems, sampler, profile, run_dir=checks.root / "free", seed=seed)
    rows = [
        *_shape_rows(free, profile),
        *_level_rows(free, problems, profile),
        _recheck_row(free.rollouts, checks),
        *_prompt_rows(checks),
        _empty_row(free.rollouts, checks),
    ]
    return pd.DataFrame(rows, columns=["what", "measured", "low", "high", "required", "met"])


@dataclass(frozen=True)
class _Acceptance:
    """What is tested; `sample` draws rollouts under a prompt variation into a run directory of its own."""

    problems: Dataset
    sampler: Sampler
    profile: Profile
    root: Path
    seed: int

    def sample(self, name: str, n: int, problems: Dataset | None = None, **prompting: Any) -> pd.DataFrame:
        return rollouts.sample(
            self.problems if problems is None else problems,
            self.sampler,
            n,
            run_dir=self.root / name,
            seed=self.seed,
            sampling=self.profile.sampling(),
            prompting=self.profile.prompting(**prompting),
        )


def _row(name: str, measured: float, required: str, met: bool, interval=NO_INTERVAL) -> tuple:
    return (name, round(float(measured), 4), *(round(float(v), 4) for v in interval), required, bool(met))


def _shape_rows(free: Evaluation, profile: Profile) -> list[tuple]:
    correct, length = free.correct_PN(), free.length_PN()
    mean = metrics.mean_at_k(correct)
    stops = (free.rollouts["finish_reason"] == "stop").mean()
    shortest = np.where(correct > 0, length, np.inf).min(1)
    reached = np.isfinite(shortest)  # problems with a correct rollout
    ratio = np.median(length.mean(1)[reached] / shortest[reached]) if reached.any() else np.nan
    first, last = free.curve.accuracy[0], free.curve.accuracy[-1]
    parsed = free.probes["verdict"].isin(["correct", "wrong"]).mean()
    return [
        _row("mean@8", mean, "0.60 to 0.90", 0.6 <= mean <= 0.9, metrics.clustered_interval(correct)[1:]),
        _row("share that stops under the cap", stops, ">= 0.97", stops >= 0.97),
        _row("mean / shortest correct length (median)", ratio, ">= 3", ratio >= 3),
        _row(f"J at the smallest budget ({profile.budgets[0]})", first, "< 0.25", first < 0.25),
        _row("J at the largest budget", last, "final accuracy", abs(last - mean) < 0.02),
        _row("forced answers that parse", parsed, ">= 0.95", parsed >= 0.95),
    ]


def _level_rows(free: Evaluation, problems: Dataset, profile: Profile) -> list[tuple]:
    level_of = dict(zip(problems["problem_id"], problems["level"], strict=True))

    def tokens_needed(level: int) -> float:
        tables = (free.rollouts, free.probes)
        table, probes = (t[t["problem_id"].map(level_of) == str(level)] for t in tables)
        return tokens_to_reach(budget_curve(table, probes, profile.budgets), 0.9)

    easy, hard = tokens_needed(LEVELS[0]), tokens_needed(LEVELS[-1])
    ratio = hard / easy if easy else np.inf
    return [
        _row("tokens for 90 % of the final accuracy, easiest", easy, "", True),
        _row("tokens for 90 % of the final accuracy, hardest", hard, "", True),
        _row("hardest / easiest", ratio, ">= 4", ratio >= 4),
    ]


def _recheck_row(free: pd.DataFrame, checks: _Acceptance) -> tuple:
    """The accuracy lost if every rollout is cut before its first re-check and the answer is forced there."""
    tokenizer, profile = checks.sampler.tokenizer, checks.profile
    wait = tokenizer.convert_tokens_to_ids("Wait")
    checked = free[[wait in list(ids) for ids in free["completion_ids"]]]
    problems = rollouts.problems_of(checks.root / "free").set_index("problem_id")
    prefixes = [
        Prefixes(list(problems["prompt_ids"][problem]), list(ids), [list(ids).index(wait)])
        for problem, ids in zip(checked["problem_id"], checked["completion_ids"], strict=True)
    ]
    suffix = prompts.forced_suffix(prompts.template(profile.template))
    suffix_ids = tokenizer.encode(suffix, add_special_tokens=False)
    params = SamplingParams(profile.answer_tokens, temperature=0.0, close_brace=True)
    answers = [row[0] for row in checks.sampler.continue_prefixes(prefixes, suffix_ids, params)]
    verdicts = verify([suffix + a.text for a in answers], list(checked["problem_id"].map(problems["answer"])))
    first = pd.Series([v.correct for v in verdicts], index=checked.index).reindex(free.index)
    with_checks = per_problem(free, solved(free))
    without = per_problem(free, first.where(first.notna(), solved(free)).astype(float))
    loss, *interval = metrics.paired_difference(with_checks, without)
    return _row("accuracy lost without re-checks", loss, ">= 0.05", loss >= 0.05, interval)


def _prompt_rows(checks: _Acceptance) -> list[tuple]:
    hints = [HINTS[i // len(LEVELS) % len(HINTS)] for i in range(len(checks.problems))]
    hinted = checks.problems.add_column("hint_tokens", hints)
    hint_of = dict(zip(hinted["problem_id"], hints, strict=True))
    rows = []
    for place in prompts.HINTS:
        table = checks.sample(f"hint_{place}", 2, hinted, hint="hint_tokens", hint_place=place)
        rho = table["problem_id"].map(hint_of).rank().corr(table["length"].rank())
        rows.append(_row(f"Spearman of hinted and used length, hint in {place}", rho, ">= 0.8", rho >= 0.8))
    lengths = [checks.sample(f"effort_{e}", 2, effort=e)["length"].mean() for e in prompts.EFFORTS]
    rising = lengths[0] < lengths[1] < lengths[2]
    name = "mean length at low, medium, high effort: " + ", ".join(f"{v:.1f}" for v in lengths)
    return [*rows, _row(name, lengths[2] / lengths[0], "rising", rising)]


def _empty_row(free: pd.DataFrame, checks: _Acceptance) -> tuple:
    hardest = checks.problems.filter(lambda r: r["level"] == str(LEVELS[-1]))
    empty = checks.sample("empty", checks.profile.n_samples, hardest, thinking=False)
    thinking = free[free["problem_id"].isin(set(hardest["problem_id"]))]
    loss, *interval = metrics.paired_difference(
        per_problem(thinking, solved(thinking)), per_problem(empty, solved(empty))
    )
    return _row("accuracy lost by empty thinking, hardest level", loss, ">= 0.20", loss >= 0.2, interval)
