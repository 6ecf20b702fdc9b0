"""The frontiers that the explorer offers for a choice of runs, each with the code that gives it."""

from __future__ import annotations

from collections.abc import Callable

from effwb.analysis.benchmark_tables import published_frontier
from effwb.analysis.run_set import RunSet
from effwb.frontier import MODELS, Frontier

OF_CHOSEN = ("best of the chosen runs", "best of the chosen runs, cross-fitted")
OF_ALL = ("best of all runs", "best of all runs, cross-fitted")
FRONTIERS = (*OF_CHOSEN, *OF_ALL, "pocket", *MODELS)


def frontier_of(kind: str, chosen: RunSet, comparable: Callable[[], RunSet]) -> Frontier:
    """Return a frontier for some runs.

    Args:
        kind: One of `FRONTIERS`.
        chosen: The chosen runs.
        comparable: Gives all runs that were measured like them and can be read.
    """
    if kind == "pocket":
        return Frontier.pocket()
    if kind in MODELS:
        return published_frontier(kind, chosen)
    return (chosen if kind in OF_CHOSEN else comparable()).frontier(_method(kind))


def frontier_code(kind: str, first: str) -> str:
    """Return the expression of a frontier in a cell; "{on}" stands for the choice of a benchmark.

    Args:
        kind: One of `FRONTIERS`.
        first: Name of the first of the chosen runs.
    """
    if kind == "pocket":
        return "Frontier.pocket()"
    if kind in MODELS:
        return f"published_frontier({kind!r}, runs)"
    if kind in OF_CHOSEN:
        return f"runs.frontier({_method(kind)!r})"
    return f"all_runs.like({first!r}){{on}}.frontier({_method(kind)!r})"


def _method(kind: str) -> str:
    return "cross_fit" if kind.endswith("cross-fitted") else "max"
