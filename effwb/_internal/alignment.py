"""Checks that two curves can be compared: the same budgets, problems and benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from effwb._internal.benchmarks import AVERAGE, POOLED
from effwb.errors import ConfigError, DataError

if TYPE_CHECKING:
    from effwb.curves import Curve


def aligned(a: Curve, b: Curve, l_max: float, interpolate: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read two curves on one grid that reaches l_max.

    Args:
        a: A curve.
        b: Another one, with the same budgets up to l_max.
        l_max: Where both are compared up to, in tokens.
        interpolate: Use the union of both grids, so that the budgets may differ.

    Returns:
        Budgets, and the accuracy of `a` and of `b` at each.

    Raises:
        ConfigError: A curve ends before l_max.
        DataError: The budgets differ and `interpolate` is False.
    """
    for curve, name in ((a, "first"), (b, "second")):
        if l_max > curve.budgets[-1]:
            raise ConfigError(
                f"l_max={l_max} is beyond the last budget {curve.budgets[-1]} of the {name} curve; "
                f"pass l_max={min(a.budgets[-1], b.budgets[-1])} or measure further"
            )
    if not interpolate:
        check_same_grid(a, b, l_max)
        n = int(np.searchsorted(a.budgets, l_max)) + 1
        return a.budgets[:n], a.accuracy[:n], b.accuracy[:n]
    x = np.union1d(a.budgets, b.budgets)
    x = x[(x >= max(a.budgets[0], b.budgets[0])) & (x <= min(a.budgets[-1], b.budgets[-1]))]
    return x, a.at(x), b.at(x)


def check_same_grid(a: Curve, b: Curve, l_max: float | None = None) -> None:
    """Raise `DataError` unless the budgets are equal (up to the first one at or beyond l_max)."""
    x, y = (
        c.budgets if l_max is None else c.budgets[: np.searchsorted(c.budgets, l_max) + 1] for c in (a, b)
    )
    if not np.array_equal(x, y):
        only_x, only_y = np.setdiff1d(x, y)[:5].tolist(), np.setdiff1d(y, x)[:5].tolist()
        raise DataError(
            f"the curves have different budgets: only in the first {only_x}, only in the second {only_y} "
            "(first five each); measure both on one grid"
            + ("" if l_max is None else ", or pass interpolate=True where it is offered")
        )


def check_same_problems(a: Curve, b: Curve) -> None:
    """Raise `DataError` if both curves know their problems and these differ."""
    tables = [getattr(c, "per_problem", None) for c in (a, b)]
    sizes = [len(table) for table in tables if table is not None]
    if len(set(sizes)) > 1:
        raise DataError(
            f"the two curves have {sizes[0]} and {sizes[1]} problems; measure both on the same ones"
        )
    ids_a, ids_b = getattr(a, "problem_ids", None), getattr(b, "problem_ids", None)
    if ids_a is not None and ids_b is not None and not np.array_equal(ids_a, ids_b):
        differ = np.setxor1d(ids_a.astype(str), ids_b.astype(str))
        reason = (
            f"{differ.size} are in one only, such as {differ[0]}" if differ.size else "their order differs"
        )
        raise DataError(f"the two curves are not on the same problems: {reason}")


def check_same_average(a: Curve, b: Curve) -> None:
    """Raise `DataError` if one curve is an average over benchmarks and the other one is not."""
    if (a.benchmark == AVERAGE) != (b.benchmark == AVERAGE):
        raise DataError(
            "one curve is the average over benchmarks, in the other all problems count equally; "
            "average both with effwb.frontier.macro_average({benchmark: curve})"
        )


def check_same_benchmarks(frontier: Curve, curve: Curve) -> None:
    """Raise `DataError` if both know their benchmarks and a gap between them would mean nothing.

    A curve of one benchmark that an average frontier does not contain is let through, as is a curve or a
    frontier that does not know its benchmarks.
    """
    best, own = frontier.benchmarks, curve.benchmarks
    if frontier.benchmark == AVERAGE and curve.benchmark == POOLED:
        raise DataError(
            f"the curve counts all problems of {', '.join(own)} equally (pooled), but the frontier is an "
            "average over benchmarks; compare it with the average of the curves, "
            "effwb.frontier.macro_average({benchmark: curve}), or call effwb.frontier.macro_reg"
        )
    if {frontier.benchmark, curve.benchmark} == {AVERAGE, POOLED}:
        check_same_average(frontier, curve)
    elsewhere = frontier.benchmark == AVERAGE and len(own) == 1 and own[0] not in best
    if not best or not own or best == own or elsewhere:
        return
    example = f'"{own[0]}"' if len(own) == 1 else f"({', '.join(map(repr, own))})"
    raise DataError(
        f"the curve is of {_name(own)}, the frontier is of {_name(best)}; choose the frontier of the same "
        f"benchmarks: Frontier.published(model, {example}), or Frontier.on of an average frontier"
    )


def _name(benchmarks: tuple[str, ...]) -> str:
    return benchmarks[0] if len(benchmarks) == 1 else f"several benchmarks ({', '.join(benchmarks)})"
