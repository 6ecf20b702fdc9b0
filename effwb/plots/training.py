"""A training run as it goes: small multiples over the optimizer step, redrawn while it trains.

Every quantity is a thin line of what each step measured and a thick one of its moving mean. With one run the
colours tell the quantities of a panel apart, with several runs they tell the runs; dashes do it in grey.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from effwb.errors import ConfigError, DataError
from effwb.plots.style import COLOURS, DASHES, GREY, faint, log_tokens, looks_of

POINTS = 500  # of a line; more are not seen on paper and make the live figure slow
PROBES = 6  # budgets drawn of one run; of several runs it is one, in the middle
PARTS = 4  # components of the reward drawn beside their total: what a legend over a panel has room for
PHASES = ("sample", "grade", "probe", "train", "other")
PATTERNS = ("", "/", ".", "\\", "x")  # of the stacked areas, for grey prints
ACCURACY, LENGTH, REWARD, TIME = "accuracy", "length (tokens)", "reward", "seconds per step"
ROW, GAP = 200, 45  # pixels of a panel, and between panels, where the legend of the lower one is


class Panel(NamedTuple):
    """Columns that share an axis: `names` maps a column to its legend; digits is the hover's format."""

    title: str
    names: dict[str, str]
    digits: str = ".3f"
    axis: dict | None = None
    unit: str = ""  # after values in the hover box
    colours: tuple[str, ...] = COLOURS  # those of one run; several runs have one each


PANELS = (
    Panel(
        ACCURACY,
        {"accuracy": "full length", "accuracy/think": "thinking", "accuracy/empty": "not thinking"},
        axis={"autorangeoptions": {"clipmin": 0, "clipmax": 1}},
        colours=("#000000", *COLOURS[2:4]),
    ),
    Panel(
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
    Panel(REWARD, {"reward/total": "total"}),
    Panel(
        "share",
        {
            "truncated": "truncated rollouts",
            "zero_variance": "groups without spread",
            "modes/empty": "not thinking",
            "modes/p_empty": "chance of it",
        },
        ".1%",
        {"tickformat": ".0~%", "rangemode": "tozero"},
        colours=(COLOURS[2], COLOURS[1], COLOURS[3], COLOURS[0]),
    ),
    Panel("entropy (nats per token)", {"entropy": "entropy"}, ".4f", {"rangemode": "tozero"}),
    Panel("KL (nats per token)", {"kl": "KL to the reference"}, ".5f"),
    Panel("gradient norm", {"grad_norm": "gradient norm"}, ".3g", {"rangemode": "tozero"}),
    Panel("loss", {"loss": "loss"}, ".4g"),
    Panel(TIME, {f"time/{p}": p for p in PHASES}, ",.2f", {"rangemode": "tozero"}, " s"),
)
PANEL_OF_TIME = PANELS[-1]


class Look(NamedTuple):
    """How the lines of a run look where several are compared."""

    colour: str
    symbol: str


class Run(NamedTuple):
    """Measured values and their moving means, both by step, and the (step, stage) at which stages begin."""

    raw: pd.DataFrame
    mean: pd.DataFrame
    stages: tuple[tuple[float, str], ...]


def training_figure(metrics, *, window: int = 5, title: str = "") -> go.Figure:
    """What a training run did at each optimizer step, a panel per kind of quantity, axes shared.

    `metrics` is a DataFrame with a row per step, or a dict name -> DataFrame to compare runs. Columns: `step`
    and any of `stage`, `accuracy`, `probe/<budget>`, `length/mean|correct|wrong` (tokens), `reward/total`,
    `reward/<component>`, `truncated`, `zero_variance` (shares), `entropy`, `kl` (nats per token),
    `grad_norm`, `loss`, `time/sample|grade|probe|train|other` (seconds). What is absent or NaN is left out,
    and so is a panel without any value. Thick lines are means of up to `window` steps of the same stage,
    ending at the step shown; dotted vertical lines are where a stage begins. A step that occurs twice, as
    after a resume, counts as last written. Long runs are thinned to 500 points a line: means at equal
    distances, measured values as the least and the greatest of each stretch, so that no spike is lost. Of
    many probes six budgets are drawn, in a comparison of runs one, and the phases of a step as their total.
    Of many components of the reward four are drawn, in a comparison only their total. Of a design with two
    modes there are also `accuracy/`, `length/think|empty` and `modes/empty|p_empty`.
    The CSV of a comparison: `pd.concat(metrics, names=["run"]).reset_index("run")`.

    No row yet gives an empty figure that says so. Raises DataError for rows without `step`, without any
    column to draw, or for a step number that two stages share.
    """
    return _figure(metrics, window, title, _panels)


def state_figure(metrics, *, window: int = 1, title: str = "") -> go.Figure:
    """What a design reported of itself at each step (`Design.watched`), drawn as `training_figure` does.

    Columns: `step`, `stage` and `state/<panel>/<line>`, or `state/<panel>` for a panel of one line. Raises
    DataError where there is none of them: most designs report nothing.
    """
    return _figure(metrics, window, title, _state_panels)


def _figure(metrics, window: int, title: str, find_panels) -> go.Figure:
    if window != int(window) or window < 1:
        raise ConfigError(f"window={window!r} must be a whole number of steps, at least 1")
    several = isinstance(metrics, dict) and len(metrics) > 1
    named = metrics if isinstance(metrics, dict) else {"": metrics}
    runs = {name: _read(name, table, int(window)) for name, table in named.items() if len(table)}
    if not runs:
        return _waiting(title)
    panels = find_panels(runs, several)
    looks = {name: Look(*look) for name, look in looks_of(named).items()} if several else {}
    traces = [_legend_of_run(name, look) for name, look in looks.items()]
    for i, panel in enumerate(panels):
        place = {"xaxis": f"x{_id(i)}", "yaxis": f"y{_id(i)}", "legend": f"legend{i + 2}"}
        traces += [{**trace, **place} for trace in _traces(panel, runs, looks)]
    layout = _layout(panels, runs, looks, int(window))
    return go.Figure(traces, layout | {"title": title, "template": "effwb"} | _size(panels, looks, title))


# ------------------------------------------------------------------------------------------- the tables
def _read(name: str, metrics: pd.DataFrame, window: int) -> Run:
    of = f" of run {name!r}" if name else ""
    if "step" not in metrics:
        raise DataError(f"metrics{of} lacks the column 'step'; it has {list(metrics.columns)}")
    table = metrics.assign(stage=metrics["stage"].ffill().fillna(0) if "stage" in metrics else 0)
    table = table.drop_duplicates(["step", "stage"], keep="last").sort_values("step", kind="stable")
    twice = table["step"].duplicated()
    if twice.any():
        step = table["step"][twice].iloc[0]
        raise DataError(f"step {step}{of} occurs in two stages; count steps on from stage to stage")
    known = {c for panel in PANELS for c in panel.names}
    chosen = [c for c in table if c in known or str(c).startswith(("reward/", "probe/", "state/"))]
    raw = table.set_index("step")[chosen].astype(float)
    raw = raw.where(np.isfinite(raw)).dropna(axis=1, how="all")
    block = (table["stage"] != table["stage"].shift()).cumsum().to_numpy()
    mean = raw.groupby(block).rolling(window, min_periods=1).mean().droplevel(0)
    return Run(raw, mean, _stages(table["step"].to_numpy(), table["stage"].to_numpy()))


def _stages(step: np.ndarray, stage: np.ndarray) -> tuple[tuple[float, str], ...]:
    new = np.flatnonzero(stage[1:] != stage[:-1]) + 1
    return tuple(((step[i - 1] + step[i]) / 2, f"{stage[i]:g}") for i in new)


def _panels(runs: dict[str, Run], several: bool) -> list[Panel]:
    """PANELS with the names of what there is, and reward components and probes by what the runs call them."""
    have = list(dict.fromkeys(c for run in runs.values() for c in run.raw.columns))
    panels = []
    for panel in PANELS:
        names = {c: n for c, n in panel.names.items() if c in have}
        if panel.title == REWARD:
            parts = [c for c in have if c.startswith("reward/") and c not in names]
            names |= {c: c.removeprefix("reward/") for c in _evenly(parts, 0 if several else PARTS)}
        if panel.title == ACCURACY:
            names |= _probe_names(have, 1 if several else PROBES)
        if names:
            panels.append(panel._replace(names=names))
    if not panels:
        raise DataError(f"nothing to draw; metrics may have {[c for p in PANELS for c in p.names]}")
    return panels


def _state_panels(runs: dict[str, Run], several: bool) -> list[Panel]:
    """A panel per first part of the names below state/, in their order."""
    columns = dict.fromkeys(c for run in runs.values() for c in run.raw.columns if c.startswith("state/"))
    panels: dict[str, Panel] = {}
    for column in columns:
        title, _, line = column.removeprefix("state/").partition("/")
        title = title.replace("_", " ")
        panels.setdefault(title, Panel(title, {}, ".4g", {"rangemode": "tozero"})).names[column] = (
            line or title
        )
    if not panels:
        raise DataError("nothing to draw; these designs report nothing of themselves (columns state/...)")
    return list(panels.values())


def _probe_names(columns: list[str], most: int) -> dict[str, str]:
    """At most so many probes, from the smallest budget to the largest."""
    probes = sorted((c for c in columns if c.startswith("probe/")), key=lambda c: float(c[6:]))
    return {c: f"stopped at {c[6:]} tokens" for c in _evenly(probes, most)}


def _evenly(columns: list[str], most: int) -> list[str]:
    """At most so many of them, the first and the last among them; of one, the middle."""
    ends = (0, len(columns) - 1) if most > 1 else ((len(columns) - 1) // 2,) * 2
    picked = np.unique(np.linspace(*ends, min(most, len(columns))).round().astype(int))
    return [columns[i] for i in picked]


# ------------------------------------------------------------------------------------------- the lines
def _traces(panel: Panel, runs: dict[str, Run], looks: dict[str, Look]) -> list[dict]:
    """Thin lines first, thick ones on top of them; `looks` is empty where there is one run."""
    if panel.title == TIME:
        if not looks:
            return _phases(panel, next(iter(runs.values())))
        runs = {name: _total_time(run) for name, run in runs.items()}
        panel = panel._replace(names={"time/total": "all phases"})
    pairs = [
        _quantity(panel, run, column, j, run_name, looks.get(run_name))
        for run_name, run in runs.items()
        for j, column in enumerate(panel.names)
        if column in run.raw
    ]
    return (
        [t for thin, _ in pairs for t in thin]
        + [t for _, thick in pairs for t in thick]
        + _dashes(panel, looks)
    )


def _quantity(panel: Panel, run: Run, column: str, j: int, run_name: str, look: Look | None) -> tuple:
    """The thin and the thick traces of one column of one run."""
    if column.startswith("probe/"):
        return [_probe(panel, run, column, run_name, look)], []
    colour, dash = look.colour if look else panel.colours[j % len(panel.colours)], DASHES[j % len(DASHES)]
    group = {"legendgroup": run_name if look else column, "showlegend": False}
    thin = [] if look and j else [_raw(run.raw[column], faint(colour, 0.35)) | group]
    thick = _mean(panel, run, column, run_name, look) | group
    thick["line"] = {"color": colour, "width": 2.2, "dash": dash}
    if not look:
        thick |= {"name": panel.names[column], "showlegend": len(panel.names) > 1}
    return thin, [thick]


def _raw(values: pd.Series, colour: str) -> dict:
    """What each step measured; of a long run the least and the greatest value of each stretch."""
    values = values.dropna()
    keep = _extremes(values.to_numpy()) if len(values) > POINTS else slice(None)
    line = {"color": colour, "width": 1}
    x, y = values.index.to_numpy()[keep], values.to_numpy()[keep]
    return {"x": x, "y": y, "mode": "lines", "line": line, "hoverinfo": "skip"}


def _extremes(values: np.ndarray) -> np.ndarray:
    starts = np.linspace(0, len(values), POINTS // 2 + 1).astype(int)
    stretches = [(a, values[a:b]) for a, b in pairwise(starts)]
    return np.unique([a + f(part) for a, part in stretches for f in (np.argmin, np.argmax)])


def _mean(panel: Panel, run: Run, column: str, run_name: str, look: Look | None) -> dict:
    """The moving mean at equal distances, where something was measured, the last step included."""
    raw = run.raw[column].dropna()
    raw = raw.iloc[_even(len(raw))]
    mean = run.mean[column].loc[raw.index]
    head = f"{run_name}<br>step %{{x}}<br>" if look else ""
    value = (
        f"{panel.names[column]} %{{y:{panel.digits}}}{panel.unit}, this step %{{customdata:{panel.digits}}}"
    )
    trace = {"x": raw.index.to_numpy(), "y": mean.to_numpy(), "customdata": raw.to_numpy()}
    trace |= {"mode": "lines+markers" if look or len(raw) < 10 else "lines"}
    if look:
        trace |= {"marker": {"symbol": look.symbol, "size": 7, "maxdisplayed": 7}}
    return trace | {"hovertemplate": f"{head}{value}<extra></extra>"}


def _even(size: int) -> np.ndarray:
    return np.unique(np.linspace(0, size - 1, min(size, POINTS)).round().astype(int))


def _probe(panel: Panel, run: Run, column: str, run_name: str, look: Look | None) -> dict:
    """Forced answers at a budget: thin moving means, of one run with the budget written at their end."""
    trace = _mean(panel, run, column, run_name, look) | {"mode": "lines", "legendgroup": run_name or "probe"}
    probes = [c for c in panel.names if c.startswith("probe/")]
    colour = faint(look.colour if look else GREY, 0.7)
    line = {"color": colour, "width": 1.2, "dash": DASHES[1 + probes.index(column) % 2]}
    trace |= {"line": line, "showlegend": column == probes[0] and not look, "legendrank": 1001}
    if look:
        return trace
    text = [""] * (len(trace["x"]) - 1) + [column[6:]]
    trace |= {"mode": "lines+text", "text": text, "textposition": "middle right", "cliponaxis": False}
    trace |= {"textfont": {"size": 11, "color": GREY}}
    both = " to ".join(dict.fromkeys(c[6:] for c in (probes[0], probes[-1])))
    return trace | {"name": f"stopped at {both} tokens"}


def _phases(panel: Panel, run: Run) -> list[dict]:
    """Stacked areas; an invisible line on top puts the total into the hover box."""
    have = {c: i for i, c in enumerate(PANEL_OF_TIME.names) if c in panel.names}
    raw, mean = (table[list(have)].fillna(0.0) for table in (run.raw, run.mean))
    whole = Run(raw.assign(total=raw.sum(axis=1)), mean.assign(total=mean.sum(axis=1)), ())
    everything = panel._replace(names={**panel.names, "total": "all"})
    traces = []
    for column, i in have.items():
        look = {"stackgroup": "time", "name": panel.names[column]}
        look |= {"fillcolor": faint(COLOURS[i], 0.55), "fillpattern": _pattern(i)}
        line = {"color": COLOURS[i], "width": 1}
        traces.append(
            _mean(everything, whole, column, "", None) | look | {"line": line, "legendgroup": column}
        )
    total = _mean(everything, whole, "total", "", None)
    return [*traces, total | {"line": {"width": 0}, "mode": "lines", "showlegend": False}]


def _pattern(i: int) -> dict:
    back, line = faint(COLOURS[i], 0.4), COLOURS[i]
    return {"shape": PATTERNS[i], "fgcolor": line, "bgcolor": back, "size": 7, "solidity": 0.2}


def _total_time(run: Run) -> Run:
    columns = [c for c in run.raw if c in PANEL_OF_TIME.names]
    if not columns:
        return Run(run.raw[[]], run.mean[[]], ())
    raw, mean = (table[columns].sum(axis=1).to_frame("time/total") for table in (run.raw, run.mean))
    return Run(raw, mean, ())


# ------------------------------------------------------------------------------------- legends and axes
def _legend_of_run(name: str, look: Look) -> dict:
    """Clicking it shows and hides the run in all panels."""
    marker = {"symbol": look.symbol, "size": 8, "color": look.colour}
    line = {"color": look.colour, "width": 2.2}
    shared = {"x": [None], "y": [None], "mode": "lines+markers", "legendgroup": name}
    return {**shared, "name": name, "line": line, "marker": marker}


def _dashes(panel: Panel, looks: dict[str, Look]) -> list[dict]:
    """The legend of a panel with several quantities of several runs: dashes in grey."""
    if not looks or len(panel.names) < 2:
        return []
    shared = {"x": [None], "y": [None], "mode": "lines"}
    lines = []
    for j, (column, name) in enumerate(panel.names.items()):
        thin = column.startswith("probe/")
        line = {"color": GREY, "width": 1.2 if thin else 2, "dash": DASHES[j % len(DASHES)]}
        lines.append({**shared, "name": name, "line": line, "legendgroup": f"dash {j}"})
    return lines


def _size(panels: list[Panel], looks: dict[str, Look], title: str) -> dict:
    top, bottom = 65 + 25 * bool(title) + 30 * bool(looks), 70
    return {"width": 980, "height": _inner(panels) + top + bottom, "margin": {"t": top, "b": bottom}}


def _inner(panels: list[Panel]) -> int:
    """Pixels from the top of the first panel to the bottom of the last."""
    rows = (len(panels) + 1) // 2
    return rows * ROW + (rows - 1) * GAP


def _layout(panels: list[Panel], runs: dict[str, Run], looks: dict[str, Look], window: int) -> dict:
    """Two columns of panels of equal size, a legend above each; one dict, because it is redrawn live."""
    inner = _inner(panels)
    layout = {"hovermode": "closest" if looks else "x unified", "shapes": []}
    layout["legend"] = {"orientation": "h", "x": 0, "y": 1 + 26 / inner, "yanchor": "bottom"}
    layout["annotations"] = [_note(window, inner)]
    for i, panel in enumerate(panels):
        x = [0.0, 0.45] if i % 2 == 0 else [0.55, 1.0]
        y = 1 - (i // 2) * (ROW + GAP) / inner
        ids = {"anchor": f"y{_id(i)}"}, {"anchor": f"x{_id(i)}"}
        layout[f"xaxis{_id(i)}"] = ids[0] | {"domain": x} | _step_axis(runs, last=i >= len(panels) - 2)
        layout[f"yaxis{_id(i)}"] = (
            ids[1] | {"domain": [max(0.0, y - ROW / inner), y]} | _value_axis(panel, runs)
        )
        layout[f"legend{i + 2}"] = _legend_of_panel(x[0], y)
        layout["shapes"] += _stage_lines(i, runs, looks)
    layout["annotations"] += _stage_notes(runs)
    return layout


def _id(i: int) -> str:
    return "" if i == 0 else str(i + 1)  # plotly calls the first axis x, not x1


def _step_axis(runs: dict[str, Run], last: bool) -> dict:
    axis = {"matches": "x", "showticklabels": last, "tickfont": {"size": 13}, "tickformat": ",d"}
    axis["unifiedhovertitle"] = {"text": "step %{x}"}
    if last:
        axis["title"] = {"text": "optimizer step", "font": {"size": 14}}
    if max(len(run.raw) for run in runs.values()) < 8:
        axis["dtick"] = 1
    return axis


def _value_axis(panel: Panel, runs: dict[str, Run]) -> dict:
    axis = {"title": {"text": panel.title, "font": {"size": 14}}, "tickfont": {"size": 13}}
    return axis | (_token_axis(panel, runs) if panel.title == LENGTH else panel.axis or {})


def _token_axis(panel: Panel, runs: dict[str, Run]) -> dict:
    values = np.concatenate([run.raw[c] for run in runs.values() for c in panel.names if c in run.raw])
    values = values[values > 0]
    return log_tokens(float(values.min()), float(values.max())) if values.size else {}


def _legend_of_panel(x: float, y: float) -> dict:
    shape = {"orientation": "h", "x": x, "y": y, "yanchor": "bottom"}
    return shape | {"font": {"size": 12}, "bgcolor": "rgba(255,255,255,0)"}


def _note(window: int, inner: int) -> dict:
    text = "each step" if window == 1 else f"thin: each step, thick: mean of up to {window}"
    place = {"x": 1, "y": 1 + 30 / inner, "xref": "paper", "yref": "paper", "xanchor": "right"}
    look = {"showarrow": False, "yanchor": "bottom", "font": {"size": 12, "color": GREY}}
    return {"text": text, **place, **look}


def _same_stages(runs: dict[str, Run]) -> bool:
    return len({run.stages for run in runs.values()}) == 1


def _stage_lines(i: int, runs: dict[str, Run], looks: dict[str, Look]) -> list[dict]:
    """Dotted lines where a stage begins: grey where all runs agree, else in the colour of each run."""
    drawn = list(runs)[:1] if _same_stages(runs) else list(runs)
    lines = []
    for name in drawn:
        look = {"color": GREY if len(drawn) == 1 else looks[name].colour, "width": 1.2, "dash": "dot"}
        for at, _ in runs[name].stages:
            ends = {"x0": at, "x1": at, "y0": 0, "y1": 1, "xref": f"x{_id(i)}", "yref": f"y{_id(i)} domain"}
            lines.append({"type": "line", "line": look, "layer": "below", **ends})
    return lines


def _stage_notes(runs: dict[str, Run]) -> list[dict]:
    """Which stage begins, in the first panel; not where runs differ, their texts would lie on each other."""
    if not _same_stages(runs):
        return []
    place = {"y": 0, "xref": "x", "yref": "y domain", "xanchor": "left", "yanchor": "bottom"}
    look = {"showarrow": False, "font": {"size": 11, "color": GREY}}
    return [{"x": at, "text": f"stage {s}", **place, **look} for at, s in next(iter(runs.values())).stages]


def _waiting(title: str) -> go.Figure:
    fig = go.Figure().update_layout(template="effwb", title=title, height=260)
    fig.add_annotation(text="no step finished yet", x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
    bare = {"showticklabels": False, "showgrid": False, "ticks": ""}
    return fig.update_xaxes(title="optimizer step", **bare).update_yaxes(**bare)
