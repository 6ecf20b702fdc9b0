"""Values as the identity of a run holds them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from effwb.runs import digest


def without_added(values: dict[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """The values without those that say what a run did before it had a setting for it."""
    return {name: v for name, v in values.items() if name not in added or v != added[name]}


def jsonable(parameters: dict) -> dict:
    """Parameters as JSON can hold them; tables and frontiers as a hash of their content."""
    values = {}
    for name, value in parameters.items():
        if hasattr(value, "budgets") and hasattr(value, "accuracy"):
            value = digest([np.asarray(value.budgets).tolist(), np.asarray(value.accuracy).tolist()])
        values[name] = digest(dict(value)) if isinstance(value, Mapping) else value
    return values
