"""Numbers of plotly figures, which plotly stores as base64."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np


def decoded(item: Any) -> Any:
    """A figure or a part of it with its arrays as numpy arrays.

    Args:
        item: A figure as a dictionary, or any part of one.

    >>> decoded({"x": {"dtype": "i1", "bdata": "AQID"}})
    {'x': array([1, 2, 3], dtype=int8)}
    """
    if isinstance(item, Mapping):
        if "bdata" not in item:
            return {name: decoded(part) for name, part in item.items()}
        array = np.frombuffer(base64.b64decode(item["bdata"]), dtype=item["dtype"])
        return array.reshape([int(n) for n in str(item.get("shape", "-1")).split(",")])
    return [decoded(part) for part in item] if isinstance(item, list | tuple) else item


def values(column: Any) -> np.ndarray:
    """A decoded column of a trace as an array; None in it becomes NaN.

    Args:
        column: A list, an array, or None for an empty one.
    """
    array = np.asarray(column if column is not None else ())
    return array if array.dtype != object else np.array([np.nan if v is None else v for v in array])
