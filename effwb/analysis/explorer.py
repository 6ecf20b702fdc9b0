"""The interactive view of finished runs: `explore("data/runs")` in a notebook.

Choices are on the left, figures and numbers on the right, rollouts below.
"""

from __future__ import annotations

import asyncio
import html as markup
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, FigureWidget

from effwb import plots
from effwb._internal.benchmarks import AVERAGE, POOLED, averages_only
from effwb.analysis.benchmark_tables import published_frontier
from effwb.analysis.comparison import (
    ACCURACY_AND_J,
    DIGITS,
    ISO_AES,
    MAX_RUNS,
    compare,
    same_budgets,
)
from effwb.analysis.rollout_view import LEGEND, SIGNS, read_rollout
from effwb.analysis.run_set import RunSet
from effwb.errors import ConfigError, EffwbError, EngineError, one_of
from effwb.export.text_tables import readable
from effwb.frontier import MODELS, Frontier
from effwb.verifiers.opinions import WAYS

FRONTIERS = (
    "best of the chosen runs",
    "best of the chosen runs, cross-fitted",
    "best of all runs",
    "best of all runs, cross-fitted",
    "pocket",
    *MODELS,
)
LISTED = 200  # rollouts in the list
SETTLED = (1.0, 4.0)  # seconds after which a page that shows the widgets has laid them out
RESAMPLES = 2000  # of the bands of a figure; 10,000 elsewhere, where nobody waits with a finger on the mouse
CHOSEN_AT_START = 4  # runs that are chosen first, where the caller names none
SHOWN: dict[str, Callable[[pd.DataFrame], pd.Series]] = {  # which rollouts are listed
    "all": lambda t: t["length"] > 0,
    "right at the budget clicked": lambda t: t["at"] == 1,
    "wrong at the budget clicked": lambda t: t["at"] == 0,
    "right at the end": lambda t: t["end"] == 1,
    "right before, wrong at the end": lambda t: t["first_right"].notna() & (t["end"] == 0),
    "never right": lambda t: t["first_right"].isna(),
    "cut off by the cap": lambda t: t["finish_reason"] == "length",
    "verifiers disagree": lambda t: t["disagree"],
}
STYLE = """<style>
.effwb-list select {font-family: ui-monospace, monospace; font-size: 12px} .effwb-numbers {border-collapse:
collapse; font-size: 13px; margin: 4px 0} .effwb-numbers th, .effwb-numbers td {padding: 2px 8px;
text-align: right; white-space: nowrap} .effwb-numbers th:first-child, .effwb-numbers td:first-child
{text-align: left}
</style>"""
FIGURES = ("curves", "accuracy and tokens", "lengths")


def explore(
    root: str | Path = "data/runs", runs: Iterable[str] | None = None, frontier: str = FRONTIERS[0]
) -> Explorer:
    """Open an interactive view of all finished runs below a directory.

    Args:
        root: Directory to search.
        runs: Names of the runs that are chosen at the start; default: the first four.
        frontier: One of `FRONTIERS`.

    Raises:
        ConfigError: There is no such directory, or no run or frontier of that name.
        DataError: Nothing below the directory is finished.
    """
    return Explorer(RunSet.find(root), runs, frontier)


class Explorer:
    """An interactive view of a `RunSet`.

    Display it in a notebook, or use `figure()` and `table` for what it shows right now. The widgets are
    attributes, so a cell may set what a mouse would: `view.l_max.value = 64`.

    Attributes:
        all_runs: The `RunSet` that can be chosen from.
        chosen: The `RunSet` that is shown; None where the choice cannot be shown (`note` says why).
        best: The `Frontier` that REG is measured against.
        table: The numbers below the figures, a row per run and benchmark (`comparison.compare`).

    Args:
        runs: The runs to choose from.
        names: Names of the runs that are chosen at the start; default: the first four.
        frontier: One of `FRONTIERS`.
    """

    def __init__(self, runs: RunSet, names: Iterable[str] | None = None, frontier: str = FRONTIERS[0]):
        self.all_runs, self._quiet = runs, False
        self._opinions: dict[str, pd.DataFrame] = {}
        self._list_state: tuple | None = None
        self.chosen: RunSet | None = None
        self.table = pd.DataFrame()
        names = list(names or runs.names[:CHOSEN_AT_START])
        for name in names:
            one_of("run", name, runs.names)
        one_of("frontier", frontier, FRONTIERS)
        self._make_widgets(names, frontier)
        self._guarded(self.update)
        for widget in (self.runs, self.benchmark, self.frontier, self.l_max, self.base, self.axis):
            self._when(widget, self.update)
        self._when(self.filter, self._filter)
        self._when(self.focus, lambda: self.open(self.focus.value, self.clicked))
        self._when(self.tabs, self._draw, "selected_index")
        self._when(self.show, self._list)
        self._when(self.rollouts, self._read)
        self.regrade.on_click(lambda _: self._guarded(self._regrade))

    # ----------------------------------------------------------------------------------- the widgets
    def _make_widgets(self, names: list[str], frontier: str) -> None:
        wide = widgets.Layout(width="auto")
        self.filter = widgets.Text(placeholder="words in the names", continuous_update=False, layout=wide)
        rows = min(14, max(4, len(self.all_runs)))
        self.runs = widgets.SelectMultiple(options=self.all_runs.names, value=names, rows=rows, layout=wide)
        self.benchmark = widgets.Dropdown(options=self._benchmarks(names), layout=wide)
        self.frontier = widgets.Dropdown(options=FRONTIERS, value=frontier, layout=wide)
        self.l_max = widgets.SelectionSlider(options=[0], continuous_update=False, layout=wide)
        self.base = widgets.Dropdown(options=names, layout=wide)
        self.focus = widgets.Dropdown(options=names, layout=wide)
        self.axis = widgets.ToggleButtons(options=plots.AXES, style={"button_width": "90px"})
        try:
            self.tabs = widgets.Tab([FigureWidget() for _ in FIGURES], titles=FIGURES)
        except ImportError as error:
            raise EngineError(
                "a figure that can be clicked needs anywidget: pip install anywidget"
            ) from error
        self.numbers, self.note = widgets.HTML(), widgets.HTML()
        self.show = widgets.Dropdown(options=list(SHOWN), layout=wide)
        self.regrade = widgets.Button(description="ask the verifiers again", layout=wide)
        self.count = widgets.HTML()
        self.rollouts = widgets.Select(options=[], rows=16, layout=wide).add_class("effwb-list")
        self.reader = widgets.HTML()
        self.clicked: int | None = None  # the budget, in tokens

    def _when(self, widget: Any, call: Callable[[], None], trait: str = "value") -> None:
        """Call when a person moves the widget, not when this class does."""

        def moved(_change: object) -> None:
            if not self._quiet:
                self._guarded(call)

        widget.observe(moved, trait)

    def _guarded(self, call: Callable[..., None], *args: object) -> None:
        """Call, and show an error above the figures: what a widget's callback raises is not seen."""
        self.note.value = ""
        try:
            call(*args)
        except EffwbError as error:
            self.note.value = f"<p style='color:#B34700'><b>{markup.escape(str(error))}</b></p>"

    @property
    def widget(self) -> widgets.Widget:
        """All of it, as one widget."""
        choices = {
            "runs (several: with Ctrl or Shift)": [self.filter, self.runs],
            "benchmark": [self.benchmark],
            "frontier": [self.frontier],
            "L_max: REG counts budgets up to here": [self.l_max],
            "baseline run for AES": [self.base],
            "token axis": [self.axis],
        }
        left = [
            part for title, parts in choices.items() for part in (widgets.HTML(f"<b>{title}</b>"), *parts)
        ]
        lists = {"rollouts of": [self.focus], "shown": [self.show, self.regrade, self.count, self.rollouts]}
        below = [part for title, parts in lists.items() for part in (widgets.HTML(f"<b>{title}</b>"), *parts)]
        legend = widgets.HTML(f"<p style='color:#595959;line-height:1.4'>{LEGEND}</p>")
        fixed = {"flex": "0 0 auto", "margin": "0 12px 0 0"}
        wide = {"flex": "1 1 auto", "min_width": "0"}
        rows = [
            widgets.HBox([widgets.VBox(a, layout={"width": width, **fixed}), widgets.VBox(b, layout=wide)])
            for width, a, b in (
                ("300px", left, [self.note, self.tabs, self.numbers]),
                ("400px", below, [self.reader, legend]),
            )
        ]
        return widgets.VBox([widgets.HTML(STYLE), *rows]).add_class("effwb-explorer")

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)
        with suppress(RuntimeError):  # outside Jupyter no loop runs
            for seconds in SETTLED:
                asyncio.get_running_loop().call_later(seconds, self._fit)

    def _fit(self) -> None:
        """Let the figures measure their place: they were drawn before the page had one for them."""
        for shown in self.tabs.children:
            shown.layout.autosize = False
            shown.layout.autosize = True

    # --------------------------------------------------------------------------------- the numbers
    def update(self) -> None:
        """Compute everything anew for the current choices."""
        self.chosen, self.numbers.value = None, ""
        self._offer_choices()
        chosen = self._on_benchmark(self.all_runs.filter(names=self.runs.value).check_alike())
        self.best = self._frontier(chosen)
        self._offer_budgets(next(iter(chosen)).curve.budgets)
        self.table = compare(chosen, self.best, self.l_max.value, self.base.value)
        self.chosen = chosen
        self.numbers.value = self._numbers()
        self.open(self.focus.value, self.clicked)

    def _frontier(self, chosen: RunSet) -> Frontier:
        """The frontier that is chosen; "best of all runs" means those that were measured like the first."""
        kind = self.frontier.value
        if kind == "pocket":
            return Frontier.pocket()
        if kind in MODELS:
            return published_frontier(kind, chosen)
        method = "cross_fit" if kind.endswith("cross-fitted") else "max"
        if "chosen" in kind:
            return chosen.frontier(method)
        comparable = self._on_benchmark(self.all_runs.like(chosen.names[0]))
        names = comparable.names
        for i, name in enumerate(names):
            if i % 10 == 0:
                count = f"reading {i + 1} of {len(names)} runs, this time only"
                self.note.value = f"{count}: {markup.escape(name)}"
            comparable.curve(name)
        self.note.value = ""
        return comparable.frontier(method)

    @contextmanager
    def _silent(self) -> Iterator[None]:
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def _offer_choices(self) -> None:
        """Renew the choices that depend on other choices; a value stays where it is still legal."""
        names = list(self.runs.value)
        if not 1 <= len(names) <= MAX_RUNS:
            raise ConfigError(f"{len(names)} runs are chosen; choose 1 to {MAX_RUNS}")
        with self._silent():
            benchmarks = self._benchmarks(names)
            for widget, options in ((self.benchmark, benchmarks), (self.base, names), (self.focus, names)):
                if list(widget.options) != options:
                    value = widget.value
                    widget.options = options
                    widget.value = value if value in options else options[0]

    def _on_benchmark(self, runs: RunSet) -> RunSet:
        """The runs on the benchmark that is chosen; with the average all benchmarks are listed."""
        return runs if self.benchmark.value == AVERAGE else runs.on(self.benchmark.value)

    def _benchmarks(self, names: list[str]) -> list[str]:
        """What the chosen runs can be looked at on, first the average over benchmarks, last their pool."""
        benchmarks = self.all_runs.filter(names=names).benchmarks()
        return [*benchmarks, POOLED] if len(benchmarks) > 1 else benchmarks

    def _offer_budgets(self, budgets: np.ndarray) -> None:
        options = [int(b) for b in budgets if 0 < b <= self.best.budgets[-1]]
        with self._silent():
            l_max = self.l_max.value if self.l_max.value in options else options[-1]
            if list(self.l_max.options) != options:
                self.l_max.options = options
            self.l_max.value = l_max

    def _filter(self) -> None:
        words, chosen = self.filter.value.split(), self.runs.value
        with self._silent():  # the chosen runs stay in the list, first
            others = [n for n in self.all_runs.names if n not in chosen and all(w in n for w in words)]
            self.runs.options = [*chosen, *others]
            self.runs.value = chosen

    # ---------------------------------------------------------------------------------- the figures
    def figure(self, name: str = "curves") -> Figure:
        """One of the figures as it is now, as a plain figure that needs no kernel.

        Args:
            name: "curves", "accuracy and tokens" or "lengths".
        """
        one_of("figure", name, FIGURES)
        runs, focus, l_max, axis = self._shown(), self.focus.value, self.l_max.value, self.axis.value
        if name == "lengths":
            return plots.length_figure(runs[focus].rollouts, axis=axis).update_layout(title=focus)
        methods = {run: runs.method(run) for run in runs.names}  # they decide the colours
        if name == "accuracy and tokens":
            table = averages_only(self.table)
            table = table.rename(columns={"accuracy low": "low", "accuracy high": "high"})
            table["method"] = table["name"].map(methods)
            return plots.tradeoff_figure(table, x="mean tokens", iso_aes=ISO_AES, base=self.base.value)
        curves = runs.curves()
        return plots.curve_figure(
            curves,
            self.best,
            l_max=l_max,
            shade=focus if same_budgets(runs[focus], self.best, l_max) else None,
            bands={focus} if len(curves) > 3 else set(curves),
            resamples=RESAMPLES,
            axis=axis,
            methods=methods,
        )

    def _shown(self) -> RunSet:
        if self.chosen is None:
            raise ConfigError("the chosen runs cannot be shown; see the note above the figures")
        return self.chosen

    def _draw(self) -> None:
        """Put the figure of the open tab into its widget, and listen for clicks on it."""
        if self.chosen is None:
            return
        tab = self.tabs.selected_index or 0
        shown, figure = self.tabs.children[tab], self.figure(FIGURES[tab])
        with shown.batch_update():
            shown.data = []
            shown.add_traces(list(figure.data))
            shown.layout = figure.update_layout(width=None, autosize=True).layout  # as wide as its place
        for trace in shown.data if FIGURES[tab] != "lengths" else ():
            trace.on_click(lambda *clicked: self._guarded(self._click, *clicked))

    def _click(self, trace: Any, points: Any, _state: object = None) -> None:
        """A point of a curve opens its run at its budget; a point of the second figure opens its run."""
        name = trace.legendgroup or trace.name
        if points.point_inds and name in self._shown():
            on_a_curve = not self.tabs.selected_index
            self.open(name, int(trace.customdata[points.point_inds[0]][0]) if on_a_curve else None)

    def _numbers(self) -> str:
        first = next(iter(self._shown()))
        note = (
            f"Intervals: 95 % over problems. Frontier: {self.best.name}. {ACCURACY_AND_J} {first.caption()}."
        )
        if self.frontier.value in MODELS:
            note += " The frontier is another model's"
            is_alike = self.best.benchmark != AVERAGE or first.curve.benchmark == AVERAGE
            note += "." if is_alike else ", and its average is over benchmarks, not over problems."
        if not same_budgets(first, self.best, self.l_max.value):
            note += " Its budgets differ: REG is computed from linear interpolations and has no interval."
        table = readable(self.table, DIGITS).to_html(index=False, border=0, classes="effwb-numbers")
        return f"{table}<p style='color:#595959;max-width:860px;line-height:1.4'>{markup.escape(note)}</p>"

    # --------------------------------------------------------------------------------- the rollouts
    def open(self, name: str, budget: int | None = None) -> None:
        """Show the rollouts of a run below the figures.

        Args:
            name: One of the chosen runs.
            budget: A budget in tokens at which their verdicts are shown too.
        """
        self.clicked = budget
        if self.chosen is None:  # the choice cannot be shown, and the note says why
            return
        one_of("run", name, self.chosen.names)
        with self._silent():
            self.focus.value = name
        self._draw()
        self._list()

    def _list(self) -> None:
        """List the rollouts of the kind that is chosen, those that wasted most tokens first."""
        if self.chosen is None:
            return
        name = self.focus.value
        state = (name, self.benchmark.value, self.clicked, self.show.value, name in self._opinions)
        if state == self._list_state:
            return
        self._list_state, run = state, self.chosen[name]
        scores = run.scores
        table = run.outcomes.assign(
            at=scores.get(self.clicked, np.nan), end=scores.iloc[:, -1], disagree=False
        )
        if name in self._opinions:
            table["disagree"] = self._opinions[name]["disagree"]
        rows = table[SHOWN[self.show.value](table)].sort_values("wasted", ascending=False, kind="stable")
        where = f" at {self.clicked:,} tokens" if self.clicked is not None else ""
        limit = f", the first {LISTED} are listed" if len(rows) > LISTED else ""
        share = f"<b>{len(rows):,} of {len(table):,}</b> rollouts"
        self.count.value = f"{share} of <b>{markup.escape(name)}</b>{where}{limit}"
        lines = [(_line(row), row.Index) for row in rows.head(LISTED).itertuples()]
        with self._silent():
            self.rollouts.options = lines
            self.rollouts.index = 0 if lines else None
        self._read()

    def _read(self) -> None:
        """Show the rollout that is marked in the list."""
        if self.rollouts.value is None or self.chosen is None:
            self.reader.value = "no rollout to show"
            return
        name, (problem, sample) = self.focus.value, self.rollouts.value
        opinions = self._opinions.get(name)
        verdicts = None if opinions is None else opinions.loc[(problem, sample), list(WAYS)].to_dict()
        self.reader.value = read_rollout(self.chosen[name].run_dir, problem, sample).html(verdicts)

    def _regrade(self) -> None:
        """Ask the verifiers of today about every stored answer of the run that is shown."""
        name = self.focus.value
        opinions = self._opinions[name] = self.all_runs.opinions(name)
        self._list()
        self.note.value = (
            f"{int(opinions['disagree'].sum())} of {len(opinions)} answers of {markup.escape(name)} are "
            "judged differently by the stored verdict, effwb's verifier now, math-verify or plain comparison"
        )


def _line(row: Any) -> str:
    """A rollout in the list: problem, sample, tokens, and when it was right."""
    problem, sample = row.Index
    end = SIGNS["correct" if row.end else "wrong"]
    never = row.wasted != row.wasted
    when = "never right" if never else f"right at {row.first_right:,.0f}, {row.wasted:,.0f} after"
    at = "" if row.at != row.at else f" [{SIGNS['correct' if row.at else 'wrong']}]"
    return f"{problem[-6:]} #{sample}{at} {row.length:>6,} tokens {end} {when}"
