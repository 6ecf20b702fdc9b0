"""One evaluation, from problems to curve: sample, probe, measure. Notebooks and the trainer share it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from effwb import metrics, probes, rollouts
from effwb.budgets import check_budgets
from effwb.curves import BudgetCurve, budget_curve
from effwb.errors import ConfigError, DataError
from effwb.profiles import Profile
from effwb.runs import RunDir, digest, read_parquet

ROLLOUTS_READ = ["problem_id", "sample", "length", "finish_reason", "verdict"]  # what a curve needs
PROBES_READ = ["problem_id", "sample", "budget", "verdict"]
CATEGORIES = ("problem_id", "finish_reason", "verdict")


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
        cap."""
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
    ahead = probes.Ahead(run_dir, probes.How(budgets, **how))
    table = sample_as(
        profile, problems, sampler, run_dir=run_dir, seed=seed, progress=progress, ahead=ahead, **variation
    )
    probed = probes.probe(table, sampler, budgets, run_dir=run_dir, progress=progress, **how)
    curve = budget_curve(table, probed, budgets, name=name, snap=snap)
    return Evaluation(name or Path(run_dir).name, Path(run_dir), table, probed, curve)


def finished_below(root: str | Path, *, largest: bool = False) -> dict[str, BudgetCurve]:
    """The curve of every finished evaluation below `root`, by the name of its run: what makes a frontier.

    Finished is a directory with all its rollouts and probes. It goes by its path below `root`, a directory
    `eval` by that of the run it lies in. Curves are recomputed from the tables, without the tokens.

    One frontier needs one measure: the same problems, budgets, forced answer and verifier. `DataError` names
    what differs and where, unless `largest` asks for the largest set of evaluations that are measured alike.
    Which model and prompt were measured, the temperature, cap and number of samples may differ.
    """
    runs = finished_runs(root)
    sets = _alike({name: measure_of(run) for name, run in runs.items()})
    if len(sets) > 1 and not largest:
        most = max(map(len, sets.values()))
        raise DataError(
            f"the evaluations below {root} {_unlike(sets)}; give the directory of one kind, or largest=True "
            f"for the {most} that agree"
        )
    found = max(sets.values(), key=len, default=[])
    return {name: read_evaluation(runs[name].path, name).curve for name in found}


def finished_runs(root: str | Path) -> dict[str, RunDir]:
    """The directory of every finished evaluation below `root`, by the name of its run, sorted; no table is
    read.

    `ConfigError` where there is no such directory.
    """
    root, found = Path(root), {}
    if not root.is_dir():
        raise ConfigError(f"no directory {root}")
    for folder in (done.parents[1] for done in root.rglob("probes/DONE")):
        run = RunDir(folder)
        if run.is_done("rollouts") and run.is_done("probes"):
            name = str((folder.parent if folder.name == "eval" else folder).relative_to(root))
            found[root.name if name == "." else name] = run
    return dict(sorted(found.items()))


def check_alike(measures: Mapping[str, str]) -> None:
    """Raise `DataError` where evaluations may not be compared, with what differs between them and where.

    `measures` are the `measure_of` of each, by name.
    """
    sets = _alike(measures)
    if len(sets) > 1:
        raise DataError(f"these evaluations {_unlike(sets)}")


def read_evaluation(run_dir: str | Path, name: str = "") -> Evaluation:
    """A finished evaluation as it lies on disk, whatever model made it; its tables lack texts and tokens, and
    their ids and verdicts are categories.

    `DataError` where it is not finished.
    """
    run = RunDir(run_dir)
    name = name or run.path.name
    table, probed = (
        run.read(of, columns=columns, categories=[c for c in CATEGORIES if c in columns])
        for of, columns in (("rollouts", ROLLOUTS_READ), ("probes", PROBES_READ))
    )
    made = run.config["probes"]["identity"]
    curve = budget_curve(table, probed, made["budgets"], name=name, snap=made.get("snap"))
    return Evaluation(name, run.path, table, probed, curve)


def measure_of(run: RunDir) -> str:
    """What two curves must share to be compared, in words and digests: a JSON object."""
    made, probed = (run.config[table]["identity"] for table in ("rollouts", "probes"))
    asked = read_parquet(run.path / "problems.parquet", ["problem_id", "answer"]).sort_values("problem_id")
    budgets, verifiers = probed["budgets"], [made["verifier"], probed["verifier"]]
    forced = [probed["suffix"], probed["answer_tokens"]]
    snap = f", cut down to blocks of {probed['snap']}" if "snap" in probed else ""
    shared = {
        "problems": f"{len(asked)} ({digest(asked.to_numpy().tolist())})",
        "budgets": f"{len(budgets)} from {budgets[0]} to {budgets[-1]} ({digest(budgets)}){snap}",
        "forced answer": f"{forced[0]!r} and {forced[1]} tokens",
        "verifier": f"{verifiers[0]['verifier']['name']} {verifiers[0]['verifier']['version']} "
        f"({digest(verifiers)})",
    }
    return json.dumps(shared)


def _alike(measures: Mapping[str, str]) -> dict[str, list[str]]:
    """Names by what they share as a measure."""
    sets: dict[str, list] = {}
    for name, measure in measures.items():
        sets.setdefault(measure, []).append(name)
    return sets


def _unlike(sets: dict[str, list[str]]) -> str:
    """In what the evaluations differ, with an example of each value."""
    parts = [(json.loads(measure), names) for measure, names in sets.items()]
    lines = []
    for what in parts[0][0]:
        runs: dict[str, list] = {}
        for measure, names in parts:
            runs.setdefault(measure[what], []).extend(names)
        if len(runs) > 1:
            shown = [
                f"{value} in {n[0]}{f' and {len(n) - 1} more' if n[1:] else ''}" for value, n in runs.items()
            ]
            lines.append(f"{what}: {', '.join(shown)}")
    return f"are not measured alike ({'; '.join(lines)})"


def per_problem(table, values):
    """(P, N) array of a per-rollout value, problems in order of appearance, samples in order."""
    wide = table.assign(_value=values).pivot(index="problem_id", columns="sample", values="_value")
    return wide.loc[table["problem_id"].drop_duplicates()].to_numpy(dtype=float)
