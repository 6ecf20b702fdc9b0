"""Small tables for the tests of the figures, and helpers to read a figure."""

import numpy as np
import pandas as pd

from effwb import plots
from effwb.curves import BudgetCurve
from effwb.frontier import Frontier

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


def parameter_rows():
    """A method without the parameter, and three values of it, one seed each."""
    rows = [("vanilla", np.nan, 0.80, 180.0), ("length_group_norm alpha=0.05", 0.05, 0.79, 120.0)]
    rows += [
        ("length_group_norm alpha=0.1", 0.1, 0.78, 90.0),
        ("length_group_norm alpha=0.4", 0.4, 0.7, 60.0),
    ]
    table = pd.DataFrame(rows, columns=["name", "alpha", "accuracy", "mean length"])
    return table.assign(low=table["accuracy"] - 0.05, high=table["accuracy"] + 0.05, seed=0)


# ------------------------------------------------------------------------- figures whose lines are methods
BUDGETS = [0, 8, 16, 32, 64, 128]


def curve_of(number):
    """A rising curve of six problems, another one for each number."""
    skill = np.linspace(0.3, 0.9, 6)[:, None] - 0.01 * number
    per_problem = np.clip(skill * (1 - np.exp(-(np.array(BUDGETS) + 4) / 40)), 0, 1)
    return BudgetCurve(BUDGETS, per_problem.mean(axis=0), per_problem, mean_tokens=50.0)


def _curves(names):
    return {name: curve_of(i) for i, name in enumerate(names)}


def _frontier_of(names):
    """A frontier with as many budgets as names, each owned by one of them."""
    budgets = np.arange(1, len(names) + 1)
    return Frontier(budgets, np.linspace(0.1, 0.9, len(names)), owner=tuple(names))


def _table(names):
    x = np.linspace(50, 400, len(names))
    return pd.DataFrame({"name": names, "accuracy": 0.5, "mean length": x, "J(512)": 0.5}).assign(
        **{"mean tokens": x, "REG": x}
    )


def _lengths(names):
    return {name: pd.DataFrame({"problem_id": ["a", "b"], "length": [50, 70]}) for name in names}


def _metrics(names):
    table = pd.DataFrame({"step": [1, 2, 3], "accuracy": [0.1, 0.2, 0.3], "state/weight": [0.1, 0.2, 0.3]})
    return dict.fromkeys(names, table)


def _published(names):
    table = pd.DataFrame({"model": "m", "method": names, "accuracy": 50.0, "length": 100.0})
    return table.assign(reg=np.arange(len(names)) + 1.0)


METHOD_FIGURES = {  # of the names of methods: a figure of each kind that draws methods
    "curves": lambda names: plots.curve_figure(_curves(names), curve_of(0), bands=[]),
    "curves, linear": lambda names: plots.curve_figure(_curves(names), bands=[], axis="linear"),
    "frontiers": lambda names: plots.frontier_figure(_curves(names)),
    "owners": lambda names: plots.owner_figure(_frontier_of(names), most=len(names)),
    "benchmarks": lambda names: plots.benchmark_figure({"aime24": _curves(names)}, bands=[]),
    "tradeoff": lambda names: plots.tradeoff_figure(_table(names)),
    "reg tradeoff": lambda names: plots.reg_tradeoff_figure(_table(names)),
    "parameter": lambda names: plots.parameter_figure(
        _table(names).assign(alpha=[1.0, *[np.nan] * (len(names) - 1)], family=names), "alpha"
    ),
    "levels": lambda names: plots.level_figure(_lengths(names), {"a": 1, "b": 2}),
    "training": lambda names: plots.training_figure(_metrics(names)),
    "state": lambda names: plots.state_figure(_metrics(names)),
    "published": lambda names: plots.reg_figure(_published(names), labels=tuple(names)),
}


def looks(fig, names):
    """The (colour, marker, dash) of each name in a figure of `METHOD_FIGURES`."""
    styles = {}
    for trace in fig.data:
        if trace.text is not None and isinstance(trace.marker.color, tuple):  # a colour per marker
            colours_and_symbols = zip(trace.marker.color, trace.marker.symbol, strict=True)
            styles |= dict(zip(trace.text, ((*pair, None) for pair in colours_and_symbols), strict=True))
            continue
        name = next((n for n in names if trace.name in (n, f"{n} (1)")), None)
        if name is not None and name not in styles:
            styles[name] = (trace.line.color or trace.marker.color, trace.marker.symbol, trace.line.dash)
    return styles
