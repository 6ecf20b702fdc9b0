"""Compares what each design does to the pocket model: trained under three seeds, evaluated at all budgets.

    python -m benchmarks.pocket_effects run [--only kimi --seeds 0,1,2 --part 0/2]
    python -m benchmarks.pocket_effects table

`run` takes hours and continues after a kill; `table` reads the finished runs.

The runs are in data/runs/training/pocket/, the directory that the notebooks use too. `--part k/n` takes every
n-th run, so that n processes can share the work. Each design is compared with `vanilla` of the same seed that
was trained for as many steps: intervals and p-values are over seeds, adjusted by Holm for the number of rows,
and REG against the repository's frontier has intervals over problems. It includes the runs that notebooks 20
and 21 train (Oracle, Q-Spec). Results: benchmarks/results/pocket_effects.json; `benchmarks.results_page` puts
them into docs/results.md. There reo_rl, mrt and brpo have at_cap="own" and cosine has reading="open_r1",
which were their only ways when it was measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.report import commit, parser_of, save
from effwb import profiles
from effwb._internal.paths import work_root
from effwb.analysis import RunAnalysis, RunSet, effects
from effwb.analysis.effect_tables import with_holm
from effwb.analysis.finished import BASE
from effwb.frontier import Frontier
from effwb.profiles import Profile
from effwb.runs import RunDir
from effwb.study import run_points
from effwb.training import Point, load_train_and_eval
from effwb.training.points import run_name

ROOT = work_root() / "data/runs/training/pocket"

POINTS = [
    Point("vanilla"),
    Point("length_group_norm", {"alpha": 0.4}),
    Point("kimi", {"weight": 0.5}),
    Point("truncation", {"target": 64}),
    Point("truncation", {"target": 64, "variant": "-I"}),
    Point("laser", {"target": 64}),
    Point("dler", {"target": 64}, training={"clip_high": 0.28}),
    Point("gdpo", {"target": 64}),
    Point("token_budget", max_tokens=32),
    Point("length_group_norm", {"alpha": 0.1}),
    Point("length_group_norm", {"alpha": 0.2}),
    Point("length_group_norm", {"alpha": 0.05}),
    Point("truncation", {"target": 128}),
    Point("laser", {"target": 128}),
    Point("dler", {"target": 128}, training={"clip_high": 0.28}),
    Point("gdpo", {"target": 128}),
    Point("token_budget", max_tokens=64),
    Point("shorter_better"),
    Point("gr3"),
    Point("hapo"),
    Point("gfpo", {"k": 4}),
    Point("cosine"),
    Point("laser_d"),
    Point("laser_de"),
    Point("grpo_lead"),
    Point("soft_overlong", {"l_max": 128, "l_cache": 96}),
    Point("alp"),
    Point("think_prune", max_tokens=64),
    Point("reo_rl"),
    Point("reo_rl", {"budgets": "linear"}),
    Point("reo_rl", {"coefficients": "one"}),
    Point("reo_rl", {"n": 10}),
    Point("reo_rl", {"segment": "paper"}),
    Point("mrt"),
    Point("brpo"),
    Point("lead"),
    Point("lead", {"static": 0.2}),
    Point("lead", {"static": 0.5}),
    Point("lead", {"static": 0.8}),
    Point("vanilla", after=Point("vanilla")),
    Point("lapo_discovery"),
    Point("lapo_internalization", after=Point("lapo_discovery")),
]
POINTS = {point.name: point for point in POINTS}
QUESTIONS = {  # comparisons beside those with vanilla, a family each: the baseline, and what is compared
    "variants of REO-RL": (
        "reo_rl",
        [
            *("reo_rl budgets=linear", "reo_rl n=10", "reo_rl coefficients=one", "reo_rl oracle"),
            *("reo_rl q_spec", "reo_rl q_spec hard", "reo_rl segment=paper"),
        ],
    ),
    "fixed weights against LEAD": ("lead", ["lead static=0.8", "lead static=0.5", "lead static=0.2"]),
    "truncation without wrong samples": ("truncation target=64", ["truncation target=64 variant=-I"]),
}
FROM_NOTEBOOKS = ("reo_rl oracle", "reo_rl q_spec", "reo_rl q_spec hard")  # methods that notebooks train


def train_all(runs: Sequence[tuple[str, int]], profile: Profile, root: Path) -> None:
    """Train and evaluate what is missing.

    Args:
        runs: The names of points (`POINTS` or "base") with their seeds.
        profile: The scale.
        root: Directory of the runs.
    """
    train_problems, eval_problems = load_train_and_eval(profile)
    for name, seed in runs:
        print(f"--- {name}, seed {seed}", flush=True)
        run_points(
            [] if name == BASE else [POINTS[name]],
            train_problems,
            eval_problems,
            profile,
            run_root=root,
            seeds=[seed],
            base=name == BASE,
            watch="lines",
        )


def stages(name: str) -> int:
    """Number of trainings, one after the other, that made the model of a method; 0 for the base model."""
    point, count = POINTS.get(name), int(name != BASE)
    while point is not None and point.after is not None:
        point, count = point.after, count + 1
    return count


def baseline_of(name: str) -> str:
    """The method to compare another with: vanilla, trained for as many steps."""
    return " after ".join(["vanilla"] * max(1, stages(name)))


def effect_rows(runs: pd.DataFrame) -> pd.DataFrame:
    """Compare every method with its own baseline.

    Args:
        runs: A row per run: what `RunSet.table` gives, and `steps`.

    Returns:
        A row per method: the columns of `RunSet.effects` with `steps`, `baseline` and `in frontier` (whether
        runs of this method are among those that made the frontier of the pocket model) behind the name. The
        p-values of all rows are one family.
    """
    baselines = runs["name"].map(baseline_of)
    parts = [effects(runs[baselines == baseline], baseline) for baseline in dict.fromkeys(baselines)]
    table = with_holm(pd.concat(parts, ignore_index=True))
    frontier_runs = set(Frontier.pocket().provenance["curves"])
    table.insert(1, "steps", table["name"].map(runs.groupby("name")["steps"].first()))
    table.insert(2, "baseline", table["name"].map(baseline_of))
    table.insert(3, "in frontier", [run_name(name, 0) in frontier_runs for name in table["name"]])
    return table


def question_rows(runs: pd.DataFrame) -> dict[str, list[dict]]:
    """Return the effects of each of `QUESTIONS` whose runs are all there; each is a family of tests."""
    answers = {}
    for question, (baseline, names) in QUESTIONS.items():
        part = runs[runs["name"].isin([baseline, *names])]
        if set(part["name"]) == {baseline, *names}:
            answers[question] = effects(part, baseline).to_dict("records")
    return answers


def effect_tables(names: set[str], root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a row per finished run, and a row per method with its effects and REG, by steps and REG.

    Args:
        names: The methods to read.
        root: Directory of the runs.
    """
    run_set = RunSet.find(root).filter(method=names)
    runs = run_set.table()
    runs.insert(3, "steps", [_steps(run) for run in run_set])
    regs = []
    for baseline in dict.fromkeys(map(baseline_of, run_set.methods)):
        alike = {name for name in run_set.methods if baseline_of(name) == baseline}
        regs.append(run_set.filter(method=alike).reg_changes(Frontier.pocket(), baseline))
    table = effect_rows(runs).merge(pd.concat(regs).drop(columns=["seeds", "mean tokens"]), on="name")
    return runs, table.sort_values(["steps", "REG"], ignore_index=True)


def results_of(runs: pd.DataFrame, table: pd.DataFrame, made_by: str) -> dict[str, Any]:
    """Put together what is stored: where the runs come from, a row per run, and all comparisons.

    Args:
        runs: A row per run.
        table: A row per method, from `effect_rows`, with its REG.
        made_by: The commit that trained the runs.
    """
    rows, methods = (part.to_dict("records") for part in (runs, table))
    return {"commit": made_by, "runs": rows, "effects": methods, "questions": question_rows(runs)}


def _steps(run: RunAnalysis) -> int:
    """Steps of all trainings that made the model of a run."""
    if run.info.training_dir is None:
        return 0
    identity = RunDir(run.info.training_dir).config["train"]["identity"]
    return stages(run.method) * identity["settings"]["steps"]


def add_sizes(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the options that choose seeds, sizes and the directory of runs (default: `root`)."""
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--part", default="0/1", help="k/n: every n-th run, beginning with number k")
    parser.add_argument("--root", type=Path, default=root, help="directory of the runs")
    parser.add_argument("--steps", type=int, help="training steps; default: the profile's")
    parser.add_argument("--problems-per-round", type=int, help="default: the profile's")
    parser.add_argument("--n-problems", type=int, help="evaluation problems; default: the profile's")
    parser.add_argument(
        "--n-samples", type=int, help="rollouts per evaluation problem; default: the profile's"
    )


def profile_of(args: argparse.Namespace) -> Profile:
    """Return the pocket profile with the sizes that the options say."""
    profile = profiles.profile("pocket", n_problems=args.n_problems, n_samples=args.n_samples)
    training = profile.training.override(steps=args.steps, problems_per_round=args.problems_per_round)
    return profile.override(training=training)


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of("pocket_effects", __doc__)
    parser.add_argument("command", choices=["run", "table"])
    parser.add_argument("--only", default=",".join([BASE, *POINTS]), help="names of points, with commas")
    add_sizes(parser, ROOT)
    parser.add_argument("--commit", help="the commit that trained the runs; default: what is checked out")
    args = parser.parse_args(argv)
    names = args.only.split(",")
    if args.command == "run":
        runs = [(name, int(seed)) for name in names for seed in args.seeds.split(",")]
        part, parts = map(int, args.part.split("/"))
        train_all(runs[part::parts], profile_of(args), args.root)
        return
    runs, table = effect_tables({*names, *FROM_NOTEBOOKS}, args.root)
    save(args.output, results_of(runs, table, args.commit or commit()))
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
