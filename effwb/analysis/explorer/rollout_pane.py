"""The lower half of the explorer: a list of rollouts that can be searched, and one or two of them to read."""

from __future__ import annotations

import html as markup
from collections.abc import Hashable
from typing import Any

import ipywidgets as widgets
import pandas as pd

from effwb.analysis.explorer.notice import Notice
from effwb.analysis.rollout_list import (
    ALL_LEVELS,
    KINDS,
    ORDERS,
    choose_rollouts,
    other_sample,
    page_of,
    rollout_line,
    rollout_table,
    searchable_texts,
)
from effwb.analysis.rollout_view import LEGEND, read_rollout
from effwb.analysis.run_analysis import RunAnalysis
from effwb.analysis.run_set import RunSet
from effwb.verifiers.opinions import WAYS

NOTHING = "no rollout to show"
ALONE = "nothing"  # set beside the rollout


class RolloutPane:
    """The list of rollouts and the reader.

    Args:
        notice: Where errors are shown.

    Attributes:
        focus: Which run.
        show: Which kind of its rollouts.
        level: Which level of difficulty.
        search: Words in the question, the reference answer or what the model wrote.
        order: The order of the list.
        page: Which page of the list.
        rollouts: The list.
        reader: The rollout that is marked.
        beside: Which other run's rollout of the same problem is shown beside it.
        sample: Which of that run's rollouts.
    """

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self.opinions: dict[str, pd.DataFrame] = {}
        self.runs: RunSet | None = None
        self.clicked: int | None = None  # the budget, in tokens
        self._state: tuple | None = None
        self._texts: tuple[Hashable, pd.Series] | None = None  # of the run that was searched last
        self._make_widgets()
        for widget in (self.show, self.level, self.search, self.order):
            notice.when(widget, self._first_page)
        notice.when(self.page, self.refill)
        notice.when(self.rollouts, self.read)
        notice.when(self.beside, self.read)
        notice.when(self.sample, self._read_beside)
        for button, step in ((self.back, -1), (self.forth, 1)):
            button.on_click(lambda _, step=step: notice.guarded(self._turn, step))
        self.regrade.on_click(lambda _: notice.guarded(self._regrade))

    def _make_widgets(self) -> None:
        wide, narrow = widgets.Layout(width="auto"), widgets.Layout(width="40px")
        self.focus = widgets.Dropdown(options=[], layout=wide)
        self.show = widgets.Dropdown(options=list(KINDS), layout=wide)
        self.level = widgets.Dropdown(options=[ALL_LEVELS], layout=wide)
        words = "words in question or answer"
        self.search = widgets.Text(placeholder=words, continuous_update=False, layout=wide)
        self.order = widgets.Dropdown(options=list(ORDERS), layout=wide)
        self.page = widgets.BoundedIntText(value=1, min=1, max=1, layout=widgets.Layout(width="70px"))
        self.back, self.forth = (widgets.Button(description=sign, layout=narrow) for sign in "‹›")
        self.pages = widgets.HTML()
        self.regrade = widgets.Button(description="ask the verifiers again", layout=wide)
        self.count = widgets.HTML()
        self.rollouts = widgets.Select(options=[], rows=16, layout=wide).add_class("effwb-list")
        self.reader, self.reader_beside = widgets.HTML(), widgets.HTML()
        self.beside = widgets.Dropdown(options=[ALONE], layout=widgets.Layout(width="260px"))
        self.sample = widgets.Dropdown(options=[], layout=widgets.Layout(width="110px"))

    @property
    def widget(self) -> widgets.Widget:
        """The list on the left, the reader on the right."""
        pages = widgets.HBox([self.back, self.page, self.pages, self.forth])
        titles = {"rollouts of": [self.focus], "shown": [self.show, self.level, self.search, self.order]}
        left = [part for title, parts in titles.items() for part in (widgets.HTML(f"<b>{title}</b>"), *parts)]
        left += [self.count, self.rollouts, pages, self.regrade]
        legend = widgets.HTML(f"<p class='effwb-note'>{LEGEND}</p>")
        beside = widgets.HBox([widgets.HTML("<b>the same problem in</b>&nbsp;"), self.beside, self.sample])
        half = {"flex": "1 1 0", "min_width": "0", "margin": "0 8px 0 0"}
        for reader in (self.reader, self.reader_beside):
            reader.layout = widgets.Layout(**half)
        readers = widgets.HBox([self.reader, self.reader_beside])
        fixed = {"width": "380px", "flex": "0 0 auto", "margin": "0 12px 0 0"}
        right = widgets.VBox([beside, readers, legend], layout={"flex": "1 1 auto", "min_width": "0"})
        return widgets.HBox([widgets.VBox(left, layout=fixed), right])

    # ---------------------------------------------------------------------------------- the list
    def open(self, runs: RunSet, name: str, budget: int | None = None) -> None:
        """List the rollouts of a run.

        Args:
            runs: The chosen runs.
            name: One of them.
            budget: A budget in tokens at which their verdicts are shown too.
        """
        self.runs, self.clicked = runs, budget
        others = [(f"{other}", other) for other in runs.names if other != name]
        self._notice.offer(self.beside, [(ALONE, ALONE), *others])
        levels = sorted(set((runs[name].levels or {}).values()))
        self._notice.offer(self.level, [(ALL_LEVELS, ALL_LEVELS), *((f"level {n}", n) for n in levels)])
        self.refill()

    def clear(self) -> None:
        """Show nothing."""
        self.runs, self._state = None, None
        with self._notice.silent():
            self.rollouts.options = []
        self.count.value = self.pages.value = self.reader.value = self.reader_beside.value = ""

    def refill(self) -> None:
        """List the rollouts of the kind, level and words that are chosen."""
        if self.runs is None:
            return
        name, choices = self.focus.value, (self.show, self.level, self.search, self.order, self.page)
        state = (name, self.runs.benchmark, self.clicked, name in self.opinions, *(w.value for w in choices))
        if state == self._state:
            return
        run = self.runs[name]
        disagree = self.opinions[name]["disagree"] if name in self.opinions else None
        table = rollout_table(run, self.clicked, disagree)
        texts = self._searchable(run) if self.search.value.split() else None
        rows = choose_rollouts(
            table,
            self.show.value,
            level=self.level.value,
            words=self.search.value,
            texts=texts,
            order=self.order.value,
        )
        self._state = state
        self._show_page(rows, len(table))

    def _show_page(self, rows: pd.DataFrame, total: int) -> None:
        page, pages = page_of(rows, self.page.value)
        where = f" at {self.clicked:,} tokens" if self.clicked is not None else ""
        share = f"<b>{len(rows):,} of {total:,}</b> rollouts"
        self.count.value = f"{share} of <b>{markup.escape(self.focus.value)}</b>{where}"
        self.pages.value = f"of {pages} pages" if pages > 1 else "of 1 page"
        lines = [(rollout_line(row), row.Index) for row in page.itertuples()]
        with self._notice.silent():
            self.page.max = pages
            self.rollouts.options = lines
            self.rollouts.index = 0 if lines else None
        self.read()

    def _first_page(self) -> None:
        with self._notice.silent():
            self.page.value = 1
        self.refill()

    def _turn(self, step: int) -> None:
        self.page.value = min(max(1, self.page.value + step), self.page.max)

    def _searchable(self, run: RunAnalysis) -> pd.Series:
        key = (run.name, run.benchmark)
        if self._texts is None or self._texts[0] != key:
            self._texts = (key, searchable_texts(run))
        return self._texts[1]

    # -------------------------------------------------------------------------------- the reader
    def read(self) -> None:
        """Show the rollout that is marked in the list, and the one beside it."""
        if self.rollouts.value is None or self.runs is None:
            self.reader.value, self.reader_beside.value = NOTHING if self.runs else "", ""
            return
        problem, sample = self.rollouts.value
        self.reader.value = self._html(self.focus.value, problem, sample)
        if self.beside.value == ALONE:
            self._notice.offer(self.sample, [("", None)])
        else:
            run = self.runs[self.beside.value]
            number = other_sample(run, problem, sample)
            samples = run.outcomes.loc[problem].index if number is not None else []
            self._notice.offer(self.sample, [(f"rollout {int(n)}", int(n)) for n in samples] or [("", None)])
            with self._notice.silent():
                self.sample.value = number
        self._read_beside()

    def _read_beside(self) -> None:
        name, sample = self.beside.value, self.sample.value
        if name == ALONE or self.rollouts.value is None:
            text = ""
        elif sample is None:
            text = f"{markup.escape(name)} has no rollout of this problem"
        else:
            title = f"<p style='margin:4px 0'><b>{markup.escape(name)}</b>, rollout {sample}</p>"
            text = title + self._html(name, self.rollouts.value[0], sample)
        self.reader_beside.value = text
        self.reader_beside.layout.display = None if text else "none"

    def _html(self, name: str, problem: str, sample: int) -> str:
        assert self.runs is not None
        opinions: Any = self.opinions.get(name)
        verdicts = None if opinions is None else opinions.loc[(problem, sample), [*WAYS]].to_dict()
        return read_rollout(self.runs[name].run_dir, problem, sample).html(verdicts)

    def _regrade(self) -> None:
        """Ask the verifiers of today about every stored answer of the run that is shown."""
        if self.runs is None:
            return
        name = self.focus.value
        opinions = self.opinions[name] = self.runs.opinions(name)
        self.refill()
        self._notice.note.value = (
            f"{int(opinions['disagree'].sum())} of {len(opinions)} answers of {markup.escape(name)} are "
            "judged differently by the stored verdict, effwb's verifier now, math-verify or plain comparison"
        )
