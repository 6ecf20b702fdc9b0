"""Progress: one line that is renewed in place in a notebook, and a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

SECONDS = 15.0  # between two lines in a terminal or a log
RENEWAL = 1.0  # seconds between two looks of the line in a notebook

_labels: ContextVar[tuple[str, ...]] = ContextVar("labels", default=())
_lines: dict[int | None, NotebookLine] = {}  # that of the last cell, by its number
_open_line: ContextVar[NotebookLine | None] = ContextVar("open_line", default=None)


class NotebookLine:
    """A line in the output of a cell, renewed in place; with a figure below it while something trains."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._text, self._has_figure = "", False
        self._last = 0.0
        self._notes: list[str] = []

    def print_once(self, lines: Sequence[str]) -> None:
        """Print the lines that were not printed before."""
        new = [text for text in lines if text not in self._notes]
        print_lines(new)
        self._notes += new

    def show(self, text: str, figure: dict[str, Any] | None = None, *, now: bool = True) -> None:
        """Replace the line.

        Args:
            text: The new line.
            figure: A plotly figure as a plain dict, in place of the bare line; its title should be the line.
            now: False: only if the line is older than a second.
        """
        from IPython.display import clear_output, display

        if not now and time.monotonic() - self._last < RENEWAL:
            return
        self._last = time.monotonic()
        bundle: dict[str, Any] = {"text/plain": text}
        if figure is not None:
            bundle["application/vnd.plotly.v1+json"] = figure
        if self._has_figure and figure is not None:  # JupyterLab never draws a figure anew in its place
            clear_output(wait=True)
            self._handle = display(bundle, raw=True, display_id=True)
            print_lines(self._notes)
        elif self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)
        self._text, self._has_figure = text, figure is not None

    def drop_figure(self) -> None:
        """Leave the line alone, if a figure is drawn below it."""
        if self._has_figure:
            self.show(self._text)


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel, papermill's included."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def current_cell() -> int | None:
    """The number of the cell that runs."""
    return getattr(sys.modules["IPython"].get_ipython(), "execution_count", None)


@contextmanager
def labelled(label: str) -> Iterator[None]:
    """Begin every line of progress inside with a label, such as "run 2 of 6: kimi, seed 1"."""
    token = _labels.set((*_labels.get(), label))
    try:
        yield
    finally:
        _labels.reset(token)


def has_label() -> bool:
    """Whether lines of progress begin with a label here."""
    return bool(_labels.get())


def with_label(text: str) -> str:
    """The text behind the labels that hold here."""
    return ": ".join((*_labels.get(), text))


@contextmanager
def notebook_line() -> Iterator[NotebookLine | None]:
    """Give the line of this cell, the same one to everything that runs in it; None outside a notebook."""
    line = _open_line.get()
    if line is not None or not in_notebook():
        yield line
        return
    cell = current_cell()
    if cell not in _lines:
        _lines.clear()
        _lines[cell] = NotebookLine()
    line = _lines[cell]
    token = _open_line.set(line)
    try:
        yield line
    finally:
        _open_line.reset(token)
        line.drop_figure()  # of a training that was interrupted or failed


def open_line() -> NotebookLine | None:
    """The line of this cell, if there is one."""
    return _open_line.get()


@contextmanager
def counting(title: str, total: int, unit: str, visible: bool = True) -> Iterator[Callable[[int], None]]:
    """Show how much of something is done.

    Args:
        title: What is done, in a few words.
        total: How many there are.
        unit: What one of them is called.
        visible: False: show nothing.

    Yields:
        A function to call with the number of those done since the last call.
    """
    if not visible:
        yield lambda count: None
        return
    with notebook_line() as line:
        if line is None and sys.stderr.isatty():
            from tqdm import tqdm

            with tqdm(total=total, desc=with_label(title), unit=unit, mininterval=2) as bar:
                yield bar.update
            return
        counter = _Counter(title, total, unit, line)
        yield counter.add
        counter.end()


class _Counter:
    """Counts, and says so in the line of the notebook or in lines on stderr."""

    def __init__(self, title: str, total: int, unit: str, line: NotebookLine | None):
        self.title, self.total, self.unit, self.line = title, total, unit, line
        self.done, self.start = 0, time.monotonic()
        self.last = self.start
        if line is not None:
            line.show(with_label(f"{title}: 0 of {total} {unit}s"))

    def add(self, count: int) -> None:
        self.done += count
        spent = time.monotonic() - self.start
        left = spent / self.done * (self.total - self.done) if self.done else 0.0
        text = f"{self.title}: {self.done} of {self.total} {self.unit}s, {duration(left)} left"
        if self.line is not None:
            self.line.show(with_label(text), now=False)
        elif time.monotonic() - self.last >= SECONDS and self.done < self.total:
            self.last = time.monotonic()
            write_line(with_label(text))

    def end(self) -> None:
        spent = duration(time.monotonic() - self.start)
        text = with_label(f"{self.title}: {self.done} of {self.total} {self.unit}s in {spent}")
        if self.line is not None:
            self.line.show(text)
        else:
            write_line(text)


def write_line(text: str) -> None:
    """Write a line of progress to stderr."""
    with suppress(RuntimeError):  # a signal handler may come in the middle of a line
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def print_lines(lines: Sequence[str]) -> None:
    """Print lines at once, also into a pipe."""
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def duration(seconds: float) -> str:
    """A duration for a reader.

    >>> duration(8.2), duration(150), duration(9000)
    ('8 s', '2.5 min', '2.5 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
