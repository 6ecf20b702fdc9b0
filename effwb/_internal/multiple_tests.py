"""Adjustment of p-values where several hypotheses are tested together; the public name is `metrics.holm`."""

import numpy as np
from numpy.typing import ArrayLike

from effwb.errors import DataError


def holm(p_values: ArrayLike) -> np.ndarray:
    """Return the p-values of one family of tests, adjusted for their number by Holm's step-down method.

    Of m p-values, the j-th smallest becomes the largest of (m - i + 1) p_i over i = 1 ... j, and at most 1.
    Calling everything with an adjusted value below 0.05 shown errs in at most 5 % of all families, whatever
    the tests have to do with each other (Holm 1979, Scandinavian Journal of Statistics 6, 65-70).

    Args:
        p_values: The p-values of all tests of the family, (M,), in any order. NaN: no test, not counted in m.

    Returns:
        The adjusted p-values, float (M,), in the same order; NaN where there was no test.

    Raises:
        DataError: `p_values` is not one-dimensional, or a value is not in [0, 1].

    Example:
        >>> holm([0.01, 0.04, 0.03, 0.005]).round(3).tolist()
        [0.03, 0.06, 0.06, 0.02]
    """
    values = np.asarray(p_values, dtype=float)
    if values.ndim != 1:
        raise DataError(f"p_values needs a value per test, got shape {values.shape}")
    tests = np.flatnonzero(~np.isnan(values))
    if ((values[tests] < 0) | (values[tests] > 1)).any():
        raise DataError(f"p_values must lie in [0, 1], got {values.tolist()}")
    order = tests[np.argsort(values[tests], kind="stable")]
    adjusted = np.full(values.shape, np.nan)
    stepped = np.arange(order.size, 0, -1) * values[order]
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return adjusted
