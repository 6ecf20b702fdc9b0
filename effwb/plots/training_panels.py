"""What the training figure shows: its panels, and the metrics of a run as values and moving means by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from effwb.errors import DataError
from effwb.plots.style import COLOURS

MAX_PROBES = 6  # budgets drawn of one run; of several runs one is drawn, in the middle
AT_BUDGETS = ("mean@", "pass@", "probe_pass/")  # <name>/<budget>: a panel each, with a line per budget
MAX_BUDGETS = 4  # drawn of these; their legend is in one row
MAX_COMPONENTS = 4  # reward components drawn beside their total: a legend over a panel has room for no more
PHASES = ("sample", "grade", "probe", "train", "other")
ACCURACY, LENGTH, REWARD, TIME = "accuracy", "length (tokens)", "reward", "seconds per step"


class PanelSpec(NamedTuple):
    """One panel: the columns of the metrics that share a y axis.

    Attributes:
        title: Title of the y axis.
        legends: The text in the legend, by column.
        digits: Number format of the hover box.
        axis: Plotly settings of the y axis.
        unit: Text behind values in the hover box.
        colours: Colours of the columns of one run; several runs have one colour each.
    """

    title: str
    legends: dict[str, str]
    digits: str = ".3f"
    axis: dict[str, Any] | None = None
    unit: str = ""
    colours: tuple[str, ...] = COLOURS


_UP_TO_1 = {"autorangeoptions": {"clipmin": 0, "clipmax": 1}}

PANELS = (
    PanelSpec(
        ACCURACY,
        {"accuracy": "full length", "accuracy/think": "thinking", "accuracy/empty": "not thinking"},
        axis=_UP_TO_1,
        colours=("#000000", *COLOURS[2:4]),
    ),
    PanelSpec(
        LENGTH,
        {
            "length/mean": "all",
            "length/correct": "right",
            "length/wrong": "wrong",
            "length/think": "thinking",
            "length/empty": "not thinking",
        },
        ",.1f",
        unit=" tokens",
        colours=("#000000", *COLOURS[:4]),
    ),
    PanelSpec(REWARD, {"reward/total": "total"}),
    PanelSpec(
        "share",
        {
            "truncated": "truncated rollouts",
            "zero_variance": "groups without spread",
            "modes/empty": "not thinking",
            "modes/p_empty": "chance of not thinking",
        },
        ".1%",
        {"tickformat": ".0~%", "rangemode": "tozero"},
        colours=(COLOURS[2], COLOURS[1], COLOURS[3], COLOURS[0]),
    ),
    PanelSpec("entropy (nats per token)", {"entropy": "entropy"}, ".4f", {"rangemode": "tozero"}),
    PanelSpec("KL (nats per token)", {"kl": "KL to the reference"}, ".5f"),
    PanelSpec("gradient norm", {"grad_norm": "gradient norm"}, ".3g", {"rangemode": "tozero"}),
    PanelSpec("loss", {"loss": "loss"}, ".4g"),
    PanelSpec(TIME, {f"time/{p}": p for p in PHASES}, ",.2f", {"rangemode": "tozero"}, " s"),
)


class MetricSeries(NamedTuple):
    """The metrics of one run.

    Attributes:
        values: What each step measured, a column per quantity; the index is the step.
        means: Moving means of `values` within each stage.
        stages: Where each later stage begins: its first step (minus a half) and its name.
    """

    values: pd.DataFrame
    means: pd.DataFrame
    stages: tuple[tuple[float, str], ...] = ()


def metric_series(name: str, metrics: pd.DataFrame, window: int) -> MetricSeries:
    """Read the metrics table of a run.

    Args:
        name: Name of the run, for error messages; "" where there is one run.
        metrics: As for `training_figure`.
        window: Number of steps in a moving mean.

    Returns:
        The columns that a panel can show; columns without any value are left out.

    Raises:
        DataError: There is no column `step`, or two stages share a step.
    """
    run = f" of run {name!r}" if name else ""
    if "step" not in metrics:
        raise DataError(f"metrics{run} lacks the column 'step'; it has {list(metrics.columns)}")
    table = metrics.assign(stage=metrics["stage"].ffill().fillna(0) if "stage" in metrics else 0)
    table = table.drop_duplicates(["step", "stage"], keep="last").sort_values("step", kind="stable")
    is_repeated = table["step"].duplicated()
    if is_repeated.any():
        step = table["step"][is_repeated].iloc[0]
        raise DataError(f"step {step}{run} occurs in two stages; count steps on from stage to stage")
    known = {c for panel in PANELS for c in panel.legends}
    families = ("reward/", "probe/", "state/", *AT_BUDGETS)
    columns = [c for c in table if c in known or str(c).startswith(families)]
    values = table.set_index("step")[columns].astype(float)
    values = values.where(np.isfinite(values)).dropna(axis=1, how="all")
    stage_number = (table["stage"] != table["stage"].shift()).cumsum().to_numpy()
    means = values.groupby(stage_number).rolling(window, min_periods=1).mean().droplevel(0)
    step, stage = table["step"].to_numpy(), table["stage"].to_numpy()
    starts = np.flatnonzero(stage[1:] != stage[:-1]) + 1
    stages = tuple(((step[i - 1] + step[i]) / 2, f"{stage[i]:g}") for i in starts)
    return MetricSeries(values, means, stages)


def metric_panels(runs: Mapping[str, MetricSeries], is_comparison: bool) -> list[PanelSpec]:
    """`PANELS` with the columns that at least one run has; reward components and budgets are added by name.

    Raises:
        DataError: No run has a column that can be drawn.
    """
    columns = list(dict.fromkeys(c for run in runs.values() for c in run.values.columns))
    panels = []
    for panel in PANELS:
        legends = {c: legend for c, legend in panel.legends.items() if c in columns}
        if panel.title == REWARD:
            components = [c for c in columns if c.startswith("reward/") and c not in legends]
            components = _spread_out(components, 0 if is_comparison else MAX_COMPONENTS)
            legends |= {c: c.removeprefix("reward/") for c in components}
        if panel.title == ACCURACY:
            probes = sorted((c for c in columns if c.startswith("probe/")), key=_budget)
            probes = _spread_out(probes, 1 if is_comparison else MAX_PROBES)
            legends |= {c: f"stopped at {c[6:]} tokens" for c in probes}
        if legends:
            panels.append(panel._replace(legends=legends))
    panels += _budget_panels(columns, runs, is_comparison)
    if not panels:
        legal = [c for panel in PANELS for c in panel.legends]
        raise DataError(f"nothing to draw; metrics may have the columns {legal}")
    return panels


def _budget_panels(
    columns: list[str], runs: Mapping[str, MetricSeries], is_comparison: bool
) -> list[PanelSpec]:
    """A panel for each of the `AT_BUDGETS`; a comparison shows the middle one of the budgets of all runs."""
    families: dict[str, list[str]] = {}
    for column in (c for c in columns if c.startswith(AT_BUDGETS)):
        families.setdefault(column.partition("/")[0], []).append(column)
    panels = []
    for name, at_budget in families.items():
        shared = [c for c in at_budget if all(c in run.values for run in runs.values())]
        rising = sorted(shared or at_budget, key=_budget)
        drawn = {c: c.partition("/")[2] for c in _spread_out(rising, 1 if is_comparison else MAX_BUDGETS)}
        quantity, preposition, sign = name, "within", "≤ "
        if name == "probe_pass":
            quantity, preposition, sign = "pass if stopped", "at", ""
        first, *others = drawn.values()
        title = f"{quantity} by budget (tokens)" if others else f"{quantity} {preposition} {first} tokens"
        panels.append(PanelSpec(title, {c: sign + text for c, text in drawn.items()}, axis=_UP_TO_1))
    return panels


def _budget(column: str) -> float:
    return float(column.partition("/")[2])


def state_panels(runs: Mapping[str, MetricSeries], _is_comparison: bool) -> list[PanelSpec]:
    """A panel for each `state/<panel>`, with a line for each `state/<panel>/<line>`.

    Raises:
        DataError: No run has such a column.
    """
    columns = dict.fromkeys(c for run in runs.values() for c in run.values.columns if c.startswith("state/"))
    panels: dict[str, PanelSpec] = {}
    for column in columns:
        title, _, line = column.removeprefix("state/").partition("/")
        title = title.replace("_", " ")
        panel = panels.setdefault(title, PanelSpec(title, {}, ".4g", {"rangemode": "tozero"}))
        panel.legends[column] = line or title
    if not panels:
        raise DataError("nothing to draw; these designs report nothing of themselves (columns state/...)")
    return list(panels.values())


def _spread_out(columns: list[str], limit: int) -> list[str]:
    """At most `limit` of the columns at equal distances: from the first to the last, or the middle one."""
    ends = (0, len(columns) - 1) if limit > 1 else ((len(columns) - 1) // 2,) * 2
    positions = np.unique(np.linspace(*ends, min(limit, len(columns))).round().astype(int))
    return [columns[i] for i in positions]
