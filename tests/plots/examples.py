"""Small tables for the tests of the figures, and helpers to read a figure."""

import numpy as np
import pandas as pd

PHASES = ("sample", "grade", "probe", "train", "other")


def run_metrics(steps=20, seed=0):
    rng = np.random.default_rng(seed)
    step = np.arange(1, steps + 1)
    table = pd.DataFrame({"step": step, "stage": np.where(step <= steps // 2, 1, 2)})
    for name in ("accuracy", "truncated", "zero_variance", "entropy", "kl", "reward/total", "reward/length"):
        table[name] = rng.random(steps)
    for name, scale in (("mean", 200), ("correct", 150), ("wrong", 300)):
        table[f"length/{name}"] = scale * rng.uniform(0.8, 1.2, steps)
    for phase in PHASES:
        table[f"time/{phase}"] = rng.random(steps)
    table["probe/64"] = np.where(step % 5 == 0, 0.3, np.nan)
    return table.assign(grad_norm=rng.random(steps), loss=rng.normal(size=steps))


def reward_rows():
    """Four groups of four: all right, all wrong, mixed but equally paid, mixed and paid by length."""
    total = [[1, 1, 1, 1], [0, 0, 0, 0], [0.5] * 4, [1, 0.8, 0, 0]]
    correct = [[1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0]]
    table = pd.DataFrame({"problem_id": np.repeat(["a", "b", "c", "d"], 4), "length": np.arange(10, 170, 10)})
    table["correct"], table["total"] = np.ravel(correct).astype(bool), np.ravel(total)
    table["finished"] = table["length"] < 160
    return table.assign(**{"reward/length": 0.25})


def method_rows():
    table = pd.DataFrame(
        [("base", 0.6, 400), ("kimi a", 0.6, 200), ("kimi b", 0.5, 100), ("alp", 0.66, 300)],
        columns=["name", "accuracy", "mean length"],
    )
    return table.assign(family=[None, "kimi", "kimi", None], parameter=[None, "w = 1", "w = 2", None])


def reg_rows():
    """Two methods on two benchmarks and their average, as `RunSet.reg_changes` gives them."""
    rows = [
        (name, benchmark, 1, accuracy, tokens, reg, reg - 5, reg + 5)
        for name, tokens, accuracy, reg in (("base", 400.0, 0.80, 24.0), ("reo_rl", 200.0, 0.82, 9.0))
        for benchmark in ("aime24", "amc23", "average")
    ]
    columns = ["name", "benchmark", "seeds", "J(512)", "mean tokens", "REG", "REG low", "REG high"]
    return pd.DataFrame(rows, columns=columns)


def hint_rows():
    asked = np.repeat([64, 128, 256], 20)
    length = asked + np.tile(np.arange(-10, 10), 3)
    people = {"asked": asked, "length": length, "correct": np.tile([1, 0, 1, 1], 15)}
    return pd.DataFrame(people | {"problem_id": np.tile(np.arange(10), 6)})


def line_named(fig, legend):
    return next(t for t in fig.data if t.name == legend and t.hovertemplate)


def axis_titles(fig, axis):
    """Axis titles by their position in the layout."""
    return [
        a["title"]["text"] for k, a in fig.to_dict()["layout"].items() if k.startswith(axis) and "title" in a
    ]
