"""Some runs side by side: accuracy, REG and AES with intervals over their problems, on the spot."""

from collections.abc import Mapping

import numpy as np

from effwb.analysis.run_set import RunAnalysis
from effwb.errors import one_of
from effwb.frontier import Frontier, reg, reg_interval
from effwb.metrics import Interval, aes_interval, clustered_interval, interval_columns

NAN = float("nan")
MOST = 12  # runs in one picture
ISO_AES = (-0.5, 0.0, 0.5, 1.0)  # lines in a picture of accuracy and tokens
DIGITS = {"mean tokens": 1, "REG": 1, "AES": 2}  # of a printed table


def compare(
    chosen: Mapping[str, RunAnalysis], frontier: Frontier, l_max: int, base: str, resamples: int = 10_000
):
    """A row per run: `name, problems, accuracy, mean tokens, J(<l_max>), REG, AES`, and behind accuracy, REG
    and AES their ` low` and ` high` (95 %, over problems).

    AES is against the run `base`. A frontier measured on the same problems is resampled with the curve. Where
    its budgets are others than the curve's, REG is of linear interpolations and has no interval.
    """
    import pandas as pd

    one_of("base", base, chosen)
    return pd.DataFrame([_row(one, frontier, l_max, chosen[base], resamples) for one in chosen.values()])


def _row(one: RunAnalysis, frontier: Frontier, l_max: int, base: RunAnalysis, resamples: int) -> dict:
    mine, its = (table.per_problem.to_numpy()[..., None] for table in (one, base))
    row = {"name": one.name, "problems": len(mine)}
    row |= interval_columns({"accuracy": clustered_interval(mine[:, 0])})
    row |= {"mean tokens": one.curve.mean_tokens, f"J({l_max})": one.curve.at(l_max)}
    aes = Interval(NAN, NAN, NAN)
    if one.name != base.name:
        aes = aes_interval(its[:, 0], its[:, 1], mine[:, 0], mine[:, 1], resamples)
    return row | interval_columns({"REG": _gap(one, frontier, l_max, resamples), "AES": aes})


def _gap(one: RunAnalysis, frontier: Frontier, l_max: int, resamples: int) -> Interval:
    """REG of a run over [0, l_max], accuracy x tokens; its ends are NaN where the budgets differ."""
    if not same_budgets(one, frontier, l_max):
        return Interval(reg(frontier, one.curve, l_max, interpolate=True), NAN, NAN)
    own = frontier.per_problem is not None
    return reg_interval(frontier, one.curve, l_max, resamples=resamples, resample_frontier=own)


def same_budgets(one: RunAnalysis, frontier: Frontier, l_max: int) -> bool:
    """Both were measured at the same budgets up to l_max, and at l_max."""
    mine, its = (c.budgets[c.budgets <= l_max] for c in (one.curve, frontier))
    return np.array_equal(mine, its) and mine[-1] == l_max
