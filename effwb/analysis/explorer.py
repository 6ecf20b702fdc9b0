"""Look at finished runs with the mouse: `explore("data/runs")` in a notebook.

Choices on the left, figures and numbers on the right, rollouts below.
"""

import asyncio
import html as markup
from contextlib import contextmanager, suppress
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, FigureWidget

from effwb import plots
from effwb.analysis.comparison import DIGITS, ISO_AES, MOST, compare, same_budgets
from effwb.analysis.rollout_view import LEGEND, SIGNS, read_rollout
from effwb.analysis.run_set import FRONTIERS, RunSet
from effwb.errors import ConfigError, EffwbError, EngineError, one_of
from effwb.export.text_tables import readable
from effwb.frontier import MODELS
from effwb.verifiers.opinions import WAYS

LISTED = 200  # rollouts in the list
SETTLED = (1.0, 4.0)  # seconds after which a page that shows the widgets has laid them out
RESAMPLES = 2000  # of the bootstrap; 10,000 elsewhere, where nobody waits with a finger on the mouse
BEGIN = 4  # runs chosen at the start, where nobody says which
SHOWN = {  # which rollouts are listed: a condition on the table of outcomes
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
.effwb-list select {font-family: ui-monospace, monospace; font-size: 12px}
.effwb-numbers {border-collapse: collapse; font-size: 13px; margin: 4px 0}
.effwb-numbers th, .effwb-numbers td {padding: 2px 8px; text-align: right; white-space: nowrap}
.effwb-numbers th:first-child, .effwb-numbers td:first-child {text-align: left}
</style>"""
FIGURES = ("curves", "accuracy and tokens", "lengths")


def explore(root: str | Path = "data/runs", **choices) -> "Explorer":
    """Open what lies below a directory; `choices` go to `Explorer`.

    Raises ConfigError where there is no such directory, DataError where nothing below it is finished.
    """
    return Explorer(RunSet(root), **choices)


class Explorer:
    """Widgets over a `Store`. `display` it, or call `figure()` and `table` for what it shows right now.

    `runs` are chosen at the start (default: the first 4), `frontier` is one of `FRONTIERS`. The widgets are
    attributes, so that a cell may set what a mouse would: `view.l_max.value = 64`.
    """

    def __init__(self, store: RunSet, runs=None, frontier: str = FRONTIERS[0]):
        self.store, self._quiet, self._opinions, self._listed = store, False, {}, None
        self.table = pd.DataFrame()
        runs = list(runs or store.names[:BEGIN])
        for name in runs:
            one_of("run", name, store.names)
        one_of("frontier", frontier, FRONTIERS)
        self._make_widgets(runs, frontier)
        self._guarded(self.update)
        self._watch()

    # ------------------------------------------------------------------------------------ what is there
    def _make_widgets(self, runs, frontier: str) -> None:
        wide = widgets.Layout(width="auto")
        self.filter = widgets.Text(placeholder="words in the names", continuous_update=False, layout=wide)
        rows = min(14, max(4, len(self.store.names)))
        self.runs = widgets.SelectMultiple(options=self.store.names, value=runs, rows=rows, layout=wide)
        self.benchmark = widgets.Dropdown(options=self.store.benchmarks(runs), layout=wide)
        self.frontier = widgets.Dropdown(options=FRONTIERS, value=frontier, layout=wide)
        self.l_max = widgets.SelectionSlider(options=[0], continuous_update=False, layout=wide)
        self.base = widgets.Dropdown(options=runs, layout=wide)
        self.focus = widgets.Dropdown(options=runs, layout=wide)
        self.axis = widgets.ToggleButtons(options=plots.AXES, style={"button_width": "90px"})
        self.tabs = widgets.Tab([_figure_widget() for _ in FIGURES], titles=FIGURES)
        self.numbers, self.note = widgets.HTML(), widgets.HTML()
        self.show = widgets.Dropdown(options=list(SHOWN), layout=wide)
        self.ask = widgets.Button(description="ask the verifiers again", layout=wide)
        self.count = widgets.HTML()
        self.rollouts = widgets.Select(options=[], rows=16, layout=wide).add_class("effwb-list")
        self.reader = widgets.HTML()
        self.clicked: int | None = None  # the budget

    def _watch(self) -> None:
        for widget in (self.runs, self.benchmark, self.frontier, self.l_max, self.base, self.axis):
            self._when(widget, self.update)
        self._when(self.filter, self._filter)
        self._when(self.focus, lambda: self.open(self.focus.value, self.clicked))
        self._when(self.tabs, self._draw, "selected_index")
        self._when(self.show, self._list)
        self._when(self.rollouts, self._read)
        self.ask.on_click(lambda _: self._guarded(self._ask))

    def _when(self, widget, call, trait: str = "value") -> None:
        """Call where a hand moves the widget, not where this class does."""
        widget.observe(lambda _: self._quiet or self._guarded(call), trait)

    def _guarded(self, call, *given) -> None:
        """Call, and show an error above the figures: nobody sees what a widget's callback raises."""
        self.note.value = ""
        try:
            call(*given)
        except EffwbError as error:
            self.note.value = f"<p style='color:#B34700'><b>{markup.escape(str(error))}</b></p>"

    @property
    def widget(self) -> widgets.Widget:
        """All of it, as one widget."""
        named = {
            "runs (several: with Ctrl or Shift)": [self.filter, self.runs],
            "benchmark": [self.benchmark],
            "frontier": [self.frontier],
            "L_max: REG counts budgets up to here": [self.l_max],
            "AES and its lines are against": [self.base],
            "token axis": [self.axis],
        }
        left = [part for text, of in named.items() for part in (widgets.HTML(f"<b>{text}</b>"), *of)]
        picked = {"rollouts of": [self.focus], "shown": [self.show, self.ask, self.count, self.rollouts]}
        listed = [part for text, of in picked.items() for part in (widgets.HTML(f"<b>{text}</b>"), *of)]
        legend = widgets.HTML(f"<p style='color:#595959;line-height:1.4'>{LEGEND}</p>")
        fixed = {"flex": "0 0 auto", "margin": "0 12px 0 0"}
        wide = {"flex": "1 1 auto", "min_width": "0"}
        rows = [
            widgets.HBox([widgets.VBox(a, layout={"width": width, **fixed}), widgets.VBox(b, layout=wide)])
            for width, a, b in (
                ("300px", left, [self.note, self.tabs, self.numbers]),
                ("400px", listed, [self.reader, legend]),
            )
        ]
        return widgets.VBox([widgets.HTML(STYLE), *rows]).add_class("effwb-explorer")

    def _ipython_display_(self):
        from IPython.display import display

        display(self.widget)
        with suppress(RuntimeError):  # no loop runs outside Jupyter, and nobody looks
            for seconds in SETTLED:
                asyncio.get_running_loop().call_later(seconds, self._fit)

    def _fit(self) -> None:
        """Have the figures measure their place: they were drawn before the page had one for them."""
        for shown in self.tabs.children:
            shown.layout.autosize = False
            shown.layout.autosize = True

    # --------------------------------------------------------------------------------- what is computed
    def update(self) -> None:
        """Compute everything anew for the choices as they are."""
        self.chosen, self.numbers.value = {}, ""
        self._offer()
        names, benchmark = list(self.runs.value), self.benchmark.value
        chosen = self.store.chosen(names, benchmark)
        self.best = self.store.frontier(self.frontier.value, names, benchmark, self._progress)
        self._offer_budgets(next(iter(chosen.values())).curve.budgets)
        self.table = compare(chosen, self.best, self.l_max.value, self.base.value, RESAMPLES)
        self.chosen = chosen
        self.numbers.value = self._numbers()
        self.open(self.focus.value, self.clicked)

    @contextmanager
    def _silent(self):
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def _offer(self) -> None:
        """Choices that depend on other choices; what was chosen stays where it can."""
        names = list(self.runs.value)
        if not 1 <= len(names) <= MOST:
            raise ConfigError(f"{len(names)} runs are chosen; choose 1 to {MOST}")
        with self._silent():
            for widget, options in (
                (self.benchmark, self.store.benchmarks(names)),
                (self.base, names),
                (self.focus, names),
            ):
                _offer(widget, options)

    def _offer_budgets(self, budgets) -> None:
        budgets = [int(b) for b in budgets if 0 < b <= self.best.budgets[-1]]
        with self._silent():
            at = self.l_max.value if self.l_max.value in budgets else budgets[-1]
            if list(self.l_max.options) != budgets:
                self.l_max.options = budgets
            self.l_max.value = at

    def _progress(self, names):
        for i, name in enumerate(names):
            if i % 10 == 0:
                self.note.value = (
                    f"reading {i + 1} of {len(names)} runs, this time only: {markup.escape(name)}"
                )
            yield name
        self.note.value = ""

    def _filter(self) -> None:
        words, chosen = self.filter.value.split(), self.runs.value
        with self._silent():  # the chosen stay in the list, first
            found = [n for n in self.store.names if n not in chosen and all(w in n for w in words)]
            self.runs.options = [*chosen, *found]
            self.runs.value = chosen

    # ------------------------------------------------------------------------------------ what is drawn
    def figure(self, which: str = "curves") -> Figure:
        """One of `FIGURES` as it is now, a plain figure that needs no kernel."""
        one_of("figure", which, FIGURES)
        return (self._curves, self._tradeoff, self._lengths)[FIGURES.index(which)]()

    def _curves(self) -> Figure:
        curves = {name: one.curve for name, one in self.chosen.items()}
        few = {self.focus.value} if len(curves) > 3 else set(curves)
        same = same_budgets(self.chosen[self.focus.value], self.best, self.l_max.value)
        return plots.curve_figure(
            curves,
            self.best,
            l_max=self.l_max.value,
            shade=self.focus.value if same else None,
            bands=few,
            resamples=RESAMPLES,
            axis=self.axis.value,
        )

    def _tradeoff(self) -> Figure:
        table = self.table.rename(columns={"accuracy low": "low", "accuracy high": "high"})
        return plots.tradeoff_figure(table, x="mean tokens", iso_aes=ISO_AES, base=self.base.value)

    def _lengths(self) -> Figure:
        fig = plots.length_figure(self.chosen[self.focus.value].rollouts, axis=self.axis.value)
        return fig.update_layout(title=self.focus.value)

    def _draw(self) -> None:
        """Put the figure of the open tab into its widget, and hear clicks on it."""
        if not self.chosen:
            return
        at = self.tabs.selected_index or 0
        shown, new = self.tabs.children[at], self.figure(FIGURES[at])
        with shown.batch_update():
            shown.data = []
            shown.add_traces(list(new.data))
            shown.layout = new.update_layout(width=None, autosize=True).layout  # as wide as its place
        for trace in shown.data if FIGURES[at] != "lengths" else ():
            trace.on_click(lambda *clicked: self._guarded(self._click, *clicked))

    def _click(self, trace, points, _state=None) -> None:
        """A point of a curve opens its run at its budget, one of the plane its run."""
        name = trace.legendgroup or trace.name
        if points.point_inds and name in self.chosen:
            of_curve = not self.tabs.selected_index
            self.open(name, int(trace.customdata[points.point_inds[0]][0]) if of_curve else None)

    def _numbers(self) -> str:
        first = next(iter(self.chosen.values()))
        note = f"Intervals: 95 %, over problems. Frontier: {self.best.name}. {first.caption()}."
        if self.frontier.value in MODELS:
            note += " The frontier is another model's, and its average is over benchmarks, not over problems."
        if not same_budgets(first, self.best, self.l_max.value):
            note += " Its budgets are others: REG is of linear interpolations and has no interval."
        shown = readable(self.table, DIGITS).to_html(index=False, border=0, classes="effwb-numbers")
        return f"{shown}<p style='color:#595959;max-width:860px;line-height:1.4'>{markup.escape(note)}</p>"

    # -------------------------------------------------------------------------------- what was written
    def open(self, name: str, budget: int | None = None) -> None:
        """The rollouts of a run below the figures, with their verdicts at a budget where one is given."""
        self.clicked = budget
        if not self.chosen:  # what was chosen cannot be shown, and the note says why
            return
        one_of("run", name, self.chosen)
        with self._silent():
            self.focus.value = name
        self._draw()
        self._list()

    def _list(self) -> None:
        """The rollouts that are asked for, those that wasted most first."""
        if not self.chosen:
            return
        name = self.focus.value
        wanted = (name, self.benchmark.value, self.clicked, self.show.value, name in self._opinions)
        if wanted == self._listed:
            return
        self._listed, one = wanted, self.chosen[name]
        scores = one.scores
        at = scores.get(self.clicked, np.nan)
        table = one.outcomes.assign(at=at, end=scores.iloc[:, -1], disagree=False)
        if name in self._opinions:
            table["disagree"] = self._opinions[name]["disagree"]
        found = table[SHOWN[self.show.value](table)].sort_values("wasted", ascending=False, kind="stable")
        where = f" at {self.clicked:,} tokens" if self.clicked is not None else ""
        many = f", the first {LISTED} are listed" if len(found) > LISTED else ""
        some = f"<b>{len(found):,} of {len(table):,}</b> rollouts"
        self.count.value = f"{some} of <b>{markup.escape(name)}</b>{where}{many}"
        lines = [(_line(row), row.Index) for row in found.head(LISTED).itertuples()]
        with self._silent():
            self.rollouts.options = lines
            self.rollouts.index = 0 if lines else None
        self._read()

    def _read(self) -> None:
        """The rollout that is marked in the list."""
        if self.rollouts.value is None or not self.chosen:
            self.reader.value = "no rollout to show"
            return
        name, (problem, sample) = self.focus.value, self.rollouts.value
        said = self._opinions.get(name)
        now = None if said is None else said.loc[(problem, sample), list(WAYS)].to_dict()
        self.reader.value = read_rollout(self.chosen[name].run_dir, problem, sample).html(now)

    def _ask(self) -> None:
        """What the verifiers say today of every stored answer of the run shown."""
        name = self.focus.value
        said = self._opinions[name] = self.store.opinions(name)
        self._list()
        self.note.value = (
            f"{int(said['disagree'].sum())} of {len(said)} answers of {markup.escape(name)} are judged "
            "differently by the stored verdict, effwb's verifier now, math-verify alone, or the letters"
        )


def _figure_widget() -> FigureWidget:
    try:
        return FigureWidget()
    except ImportError as error:
        raise EngineError("a figure that can be clicked needs anywidget: pip install anywidget") from error


def _offer(widget, options: list) -> None:
    """Give a widget new options and leave its value where it is still legal."""
    if list(widget.options) != options:
        value = widget.value
        widget.options = options
        widget.value = value if value in options else options[0]


def _line(row) -> str:
    """A rollout in the list: problem, sample, tokens, and when it was right."""
    problem, sample = row.Index
    end = SIGNS["correct" if row.end else "wrong"]
    never = row.wasted != row.wasted
    when = "never right" if never else f"right at {row.first_right:,.0f}, {row.wasted:,.0f} after"
    at = "" if row.at != row.at else f" [{SIGNS['correct' if row.at else 'wrong']}]"
    return f"{problem[-6:]} #{sample}{at} {row.length:>6,} tokens {end} {when}"
