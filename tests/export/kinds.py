"""One figure of every kind, as full as notebooks draw them: several methods, intervals, long names."""

import numpy as np
import pandas as pd

from effwb import plots
from effwb.analysis.published import published_reg_table
from effwb.budgets import exponential, oracle, scaled_grid
from effwb.curves import BudgetCurve
from effwb.frontier import Frontier
from tests.plots.examples import hint_rows, method_rows, parameter_rows, reg_rows, reward_rows, run_metrics

GRID = scaled_grid(512)
METHODS = ("base", "vanilla", "reo_rl", "lead", "kimi weight=0.5", "length_group_norm alpha=0.1")
MODELS = ("qwen3-4b", "qwen3-8b", "r1-distill-qwen-1.5b", "r1-distill-qwen-7b")


def curves(methods=METHODS, benchmark=""):
    drawn = {}
    for i, name in enumerate(methods):
        skill = np.random.default_rng(i).uniform(0.2, 0.9, (30, 1)) * (
            1 - np.exp(-(GRID + 4) / (40 + 20 * i))
        )
        drawn[name] = BudgetCurve(
            GRID, skill.mean(axis=0), skill, n_samples=np.full(30, 4), mean_tokens=123.4, name=name
        )
    return drawn


def frontier(methods=METHODS):
    return Frontier.from_curves(curves(methods))


def rollouts(seed=0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"length": rng.integers(10, 500, 400), "problem_id": np.arange(400) % 70})
    table["verdict"] = rng.choice(["correct", "wrong", "unparsed"], 400)
    return table.assign(finish_reason="stop")


def tradeoff_rows():
    rng = np.random.default_rng(0)
    rows = [
        (f"{family} {n}", family, f"{n:g}", 0.5 + 0.3 * rng.random(), 100 + 400 * rng.random())
        for family in METHODS[1:]
        for n in (0.1, 0.2, 0.4)
    ]
    table = pd.DataFrame(rows, columns=["name", "family", "parameter", "accuracy", "mean length"])
    return table.assign(low=table["accuracy"] - 0.03, high=table["accuracy"] + 0.03)


def reg_changes():
    table = pd.concat([reg_rows().assign(name=name) for name in METHODS], ignore_index=True)
    noise = np.random.default_rng(0).uniform(-8, 8, len(table))
    numbers = {name: table[name] + noise for name in ("REG", "REG low", "REG high")}
    return table.assign(**numbers, **{"mean tokens": table["mean tokens"] + 9 * noise})


def shapes():
    rows = [
        (panel, line, n, n / 64)
        for panel in ("token budget 64", "length group norm 0.2", "LEAD, sigma 0.3")
        for line in ("right", "wrong", "truncated")
        for n in (16, 32, 64, 128, 256, 512)
    ]
    return pd.DataFrame(rows, columns=["panel", "line", "length", "reward"])


def states():
    names = ("weight/accuracy", "weight/length", "target/mean tokens", "gradient norm")
    return run_metrics().assign(**{f"state/{name}": np.linspace(0.1, 0.9, 20) for name in names})


def quadrature_errors():
    rows = [
        (model, scheme, n, 20 / n**2 * (-1) ** n)
        for model in MODELS
        for scheme in ("exponential", "linear", "oracle (greedy)")
        for n in range(1, 16)
    ]
    return pd.DataFrame(rows, columns=["model", "scheme", "n", "error_pct"])


def two_runs():
    return {"vanilla, seed 0": run_metrics(), "length_group_norm alpha=0.1, seed 0": run_metrics(seed=1)}


def oracle_budgets():
    picks = {model: oracle(Frontier.published(model), 5, 16384) for model in MODELS}
    return picks, {"exponential": exponential(5, 512, 16384), "linear": np.arange(1, 6) * 2730}


def level_of_each():
    return {n: n % 7 + 1 for n in range(70)}


KINDS = {
    "benchmark_figure": lambda title: plots.benchmark_figure(
        {b: curves() for b in ("aime24", "amc23", "average")},
        {b: frontier() for b in ("aime24", "amc23", "average")},
        bands=["lead"],
        title=title,
    ),
    "curve_figure": lambda title: plots.curve_figure(
        curves(), frontier(), shade="base", bands=["base"], title=title
    ),
    "curve_figure, linear": lambda title: plots.curve_figure(
        curves(), frontier(), shade="base", bands=["base"], title=title, axis="linear"
    ),
    "frontier_figure": lambda title: plots.frontier_figure(
        {model: Frontier.published(model) for model in MODELS}, l_max=16384, title=title
    ),
    "hint_figure": lambda title: plots.hint_figure(hint_rows(), title=title),
    "length_figure": lambda title: plots.length_figure(rollouts(), title=title),
    "level_figure": lambda title: plots.level_figure(
        {name: rollouts(i) for i, name in enumerate(METHODS)}, level_of_each(), title=title
    ),
    "loss_figure": lambda title: plots.loss_figure(4 / np.sqrt(np.arange(1, 900)), title=title),
    "oracle_figure": lambda title: plots.oracle_figure(*oracle_budgets(), title=title),
    "owner_figure": lambda title: plots.owner_figure(frontier(), title=title),
    "parameter_figure": lambda title: plots.parameter_figure(parameter_rows(), "alpha", title=title),
    "quadrature_figure": lambda title: plots.quadrature_figure(quadrature_errors(), title=title),
    "question_budget_figure": lambda title: plots.question_budget_figure(
        pd.DataFrame({"budget": np.arange(8, 508, 5), "level": np.arange(100) % 7 + 1}), 512, title=title
    ),
    "reg_figure": lambda title: plots.reg_figure(
        published_reg_table().query("benchmark == 'average'"), labels=("REO-RL (Exp)", "vanilla"), title=title
    ),
    "reg_tradeoff_figure": lambda title: plots.reg_tradeoff_figure(reg_changes(), title=title),
    "reward_figure": lambda title: plots.reward_figure(reward_rows(), title=title),
    "shape_figure": lambda title: plots.shape_figure(shapes(), title=title),
    "state_figure": lambda title: plots.state_figure(states(), title=title),
    "tradeoff_figure": lambda title: plots.tradeoff_figure(tradeoff_rows(), title=title),
    "tradeoff_figure, few": lambda title: plots.tradeoff_figure(
        method_rows(), iso_aes=(0, 0.5), base="base", title=title
    ),
    "training_figure": lambda title: plots.training_figure(run_metrics(), title=title),
    "training_figure, two runs": lambda title: plots.training_figure(two_runs(), title=title),
}
