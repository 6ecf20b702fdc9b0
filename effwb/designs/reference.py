"""Mean length and accuracy of a frozen model on each problem, for designs that compare with it."""

from collections.abc import Mapping

import numpy as np

from effwb.designs.group import Group
from effwb.errors import DataError


def reference_arrays(group: Group) -> tuple[np.ndarray, np.ndarray]:
    """Read the reference of a group as arrays.

    Args:
        group: The rollouts of the step, with `reference`.

    Returns:
        Mean length in tokens and mean accuracy of the frozen model, each float (P, 1).

    Raises:
        DataError: There is no reference, it lacks a problem, or a value is impossible.
    """
    table = group.reference
    if table is None:
        raise DataError(
            "this design compares with a frozen model: give Group(reference={id: {length, accuracy}})"
        )
    missing = [pid for pid in group.problem_ids if pid not in table]
    if missing:
        raise DataError(
            f"the reference misses {len(set(missing))} of {group.P} problems: {', '.join(missing[:3])} ..."
        )
    values = np.empty((group.P, 2))
    for p, pid in enumerate(group.problem_ids):
        row = table[pid]
        if not isinstance(row, Mapping) or not {"length", "accuracy"} <= set(row):
            raise DataError(f"the reference of {pid} needs 'length' and 'accuracy', got {row!r}")
        length, accuracy = values[p] = float(row["length"]), float(row["accuracy"])
        if not (np.isfinite(length) and length > 0 and 0 <= accuracy <= 1):
            raise DataError(
                f"the reference of {pid} has length {length} and accuracy {accuracy}; the length must be "
                "above 0, the accuracy in [0, 1]"
            )
    return values[:, :1], values[:, 1:]


def reference_table(group: Group) -> dict[str, dict[str, float]]:
    """Compute the reference statistics of a frozen model from its own rollouts.

    Args:
        group: Rollouts of the frozen model. Truncated ones count as wrong.

    Returns:
        Problem id -> {"length": mean tokens, "accuracy": mean accuracy}, as `Group(reference=...)` takes it.

    >>> from effwb.designs import toy_group
    >>> reference_table(toy_group([1000, 3000], [1, 0]))
    {'toy-000000000000': {'length': 2000.0, 'accuracy': 0.5}}
    """
    solved = group.correct_PG & group.finished_PG
    return {
        pid: {"length": float(group.length_PG[p].mean()), "accuracy": float(solved[p].mean())}
        for p, pid in enumerate(group.problem_ids)
    }
