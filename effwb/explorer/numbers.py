"""The numbers beside the picture: accuracy, REG and AES of some runs, with intervals over their problems."""

from collections.abc import Mapping

import numpy as np

from effwb.errors import one_of
from effwb.explorer.store import Measured
from effwb.frontier import Frontier, reg, reg_interval
from effwb.metrics import Interval, aes_interval, clustered_interval, interval_columns

RESAMPLES = 2000  # of the bootstrap; 10,000 elsewhere, where nobody waits with a finger on the mouse
NAN = float("nan")


def numbers(chosen: Mapping[str, Measured], frontier: Frontier, l_max: int, base: str):
    """A row per run: `name, problems, accuracy, mean tokens, J(<l_max>), REG, AES`, and behind accuracy, REG
    and AES their ` low` and ` high` (95 %, over problems).

    AES is against the run `base`. A frontier measured on the same problems is resampled with the curve. Where
    its budgets are others than the curve's, REG is of linear interpolations and has no interval.
    """
    import pandas as pd

    one_of("base", base, chosen)
    return pd.DataFrame([_row(one, frontier, l_max, chosen[base]) for one in chosen.values()])


def _row(one: Measured, frontier: Frontier, l_max: int, base: Measured) -> dict:
    mine, its = (table.per_problem.to_numpy()[..., None] for table in (one, base))
    row = {"name": one.name, "problems": len(mine)}
    row |= interval_columns({"accuracy": clustered_interval(mine[:, 0])})
    row |= {"mean tokens": one.curve.mean_tokens, f"J({l_max})": one.curve.at(l_max)}
    aes = Interval(NAN, NAN, NAN)
    if one.name != base.name:
        aes = aes_interval(its[:, 0], its[:, 1], mine[:, 0], mine[:, 1], RESAMPLES)
    return row | interval_columns({"REG": gap(one, frontier, l_max), "AES": aes})


def gap(one: Measured, frontier: Frontier, l_max: int) -> Interval:
    """REG of a run over [0, l_max], accuracy x tokens; its ends are NaN where the budgets differ."""
    if not same_budgets(one, frontier, l_max):
        return Interval(reg(frontier, one.curve, l_max, interpolate=True), NAN, NAN)
    own = frontier.per_problem is not None
    return reg_interval(frontier, one.curve, l_max, resamples=RESAMPLES, resample_frontier=own)


def same_budgets(one: Measured, frontier: Frontier, l_max: int) -> bool:
    """Both were measured at the same budgets up to l_max, and at l_max."""
    mine, its = (c.budgets[c.budgets <= l_max] for c in (one.curve, frontier))
    return np.array_equal(mine, its) and mine[-1] == l_max
