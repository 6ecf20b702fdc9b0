"""Measures how long a user waits for the explorer: 1,000 finished synthetic runs with 1,000,000 rollouts.

    python -m benchmarks.explorer [--runs 1000]

Importing, opening and every reaction are timed in a fresh process. Results: benchmarks/results/explorer.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.report import machine, parser_of, save
from effwb.profiles import profile
from effwb.runs import RunDir, write_parquet

PROBLEMS, SAMPLES, CAP = 125, 8, 512
SOURCES = ("aime24", "amc23", "minerva_math")
SHARDS = 4
REPEATS = 6  # of each reaction
MARK = "REACTIONS "
STATISTICS = ("median", "worst", "median, processor", "worst, processor")


# ------------------------------------------------------------------------------------------- the runs
def make_run(folder: Path, seed: int, budgets: np.ndarray) -> None:
    """Write a finished evaluation with texts and tokens."""
    rng = np.random.default_rng(seed)
    ids = [f"{SOURCES[p % len(SOURCES)]}-{p:012x}" for p in range(PROBLEMS)]
    rollouts, probes = make_tables(ids, budgets, CAP, rng.uniform(3.5, 5), rng)
    problems = pd.DataFrame({"problem_id": ids, "question": "1=?", "answer": "1", "prompt": "<think>"})
    write_run(RunDir(folder), rollouts, probes, problems, budgets)


def make_tables(
    ids: list[str],
    budgets: np.ndarray,
    cap: int,
    log_length: float,
    rng: np.random.Generator,
    vocabulary: int = 50,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make rollouts and probes: log-normal lengths, and answers that are right after some tokens.

    Args:
        ids: Ids of the problems, `SAMPLES` rollouts each.
        budgets: Budgets of the probes, in tokens.
        cap: Most tokens of a rollout.
        log_length: Logarithm of the median length in tokens, before the cap.
        rng: Random numbers.
        vocabulary: Token ids are drawn below this number.

    Returns:
        The tables of the rollouts and of the probes.
    """
    problem, sample = np.repeat(np.arange(len(ids)), SAMPLES), np.tile(np.arange(SAMPLES), len(ids))
    length = np.minimum(rng.lognormal(log_length, 0.6, len(problem)).astype(int) + 1, cap)
    first_right = rng.lognormal(3, 0.8, len(problem)) * (cap / CAP)  # tokens
    stopped, right = length < cap, first_right <= length
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
    right = budgets[k] >= first_right[row]
    probes = rollouts[["problem_id", "sample"]].iloc[row].assign(budget=budgets[k], forced=True)
    probes = probes.assign(extracted=np.where(right, "1", "2"), verdict=np.where(right, "correct", "wrong"))
    return rollouts, probes


def identities(budgets: np.ndarray, cap: int) -> dict[str, dict[str, Any]]:
    """Return the identity of each table of a synthetic run."""
    verifier = {"verifier": {"name": "effwb", "version": 1, "math_verify": "none"}, "timeout": 5.0}
    rollouts = {"model": "pocket", "n": SAMPLES, "temperature": 1.0, "top_p": 1.0, "max_tokens": cap}
    rollouts |= {"engine_version": "synthetic", "dtype": "float32", "verifier": verifier}
    probes = {"verifier": verifier, "budgets": budgets.tolist(), "suffix": "</think>\\boxed{"}
    return {"rollouts": rollouts, "probes": {**probes, "answer_tokens": 20}}


def write_run(
    run: RunDir, rollouts: pd.DataFrame, probes: pd.DataFrame, problems: pd.DataFrame, budgets: np.ndarray
) -> None:
    """Write the files that `effwb.evaluation.evaluate` writes."""
    for table, frame in (("rollouts", rollouts), ("probes", probes)):
        (run.path / table).mkdir(parents=True)
        for i, rows in enumerate(np.array_split(np.arange(len(frame)), SHARDS)):
            write_parquet(run.shard(table, i), frame.iloc[rows])
        (run.path / table / "DONE").write_text(json.dumps({"shards": SHARDS}))
    write_parquet(run.path / "problems.parquet", problems)
    sections = {
        table: {"identity": identity, "environment": {}}
        for table, identity in identities(budgets, CAP).items()
    }
    (run.path / "config.json").write_text(json.dumps({"schema": 1, **sections}, indent=1))


# ------------------------------------------------------------------------------------- in a fresh process
def clocked(call: Callable[..., object], *args: object) -> tuple[float, float]:
    """Return the seconds of a call on the wall clock and of the processor.

    On a machine with other work the wall clock shows more.
    """
    wall, processor = time.perf_counter(), time.process_time()
    call(*args)
    return time.perf_counter() - wall, time.process_time() - processor


def reactions(view) -> dict[str, Callable[[int], object]]:
    """Return what a user does with the explorer; each call takes the number of the repeat."""
    names, longest = view.all_runs.names, view.l_max.value

    def choose(chosen: list[str]) -> None:
        view.runs.value = tuple(chosen)

    def set_to(widget, *values: object) -> Callable[[int], None]:
        return lambda i: setattr(widget, "value", values[i % len(values)])

    def set_tab(tab: int) -> Callable[[int], None]:
        return lambda i: setattr(view.tabs, "selected_index", (tab, 0)[i % 2])

    def click(i: int) -> None:
        view.open(names[i % 4], int(view.chosen[names[0]].curve.budgets[5 + i]))

    best = "best of the chosen runs"
    return {
        "L_max": set_to(view.l_max, longest, longest // 2, longest // 4, longest // 8),
        "cross-fitted frontier": set_to(view.frontier, f"{best}, cross-fitted", best),
        "one more run": lambda i: choose(names[: 5 + i]),
        "other four runs": lambda i: choose(names[8 + 4 * i : 12 + 4 * i]),
        "words in the names": lambda i: setattr(view.filter, "value", f"{i + 2}"),
        "a point clicked": click,
        "another list": set_to(view.show, "never right", "all"),
        "another rollout": lambda i: setattr(view.rollouts, "index", 1 + i),
        "benchmark": set_to(view.benchmark, "aime24", "average"),
        "accuracy and tokens": set_tab(1),
        "lengths": set_tab(2),
        "curves by benchmark": set_tab(5),
        "another order": set_to(view.pane.order, "longest first", "by problem"),
        "words in question or answer": lambda i: setattr(view.pane.search, "value", f"wait {'check ' * i}"),
    }


def measure(root: str) -> dict[str, dict]:
    """Time importing, opening and each reaction in this process."""
    seconds = {"import": clocked(lambda: import_module("effwb.analysis.explorer"))}
    views = []
    seconds["open"] = clocked(lambda: views.append(import_module("effwb.analysis.explorer").explore(root)))
    (view,) = views
    assert view.table.query("benchmark == 'average'")["problems"].tolist() == [PROBLEMS] * 4
    times_of = {}
    for name, act in reactions(view).items():
        view.runs.value = tuple(view.all_runs.names[:4])
        times = np.array([clocked(act, i) for i in range(REPEATS)])
        assert not view.note.value, view.note.value
        values = [statistic(column) for column in times.T for statistic in (np.median, np.max)]
        times_of[name] = dict(zip(STATISTICS, values, strict=True))
    seconds["best of all runs, the first time"] = clocked(
        lambda: setattr(view.frontier, "value", "best of all runs")
    )
    assert not view.note.value, view.note.value
    return {"seconds": seconds, "reactions": times_of}


# ------------------------------------------------------------------------------------------- the command
def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of("explorer", __doc__)
    parser.add_argument("--runs", type=int, default=1000, help=f"synthetic runs; at least {8 + 4 * REPEATS}")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.measure:
        print(MARK + json.dumps(measure(args.measure)))
        return
    budgets = np.array(profile("pocket").budgets)
    n_rollouts = args.runs * PROBLEMS * SAMPLES
    with tempfile.TemporaryDirectory() as root:
        for i in range(args.runs):
            make_run(Path(root) / f"method-{i // 3}-seed{i % 3}" / "eval", i, budgets)
        size = sum(file.stat().st_size for file in Path(root).rglob("*") if file.is_file())
        print(f"{args.runs:,} runs, {n_rollouts:,} rollouts, {size / 1e6:,.0f} MB")
        command = [sys.executable, "-m", "benchmarks.explorer", "--measure", root]
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    results = json.loads(next(line for line in lines if line.startswith(MARK))[len(MARK) :])
    for name, (wall, processor) in results["seconds"].items():
        print(f"{name:36} {wall:7.2f} s, processor {processor:7.2f} s")
    for name, times in results["reactions"].items():
        text = ", ".join(f"{statistic} {1000 * seconds:.0f}" for statistic, seconds in times.items())
        print(f"{name:36} ms: {text}")
    shape = {"runs": args.runs, "rollouts": n_rollouts, "budgets": len(budgets), "MB": size // 10**6}
    save(args.output, {"machine": machine("pandas"), **shape, **rounded(results)})


def rounded(tree: dict) -> dict:
    """Round every number to three decimals."""
    return {k: rounded(v) if isinstance(v, dict) else np.round(v, 3).tolist() for k, v in tree.items()}


if __name__ == "__main__":
    main()
