"""`explore` and the `Explorer`: what is chosen, what is computed from it, and what is shown."""

from __future__ import annotations

import html as markup
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pandas as pd
from plotly.graph_objects import Figure, FigureWidget

from effwb import plots
from effwb._internal.benchmarks import AVERAGE, POOLED
from effwb.analysis.comparable_runs import frontiers_refused
from effwb.analysis.comparison import ACCURACY_AND_J, DIGITS, MAX_RUNS, compare, same_budgets
from effwb.analysis.explorer.canvas import draw, empty, fit_soon, new_canvas, point_on_top
from effwb.analysis.explorer.cell_button import CellButton
from effwb.analysis.explorer.drawings import FIGURES, Choice, Drawing, evaluation_cell
from effwb.analysis.explorer.frontiers import FRONTIERS, OF_ALL, frontier_code, frontier_of
from effwb.analysis.explorer.notice import Notice
from effwb.analysis.explorer.page import arrange
from effwb.analysis.explorer.refresh import Watch
from effwb.analysis.explorer.rollout_pane import RolloutPane
from effwb.analysis.explorer.run_chooser import RunChooser
from effwb.analysis.explorer.training_pane import TrainingPane
from effwb.analysis.run_root import RunRoot, survey
from effwb.analysis.run_set import RunSet
from effwb.errors import ConfigError, DataError, one_of
from effwb.export.text_tables import readable
from effwb.frontier import MODELS, Frontier

CLICKED = ("curves", "accuracy and tokens")  # figures whose points open a run
BY_LEVEL = ("lengths by level", "curves by level")


def explore(
    root: str | Path = "data/runs", runs: Iterable[str] | None = None, frontier: str = FRONTIERS[0]
) -> Explorer:
    """Open an interactive view of all runs below a directory.

    Args:
        root: Directory to search.
        runs: Names of the runs that are chosen at the start; default: the first four of the largest set that
            can be compared.
        frontier: One of `FRONTIERS`.

    Raises:
        ConfigError: There is no such directory, no run or frontier of that name, or the frontier does not
            belong to the runs.
        DataError: Nothing below the directory is finished, and nothing was trained.
    """
    content = survey(root)
    if not content.finished and not content.trainings:
        raise DataError(f"no finished evaluation and no training below {root}; `effwb eval` makes one")
    finished = RunSet.of(root, []).extended(content.finished)
    return Explorer(finished, runs, frontier, root=root, content=content)


class Explorer:
    """An interactive view of a `RunSet`.

    Display it in a notebook, or use `figure()` and `table` for what it shows right now. The widgets are
    attributes, so a cell may set what a mouse would: `view.l_max.value = 64`.

    Attributes:
        chosen: The `RunSet` that is shown; None where the choice cannot be shown (`note` says why).
        best: The `Frontier` that REG is measured against; None where nothing is shown.
        table: The numbers below the figures, a row per run and benchmark (`comparison.compare`).
        canvases: The figure in each tab, in the order of `drawings.FIGURES`.
        training: The page of training curves.
        widget: All of it, as one widget.

    Args:
        runs: The runs to choose from.
        names: Names of the runs that are chosen at the start; default: the first four of the largest set that
            can be compared.
        frontier: One of `FRONTIERS`.
        root: The run root; with it, trainings are shown, and new runs appear.
        content: What is below the root (`run_root.survey`).
    """

    def __init__(
        self,
        runs: RunSet,
        names: Iterable[str] | None = None,
        frontier: str = FRONTIERS[0],
        *,
        root: str | Path | None = None,
        content: RunRoot | None = None,
    ):
        self.root = None if root is None else str(root)
        self.content = content or RunRoot({}, {}, {})
        self._refused: dict[str, str] = {}
        self._html, self._stale = "", set(range(len(FIGURES)))
        self.chosen: RunSet | None = None
        self.best: Frontier | None = None
        self.table = pd.DataFrame()
        names = list(names or ())
        one_of("frontier", frontier, FRONTIERS)
        for name in names:
            one_of("run", name, runs.names)
        self.notice = Notice()
        self.note = self.notice.note
        self.chooser = RunChooser(self.notice, runs, names)
        self._make_widgets(frontier)
        self.notice.guarded(self.update)
        if frontier in self._refused:
            raise ConfigError(f"frontier={frontier!r} does not fit these runs: {self._refused[frontier]}")
        self._listen()
        self.watch = Watch(self.refresh)

    # ----------------------------------------------------------------------------------- the widgets
    def _make_widgets(self, frontier: str) -> None:
        wide = widgets.Layout(width="auto")
        chooser, self.pane = self.chooser, RolloutPane(self.notice)
        self.alike, self.filter, self.runs = chooser.alike, chooser.filter, chooser.chosen
        names = list(self.runs.value)
        self.benchmark = widgets.Dropdown(options=[AVERAGE], layout=wide)
        self.frontier = widgets.Dropdown(options=FRONTIERS, value=frontier, layout=wide)
        self.frontier_note = widgets.HTML()
        self.l_max = widgets.SelectionSlider(options=[0], continuous_update=False, layout=wide)
        self.base = widgets.Dropdown(options=names, layout=wide)
        self.axis = widgets.ToggleButtons(options=plots.AXES, style={"button_width": "90px"})
        self.canvases = [new_canvas() for _ in FIGURES]
        self.tabs = widgets.Tab([widgets.VBox([c]) for c in self.canvases], titles=tuple(FIGURES))
        self.pages = widgets.Tab()
        self.numbers, self.status, self.copy = widgets.HTML(), widgets.HTML(), CellButton()
        self.look_again = widgets.Button(description="look for new runs", layout={"width": "150px"})
        pane = self.pane
        self.focus, self.show, self.rollouts, self.reader = pane.focus, pane.show, pane.rollouts, pane.reader
        self.regrade, self.count = pane.regrade, pane.count
        self.training = TrainingPane(self.notice, self.root or "", self.content.trainings, names)
        self.widget = arrange(self)

    def _listen(self) -> None:
        when = self.notice.when
        for widget in (self.runs, self.benchmark, self.frontier, self.l_max, self.base, self.axis):
            when(widget, self.update)
        when(self.alike, self._choose_set)
        when(self.filter, self.chooser.apply_filter)
        when(self.focus, lambda: self.open(self.focus.value, self.clicked))
        when(self.tabs, self._open_tab, "selected_index")
        when(self.pages, self._open_page, "selected_index")
        self.look_again.on_click(lambda _: self.notice.guarded(self._look_again))

    @property
    def all_runs(self) -> RunSet:
        """The runs that can be chosen from."""
        return self.chooser.runs

    @property
    def left_out(self) -> pd.DataFrame:
        """A row per run that cannot be compared with the chosen ones: `run` and `reason`."""
        return self.chooser.left_out

    @property
    def clicked(self) -> int | None:
        """The budget in tokens at which the verdicts in the list are shown; None: no budget."""
        return self.pane.clicked

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)
        fit_soon(self.canvases[:1])
        if self.root is not None:
            self.watch.start()

    def _choose_set(self) -> None:
        self.chooser.choose_set()
        self.update()

    def _look_again(self) -> None:
        self.refresh()
        fit_soon([self.canvases[self.tabs.selected_index or 0], self.training.canvas])

    def _open_tab(self) -> None:
        self._draw(is_opened=True)
        fit_soon([self.canvases[self.tabs.selected_index or 0]])

    def _open_page(self) -> None:
        if self.pages.selected_index == 1:
            self.training.open()
            fit_soon([self.training.canvas])

    # --------------------------------------------------------------------------------- the numbers
    def update(self) -> None:
        """Compute everything anew for the current choices; show nothing where they cannot be shown."""
        try:
            self._compute()
        except Exception:
            self._clear()
            raise
        finally:
            self.chooser.list_left_out(self.content.unfinished)

    def _compute(self) -> None:
        self._offer_choices()
        chosen = self._on_benchmark(self.all_runs.filter(names=self.runs.value).check_alike())
        changed = self._offer_frontiers(chosen)
        first = chosen.names[0]
        best = frontier_of(
            self.frontier.value, chosen, lambda: self.chooser.whole_set_of(first, self._on_benchmark)
        )
        options = [int(b) for b in chosen.curve(first).budgets if 0 < b <= best.budgets[-1]]
        self.notice.offer(self.l_max, options, options[-1])
        self.table = compare(chosen, best, self.l_max.value, self.base.value)
        self.best, self.chosen = best, chosen
        self._html, self._stale = self._numbers(), set(range(len(FIGURES)))
        self.chooser.mark_set(first)
        if changed:
            self.notice.warn(changed)
        self.open(self.focus.value, self.clicked)

    def _clear(self) -> None:
        """Show nothing: what was shown belongs to another choice."""
        self.chosen = self.best = None
        self.table, self._html, self.numbers.value, self.copy.code = pd.DataFrame(), "", "", ""
        self._empty(range(len(FIGURES)))
        self.pane.clear()

    def _offer_choices(self) -> None:
        """Renew the choices that depend on the chosen runs."""
        names = list(self.runs.value)
        if not 1 <= len(names) <= MAX_RUNS:
            raise ConfigError(f"{len(names)} runs are chosen; choose 1 to {MAX_RUNS}")
        benchmarks = self.all_runs.filter(names=names).benchmarks()
        benchmarks = [*benchmarks, POOLED] if len(benchmarks) > 1 else benchmarks
        for widget, options in ((self.benchmark, benchmarks), (self.base, names), (self.focus, names)):
            self.notice.offer(widget, options)

    def _offer_frontiers(self, chosen: RunSet) -> str:
        """Offer the frontiers that belong to the runs; returns a sentence where the one in use does not."""
        before, self._refused = self.frontier.value, frontiers_refused(chosen)
        self.notice.offer(self.frontier, [name for name in FRONTIERS if name not in self._refused])
        lines = "".join(f"<li>{name}: {markup.escape(why)}</li>" for name, why in self._refused.items())
        count = f"{len(self._refused)} frontiers do not belong to these runs"
        text = f"<details><summary>{count}</summary><ul class='effwb-note'>{lines}</ul></details>"
        self.frontier_note.value = text if lines else ""
        if before not in self._refused:
            return ""
        return f"the frontier {before} does not fit these runs and is no longer used: {self._refused[before]}"

    def _on_benchmark(self, runs: RunSet) -> RunSet:
        """The runs on the benchmark that is chosen; with the average all benchmarks are listed."""
        return runs if self.benchmark.value == AVERAGE else runs.on(self.benchmark.value)

    def _numbers(self) -> str:
        """The table below the figures, with what its numbers mean."""
        first, best = next(iter(self._choice().runs)), self._choice().frontier
        note = f"Intervals: 95 % over problems. Frontier: {best.name}. {ACCURACY_AND_J} {first.caption()}."
        if self.frontier.value in MODELS:
            note += " The frontier is a published one."
        if not same_budgets(first, best, self.l_max.value):
            note += " Its budgets differ: REG is computed from linear interpolations and has no interval."
        return f"{_table(self.table)}<p class='effwb-note'>{markup.escape(note)}</p>"

    def _levels(self) -> str:
        """The table below the figures of levels."""
        columns = {"low": "accuracy low", "high": "accuracy high"}
        return _table(self._choice().runs.by_level().rename(columns=columns))

    # ---------------------------------------------------------------------------------- the figures
    def _choice(self) -> Choice:
        if self.chosen is None or self.best is None:
            raise ConfigError("the chosen runs cannot be shown; see the note above the figures")
        values = (self.l_max.value, self.base.value, self.focus.value, self.axis.value)
        return Choice(self.chosen, self.best, self.table, *values)

    def drawing(self, name: str = "curves") -> Drawing:
        """One of the figures as a call of `effwb.plots`; see `figure`."""
        one_of("figure", name, FIGURES)
        return FIGURES[name](self._choice())

    def figure(self, name: str = "curves") -> Figure:
        """One of the figures as it is now, as a plain figure that needs no kernel.

        Args:
            name: The title of its tab: "curves", "accuracy and tokens", "lengths", "lengths by level",
                "curves by level" or "curves by benchmark".
        """
        return self.drawing(name).figure()

    def cell(self, name: str = "curves") -> str:
        """The code of a cell that draws one of the figures again.

        Args:
            name: As for `figure`.
        """
        return self._cell(self.drawing(name))

    def _cell(self, drawing: Drawing) -> str:
        choice = self._choice()
        code = frontier_code(self.frontier.value, choice.runs.names[0])
        return evaluation_cell(drawing, choice, self.root, code, self.chooser.unreadable)

    def _draw(self, is_opened: bool = False) -> None:
        """Put the figure of the open tab into its canvas, and listen for clicks on it.

        Args:
            is_opened: The tab was hidden until now. Then it gets a new canvas: in the page of Voila a canvas
                that was hidden takes no changes.
        """
        if self.chosen is None:
            return
        tab = self.tabs.selected_index or 0
        name = list(FIGURES)[tab]
        self._empty(self._stale - {tab})  # they show what was chosen before
        self._stale = {tab}
        canvas = new_canvas() if is_opened else self.canvases[tab]
        try:
            drawing = self.drawing(name)
            on_click = self._guarded_click if name in CLICKED else None
            draw(canvas, drawing.figure(), on_click, one_panel=drawing.function != "benchmark_figure")
            self.numbers.value = self._levels() if name in BY_LEVEL else self._html
        except Exception:
            empty(canvas)
            self.copy.code = ""
            raise
        finally:
            self._place(tab, canvas)
        self.copy.code = self._cell(drawing)

    def _empty(self, tabs: Iterable[int]) -> None:
        """Take the figures out of some tabs."""
        for tab in tabs:
            if tab == (self.tabs.selected_index or 0):
                empty(self.canvases[tab])
            elif len(self.canvases[tab].data):
                self._place(tab, new_canvas())

    def _place(self, tab: int, canvas: FigureWidget) -> None:
        """Show a canvas in a tab."""
        before, self.canvases[tab] = self.canvases[tab], canvas
        if canvas is not before:
            self.tabs.children[tab].children = [canvas]
            before.close()

    def _guarded_click(self, *clicked: Any) -> None:
        self.notice.guarded(self._click, *clicked)

    def _click(self, _trace: Any, points: Any, _state: object = None) -> None:
        """A point of a curve opens its run at its budget; a point of the second figure opens its run."""
        if not points.point_inds:
            return
        canvas = self.canvases[self.tabs.selected_index or 0]
        point = point_on_top(canvas, points.xs[0], points.ys[0], self._choice().runs.names)
        if point is not None:
            self.open(point.run, point.budget)

    # --------------------------------------------------------------------------------- the rollouts
    def open(self, name: str, budget: int | None = None) -> None:
        """Show the rollouts of a run below the figures.

        Args:
            name: One of the chosen runs.
            budget: A budget in tokens at which their verdicts are shown too.
        """
        if self.chosen is None:  # the choice cannot be shown, and the note says why
            return
        one_of("run", name, self.chosen.names)
        with self.notice.silent():
            self.focus.value = name
        self.pane.open(self.chosen, name, budget)
        self._draw()

    def refresh(self) -> None:
        """Look at the run root again: new runs can be chosen, and curves of trainings under way go on."""
        if self.root is None:
            return
        self.content = survey(self.root)
        new = {name: run for name, run in self.content.finished.items() if name not in self.all_runs}
        if new:
            self.chooser.renew(self.all_runs.extended(new))
            if self.chosen is None or self.frontier.value in OF_ALL:
                self.update()
        self.training.renew(self.content.trainings)
        self.chooser.list_left_out(self.content.unfinished)
        under_way = sum(not training.finished for training in self.content.trainings.values())
        trainings = f"{under_way} training{'s' * (under_way != 1)} not finished"
        counts = f"{len(self.all_runs)} finished runs, {trainings}"
        self.status.value = f"<span class='effwb-note'>{time.strftime('%H:%M:%S')}: {counts}</span>"


def _table(table: pd.DataFrame) -> str:
    rows = readable(table, DIGITS).to_html(index=False, border=0, classes="effwb-numbers")
    return f"<div class='effwb-scroll'>{rows}</div>"
