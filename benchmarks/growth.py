"""How the time and memory of an analysis grow with the rollouts, the budgets and the length of a run.

    python -m benchmarks.growth [--axes rollouts budgets length]

Runs are made up and written to disk as `evaluate` would leave them, 32 problems a shard, tokens and texts
included. Each point is analysed in a fresh process: the run is read, a frontier made of it and of two copies
of its files, then REG, a summary, AES and the bands of a figure. Another process reads what holds the tokens.
Peaks of memory are those of each step (VmHWM, so Linux only), with what earlier steps have kept.

The first run of an axis is its least. What it costs is the fixed cost: it is taken from the others, and its
place on the axis from theirs, before an exponent is fitted. Results go to benchmarks/results/growth.json, and
replace those of the same axes.
"""

import argparse
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import calculators
from benchmarks.explorer import SAMPLES, identities, make_tables
from effwb import probes, rollouts
from effwb.analysis import RunSet
from effwb.analysis.finished import read_evaluation
from effwb.frontier import reg_row
from effwb.metrics import aes_interval
from effwb.probes.table import fingerprint
from effwb.runs import RunDir, write_atomic, write_parquet

RESULTS = Path(__file__).parent / "results" / "growth.json"
CAP, BUDGETS, SHARD_PROBLEMS = 512, 33, 32
RUNS = ("first", "second", "third")
AXES = {  # the least run, then the range
    "rollouts": (16, 1_000, 10_000, 100_000, 1_000_000),
    "budgets": (2, 4, 8, 16, 32, 64, 128),
    "length": (256, 512, 1024, 2048, 4096, 8192, 16384, 32768),
}
BESIDE = {"budgets": 100_000, "length": 4_000}  # rollouts where they are not the axis
REPEATS = 3  # best of; a run of a million rollouts is analysed once
COSTS = ("seconds", "user seconds", "system seconds", "peak GB")
VOCABULARY = 150_000
SHOWN = ("user seconds", "peak GB")
ALL = "all of it"
MARK = "COSTS "


# ------------------------------------------------------------------------------------------- the runs
def grid(budgets: int, cap: int) -> np.ndarray:
    """The 33 budgets of `benchmarks.calculators` at this cap, or another number in equal steps."""
    if budgets == BUDGETS:
        return calculators.GRID * cap // calculators.CAP
    return np.linspace(0, cap, budgets).astype(int)


def make_run(folder: Path, n: int, budgets: np.ndarray, cap: int) -> int:
    """A finished evaluation of `n` rollouts, written shard by shard; gives the number of probes."""
    run, probed = RunDir(folder), 0
    run.path.mkdir(parents=True)
    for table, identity in identities(budgets, cap).items():
        run.begin(table, identity)
    ids = [f"toy-{p:012x}" for p in range(n // SAMPLES)]
    parts = [ids[i : i + SHARD_PROBLEMS] for i in range(0, len(ids), SHARD_PROBLEMS)]
    for i, part in enumerate(parts):
        made, forced = make_shard(part, budgets, cap, np.random.default_rng(i))
        write_parquet(run.shard("rollouts", i), made)
        write_parquet(run.shard("probes", i), forced)
        probed += len(forced)
    for table in ("rollouts", "probes"):  # no shard is missing: only the done marker is written
        run.fill(table, parts, None, unit="problem", progress=False)
    asked = pd.DataFrame({"problem_id": ids, "question": "1=?", "answer": "1", "prompt": "<think>"})
    write_parquet(run.path / "problems.parquet", asked)
    return probed


def make_shard(ids: list[str], budgets: np.ndarray, cap: int, rng) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rollouts and probes of some problems with all columns of a real run; tokens of a real vocabulary."""
    made, forced = make_tables(ids, budgets, cap, np.log(0.3 * cap), rng, vocabulary=VOCABULARY)
    made = made.assign(seed=rng.integers(0, 2**62, len(made)), prompt_tokens=40, verify_ms=0.1)
    forced = forced.assign(answer_text="1}", answer_tokens=2)
    return made[list(rollouts.COLUMNS)], forced[list(probes.COLUMNS)].astype(probes.TYPES)


# ------------------------------------------------------------------------------------- in a fresh process
def analyse(root: Path) -> dict:
    """What a researcher asks of a finished evaluation, step by step: no tokens, no texts."""
    kept = {}

    def read():
        kept["evaluation"] = read_evaluation(root / RUNS[0])

    def frontier():
        kept["frontier"] = RunSet.find(root).frontier()

    def summary():
        evaluation = kept["evaluation"]
        evaluation.summary()
        both = evaluation.correct_PN(), evaluation.length_PN()
        aes_interval(*both, *both)

    def reg():
        curve = kept["evaluation"].curve
        reg_row(kept["frontier"], curve, int(curve.budgets[-1]))

    return {
        "read_evaluation": cost(read),
        "frontier of three runs": cost(frontier),
        "REG with its interval": cost(reg),
        "summary and AES": cost(summary),
        "bands of a figure": cost(lambda: kept["evaluation"].curve.interval()),
    }


def with_tokens(root: Path) -> dict:
    """What reads tokens and texts: one rollout of the last problem, the whole table, its fingerprint."""
    run, kept = RunDir(root / RUNS[0]), []
    last = rollouts.problems_of(run.path)["problem_id"].iloc[-1]
    return {
        "rows of one rollout": cost(lambda: run.rows("rollouts", problem_id=last, sample=0)),
        "read rollouts": cost(lambda: kept.append(run.read("rollouts"))),
        "fingerprint": cost(lambda: fingerprint(kept[0])),
    }


WORK = {"analysis": analyse, "tokens": with_tokens}


def cost(step) -> dict[str, float]:
    """Seconds on the wall, of the processor in user mode and in the kernel (which hands out memory), and the
    peak of resident memory (10^9 bytes) meanwhile."""
    Path("/proc/self/clear_refs").write_text("5")  # begins a new peak
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    step()
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    own = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return dict(zip(COSTS, (wall, *own, int(peak[1]) * 1024 / 1e9), strict=True))


# ------------------------------------------------------------------------------------------ the points
def measure(axis: str, at: int, folder: Path) -> dict:
    """One point: what was made, and what each step cost."""
    shape = {"rollouts": BESIDE.get(axis), "budgets": BUDGETS, "length": CAP, axis: at}
    n, budgets, cap = shape.values()
    begun = time.perf_counter()
    probed = make_run(folder / RUNS[0], n, grid(budgets, cap), cap)
    made = time.perf_counter() - begun
    files = [f for f in (folder / RUNS[0]).rglob("*") if f.is_file()]
    size = sum(f.stat().st_size for f in files)
    for copy in RUNS[1:]:  # other names of the same files
        shutil.copytree(folder / RUNS[0], folder / copy, copy_function=os.link)
    costs = {}
    for work in WORK:
        runs = [fresh(work, folder) for _ in range(1 if n >= 1_000_000 else REPEATS)]
        steps = {s: {c: min(run[s][c] for run in runs) for c in COSTS} for s in runs[0]}
        every = {c: (max if c == "peak GB" else sum)(of[c] for of in steps.values()) for c in COSTS}
        costs[work] = {ALL: every, **steps}
    shutil.rmtree(folder)
    return {
        **{**shape, "probe rows": probed, "files": len(files), "MB": round(size / 1e6, 1)},
        **{"seconds to make": round(made, 1), "costs": rounded(costs)},
    }


def fresh(work: str, folder: Path) -> dict:
    """The costs that `work` has in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.growth", "--work", work, str(folder)]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return json.loads(next(line for line in lines if line.startswith(MARK))[len(MARK) :])


def exponents(axis: str, points: list[dict], work: str, step: str) -> dict:
    """For each cost its `exponent`: the slope of log cost over log `axis`, both beyond the least run.

    Runs that cost less than half more than the least are left out; None where fewer than two remain.
    `last`: the slope between the last two alone; `times`: the last cost over the least.
    """
    x, found = np.array([p[axis] for p in points], dtype=float), {}
    for name in COSTS:
        y = np.array([p["costs"][work][step][name] for p in points])
        use = (x > x[0]) & (y > 1.5 * y[0])
        slope = last = None
        if use.sum() > 1:
            logs = np.log(x[use] - x[0]), np.log(y[use] - y[0])
            slope, last = (np.polyfit(*(v[-n:] for v in logs), 1)[0] for n in (0, 2))
        times = y[-1] / y[0] if y[0] else None
        found[name] = {"exponent": slope, "last": last, "runs": int(use.sum()), "times": times}
    return rounded(found)


def rounded(tree):
    """Every number in it to four decimals."""
    if isinstance(tree, dict):
        return {k: rounded(v) for k, v in tree.items()}
    return tree if tree is None else round(float(tree), 4)


def show(axis: str, points: list[dict], slopes: dict) -> None:
    """The table: user seconds and peak of each run, the exponents of both, runs they were fitted to."""
    print(f"\n{axis:36}" + "".join(f"{p[axis]:>19,}" for p in points) + "  exponents (runs)")
    for work, steps in slopes.items():
        for step, of in steps.items():
            cells = [p["costs"][work][step] for p in points]
            shown = "".join(f"{c['user seconds']:>9.2f} s {c['peak GB']:>4.2f} GB" for c in cells)
            fits = [f"{of[name]['exponent']} ({of[name]['runs']:.0f})" for name in SHOWN]
            print(f"{work + ', ' + step:36}{shown}  {', '.join(fits)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--axes", nargs="*", choices=AXES, default=list(AXES), help="none: fit and print only"
    )
    parser.add_argument("--most", type=int, default=1_000_000, help="leave out runs with more rollouts")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        print(MARK + json.dumps(WORK[given.work[0]](Path(given.work[1]))))
        return
    found = json.loads(RESULTS.read_text())["axes"] if RESULTS.exists() else {}
    for axis in given.axes:
        points = []
        for at in AXES[axis]:
            if axis != "rollouts" or at <= given.most:
                with tempfile.TemporaryDirectory() as folder:
                    points.append(measure(axis, at, Path(folder) / "runs"))
        found[axis] = {"machine": machine(), "points": points}
    for axis, of in found.items():
        points = of["points"]
        of["exponents"] = {
            work: {step: exponents(axis, points, work, step) for step in steps}
            for work, steps in points[0]["costs"].items()
        }
        show(axis, points, of["exponents"])
    write_atomic(RESULTS, json.dumps({"axes": found}, indent=1).encode())


def machine() -> dict:
    return {
        "cpus": os.cpu_count(),
        "load": [round(x, 2) for x in os.getloadavg()],
        "python": platform.python_version(),
        "pandas": pd.__version__,
        "pyarrow": version("pyarrow"),
    }


if __name__ == "__main__":
    main()
