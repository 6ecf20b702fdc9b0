"""An ordinary run root, as it looks after some weeks: made-up runs of every kind, without a model.

cli-low, free, training/..  70 pocket problems, most of them with a training
more/..                     210 problems
qwen/..                     another model on two benchmarks, at the paper's budgets
under way, damaged and lost evaluations; trainings without an evaluation, one of them under way
"""

import json

import numpy as np
import pandas as pd

from effwb.budgets import paper_grid
from effwb.runs import RunDir, write_parquet
from effwb.training.record import mark_done
from tests.made_up import SAMPLING, VERIFIER

POCKET_BUDGETS = [0, 8, 16, 32, 64, 128, 256, 512]
QWEN_BUDGETS = paper_grid(16384).tolist()
TRAININGS = {  # design, its parameters, settings, by the folder's name
    "kimi_weight=0.5-seed0": ("kimi", {"weight": 0.5}, 0, 1e-3),
    "kimi_weight=0.5-seed1": ("kimi", {"weight": 0.5}, 1, 1e-3),
    "vanilla-seed0": ("vanilla", {}, 0, 1e-3),
    "vanilla-seed1": ("vanilla", {}, 1, 3e-3),
}


def problems_on(benchmarks, count):
    """A table of so many problems of some benchmarks in turn, with levels 1 to 5."""
    rows = []
    for i in range(count):
        benchmark = benchmarks[i % len(benchmarks)]
        question = f"What is {i} + {i}?"
        rows.append((f"{benchmark}-{i:012x}", question, str(2 * i), str(1 + i % 5), benchmark))
    table = pd.DataFrame(rows, columns=["problem_id", "question", "answer", "level", "source"])
    return table.assign(prompt=table["question"])


def write_run(folder, problems, budgets, *, model="pocket", speed=1.0, samples=2, shards=1, unfinished=False):
    """Write an evaluation whose rollouts are right after some tokens; a greater `speed` is fewer tokens."""
    run, cap = RunDir(folder), budgets[-1]
    rng = np.random.default_rng(int(100 * speed))
    keys = pd.DataFrame(
        [(p, s) for p in problems["problem_id"] for s in range(samples)], columns=["problem_id", "sample"]
    )
    right_after = np.exp(rng.normal(np.log(cap / 12), 1.0, len(keys))) / speed
    length = np.minimum((right_after * rng.uniform(1, 4, len(keys))).astype(int) + 1, cap)
    gold = keys["problem_id"].map(problems.set_index("problem_id")["answer"])
    right = (right_after <= length) & (length < cap)
    rollouts = keys.assign(
        length=length,
        finish_reason=np.where(length < cap, "stop", "length"),
        text=[f"Let me add. It is {g}." if r else "Let me guess." for g, r in zip(gold, right, strict=True)],
        completion_ids=[[1, 2]] * len(keys),
        extracted=np.where(right, gold, "7"),
        verdict=np.where(right, "correct", "wrong"),
    )
    row, k = np.nonzero(
        (np.array(budgets) < length[:, None]) | ((length == cap)[:, None] & (np.array(budgets) == cap))
    )
    at = np.array(budgets)[k] >= right_after[row]
    probes = keys.iloc[row].assign(
        budget=np.array(budgets)[k],
        extracted=np.where(at, gold.iloc[row], "7"),
        verdict=np.where(at, "correct", "wrong"),
    )
    identity = {**SAMPLING, "model": model, "n": samples, "max_tokens": int(cap), "verifier": VERIFIER}
    _write_tables(run, problems, identity, rollouts, probes, budgets, shards, unfinished)
    return run.path


def _write_tables(run, problems, identity, rollouts, probes, budgets, shards, unfinished):
    run.path.mkdir(parents=True)
    run.begin("rollouts", identity)
    run.begin(
        "probes", {"verifier": VERIFIER, "budgets": budgets, "suffix": "</think>\\boxed{", "answer_tokens": 8}
    )
    write_parquet(run.path / "problems.parquet", problems)
    for table, frame in (("rollouts", rollouts), ("probes", probes)):
        parts = [part for _, part in frame.groupby(np.arange(len(frame)) * shards // len(frame))]
        if unfinished:
            for i, part in enumerate(parts[: shards // 2]):
                write_parquet(run.shard(table, i), part)
        else:
            run.fill(table, parts, lambda part: part, unit="", progress=False)


def write_training(
    folder, design, params=(), seed=0, learning_rate=1e-3, *, model="pocket", steps=12, finished=True
):
    """Write a training's config and metrics: its accuracy rises, and its lengths fall with the seed."""
    run = RunDir(folder)
    identity = {
        "model": model,
        "design": {"name": design, **dict(params)},
        "settings": {"steps": steps, "learning_rate": learning_rate, "kl": 0.0},
        "max_tokens": 512,
        "seed": seed,
    }
    run.path.mkdir(parents=True, exist_ok=True)
    run.begin("train", identity)
    rows = [
        {
            "step": s,
            "accuracy": 0.3 + 0.03 * s,
            "length/mean": 200 - 5 * s - 10 * seed,
            "reward/total": 0.1 * s,
        }
        for s in range(1, steps + 1 if finished else steps // 2 + 1)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (run.path / "train/metrics.jsonl").write_text(text)
    if finished:
        mark_done(run.path / "train", steps=steps, design={})
    return run.path


def write_messy_root(root):
    """Write the runs of the module's docstring, and return the root."""
    seventy, many = problems_on(["pocket"], 70), problems_on(["pocket"], 210)
    write_run(root / "cli-low", seventy, POCKET_BUDGETS, speed=1.3)
    write_run(root / "free", seventy, POCKET_BUDGETS)
    for i, (name, training) in enumerate(TRAININGS.items()):
        folder = write_training(root / "training/pocket" / name, *training)
        write_run(folder / "eval", seventy, POCKET_BUDGETS, model=name, speed=1.5 + 0.2 * i)
    for name, speed in (("a-plain", 1.0), ("a-low", 1.2), ("b-high", 0.8)):
        write_run(root / "more" / name, many, POCKET_BUDGETS, speed=speed)
    two_benchmarks = problems_on(["aime24", "amc23"], 40)
    for name, speed in (("free", 1.0), ("low", 1.4)):
        write_run(root / "qwen" / name, two_benchmarks, QWEN_BUDGETS, model="Qwen/Qwen3-8B", speed=speed)
    write_run(root / "under-way", seventy, POCKET_BUDGETS, speed=1.1, shards=4, unfinished=True)
    damaged = write_run(root / "damaged", seventy, POCKET_BUDGETS, speed=0.9)
    shard = RunDir(damaged).shard("rollouts", 0)
    shard.write_bytes(shard.read_bytes()[:-100])
    lost = write_run(root / "lost", seventy, POCKET_BUDGETS, speed=0.9, shards=2)
    RunDir(lost).shard("probes", 1).unlink()
    write_training(root / "training/pocket/gdpo-seed0", "gdpo")
    write_training(root / "training/pocket/lead-seed0", "lead", {"alpha": 2.0}, finished=False)
    return root
