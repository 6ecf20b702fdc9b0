"""How the explorer's widgets are arranged, and the style of its texts in the light and the dark theme."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import ipywidgets as widgets

if TYPE_CHECKING:
    from effwb.analysis.explorer.explorer import Explorer

PAGES = ("evaluations", "training curves")
STYLE = """<style>
.effwb-explorer .lm-TabBar .lm-TabBar-content {flex-wrap: wrap}
.effwb-explorer .lm-TabBar .lm-TabBar-content .lm-TabBar-tab {flex: 0 0 auto !important;
min-width: 40px !important; max-width: none !important; padding: 0 8px}
.effwb-explorer .widget-html > .widget-html-content {min-width: 0; flex: 1 1 auto}
[data-jp-theme-light="false"] .effwb-explorer, .theme-dark .effwb-explorer {color-scheme: dark}
.effwb-list select {font-family: ui-monospace, monospace; font-size: 12px}
.effwb-numbers {border-collapse: collapse; font-size: 13px; margin: 4px 0}
.effwb-numbers th, .effwb-numbers td {padding: 2px 8px; text-align: right; white-space: nowrap}
.effwb-numbers th:first-child, .effwb-numbers td:first-child {text-align: left}
.effwb-scroll {overflow-x: auto; max-height: 320px; overflow-y: auto}
.effwb-note {color: var(--jp-ui-font-color2, #595959); max-width: 860px; line-height: 1.4; margin: 4px 0}
.effwb-warning {color: var(--jp-error-color0, #B34700); line-height: 1.4; margin: 4px 0}
.effwb-copy {width: 100%; height: 28px; cursor: pointer; border: 0; white-space: nowrap}
.effwb-cell {font-size: 12px; overflow: auto; max-height: 240px; user-select: all}
.effwb-explorer details > summary {cursor: pointer; color: var(--jp-ui-font-color2, #595959)}
</style>"""
LEFT = {"width": "300px", "flex": "0 0 auto", "margin": "0 12px 0 0"}
WIDE = {"flex": "1 1 auto", "min_width": "0"}


def arrange(view: Explorer) -> widgets.Widget:
    """Put the widgets of an explorer into one."""
    choices = {
        "runs (several: with Ctrl or Shift)": [view.alike, view.filter, view.runs],
        "benchmark": [view.benchmark],
        "frontier": [view.frontier, view.frontier_note],
        "L_max: REG counts up to here": [view.l_max],
        "baseline run for AES": [view.base],
        "token axis": [view.axis],
        "": [view.copy.widget],
    }
    figures = [view.tabs, view.numbers, view.chooser.left_out_note]
    compared = widgets.HBox([_column(choices), widgets.VBox(figures, layout=WIDE)])
    evaluations = widgets.VBox([compared, view.pane.widget])
    view.pages.children = [evaluations, view.training.widget]
    view.pages.titles = PAGES
    status = widgets.HBox([view.look_again, view.status]) if view.root is not None else widgets.HBox([])
    parts = [widgets.HTML(STYLE), status, view.notice.note, view.pages]
    return widgets.VBox(parts).add_class("effwb-explorer")


def _column(choices: Mapping[str, list]) -> widgets.Widget:
    parts = [part for title, parts in choices.items() for part in (widgets.HTML(f"<b>{title}</b>"), *parts)]
    return widgets.VBox(parts, layout=LEFT)
