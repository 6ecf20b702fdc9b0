"""The figures of each paper from whatever runs exist: which methods belong to it, and what is drawn of them.

A method is a point of `effwb.training.points`, its seeds the runs `<name>-seed<k>` below one directory.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from effwb.analysis.run_set import RunSet
from effwb.errors import DataError, one_of
from effwb.frontier import Frontier, pooled_seeds, reg_changes

SEED = re.compile(r"(.*)-seed(\d+)$")
MOST = 7  # methods in one picture: as many as there are colours


@dataclass(frozen=True)
class Paper:
    """`methods` are regular expressions of their names; `base` and `vanilla` are drawn with all papers.
    `notebook` makes the runs.
    """

    title: str
    arxiv: str
    methods: tuple[str, ...]
    notebook: str


PAPERS = {
    "reo-rl": Paper(
        "How Far Are We from Optimal Reasoning Efficiency?",
        "2506.07104",
        ("reo_rl.*", "token_budget_cap=.*"),
        "20_reo_rl",
    ),
    "train-to-reason-efficiently": Paper(
        "Training Language Models to Reason Efficiently",
        "2502.04463",
        ("length_group_norm_alpha=.*",),
        "11_train_to_reason_efficiently",
    ),
    "lapo": Paper(
        "LAPO: Internalizing Reasoning Efficiency via Length-Adaptive Policy Optimization",
        "2507.15758",
        ("lapo_.*", "vanilla_after_vanilla"),
        "30_lapo",
    ),
    "lead": Paper("LEAD", "2605.09806", ("lead.*", "laser_target=.*"), "31_lead"),
    "art": Paper(
        "The Art of Efficient Reasoning",
        "2602.20945",
        ("truncation_target=.*", "dler_target=.*"),
        "15_laser_dler_gdpo",
    ),
}
ALWAYS = ("base", "vanilla")


def methods_of(store: RunSet) -> dict[str, dict[int, str]]:
    """The runs of a store by method and seed; a run that is not called after a seed is its own method."""
    found: dict[str, dict[int, str]] = {}
    for name in store.names:
        match = SEED.fullmatch(name)
        method, seed = (match[1], int(match[2])) if match else (name, 0)
        found.setdefault(method, {})[seed] = name
    return found


def runs_of(paper: str, store: RunSet) -> dict[str, list[str]]:
    """The runs of a paper's methods that are in a store, by seed, at most 7 methods; `base` and `vanilla`
    come first. {} where no other method has any.
    """
    one_of("paper", paper, PAPERS)
    methods = methods_of(store)
    own = [m for m in methods if any(re.fullmatch(p, m) for p in PAPERS[paper].methods)]
    if not own:
        return {}
    chosen = [*(m for m in ALWAYS if m in methods), *own][:MOST]
    return {method: [methods[method][seed] for seed in sorted(methods[method])] for method in chosen}


def figures_of(store: RunSet, runs: Mapping[str, list[str]], frontier: Frontier) -> dict[str, tuple]:
    """Name -> (figure, DataFrame) for the methods of a paper (`runs_of`): `curves` against a frontier, seeds
    averaged; `accuracy-tokens`, a point a seed, with lines of equal AES where there is a base; `lengths` by
    level of difficulty, of the first seed; `reg`, the table of the paper as numbers (no figure: None).

    Raises DataError where the runs were not measured alike.
    """
    import pandas as pd

    from effwb import plots

    if not runs:
        raise DataError("there are no runs to draw")
    chosen = store.chosen([name for names in runs.values() for name in names])
    seeds = {method: [chosen[name].curve for name in names] for method, names in runs.items()}
    pooled = {method: pooled_seeds(method, curves) for method, curves in seeds.items()}
    l_max = int(min(frontier.budgets[-1], *(c.budgets[-1] for c in pooled.values())))
    reference = next(method for method in ("vanilla", "base", *runs) if method in runs)
    points = pd.DataFrame([_point(m, chosen[n]) for m, names in runs.items() for n in names])
    aes = {"iso_aes": (0.0, 0.5, 1.0), "base": "base"} if "base" in runs else {}
    curves = plots.curve_figure(pooled, frontier, l_max=l_max, bands=list(pooled)[-1:])
    found = {
        "curves": (curves, pd.concat([curve.table() for curve in (*pooled.values(), frontier)])),
        "accuracy-tokens": (plots.tradeoff_figure(points, **aes), points),
        "reg": (None, reg_changes(frontier, seeds, reference, l_max)),
    }
    firsts = {method: chosen[names[0]] for method, names in runs.items()}
    levels = next(iter(firsts.values())).levels
    if levels is not None:
        tables = {method: one.rollouts for method, one in firsts.items()}
        found["lengths"] = (plots.level_figure(tables, levels), _by_level(tables, levels))
    return found


def _by_level(tables: Mapping, levels: Mapping[str, int]):
    import pandas as pd

    rows = pd.concat(tables, names=["method"])
    level = rows["problem_id"].astype(str).map(levels).rename("level")
    return rows.groupby(["method", level])["length"].mean().rename("mean length").reset_index()


def _point(method: str, one) -> dict:
    found = one.summary()
    return {"name": method, **{k: found[k] for k in ("accuracy", "low", "high", "mean length", "truncated")}}
