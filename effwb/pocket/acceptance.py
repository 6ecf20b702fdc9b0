"""Is a checkpoint a fit pocket model? Every habit measured on held-out problems, beside the number it must
reach.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from effwb import metrics, prompts, rollouts
from effwb.curves import budget_curve, tokens_to_reach
from effwb.evaluation import evaluate, per_problem, sample_as
from effwb.pocket.world import LEVELS
from effwb.samplers import Prefixes, SamplingParams

HINTS = (20, 40, 80, 160, 320)


def acceptance(problems, sampler, profile, run_root: str | Path, seed: int = 0):
    """The acceptance table as a DataFrame (what, measured, low, high, required, met). Runs go below
    `run_root`.

    `problems` are held-out pocket problems, `profile` the pocket profile. Intervals are clustered by problem,
    95 %.
    """
    import pandas as pd

    lab = _Lab(problems, sampler, profile, Path(run_root), seed)
    done = evaluate(problems, sampler, profile, run_dir=lab.root / "free", seed=seed)
    free, probed = done.rollouts, done.probes
    rows = [*_shape_rows(done, profile), *_level_rows(free, probed, problems, profile)]
    rows += [_recheck_row(free, lab), *_hint_rows(lab), _effort_row(lab), _empty_row(free, lab)]
    return pd.DataFrame(rows, columns=["what", "measured", "low", "high", "required", "met"])


@dataclass(frozen=True)
class _Lab:
    """Samples the problems under one prompt variation after another, each into its own run directory."""

    problems: object
    sampler: object
    profile: object
    root: Path
    seed: int

    def sample(self, name, n, problems=None, **variation):
        asked = self.problems if problems is None else problems
        where = {"run_dir": self.root / name, "seed": self.seed}
        return sample_as(self.profile, asked, self.sampler, n=n, **where, **variation)


def _row(what, measured, required, met, interval=(float("nan"), float("nan"))):
    return (what, round(float(measured), 4), *(round(float(v), 4) for v in interval), required, bool(met))


def _correct(table):
    return table["verdict"] == "correct"


def _shape_rows(done, profile):
    correct, length, free, probed = done.correct_PN(), done.length_PN(), done.rollouts, done.probes
    mean = metrics.mean_at_k(correct)
    stops = (free["finish_reason"] == "stop").mean()
    shortest = np.where(correct > 0, length, np.inf).min(1)
    solved = np.isfinite(shortest)
    ratio = np.median(length.mean(1)[solved] / shortest[solved]) if solved.any() else np.nan
    first, last = done.curve.accuracy[0], done.curve.accuracy[-1]
    parsed = probed["verdict"].isin(["correct", "wrong"]).mean()
    return [
        _row("mean@8", mean, "0.60 to 0.90", 0.6 <= mean <= 0.9, metrics.clustered_interval(correct)[1:]),
        _row("share that stops under the cap", stops, ">= 0.97", stops >= 0.97),
        _row("mean / shortest correct length (median)", ratio, ">= 3", ratio >= 3),
        _row(f"J at the smallest budget ({profile.budgets[0]})", first, "< 0.25", first < 0.25),
        _row("J at the largest budget", last, "final accuracy", abs(last - mean) < 0.02),
        _row("forced answers that parse", parsed, ">= 0.95", parsed >= 0.95),
    ]


def _level_rows(free, probed, problems, profile):
    level = dict(zip(problems["problem_id"], problems["level"], strict=True))
    needed = {}
    for name in (str(LEVELS[0]), str(LEVELS[-1])):
        mine, theirs = (t[t["problem_id"].map(level) == name] for t in (free, probed))
        needed[name] = tokens_to_reach(budget_curve(mine, theirs, profile.budgets), 0.9)
    easy, hard = needed.values()
    ratio = hard / easy if easy else np.inf
    return [
        _row("tokens for 90 % of the final accuracy, easiest", easy, "", True),
        _row("tokens for 90 % of the final accuracy, hardest", hard, "", True),
        _row("hardest / easiest", ratio, ">= 4", ratio >= 4),
    ]


def _recheck_row(free, lab):
    """Cut every rollout before its first re-check, force the answer there, and see what was lost."""
    import pandas as pd

    from effwb.verifiers import verify

    tokenizer = lab.sampler.tokenizer
    wait = tokenizer.convert_tokens_to_ids("Wait")
    checked = free[[wait in list(ids) for ids in free["completion_ids"]]]
    asked = rollouts.problems_of(lab.root / "free").set_index("problem_id")
    prefixes = [
        Prefixes(
            list(asked.at[r.problem_id, "prompt_ids"]),
            list(r.completion_ids),
            [list(r.completion_ids).index(wait)],
        )
        for r in checked.itertuples()
    ]
    text = prompts.forced_suffix(prompts.template(lab.profile.template))
    ids = tokenizer.encode(text, add_special_tokens=False)
    params = SamplingParams(lab.profile.answer_tokens, temperature=0.0, close_brace=True)
    answers = [row[0] for row in lab.sampler.continue_prefixes(prefixes, ids, params)]
    verdicts = verify([text + a.text for a in answers], list(checked["problem_id"].map(asked["answer"])))
    first = pd.Series([v.status == "correct" for v in verdicts], index=checked.index).reindex(free.index)
    with_checks = per_problem(free, _correct(free))
    without = per_problem(free, first.where(first.notna(), _correct(free)).astype(float))
    lost = metrics.paired_difference(with_checks, without)
    return _row("accuracy lost without re-checks", lost[0], ">= 0.05", lost[0] >= 0.05, lost[1:])


def _hint_rows(lab):
    asked = [HINTS[i // len(LEVELS) % len(HINTS)] for i in range(len(lab.problems))]
    hinted = lab.problems.add_column("hint_tokens", asked)
    wanted = dict(zip(hinted["problem_id"], asked, strict=True))
    rows = []
    for place in prompts.HINTS:
        table = lab.sample(f"hint_{place}", 2, hinted, hint="hint_tokens", hint_place=place)
        rho = table["problem_id"].map(wanted).rank().corr(table["length"].rank())
        rows.append(_row(f"Spearman of asked and used length, hint in {place}", rho, ">= 0.8", rho >= 0.8))
    return rows


def _effort_row(lab):
    lengths = [lab.sample(f"effort_{e}", 2, effort=e)["length"].mean() for e in prompts.EFFORTS]
    rising = lengths[0] < lengths[1] < lengths[2]
    what = "mean length at low, medium, high effort: " + ", ".join(f"{v:.1f}" for v in lengths)
    return _row(what, lengths[2] / lengths[0], "rising", rising)


def _empty_row(free, lab):
    hardest = lab.problems.filter(lambda r: r["level"] == str(LEVELS[-1]))
    empty = lab.sample("empty", lab.profile.n_samples, hardest, thinking=False)
    mine = free[free["problem_id"].isin(set(hardest["problem_id"]))]
    lost = metrics.paired_difference(per_problem(mine, _correct(mine)), per_problem(empty, _correct(empty)))
    return _row(
        "accuracy lost by empty thinking, hardest level", lost[0], ">= 0.20", lost[0] >= 0.2, lost[1:]
    )
