"""What each design does to the pocket model: trained under three seeds, evaluated at all budgets.

    python -m benchmarks.pocket_effects run [--only kimi --seeds 0,1,2 --part 0/2]    hours; resumes
    python -m benchmarks.pocket_effects table                                         from finished runs

Runs lie in data/runs/training/pocket/, where the notebooks look for theirs; `--part k/n` takes every n-th
run, so that n processes share the work. The table has the differences to `vanilla` of the same seed, with
intervals over seeds, and REG against the frontier of the repository, with intervals over problems. It holds
every finished run there, also those that notebooks 20 and 21 train (Oracle, Q-Spec).
"""

import argparse
import json
from pathlib import Path

from effwb import problems, profiles
from effwb._internal.paths import repo_root
from effwb.analysis import RunSet
from effwb.analysis.finished import BASE
from effwb.frontier import Frontier
from effwb.runs import write_atomic
from effwb.study import run_points
from effwb.training import Point

ROOT = repo_root() / "data/runs/training/pocket"
RESULTS = Path(__file__).parent / "results" / "pocket_effects.json"

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
MORE = ("reo_rl oracle", "reo_rl q_spec", "reo_rl q_spec hard")  # what the notebooks call them


def run(points: list[tuple[str, int]], **options) -> None:
    """Train and evaluate what is not there yet."""
    profile = profiles.profile("pocket")
    train_problems = problems.load("pocket", profile.training.n_problems, split="train")
    eval_problems = problems.load("pocket", profile.n_problems)
    for name, seed in points:
        run_points(
            [] if name == BASE else [POINTS[name]],
            train_problems,
            eval_problems,
            profile,
            run_root=ROOT,
            seeds=[seed],
            base=name == BASE,
            **options,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("--only", default=",".join([BASE, *POINTS]))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--part", default="0/1")
    args = parser.parse_args()
    points = [(name, int(seed)) for name in args.only.split(",") for seed in args.seeds.split(",")]
    if args.what == "run":
        part, parts = map(int, args.part.split("/"))
        for name, seed in points[part::parts]:
            print(f"--- {name}, seed {seed}", flush=True)
            run([(name, seed)], watch="lines")
        return
    print(results(set(args.only.split(",")) | set(MORE)).round(3).to_string(index=False))


def results(names: set[str]):
    """A row per name: effects and REG of all its finished runs; both are also written to RESULTS."""
    runs = RunSet.find(ROOT).filter(method=names)
    frontier = Frontier.pocket()
    regs = runs.reg_changes(frontier, "vanilla").drop(columns=["seeds", "mean tokens"])
    effects = runs.effects().merge(regs, on="name").sort_values("REG", ignore_index=True)
    tables = {"runs": runs.table().to_dict("records"), "effects": effects.to_dict("records")}
    write_atomic(RESULTS, json.dumps(tables, indent=1).encode())
    return effects


if __name__ == "__main__":
    main()
