"""Arrays of numbers out of what a caller gives."""

import numpy as np
from numpy.typing import ArrayLike

from effwb.errors import DataError


def floats(name: str, values: ArrayLike) -> np.ndarray:
    """Return values as an array of floats.

    Args:
        name: What they are, for the message.
        values: Numbers in any shape.

    Raises:
        DataError: They are not all numbers.
    """
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"{name} must be numbers, got {values!r}") from None
