"""Token budgets: grids to measure curves on, and the few budgets at which rewards are given.

The word stands for two things. A *grid* is where a curve J(L) is measured: it may contain 0 (accuracy
without any thinking), and its last point is the cap. *Reward budgets* L_1 < ... < L_N lie strictly between 0
and l_max. All rules are from "How Far Are We from Optimal Reasoning Efficiency?", arXiv 2506.07104,
sections 3 and 4, appendices E and F. The paper does not print its L_min; see `exponential`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from effwb._internal.checked import AboveZero, Positive, checked_arguments
from effwb.errors import ConfigError, DataError

if TYPE_CHECKING:
    from effwb.curves import Curve

PAPER_CAP = 16384
FINE_STEP, FINE_END, COARSE_STEP = 64, 1024, 1024


def check_budgets(budgets: ArrayLike, cap: float | None = None) -> np.ndarray:
    """Check a grid of token budgets and return it as an array.

    Args:
        budgets: Tokens, (K,): whole, at least 0 and strictly increasing. 0 means accuracy without thinking.
        cap: The largest legal budget, in tokens. None: no limit.

    Returns:
        The budgets, int (K,).

    Raises:
        ConfigError: A budget is illegal; the message names the first one.
    """
    values = _increasing(budgets)
    if (values != np.floor(values)).any():
        raise ConfigError(f"budget {values[values != np.floor(values)][0]} is not a whole number of tokens")
    if cap is not None and values[-1] > cap:
        raise ConfigError(
            f"budget {values[-1]:g} is above the cap of {cap:g} tokens; drop it or raise the cap"
        )
    return values.astype(np.int64)


def paper_grid(l_max: int = PAPER_CAP) -> np.ndarray:
    """Return the paper's grid {64 i | 0 <= i < 16} and {1024 i | 1 <= i <= l_max / 1024} (appendix F).

    Args:
        l_max: The last budget in tokens, a multiple of 1024.

    Returns:
        Tokens, int (K,): 32 points at 16384 (the grid of REG), 48 at 32768 (the published frontiers).

    Raises:
        ConfigError: `l_max` is not a multiple of 1024. `scaled_grid` takes any cap.
    """
    if l_max < COARSE_STEP or l_max % COARSE_STEP:
        raise ConfigError(
            f"l_max={l_max}: the paper's grid needs a multiple of {COARSE_STEP}; use scaled_grid({l_max})"
        )
    fine = np.arange(0, FINE_END, FINE_STEP)
    return np.concatenate([fine, np.arange(COARSE_STEP, l_max + 1, COARSE_STEP)])


def scaled_grid(cap: int) -> np.ndarray:
    """Return the paper's 16384 grid, scaled to another cap.

    For example, `scaled_grid(512)` is 0, 2, .., 30, 32, 64, .., 512.

    Args:
        cap: The last budget in tokens, at least 16: below that, even the coarse steps are under one token.

    Returns:
        Tokens, int (K,), rounded half up, without duplicates.

    Raises:
        ConfigError: `cap` is not whole or is below 16.
    """
    if cap < 16 or cap != int(cap):
        raise ConfigError(f"cap={cap}: the scaled grid needs a whole cap of at least 16 tokens")
    return np.unique(_half_up(paper_grid() * (cap / PAPER_CAP)))


@checked_arguments(n=Positive, l_min=AboveZero)
def exponential(n: int, l_min: float, l_max: float) -> np.ndarray:
    """Return N reward budgets that grow exponentially, L_i = l_min (l_max / l_min)^((i-1)/N), i = 1..N.

    Source: arXiv 2506.07104, section 4.2. The paper does not say which l_min it used. 512 of 16384 (equally,
    1024 of 32768) makes every budget a power of two and keeps the quadrature error near 1 %; 64 makes it
    about 3 %.

    Args:
        n: Number of budgets N.
        l_min: The first budget in tokens, in (0, l_max).
        l_max: The end of the range in tokens. It is not one of the budgets.

    Returns:
        Tokens, int (N,), rounded half up.

    Raises:
        ConfigError: `n` or `l_min` is illegal, or two budgets coincide after rounding.
    """
    if not 0 < l_min < l_max:
        raise ConfigError(f"l_min={l_min} must lie strictly between 0 and l_max={l_max}")
    return _whole(l_min * (l_max / l_min) ** (np.arange(n) / n), f"exponential({n}, {l_min}, {l_max})")


@checked_arguments(n=Positive)
def linear(n: int, l_max: float) -> np.ndarray:
    """Return N equally spaced reward budgets, L_i = l_max i / (N+1), i = 1..N.

    Args:
        n: Number of budgets N.
        l_max: The end of the range in tokens. It is not one of the budgets.

    Returns:
        Tokens, int (N,), rounded half up.

    Raises:
        ConfigError: `n` or `l_max` is illegal, or two budgets coincide after rounding.
    """
    return _whole(l_max * np.arange(1, n + 1) / (n + 1), f"linear({n}, {l_max})")


@checked_arguments(n=Positive)
def oracle(frontier: Curve, n: int, l_max: float) -> np.ndarray:
    """Choose N reward budgets greedily, so that their quadrature comes closest to the frontier's area.

    Step i adds the budget L' of the frontier's grid that minimises |quadrature({L_1..L_{i-1}, L'}) - area|;
    ties go to the smaller budget (arXiv 2506.07104, section 4.2).

    Args:
        frontier: The curve to integrate; its budgets strictly inside (0, l_max) are the candidates.
        n: Number of budgets N.
        l_max: The end of the area, in tokens.

    Returns:
        Tokens, int (N,), in the order chosen. Sort them before passing them to `coefficients`.

    Raises:
        ConfigError: `n` or `l_max` is illegal, or the frontier has fewer than `n` budgets inside (0, l_max).
    """
    x, y = _points(frontier, l_max)
    inside = [b for b in x if 0 < b < l_max]
    if n > len(inside):
        raise ConfigError(f"n={n}: the frontier has only {len(inside)} budgets strictly inside (0, {l_max})")
    area = float(trapezoid_weights(x) @ y)
    chosen: list[float] = []
    for _ in range(n):
        candidates = [b for b in inside if b not in chosen]
        chosen.append(min(candidates, key=lambda b: abs(quadrature(frontier, [*chosen, b], l_max) - area)))
    return np.array(chosen, dtype=np.int64)


def coefficients(budgets: ArrayLike, l_max: float) -> np.ndarray:
    """Return the weights c_i of the verdicts at N reward budgets and at l_max (the full response).

    c_i = (L_{i+1} - L_{i-1}) / 2 with L_0 = 0 and L_{N+1} = l_max; the last is (l_max - L_N) / 2. They sum to
    l_max - L_1 / 2, because the J(0) term of equation 8 is dropped: thinking cannot change it (appendix E).

    Args:
        budgets: Reward budgets in tokens, (N,), increasing, strictly inside (0, l_max).
        l_max: The length of the full response, in tokens.

    Returns:
        Weights in tokens, float (N+1,).

    Raises:
        ConfigError: A budget does not lie strictly inside (0, l_max), or they do not increase.
    """
    values = _increasing(budgets)
    outside = values[(values <= 0) | (values >= l_max)]
    if outside.size:
        raise ConfigError(
            f"budget {outside[0]:g} is not strictly inside (0, {l_max:g}), as a reward budget must be"
        )
    return trapezoid_weights(np.concatenate([[0.0], values, [l_max]]))[1:]


def trapezoid_weights(budgets: ArrayLike) -> np.ndarray:
    """Return the weights w such that `w @ accuracy` is the area by the trapezoid rule.

    Args:
        budgets: Tokens, (K,), increasing; at least two.

    Returns:
        Weights in tokens, float (K,).

    Raises:
        ConfigError: There are fewer than two budgets, or they do not increase.
    """
    values = _increasing(budgets)
    if values.size < 2:
        raise ConfigError(f"an area needs two budgets, got only {values[0]:g}")
    half = np.diff(values) / 2
    return np.concatenate([half, [0.0]]) + np.concatenate([[0.0], half])


def quadrature(curve: Curve, budgets: Iterable[float], l_max: float) -> float:
    """Approximate the area under a curve from its values at 0, `budgets` and l_max (equation 8).

    A budget between two points of the curve's grid is interpolated linearly: exponential(5, 512, 16384) lies
    on the paper's grid, exponential(5, 64, 16384) does not.

    Args:
        curve: The curve; `.budgets` must start at 0 and reach l_max.
        budgets: Tokens, in any order; 0 and l_max may be among them.
        l_max: The end of the area, in tokens.

    Returns:
        The area on [0, l_max], accuracy x tokens.

    Raises:
        ConfigError: A budget is above l_max, or l_max is outside the curve.
        DataError: The curve does not start at budget 0.
    """
    x, y = _points(curve, l_max)
    values = _increasing(sorted(budgets))
    if values[-1] > l_max:
        raise ConfigError(f"budget {values[-1]:g} is above l_max={l_max:g}")
    nodes = np.union1d(values, [0.0, l_max])
    return float(trapezoid_weights(nodes) @ np.interp(nodes, x, y))


def _points(curve: Curve, l_max: float) -> tuple[np.ndarray, np.ndarray]:
    """The curve's points on [0, l_max]; the last one is interpolated if l_max is not on the grid."""
    x, y = np.asarray(curve.budgets, dtype=float), np.asarray(curve.accuracy, dtype=float)
    if x[0] != 0:
        raise DataError(f"the curve starts at budget {x[0]:g}; an area from 0 needs the accuracy at budget 0")
    if not 0 < l_max <= x[-1]:
        raise ConfigError(f"l_max={l_max} is outside the curve's budgets (0, {x[-1]:g}]")
    below = x < l_max
    return np.append(x[below], l_max), np.append(y[below], np.interp(l_max, x, y))


def _increasing(budgets: ArrayLike) -> np.ndarray:
    """Budgets as floats, checked to be non-empty, finite, not negative and strictly increasing."""
    try:
        values = np.asarray(budgets, dtype=float)
    except (TypeError, ValueError):
        raise ConfigError(f"budgets must be numbers of tokens, got {budgets!r}") from None
    if values.ndim != 1 or values.size == 0:
        raise ConfigError(f"budgets must be a non-empty list of token counts, got {budgets!r}")
    if not np.isfinite(values).all():
        raise ConfigError(f"budget {values[~np.isfinite(values)][0]} is not a finite number of tokens")
    if (values < 0).any():
        raise ConfigError(f"budget {values[values < 0][0]:g} is negative")
    step = np.diff(values)
    if (step == 0).any():
        raise ConfigError(f"budget {values[1:][step == 0][0]:g} occurs twice")
    if (step < 0).any():
        at = int(np.argmax(step < 0))
        raise ConfigError(f"budgets must increase: {values[at + 1]:g} comes after {values[at]:g}; sort them")
    return values


def _half_up(values: np.ndarray) -> np.ndarray:
    return np.floor(values + 0.5).astype(np.int64)


def _whole(values: np.ndarray, call: str) -> np.ndarray:
    """Budgets rounded to whole tokens; an error if two of them coincide then, or the first becomes 0."""
    budgets = _half_up(values)
    if budgets[0] < 1 or (np.diff(budgets) == 0).any():
        raise ConfigError(
            f"{call} gives {budgets.tolist()}: rounded to whole tokens they coincide; use a smaller n"
        )
    return budgets
