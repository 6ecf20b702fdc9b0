"""Which of many runs can be compared, why the others cannot, and which frontiers belong to them."""

from __future__ import annotations

import json

import numpy as np

from effwb._internal.benchmarks import POOLED
from effwb.analysis.finished import DIGEST, group_alike
from effwb.analysis.run_root import base_model
from effwb.analysis.run_set import RunSet
from effwb.errors import EffwbError
from effwb.frontier import BENCHMARKS, MODELS, Frontier

POCKET = "pocket"


def readable_runs(runs: RunSet) -> tuple[RunSet, dict[str, str]]:
    """Split runs into those whose settings and problems can be read, and the others with the reason."""
    reasons = {}
    for name in runs.names:
        try:
            runs.measure(name)
        except EffwbError as error:
            reasons[name] = str(error)
    return runs.filter(names=[name for name in runs.names if name not in reasons]), reasons


def sets_alike(runs: RunSet) -> list[RunSet]:
    """The sets of runs that were measured alike, the largest first; of equal ones the first in the list."""
    sets = group_alike({name: runs.measure(name) for name in runs.names}).values()
    return [runs.filter(names=names) for names in sorted(sets, key=len, reverse=True)]


def measured_on(runs: RunSet) -> str:
    """Say in words on how many problems and at which budgets runs were measured."""
    measure = json.loads(runs.measure(runs.names[0]))
    problems, budgets = (DIGEST.sub("", measure[key]) for key in ("problems", "budgets"))
    return f"{problems} problems, {budgets.replace(' from 0 to ', ' budgets to ')}"


def why_not_comparable(runs: RunSet, name: str, reference: str) -> str:
    """Say in words in what a run was measured differently from another one.

    Args:
        runs: A set with both.
        name: The run that cannot be compared.
        reference: The run that it is compared with.
    """
    own, other = (json.loads(runs.measure(run)) for run in (name, reference))
    parts = []
    for key, value in own.items():
        if value == other[key]:
            continue
        words, expected = (DIGEST.sub("", text) for text in (value, other[key]))
        same = words == expected
        parts.append(f"other {key} ({words} as well)" if same else f"{key}: {words} instead of {expected}")
    return "; ".join(parts)


def frontiers_refused(runs: RunSet) -> dict[str, str]:
    """Say which of the frontiers that come with effwb do not belong to some runs.

    Args:
        runs: The runs, on one benchmark or several, measured alike.

    Returns:
        The reason by the name of the frontier: another model, other benchmarks, or another scale. A frontier
        that is not in it may be compared with the runs.
    """
    models = {name: base_model(runs.run_dir(name)) for name in runs.names}
    first = runs.curve(runs.names[0])
    reasons = {}
    for frontier in (POCKET, *MODELS):
        others = {name: model for name, model in models.items() if model_key(model) != frontier}
        if others:
            name, model = next(iter(others.items()))
            reasons[frontier] = f"it belongs to another model: {name} starts from {model}"
            continue
        problems = _wrong_problems(frontier, first.benchmarks, first.benchmark)
        if reason := problems or _wrong_scale(frontier, first.budgets):
            reasons[frontier] = reason
    return reasons


def model_key(model: str) -> str:
    """The name of a base model as published frontiers spell it.

    >>> model_key("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B")
    'r1-distill-qwen-7b'
    """
    return model.lower().rpartition("/")[2].removeprefix("deepseek-")


def _wrong_problems(frontier: str, benchmarks: tuple[str, ...], benchmark: str) -> str | None:
    legal = (POCKET,) if frontier == POCKET else BENCHMARKS[:-1]
    if not benchmarks or not set(benchmarks) <= set(legal):
        own = ", ".join(benchmarks) or "problems of no known benchmark"
        return f"it is of {', '.join(legal)}; these runs are on {own}"
    if benchmark == POOLED:
        return "it is known for each benchmark and their average, not for their pool"
    return None


def _wrong_scale(frontier: str, budgets: np.ndarray) -> str | None:
    """Published frontiers are at the paper's budgets; the pocket one may be interpolated up to its last."""
    if frontier == POCKET:
        last = int(Frontier.pocket().budgets[-1])
        too_long = budgets[-1] > last
        return f"it ends at {last:,} tokens; these runs at {budgets[-1]:,}" if too_long else None
    published = Frontier.published(frontier).budgets
    if np.array_equal(published[published <= budgets[-1]], budgets):
        return None
    return (
        f"its budgets are those of the paper, 0, 64, 128 ... to {published[-1]:,} tokens; these runs have "
        f"{len(budgets)} from {budgets[0]:,} to {budgets[-1]:,}"
    )
