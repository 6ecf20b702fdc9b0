"""One evaluation, from problems to curve: sample, probe, measure. Notebooks and the trainer share it."""

from dataclasses import dataclass
from pathlib import Path

from effwb import metrics, probes, rollouts
from effwb.budgets import check_budgets
from effwb.curves import BudgetCurve, budget_curve
from effwb.profiles import Profile
from effwb.runs import RunDir


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What one model and prompt did on a set of problems; both tables are also in `run_dir`."""

    name: str
    run_dir: Path
    rollouts: object
    probes: object
    curve: BudgetCurve

    def correct_PN(self):
        """(P, N) array of 0 and 1, problems in order of appearance; a truncated rollout is wrong."""
        return per_problem(self.rollouts, rollouts.solved(self.rollouts))

    def length_PN(self):
        """(P, N) array of lengths in tokens."""
        return per_problem(self.rollouts, self.rollouts["length"])

    def summary(self) -> dict:
        """Accuracy with its interval (clustered by problem, 95 %), mean lengths, and the share cut off by the
        cap.
        """
        correct, length = self.correct_PN(), self.length_PN()
        mean, low, high = metrics.clustered_interval(correct)
        right, wrong = metrics.length_given(correct, length)
        return {
            "name": self.name,
            "accuracy": mean,
            "low": low,
            "high": high,
            "mean length": float(length.mean()),
            "length, correct": right,
            "length, wrong": wrong,
            "truncated": float((self.rollouts["finish_reason"] == "length").mean()),
        }

    def caption(self) -> str:
        """The settings every table and figure has to name."""
        made = RunDir(self.run_dir).config["rollouts"]["identity"]
        snap = self.curve.snap
        snapped = f", budgets cut down to whole blocks of {snap} tokens" if snap else ""
        verifier = made["verifier"]["verifier"]
        return (
            f"{self.rollouts['problem_id'].nunique()} problems x {made['n']} samples, {made['model']}, "
            f"T = {made['temperature']}, top-p = {made['top_p']}, cap {made['max_tokens']} tokens "
            f"(truncated: wrong in the accuracy, forced answer in the curve){snapped}, "
            f"{made['engine_version']}, "
            f"{made['dtype']}, verifier {verifier['name']} {verifier['version']} "
            f"(math-verify {verifier['math_verify']})"
        )


def sample_as(profile: Profile, problems, sampler, *, run_dir: str | Path, n: int | None = None, **variation):
    """The rollout table of `problems` as `profile` says, with `n` samples instead of the profile's if given.

    `variation` goes to `rollouts.sample` (effort, hint, thinking, seed, progress).
    """
    return rollouts.sample(
        problems,
        sampler,
        profile.n_samples if n is None else n,
        run_dir=run_dir,
        max_tokens=profile.max_tokens,
        template=profile.template,
        temperature=profile.temperature,
        top_p=profile.top_p,
        shard_problems=profile.shard_problems,
        **variation,
    )


def evaluate(
    problems,
    sampler,
    profile: Profile,
    *,
    run_dir: str | Path,
    name: str = "",
    budgets=None,
    seed: int = 0,
    snap: int | None = None,
    progress: bool = True,
    **variation,
) -> Evaluation:
    """Sample and probe `problems` as `profile` says; `variation` goes to `rollouts.sample` (effort, hint,
    thinking).

    `budgets` defaults to the profile's grid, `snap` cuts down to an engine's cache blocks (`probes.probe`);
    the curve then says so. The forced answers of a shard of rollouts are made together with it, behind a
    forced `opening` after all of them. Resumes and reads back like the functions it calls.
    """
    budgets = profile.budgets if budgets is None else budgets
    check_budgets(budgets, profile.max_tokens)  # before hours of sampling, not after
    shard = profile.shard_problems * (
        variation.get("n") or profile.n_samples
    )  # as many as are sampled at once
    begun = RunDir(run_dir).config.get("probes", {}).get("identity", {})
    how = {
        "answer_tokens": profile.answer_tokens,
        "snap": snap,
        "shard_rollouts": begun.get("shard_rollouts", shard),
    }
    ahead = probes.Ahead(run_dir, probes.ProbeSettings(budgets, **how))
    table = sample_as(
        profile, problems, sampler, run_dir=run_dir, seed=seed, progress=progress, ahead=ahead, **variation
    )
    probed = probes.probe(table, sampler, budgets, run_dir=run_dir, progress=progress, **how)
    curve = budget_curve(table, probed, budgets, name=name, snap=snap)
    return Evaluation(name or Path(run_dir).name, Path(run_dir), table, probed, curve)


def per_problem(table, values):
    """(P, N) array of a per-rollout value, problems in order of appearance, samples in order."""
    wide = table.assign(_value=values).pivot(index="problem_id", columns="sample", values="_value")
    return wide.loc[table["problem_id"].drop_duplicates()].to_numpy(dtype=float)
