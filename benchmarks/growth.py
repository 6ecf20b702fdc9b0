"""Measures how time and memory of an analysis grow with the rollouts, the budgets and the length of a run.

    python -m benchmarks.growth [--axes rollouts budgets length]

Synthetic runs are written to disk as `evaluate` writes them, 32 problems in a shard, with tokens and texts.
Each point is analysed in a fresh process: read the run, make a frontier from it and two copies of its files,
then REG, a summary, AES and the bands of a figure. A second process reads what contains the tokens. The peak
of memory is that of each step, and includes what earlier steps still hold (VmHWM, so Linux only).

The smallest run of an axis shows the fixed cost. Its cost and its place on the axis are subtracted from those
of the others before an exponent is fitted. Results: benchmarks/results/growth.json; they replace those of the
same axes.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import calculators
from benchmarks.explorer import SAMPLES, identities, make_tables
from benchmarks.report import machine, parser_of, save
from effwb import probes, rollouts
from effwb.analysis import RunSet
from effwb.analysis.finished import read_evaluation
from effwb.evaluation import Evaluation
from effwb.frontier import Frontier, reg_row
from effwb.metrics import aes_interval
from effwb.probes.table import fingerprint
from effwb.runs import RunDir, write_parquet

CAP, BUDGETS, SHARD_PROBLEMS = 512, 33, 32
RUNS = ("first", "second", "third")
AXES = {  # the smallest run, then the range
    "rollouts": (16, 1_000, 10_000, 100_000, 1_000_000),
    "budgets": (2, 4, 8, 16, 32, 64, 128),
    "length": (256, 512, 1024, 2048, 4096, 8192, 16384, 32768),
}
ROLLOUTS = {"budgets": 100_000, "length": 4_000}  # on the axes that vary something else
REPEATS = 3  # the best counts; a run of a million rollouts is analysed once
COSTS = ("seconds", "user seconds", "system seconds", "peak GB")
VOCABULARY = 150_000
PRINTED = ("user seconds", "peak GB")
ALL = "all of it"
MARK = "COSTS "


# ------------------------------------------------------------------------------------------- the runs
def grid(budgets: int, cap: int) -> np.ndarray:
    """Return the 33 budgets of `benchmarks.calculators` at this cap, or another number in equal steps."""
    if budgets == BUDGETS:
        return calculators.GRID * cap // calculators.CAP
    return np.linspace(0, cap, budgets).astype(int)


def make_run(folder: Path, n: int, budgets: np.ndarray, cap: int) -> int:
    """Write a finished evaluation, shard by shard.

    Args:
        folder: Directory of the run.
        n: Number of rollouts.
        budgets: Budgets of the probes, in tokens.
        cap: Most tokens of a rollout.

    Returns:
        The number of probes.
    """
    run, n_probes = RunDir(folder), 0
    run.path.mkdir(parents=True)
    for table, identity in identities(budgets, cap).items():
        run.begin(table, identity)
    ids = [f"toy-{p:012x}" for p in range(n // SAMPLES)]
    parts = [ids[i : i + SHARD_PROBLEMS] for i in range(0, len(ids), SHARD_PROBLEMS)]
    for i, part in enumerate(parts):
        rollouts_part, probes_part = make_shard(part, budgets, cap, np.random.default_rng(i))
        write_parquet(run.shard("rollouts", i), rollouts_part)
        write_parquet(run.shard("probes", i), probes_part)
        n_probes += len(probes_part)
    for table in ("rollouts", "probes"):  # no shard is missing: only the done marker is written
        run.fill(table, parts, None, unit="problem", progress=False)
    problems = pd.DataFrame({"problem_id": ids, "question": "1=?", "answer": "1", "prompt": "<think>"})
    write_parquet(run.path / "problems.parquet", problems)
    return n_probes


def make_shard(
    ids: list[str], budgets: np.ndarray, cap: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make the rollouts and probes of some problems, with all columns and the vocabulary of a real run."""
    sampled, forced = make_tables(ids, budgets, cap, np.log(0.3 * cap), rng, vocabulary=VOCABULARY)
    sampled = sampled.assign(seed=rng.integers(0, 2**62, len(sampled)), prompt_tokens=40, verify_ms=0.1)
    forced = forced.assign(answer_text="1}", answer_tokens=2)
    return sampled[list(rollouts.COLUMNS)], forced[list(probes.COLUMNS)].astype(probes.TYPES)


# ------------------------------------------------------------------------------------- in a fresh process
def analyse(root: Path) -> dict[str, dict[str, float]]:
    """Return the costs of what a researcher does with a finished evaluation, without tokens and texts."""
    evaluations: list[Evaluation] = []
    frontiers: list[Frontier] = []

    def summary() -> None:
        (evaluation,) = evaluations
        evaluation.summary()
        outcomes = evaluation.correct_PN(), evaluation.length_PN()
        aes_interval(*outcomes, *outcomes)

    def reg() -> None:
        curve = evaluations[0].curve
        reg_row(frontiers[0], curve, int(curve.budgets[-1]))

    return {
        "read_evaluation": cost(lambda: evaluations.append(read_evaluation(root / RUNS[0]))),
        "frontier of three runs": cost(lambda: frontiers.append(RunSet.find(root).frontier())),
        "REG with its interval": cost(reg),
        "summary and AES": cost(summary),
        "bands of a figure": cost(lambda: evaluations[0].curve.interval()),
    }


def read_tokens(root: Path) -> dict[str, dict[str, float]]:
    """Read tokens and texts: one rollout of the last problem, the whole table, its fingerprint."""
    run = RunDir(root / RUNS[0])
    tables: list[pd.DataFrame] = []
    last = rollouts.problems_of(run.path)["problem_id"].iloc[-1]
    return {
        "rows of one rollout": cost(lambda: run.rows("rollouts", problem_id=last, sample=0)),
        "read rollouts": cost(lambda: tables.append(run.read("rollouts"))),
        "fingerprint": cost(lambda: fingerprint(tables[0])),
    }


WORK = {"analysis": analyse, "tokens": read_tokens}


def cost(step: Callable[[], object]) -> dict[str, float]:
    """Run a step and return its `COSTS`.

    These are seconds on the wall clock, of the processor in user mode, and of the processor in the kernel
    (which hands out memory), and the peak of resident memory in 10^9 bytes.
    """
    Path("/proc/self/clear_refs").write_text("5")  # starts a new peak
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    step()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    processor = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return dict(zip(COSTS, (wall, *processor, int(peak[1]) * 1024 / 1e9), strict=True))


# ------------------------------------------------------------------------------------------ the points
def measure(axis: str, at: int, folder: Path) -> dict[str, Any]:
    """Measure one point.

    Args:
        axis: A key of `AXES`.
        at: The place on this axis.
        folder: Directory for the runs; it is removed.

    Returns:
        The shape of the run and what each step costs.
    """
    shape = {"rollouts": ROLLOUTS.get(axis), "budgets": BUDGETS, "length": CAP, axis: at}
    n, budgets, cap = shape.values()
    start = time.perf_counter()
    n_probes = make_run(folder / RUNS[0], n, grid(budgets, cap), cap)
    seconds = time.perf_counter() - start
    files = [file for file in (folder / RUNS[0]).rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    for copy in RUNS[1:]:  # other names of the same files
        shutil.copytree(folder / RUNS[0], folder / copy, copy_function=os.link)
    costs = {}
    for work in WORK:
        runs = [in_fresh_process(work, folder) for _ in range(1 if n >= 1_000_000 else REPEATS)]
        steps = {s: {c: min(run[s][c] for run in runs) for c in COSTS} for s in runs[0]}
        total = {c: (max if c == "peak GB" else sum)(step[c] for step in steps.values()) for c in COSTS}
        costs[work] = {ALL: total, **steps}
    shutil.rmtree(folder)
    return {
        **{**shape, "probe rows": n_probes, "files": len(files), "MB": round(size / 1e6, 1)},
        **{"seconds to make": round(seconds, 1), "costs": rounded(costs)},
    }


def in_fresh_process(work: str, folder: Path) -> dict[str, dict[str, float]]:
    """Return the costs of some `WORK` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.growth", "--work", work, str(folder)]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return json.loads(next(line for line in lines if line.startswith(MARK))[len(MARK) :])


def exponents(axis: str, points: list[dict], work: str, step: str) -> dict[str, dict]:
    """Fit how each cost of a step grows along an axis, beyond the cost of the smallest run.

    Args:
        axis: A key of `AXES`.
        points: The results of `measure`, the smallest run first.
        work: A key of `WORK`.
        step: A step of this work.

    Returns:
        For each cost: `exponent`, the slope of log cost over log `axis`; `last`, the slope between the last
        two runs; `runs`, the number of runs in the fit; `times`, the last cost over the first. Runs that cost
        less than 1.5 times the smallest are left out of the fit; slopes are None if fewer than two remain.
    """
    x, fits = np.array([p[axis] for p in points], dtype=float), {}
    for name in COSTS:
        y = np.array([p["costs"][work][step][name] for p in points])
        use = (x > x[0]) & (y > 1.5 * y[0])
        slope = last = None
        if use.sum() > 1:
            logs = np.log(x[use] - x[0]), np.log(y[use] - y[0])
            slope, last = (np.polyfit(*(v[-n:] for v in logs), 1)[0] for n in (0, 2))
        times = y[-1] / y[0] if y[0] else None
        fits[name] = {"exponent": slope, "last": last, "runs": int(use.sum()), "times": times}
    return rounded(fits)


def rounded(tree: Any) -> Any:
    """Round every number in a tree of dicts to four decimals."""
    if isinstance(tree, dict):
        return {k: rounded(v) for k, v in tree.items()}
    return tree if tree is None else round(float(tree), 4)


def show(axis: str, points: list[dict], fits: dict[str, dict]) -> None:
    """Print user seconds and peak memory of each run, and their exponents with the runs in the fit."""
    print(f"\n{axis:36}" + "".join(f"{p[axis]:>19,}" for p in points) + "  exponents (runs)")
    for work, steps in fits.items():
        for step, fit in steps.items():
            cells = [p["costs"][work][step] for p in points]
            line = "".join(f"{c['user seconds']:>9.2f} s {c['peak GB']:>4.2f} GB" for c in cells)
            slopes = [f"{fit[name]['exponent']} ({fit[name]['runs']:.0f})" for name in PRINTED]
            print(f"{work + ', ' + step:36}{line}  {', '.join(slopes)}")


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of("growth", __doc__)
    parser.add_argument(
        "--axes", nargs="*", choices=AXES, default=list(AXES), help="without a name: only fit and print"
    )
    parser.add_argument("--most", type=int, default=1_000_000, help="leave out runs with more rollouts")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.work:
        work, folder = args.work
        print(MARK + json.dumps(WORK[work](Path(folder))))
        return
    results = json.loads(args.output.read_text())["axes"] if args.output.exists() else {}
    for axis in args.axes:
        points = []
        for at in AXES[axis]:
            if axis != "rollouts" or at <= args.most:
                with tempfile.TemporaryDirectory() as folder:
                    points.append(measure(axis, at, Path(folder) / "runs"))
        results[axis] = {"machine": machine("pandas", "pyarrow"), "points": points}
    for axis, result in results.items():
        points = result["points"]
        result["exponents"] = {
            work: {step: exponents(axis, points, work, step) for step in steps}
            for work, steps in points[0]["costs"].items()
        }
        show(axis, points, result["exponents"])
    save(args.output, {"axes": results})


if __name__ == "__main__":
    main()
