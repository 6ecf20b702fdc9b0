"""Which columns of training metrics a figure shows."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from effwb.errors import DataError, one_of

STATE = "what the design reports"
QUANTITIES: dict[str, tuple[str, ...]] = {  # what the columns begin with
    "everything": ("",),
    "accuracy": ("accuracy", "probe/", "mean@", "pass@", "probe_pass/"),
    "length": ("length/", "truncated"),
    "reward": ("reward/", "zero_variance"),
    "stability": ("entropy", "kl", "grad_norm", "loss"),
    "time": ("time/",),
    STATE: ("state/",),
}


def metrics_about(metrics: Mapping[str, pd.DataFrame], quantity: str) -> dict[str, pd.DataFrame]:
    """Return the metrics of some trainings with the columns about one quantity.

    Args:
        metrics: The metrics of each training, by its name.
        quantity: One of `QUANTITIES`.

    Raises:
        ConfigError: `quantity` is unknown.
        DataError: No training has such a column.
    """
    one_of("quantity", quantity, QUANTITIES)
    starts = QUANTITIES[quantity]
    tables = {
        name: table[[c for c in table if c in ("step", "stage") or str(c).startswith(starts)]]
        for name, table in metrics.items()
    }
    columns = {column for table in tables.values() for column in table}
    if any(len(table) for table in tables.values()) and columns <= {"step", "stage"}:
        raise DataError(f"these trainings report nothing about {quantity!r} ({', '.join(starts)})")
    return tables
