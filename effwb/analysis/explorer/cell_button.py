"""A button that copies the code of a cell; where the clipboard cannot be reached, it shows the code."""

from __future__ import annotations

import html as markup

import ipywidgets as widgets

SCRIPT = """
const box = this.parentElement, details = box.querySelector('details'), code = box.querySelector('pre');
const show = () => {details.open = true; getSelection().selectAllChildren(code)};
const say = text => {this.textContent = text; setTimeout(() => this.textContent = this.dataset.title, 2000)};
if (!navigator.clipboard) {show(); say('copy the marked text')}
else navigator.clipboard.writeText(code.textContent).then(
  () => say('copied'), () => {show(); say('copy the marked text')})
"""
TITLE = "copy the cell that draws this figure"


class CellButton:
    """The button, with the code behind a triangle below it.

    Attributes:
        widget: The widget.
    """

    def __init__(self) -> None:
        self.widget, self._code = widgets.HTML(), ""

    @property
    def code(self) -> str:
        """The code of the cell; "" where nothing is drawn, and then there is no button."""
        return self._code

    @code.setter
    def code(self, code: str) -> None:
        self._code = code
        script = markup.escape(" ".join(SCRIPT.split()), quote=True)
        button = f'<button class="effwb-copy jupyter-button" data-title="{TITLE}" onclick="{script}">'
        text = f"<pre class='effwb-cell'>{markup.escape(code)}</pre>"
        shown = f"<details><summary>show it</summary>{text}</details>"
        self.widget.value = f"<div>{button}{TITLE}</button>{shown}</div>" if code else ""
