"""Compares the offline methods with RL on the pocket model: three seeds each, evaluated at all budgets.

    python -m benchmarks.offline_baselines run [--only sft_tops,reo_rl --seeds 0,1,2 --part 0/2]
    python -m benchmarks.offline_baselines table

`run` takes hours and continues after a kill; `table` reads the finished runs.

The offline methods learn from one stored pool of rollouts of the base model (20 per training problem with the
plain prompt, 16 with each of three effort prompts), which all methods and seeds share: seeds differ in the
order of the examples, in draws, and in the rollouts of the evaluation, not in the pool. All train with the
recipe "pocket". `vanilla` and `reo_rl` stand beside them with the settings of `benchmarks.pocket_effects`.

Intervals and p-values are over seeds, paired, and adjusted by Holm within each table; REG against the
repository's frontier has intervals over problems. Results: benchmarks/results/offline_baselines.json, which
`benchmarks.results_page` puts into docs/results.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.pocket_effects import add_sizes, profile_of
from benchmarks.report import commit, parser_of, save
from effwb._internal.paths import work_root
from effwb.analysis import RunSet, effects
from effwb.analysis.finished import BASE
from effwb.frontier import Frontier
from effwb.profiles import Profile
from effwb.study import run_points
from effwb.training import Point, load_train_and_eval
from effwb.training.offline_methods import OFFLINE_METHODS

ROOT = work_root() / "data/runs/training/pocket"
POINTS = {name: Point(name) for name in (*OFFLINE_METHODS, "reo_rl", "vanilla")}


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
        points = [] if name == BASE else [POINTS[name]]
        options: dict[str, Any] = dict(run_root=root, seeds=[seed], base=name == BASE, watch="lines")
        run_points(points, train_problems, eval_problems, profile, **options)


def results_of(run_set: RunSet, made_by: str) -> dict[str, Any]:
    """Put together what is stored.

    Args:
        run_set: The finished runs.
        made_by: The commit that trained the runs.

    Returns:
        `runs` (a row per run), `examples` (what each offline run learned from, what was left out), `to base`
        and `to reo_rl` (effects, a family of tests each), `reg` (REG, its change to vanilla), `aes`.
    """
    runs = run_set.table()
    others = runs[~runs["name"].isin([BASE, "vanilla"])]
    regs = run_set.reg_changes(Frontier.pocket(), "vanilla").drop(columns=["seeds", "mean tokens"])
    tables = {
        "runs": runs,
        "examples": run_set.examples(),
        "to base": effects(runs, BASE),
        "to reo_rl": effects(others, "reo_rl"),
        "reg": regs,
        "aes": run_set.aes(BASE),
    }
    return {"commit": made_by, **{name: table.to_dict("records") for name, table in tables.items()}}


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of("offline_baselines", __doc__)
    parser.add_argument("command", choices=["run", "table"])
    parser.add_argument("--only", default=",".join([BASE, *POINTS]), help="names of points, with commas")
    add_sizes(parser, ROOT)
    parser.add_argument("--train-problems", type=int, help="training problems; default: the profile's")
    parser.add_argument("--commit", help="the commit that trained the runs; default: what is checked out")
    args = parser.parse_args(argv)
    names = args.only.split(",")
    if args.command == "run":
        runs = [(name, int(seed)) for seed in args.seeds.split(",") for name in names]
        part, parts = map(int, args.part.split("/"))
        profile = profile_of(args)
        training = profile.training.override(n_problems=args.train_problems)
        train_all(runs[part::parts], profile.override(training=training), args.root)
        return
    results = results_of(RunSet.find(args.root).filter(method=names), args.commit or commit())
    save(args.output, results)
    print(pd.DataFrame(results["to base"]).round(3).to_string(index=False))
    print(pd.DataFrame(results["reg"]).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
