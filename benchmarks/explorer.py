"""How long one waits for the explorer, with 1,000 finished runs and 1,000,000 rollouts that are made up.

Run with `python -m benchmarks.explorer`. Opening and every reaction are timed in a fresh process, the imports
apart. Results go to benchmarks/results/explorer.json.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd

from effwb.profiles import profile
from effwb.runs import RunDir

RESULTS = Path(__file__).parent / "results" / "explorer.json"
PROBLEMS, SAMPLES, CAP = 125, 8, 512
SOURCES = ("aime24", "amc23", "minerva_math")
SHARDS = 4
MARK = "REACTIONS "


def make_run(folder: Path, seed: int, budgets: np.ndarray) -> None:
    """A finished evaluation with texts and tokens."""
    rng = np.random.default_rng(seed)
    ids = [f"{SOURCES[p % len(SOURCES)]}-{p:012x}" for p in range(PROBLEMS)]
    rollouts, probes = make_tables(ids, budgets, CAP, rng.uniform(3.5, 5), rng)
    asked = pd.DataFrame({"problem_id": ids, "question": "1=?", "answer": "1", "prompt": "<think>"})
    write_run(RunDir(folder), rollouts, probes, asked, budgets)


def make_tables(ids: list[str], budgets: np.ndarray, cap: int, typical: float, rng, vocabulary: int = 50):
    """Rollouts and probes of some problems: log-normal lengths, answers right after a while.

    `typical` is the logarithm of the median length in tokens before the cap.
    """
    problem, sample = np.repeat(np.arange(len(ids)), SAMPLES), np.tile(np.arange(SAMPLES), len(ids))
    length = np.minimum(rng.lognormal(typical, 0.6, len(problem)).astype(int) + 1, cap)
    first = rng.lognormal(3, 0.8, len(problem)) * (cap / CAP)  # tokens after which the answer is right
    stopped, right = length < cap, first <= length
    rollouts = pd.DataFrame(
        {
            "problem_id": np.take(ids, problem),
            "sample": sample,
            "length": length,
            "finish_reason": np.where(stopped, "stop", "length"),
            "text": ["Wait, check. " * (n // 4) for n in length],
            "completion_ids": [rng.integers(0, vocabulary, n) for n in length],
            "extracted": np.where(right, "1", "2"),
            "verdict": np.where(right, "correct", "wrong"),
        }
    )
    row, k = np.nonzero((budgets < length[:, None]) | (~stopped[:, None] & (budgets == cap)))
    there = budgets[k] >= first[row]
    probes = rollouts[["problem_id", "sample"]].iloc[row].assign(budget=budgets[k], forced=True)
    probes = probes.assign(extracted=np.where(there, "1", "2"), verdict=np.where(there, "correct", "wrong"))
    return rollouts, probes


def identities(budgets: np.ndarray, cap: int) -> dict[str, dict]:
    """What identifies each table of a run that is made up."""
    verifier = {"verifier": {"name": "effwb", "version": 1, "math_verify": "none"}, "timeout": 5.0}
    made = {"model": "pocket", "n": SAMPLES, "temperature": 1.0, "top_p": 1.0, "max_tokens": cap}
    made |= {"engine_version": "made up", "dtype": "float32", "verifier": verifier}
    probed = {"verifier": verifier, "budgets": budgets.tolist(), "suffix": "</think>\\boxed{"}
    return {"rollouts": made, "probes": {**probed, "answer_tokens": 20}}


def write_run(run: RunDir, rollouts, probes, asked, budgets) -> None:
    """The files that `effwb.evaluation.evaluate` would have left."""
    for table, frame in (("rollouts", rollouts), ("probes", probes)):
        (run.path / table).mkdir(parents=True)
        for i, rows in enumerate(np.array_split(np.arange(len(frame)), SHARDS)):
            frame.iloc[rows].to_parquet(run.shard(table, i), index=False)
        (run.path / table / "DONE").write_text(json.dumps({"shards": SHARDS}))
    asked.to_parquet(run.path / "problems.parquet", index=False)
    sections = identities(budgets, CAP)
    config = {"schema": 1, **{table: {"identity": of, "environment": {}} for table, of in sections.items()}}
    (run.path / "config.json").write_text(json.dumps(config, indent=1))


def clocked(call, *given) -> tuple[float, float]:
    """Seconds on the wall and of the processor; on a machine with other work the first are longer."""
    wall, own = time.perf_counter(), time.process_time()
    call(*given)
    return time.perf_counter() - wall, time.process_time() - own


def wait_for(root: str) -> dict:
    """Seconds of importing, opening and each reaction, six times, in this process."""
    seconds = {"import": clocked(lambda: import_module("effwb.analysis.explorer"))}
    opened = []
    seconds["open"] = clocked(lambda: opened.append(import_module("effwb.analysis.explorer").explore(root)))
    view = opened[0]
    names, last = view.store.names, view.l_max.value
    assert view.table["problems"].tolist() == [PROBLEMS] * 4

    def choose(*chosen):
        view.runs.value = chosen

    def click(i):
        view.open(names[i % 4], int(view.chosen[names[0]].curve.budgets[5 + i]))

    def read(i):
        view.rollouts.index = 1 + i

    actions = {
        "L_max": lambda i: setattr(view.l_max, "value", (last, last // 2, last // 4, last // 8)[i % 4]),
        "frontier of the repository": lambda i: setattr(
            view.frontier, "value", ("pocket", "best of the chosen runs")[i % 2]
        ),
        "cross-fitted frontier": lambda i: setattr(
            view.frontier,
            "value",
            ("best of the chosen runs, cross-fitted", "best of the chosen runs")[i % 2],
        ),
        "one more run": lambda i: choose(*names[: 5 + i]),
        "other four runs": lambda i: choose(*names[8 + 4 * i : 12 + 4 * i]),
        "words in the names": lambda i: setattr(view.filter, "value", f"{i + 2}"),
        "a point clicked": click,
        "another list": lambda i: setattr(view.show, "value", ("never right", "all")[i % 2]),
        "another rollout": read,
        "benchmark": lambda i: setattr(view.benchmark, "value", ("aime24", "all")[i % 2]),
        "accuracy and tokens": lambda i: setattr(view.tabs, "selected_index", (1, 0)[i % 2]),
        "lengths": lambda i: setattr(view.tabs, "selected_index", (2, 0)[i % 2]),
    }
    found = {}
    for name, act in actions.items():
        choose(*names[:4])
        times = np.array([clocked(act, i) for i in range(6)])
        assert not view.note.value, view.note.value
        found[name] = dict(
            zip(
                ("median", "worst", "median, processor", "worst, processor"),
                [f(column) for column in times.T for f in (np.median, np.max)],
                strict=True,
            )
        )
    every = clocked(lambda: setattr(view.frontier, "value", "best of all runs"))
    assert not view.note.value, view.note.value
    seconds["best of all runs, the first time"] = every
    return {"seconds": seconds, "reactions": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(MARK + json.dumps(wait_for(asked.measure)))
        return
    budgets = np.array(profile("pocket").budgets)
    with tempfile.TemporaryDirectory() as root:
        for i in range(asked.runs):
            make_run(Path(root) / f"method-{i // 3}-seed{i % 3}" / "eval", i, budgets)
        size = sum(f.stat().st_size for f in Path(root).rglob("*") if f.is_file())
        print(f"{asked.runs:,} runs, {asked.runs * PROBLEMS * SAMPLES:,} rollouts, {size / 1e6:,.0f} MB")
        command = [sys.executable, "-m", "benchmarks.explorer", "--measure", root]
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    found = json.loads(next(line for line in lines if line.startswith(MARK))[len(MARK) :])
    for name, (wall, own) in found["seconds"].items():
        print(f"{name:36} {wall:7.2f} s, processor {own:7.2f} s")
    for name, times in found["reactions"].items():
        shown = ", ".join(f"{what} {1000 * seconds:.0f}" for what, seconds in times.items())
        print(f"{name:36} ms: {shown}")
    machine = {
        "cpus": os.cpu_count(),
        "load": [round(x, 2) for x in os.getloadavg()],
        "python": platform.python_version(),
        "pandas": pd.__version__,
    }
    shape = {
        "runs": asked.runs,
        "rollouts": asked.runs * PROBLEMS * SAMPLES,
        "budgets": len(budgets),
        "MB": size // 10**6,
    }
    RESULTS.write_text(json.dumps({"machine": machine, **shape, **rounded(found)}, indent=1) + "\n")


def rounded(tree: dict) -> dict:
    return {k: rounded(v) if isinstance(v, dict) else np.round(v, 3).tolist() for k, v in tree.items()}


if __name__ == "__main__":
    main()
