"""Compares what each design does to the pocket model: trained under three seeds, evaluated at all budgets.

    python -m benchmarks.pocket_effects run [--only kimi --seeds 0,1,2 --part 0/2]
    python -m benchmarks.pocket_effects table

`run` takes hours and continues after a kill; `table` reads the finished runs.

The runs are in data/runs/training/pocket/, the directory that the notebooks use too. `--part k/n` takes every
n-th run, so that n processes can share the work. The table has the differences to `vanilla` of the same seed,
with intervals over seeds, and REG against the repository's frontier, with intervals over problems. It
includes the runs that notebooks 20 and 21 train (Oracle, Q-Spec). Results:
benchmarks/results/pocket_effects.json. There reo_rl, mrt and brpo have at_cap="own" and cosine has
reading="open_r1", which were their only ways when it was measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import parser_of, save
from effwb import profiles
from effwb._internal.paths import repo_root
from effwb.analysis import RunSet
from effwb.analysis.finished import BASE
from effwb.frontier import Frontier
from effwb.profiles import Profile
from effwb.study import run_points
from effwb.training import Point, load_train_and_eval

if TYPE_CHECKING:
    import pandas as pd

ROOT = repo_root() / "data/runs/training/pocket"

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


def effect_tables(names: set[str], root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a row per finished run, and a row per method with its effects and REG.

    Args:
        names: The methods to read.
        root: Directory of the runs.
    """
    runs = RunSet.find(root).filter(method=names)
    regs = runs.reg_changes(Frontier.pocket(), "vanilla").drop(columns=["seeds", "mean tokens"])
    effects = runs.effects("vanilla").merge(regs, on="name").sort_values("REG", ignore_index=True)
    return runs.table(), effects


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
    args = parser.parse_args(argv)
    names = args.only.split(",")
    if args.command == "run":
        runs = [(name, int(seed)) for name in names for seed in args.seeds.split(",")]
        part, parts = map(int, args.part.split("/"))
        train_all(runs[part::parts], profile_of(args), args.root)
        return
    runs, effects = effect_tables({*names, *FROM_NOTEBOOKS}, args.root)
    save(args.output, {"runs": runs.to_dict("records"), "effects": effects.to_dict("records")})
    print(effects.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
