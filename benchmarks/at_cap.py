"""Measures what the verdict at the cap does: reo_rl, brpo and mrt with at_cap="forced" and "own".

    python -m benchmarks.at_cap run [--only reo_rl --seeds 0,1,2 --part 0/2]
    python -m benchmarks.at_cap table

The pocket model is trained at a cap of 128 tokens, where many rollouts are truncated, and evaluated at all
budgets. `run` takes about half an hour and continues after a kill; `--part k/n` takes every n-th run, so that
n processes can share the work. `table` reads the finished runs: a row per run, and the differences forced
minus own, paired by seed, with Student's 95 % intervals over seeds. REG is against the repository's frontier.
Results: benchmarks/results/at_cap.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from benchmarks.pocket_effects import add_sizes, profile_of
from benchmarks.report import parser_of, save
from effwb._internal.paths import work_root
from effwb.analysis import RunSet, over_seeds
from effwb.frontier import Frontier, reg
from effwb.study import run_points
from effwb.training import Point, load_train_and_eval

if TYPE_CHECKING:
    from effwb.analysis import RunAnalysis

ROOT = work_root() / "data/runs/at_cap"
CAP = 128
DESIGNS = ("reo_rl", "brpo", "mrt")
MEASURES = ("accuracy", "mean length", "truncated at end", "accuracy at cap", "area to cap", "REG")


def point(design: str, at_cap: str) -> Point:
    """Return what is trained."""
    return Point(design, {"at_cap": at_cap}, max_tokens=CAP)


def row_of(run: RunAnalysis, design: str, at_cap: str) -> dict:
    """Return the measures of one run.

    `truncated at start`, `in training` and `at end` are shares of the training rollouts: in the first tenth
    of the steps, in all, in the last tenth. `accuracy` and `mean length` (tokens) are those of the
    evaluation, at its own cap; there a truncated rollout is wrong. `accuracy at cap` is the curve at 128
    tokens, where answers are forced; `area to cap` is what reo_rl maximises; `REG` is up to the last budget.
    """
    frontier, curve, summary = Frontier.pocket(), run.curve, run.summary()
    assert run.metrics is not None, f"{run.name} was not trained"
    truncated = run.metrics["truncated"]
    few = max(1, len(truncated) // 10)
    return {
        "design": design,
        "at_cap": at_cap,
        "seed": run.seed,
        "accuracy": summary["accuracy"],
        "mean length": summary["mean length"],
        "truncated at start": truncated.head(few).mean(),
        "truncated in training": truncated.mean(),
        "truncated at end": truncated.tail(few).mean(),
        "accuracy at cap": curve.at(CAP),
        "area to cap": curve.area(CAP),
        "REG": reg(frontier, curve, int(curve.budgets[-1])),
    }


def tables(designs: Sequence[str], root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a row per finished run, and a row per design and measure with the difference forced - own.

    Args:
        designs: Names of the designs to read.
        root: Directory of the runs.
    """
    runs = RunSet.find(root)
    rows = [
        row_of(run, design, at_cap)
        for design in designs
        for at_cap in ("forced", "own")
        for run in runs.filter(method=point(design, at_cap).name)
    ]
    table, differences = pd.DataFrame(rows), []
    for design, part in table.groupby("design", sort=False):
        by_reading = part.pivot(index="seed", columns="at_cap", values=list(MEASURES)).dropna()
        for measure in MEASURES:
            pair = by_reading[measure]
            mean, low, high = over_seeds(pair["forced"] - pair["own"])
            means = {"forced": pair["forced"].mean(), "own": pair["own"].mean()}
            row = {"design": design, "measure": measure, "seeds": len(pair), **means}
            differences.append({**row, "difference": mean, "low": low, "high": high})
    return table, pd.DataFrame(differences)


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of("at_cap", __doc__)
    parser.add_argument("command", choices=["run", "table"])
    parser.add_argument("--only", default=",".join(DESIGNS), help="names of designs, with commas")
    add_sizes(parser, ROOT)
    args = parser.parse_args(argv)
    designs = args.only.split(",")
    if args.command == "table":
        runs, differences = tables(designs, args.root)
        results = {"cap": CAP, "runs": runs.to_dict("records")}
        save(args.output, {**results, "differences": differences.to_dict("records")})
        print(differences.round(3).to_string(index=False))
        return
    profile = profile_of(args)
    train_problems, eval_problems = load_train_and_eval(profile)
    seeds = [int(seed) for seed in args.seeds.split(",")]
    listed = [(point(d, a), seed) for seed in seeds for d in designs for a in ("forced", "own")]
    part, parts = map(int, args.part.split("/"))
    for trained, seed in listed[part::parts]:
        print(f"--- {trained.name}, seed {seed}", flush=True)
        options = {"run_root": args.root, "seeds": [seed], "base": False, "watch": "lines"}
        run_points([trained], train_problems, eval_problems, profile, **options)


if __name__ == "__main__":
    main()
