"""Token budgets: the grids that curves are measured on, and the few budgets that rewards are given at.

Two different things share the word. A *grid* is where a curve J(L) is measured: it may hold 0 (accuracy
without any thinking) and its last point is the cap. *Reward budgets* L_1 < ... < L_N lie strictly between 0
and l_max. Source of all rules: "How Far Are We from Optimal Reasoning Efficiency?", arXiv 2506.07104,
sections 3 and 4, appendices E and F. The paper does not print its L_min; see `exponential`.
"""

import numpy as np

from effwb.errors import ConfigError, DataError

PAPER_CAP = 16384
FINE_STEP, FINE_END, COARSE_STEP = 64, 1024, 1024


def check_budgets(budgets, cap: float | None = None) -> np.ndarray:
    """Return `budgets` as an int array (K,); they must be whole, >= 0, strictly increasing and at most `cap`.

    Raises ConfigError naming the first offending value. Budget 0 is legal: accuracy without thinking.
    """
    values = _increasing(budgets)
    if (values != np.floor(values)).any():
        raise ConfigError(f"budget {values[values != np.floor(values)][0]} is not a whole number of tokens")
    if cap is not None and values[-1] > cap:
        raise ConfigError(
            f"budget {values[-1]:g} is above the cap of {cap:g} tokens; drop it or raise the cap"
        )
    return values.astype(np.int64)


def _increasing(budgets) -> np.ndarray:
    """Budgets as floats, checked to be a non-empty, finite, non-negative, strictly increasing list."""
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


def paper_grid(l_max: int = PAPER_CAP) -> np.ndarray:
    """The grid of appendix F, int (K,): {64 i | 0 <= i < 16} and {1024 i | 1 <= i <= l_max / 1024}.

    32 points at 16384 (the grid of REG), 48 at 32768 (the published frontiers).
    """
    if l_max < COARSE_STEP or l_max % COARSE_STEP:
        raise ConfigError(
            f"l_max={l_max}: the paper's grid needs a multiple of {COARSE_STEP}; use scaled_grid({l_max})"
        )
    fine = np.arange(0, FINE_END, FINE_STEP)
    return np.concatenate([fine, np.arange(COARSE_STEP, l_max + 1, COARSE_STEP)])


def scaled_grid(cap: int) -> np.ndarray:
    """The paper's 16384 grid shrunk (or stretched) to `cap`, int (K,), rounded half up, duplicates dropped.

    scaled_grid(512) is 0, 2, .., 30, 32, 64, .., 512. Raises ConfigError below 16 tokens, where even the
    coarse steps would be less than one token.
    """
    if cap < 16 or cap != int(cap):
        raise ConfigError(f"cap={cap}: the scaled grid needs a whole cap of at least 16 tokens")
    return np.unique(_half_up(paper_grid() * (cap / PAPER_CAP)))


def exponential(n: int, l_min: float, l_max: float) -> np.ndarray:
    """N reward budgets L_i = l_min (l_max / l_min)^((i-1)/N), i = 1..N, int (N,), rounded half up.

    l_max itself is not among them. Arxiv 2506.07104, section 4.2. The paper never says which l_min it used:
    512 of 16384 (equally 1024 of 32768) makes every budget a power of two and keeps the quadrature error near
    1 %; 64 makes it about 3 %.
    """
    _check_count(n)
    if not 0 < l_min < l_max:
        raise ConfigError(f"l_min={l_min} must lie strictly between 0 and l_max={l_max}")
    return _whole(l_min * (l_max / l_min) ** (np.arange(n) / n), f"exponential({n}, {l_min}, {l_max})")


def linear(n: int, l_max: float) -> np.ndarray:
    """N equally spaced reward budgets L_i = l_max i / (N+1), i = 1..N, int (N,), rounded half up."""
    _check_count(n)
    if not l_max > 0:
        raise ConfigError(f"l_max={l_max} must be positive")
    return _whole(l_max * np.arange(1, n + 1) / (n + 1), f"linear({n}, {l_max})")


def oracle(frontier, n: int, l_max: float) -> np.ndarray:
    """N reward budgets, chosen greedily to integrate the frontier best, int (N,), in the order chosen.

    Step i adds the budget L' of the frontier's own grid, strictly inside (0, l_max), that minimises
    |quadrature({L_1..L_{i-1}, L'}) - area|; ties go to the smaller budget. Section 4.2. Sort the result
    before `coefficients`. Raises ConfigError when fewer than `n` budgets lie inside.
    """
    _check_count(n)
    x, y = _points(frontier, l_max)
    inside = [b for b in x if 0 < b < l_max]
    if n > len(inside):
        raise ConfigError(f"n={n}: the frontier has only {len(inside)} budgets strictly inside (0, {l_max})")
    area, chosen = float(trapezoid_weights(x) @ y), []
    for _ in range(n):
        left = [b for b in inside if b not in chosen]
        chosen.append(min(left, key=lambda b: abs(quadrature(frontier, [*chosen, b], l_max) - area)))
    return np.array(chosen, dtype=np.int64)


def coefficients(budgets, l_max: float) -> np.ndarray:
    """Weights c, float (N+1,), of the verdicts at L_1..L_N and at l_max (the full response).

    c_i = (L_{i+1} - L_{i-1}) / 2 with L_0 = 0 and L_{N+1} = l_max; the last is (l_max - L_N) / 2. They sum to
    l_max - L_1 / 2, because the J(0) term of equation 8 is dropped: thinking cannot change it (appendix E).
    """
    values = _increasing(budgets)
    outside = values[(values <= 0) | (values >= l_max)]
    if outside.size:
        raise ConfigError(
            f"budget {outside[0]:g} is not strictly inside (0, {l_max:g}), as a reward budget must be"
        )
    return trapezoid_weights(np.concatenate([[0.0], values, [l_max]]))[1:]


def trapezoid_weights(budgets) -> np.ndarray:
    """Weights w, float (K,), such that `w @ accuracy` is the trapezoid area; needs two budgets."""
    values = _increasing(budgets)
    if values.size < 2:
        raise ConfigError(f"an area needs two budgets, got only {values[0]:g}")
    half = np.diff(values) / 2
    return np.concatenate([half, [0.0]]) + np.concatenate([[0.0], half])


def quadrature(curve, budgets, l_max: float) -> float:
    """Equation 8: the area under `curve` on [0, l_max] from its values at 0, `budgets` and l_max alone.

    `budgets` is a set (any order, 0 and l_max allowed). A budget between two points of the curve's grid is
    interpolated linearly: exponential(5, 512, 16384) lies on the paper's grid, exponential(5, 64, 16384) does
    not. `curve` has `.budgets` and `.accuracy`; l_max must lie on or inside its grid.
    """
    x, y = _points(curve, l_max)
    values = _increasing(sorted(budgets))
    if values[-1] > l_max:
        raise ConfigError(f"budget {values[-1]:g} is above l_max={l_max:g}")
    nodes = np.union1d(values, [0.0, l_max])
    return float(trapezoid_weights(nodes) @ np.interp(nodes, x, y))


def _points(curve, l_max: float) -> tuple[np.ndarray, np.ndarray]:
    """The curve's points on [0, l_max], the last one interpolated when l_max is not on the grid."""
    x, y = np.asarray(curve.budgets, dtype=float), np.asarray(curve.accuracy, dtype=float)
    if x[0] != 0:
        raise DataError(f"the curve starts at budget {x[0]:g}; an area from 0 needs the accuracy at budget 0")
    if not 0 < l_max <= x[-1]:
        raise ConfigError(f"l_max={l_max} is outside the curve's budgets (0, {x[-1]:g}]")
    keep = x < l_max
    return np.append(x[keep], l_max), np.append(y[keep], np.interp(l_max, x, y))


def _check_count(n: int) -> None:
    if n != int(n) or n < 1:
        raise ConfigError(f"n={n!r}: the number of budgets must be a whole number of at least 1")


def _half_up(values: np.ndarray) -> np.ndarray:
    return np.floor(values + 0.5).astype(np.int64)


def _whole(values: np.ndarray, call: str) -> np.ndarray:
    """Rounded budgets; refuses a set that rounding has made coincide or brought down to 0."""
    budgets = _half_up(values)
    if budgets[0] < 1 or (np.diff(budgets) == 0).any():
        raise ConfigError(
            f"{call} gives {budgets.tolist()}: rounded to whole tokens they coincide; use a smaller n"
        )
    return budgets
