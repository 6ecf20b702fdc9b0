"""The list of runs: sets that were measured alike, a filter, and those that are left out with the reason."""

from __future__ import annotations

import html as markup
import time
from collections.abc import Callable, Iterable, Mapping

import ipywidgets as widgets
import pandas as pd

from effwb.analysis.comparable_runs import measured_on, readable_runs, sets_alike, why_not_comparable
from effwb.analysis.explorer.notice import Notice
from effwb.analysis.run_filter import EXAMPLE, matching_runs
from effwb.analysis.run_root import settings_of
from effwb.analysis.run_set import RunSet
from effwb.errors import EffwbError

CHOSEN_AT_START = 4  # runs that are chosen first, where the caller names none
LISTED = 200  # runs in the table of those that are left out
SAY_EVERY = 0.5  # seconds between two lines about the progress of reading


class RunChooser:
    """Which runs are compared.

    Args:
        notice: Where errors are shown.
        runs: All finished runs.
        names: Those that are chosen first; default: the first four of the largest set that can be compared.

    Attributes:
        runs: All finished runs.
        sets: The sets of runs that were measured alike, the largest first.
        unreadable: The reason of each run that is damaged, by name.
        alike: The widget of the sets.
        filter: The widget of the filter (`run_filter`).
        chosen: The widget of the runs.
        left_out_note: The widget of the runs that are left out.
    """

    def __init__(self, notice: Notice, runs: RunSet, names: Iterable[str] | None) -> None:
        self._notice = notice
        self._settings: dict[str, dict] = {}
        self._listed: tuple | None = None  # what the table of those that are left out was made from
        self.runs = runs
        self.unreadable: dict[str, str] = {}
        self.left_out = pd.DataFrame(columns=["run", "reason"])
        wide = widgets.Layout(width="auto")
        words = f"for example {EXAMPLE}"
        self.filter = widgets.Text(placeholder=words, continuous_update=False, layout=wide)
        self.alike = widgets.Dropdown(options=[], layout=widgets.Layout(width="auto"))
        self._group()
        first = list(names or next(filter(None, map(self.first_of, self.sets)), ()))
        rows = min(14, max(4, len(runs)))
        self.chosen = widgets.SelectMultiple(options=self._names(first), value=first, rows=rows, layout=wide)
        self.left_out_note = widgets.HTML()
        self._offer_sets()

    def _group(self) -> None:
        """Group the runs into sets that were measured alike; those whose settings are damaged are in none."""
        runs, damaged = readable_runs(self.runs)
        self.unreadable |= damaged
        self.sets = sets_alike(runs)

    def _offer_sets(self) -> None:
        labels = [(f"{len(runs)} runs: {measured_on(runs)}", i) for i, runs in enumerate(self.sets)]
        self._notice.offer(self.alike, labels or [("no finished run", None)])
        self.alike.layout.display = "none" if len(labels) < 2 else None

    def _names(self, chosen: Iterable[str]) -> list[str]:
        """The chosen runs, then those that the filter describes: first those of the largest set."""
        names = [name for runs in self.sets for name in runs.names]
        grouped, chosen = set(names), list(chosen)
        names += [name for name in self.runs.names if name not in grouped]
        matching = matching_runs(self.filter.value, names, self._settings_of)
        return [*chosen, *(name for name in matching if name not in chosen)]

    def _settings_of(self, name: str) -> Mapping:
        if name not in self._settings:
            self._settings[name] = settings_of(self.runs.run_dir(name), self.runs.info(name))
        return self._settings[name]

    def first_of(self, runs: RunSet) -> list[str]:
        """The names of the first few runs of a set that can be read."""
        names: list[str] = []
        for name in runs.names:
            if len(names) < CHOSEN_AT_START and self.reads(runs, name):
                names.append(name)
        return names

    def reads(self, runs: RunSet, name: str) -> bool:
        """Whether the tables of a run can be read; if not, it is left out with the reason."""
        try:
            runs.curve(name)
        except EffwbError as error:
            self.unreadable[name] = str(error)
        else:
            self.unreadable.pop(name, None)
        return name not in self.unreadable

    def set_of(self, name: str) -> RunSet:
        """The runs that were measured like one of them."""
        return next((runs for runs in self.sets if name in runs), self.runs.filter(names=[name]))

    def whole_set_of(self, name: str, on: Callable[[RunSet], RunSet]) -> RunSet:
        """The runs that were measured like one of them and can be read.

        Args:
            name: The run.
            on: Puts runs on the chosen benchmark.
        """
        runs, names, said = on(self.set_of(name)), [], 0.0
        for i, other in enumerate(runs.names):
            if time.monotonic() - said > SAY_EVERY:
                line = f"reading {i + 1} of {len(runs)} runs, this time only: {other}"
                self._notice.note.value, said = markup.escape(line), time.monotonic()
            if self.reads(runs, other):
                names.append(other)
        self._notice.note.value = ""
        return runs.filter(names=names)

    # ---------------------------------------------------------------------------------- the choice
    def choose_set(self) -> None:
        """Choose the first runs of the set that is marked."""
        self.choose(self.first_of(self.sets[self.alike.value]))

    def choose(self, names: Iterable[str]) -> None:
        """Choose runs; nothing is computed."""
        names = list(names)
        with self._notice.silent():
            self.chosen.options = self._names(names)
            self.chosen.value = names

    def apply_filter(self) -> None:
        """List what the filter describes; the chosen runs stay, first."""
        self.choose(self.chosen.value)

    def mark_set(self, name: str) -> None:
        """Mark the set that a chosen run belongs to."""
        for i, runs in enumerate(self.sets):
            if name in runs and self.alike.value != i:
                with self._notice.silent():
                    self.alike.value = i

    def renew(self, runs: RunSet) -> None:
        """Take more runs; the chosen ones stay chosen."""
        self.runs = runs
        self._group()
        self._offer_sets()
        self.choose(self.chosen.value)

    # ---------------------------------------------------------------------------------- the rest
    def list_left_out(self, unfinished: Mapping[str, str]) -> None:
        """List the runs that cannot be compared with the chosen ones.

        Args:
            unfinished: The reason of each run that is not finished, by name.
        """
        chosen = [name for name in self.chosen.value if name in self.runs]
        reference = next((runs for runs in self.sets if chosen and chosen[0] in runs), None)
        listed = (id(reference), tuple(self.unreadable.items()), tuple(unfinished.items()), len(self.sets))
        if listed == self._listed:
            return
        self._listed, reasons = listed, dict(self.unreadable)
        for runs in self.sets if reference is not None else ():
            if runs is not reference:
                why = why_not_comparable(self.runs, runs.names[0], chosen[0])
                reasons = {**dict.fromkeys(runs.names, why), **reasons}
        reasons |= unfinished
        self.left_out = pd.DataFrame({"run": [*reasons], "reason": [*reasons.values()]})
        table = self.left_out.head(LISTED).to_html(
            index=False, border=0, classes="effwb-numbers effwb-reasons"
        )
        summary = f"{len(reasons)} runs are left out, with the reason"
        self.left_out_note.value = (
            f"<details><summary>{summary}</summary><div class='effwb-scroll'>{table}</div></details>"
            if reasons
            else ""
        )
