"""The line above the figures that says what went wrong, and callbacks that use it."""

from __future__ import annotations

import html as markup
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets

from effwb.errors import EffwbError


class Notice:
    """A line of text for the reader, shared by all parts of the explorer.

    Attributes:
        note: The widget.
    """

    def __init__(self) -> None:
        self.note, self._quiet = widgets.HTML(), False

    def guarded(self, call: Callable[..., None], *args: object) -> None:
        """Call, and show an error above the figures: what a widget's callback raises is not seen."""
        self.note.value = ""
        try:
            call(*args)
        except EffwbError as error:
            self.warn(str(error))

    def warn(self, text: str) -> None:
        """Show a warning."""
        self.note.value = f"<p class='effwb-warning'><b>{markup.escape(text)}</b></p>"

    def when(self, widget: Any, call: Callable[[], None], trait: str = "value") -> None:
        """Call when a person moves the widget, not when the explorer does."""

        def moved(_change: object) -> None:
            if not self._quiet:
                self.guarded(call)

        widget.observe(moved, trait)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Let widgets be moved without a callback."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def offer(self, widget: Any, options: list, default: Any = None) -> None:
        """Renew the options of a widget; its value stays where it is still legal.

        Args:
            widget: A selection of one value.
            options: Values, or pairs of a label and a value.
            default: The value where the old one is not legal; default: the first.
        """
        values = [option[1] if isinstance(option, tuple) else option for option in options]
        with self.silent():
            value = widget.value
            if list(widget.options) != options:
                widget.options = options
            if value not in values:
                value = values[0] if default is None else default
            if widget.value != value:
                widget.value = value
