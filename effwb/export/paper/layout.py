"""Figures for a column of a paper: panels stacked where it is narrow, legends outside, texts that stay apart.

All lengths are CSS pixels of a page whose titles have letters of `text.SIZE` pixels; `images` prints
these as the points that the caller names.
"""

from __future__ import annotations

import plotly.graph_objects as go

from effwb.errors import ConfigError
from effwb.export.arrays import decoded
from effwb.export.paper.labels import separate_labels
from effwb.export.paper.legends import anchor_legends, place_legends
from effwb.export.paper.notes import place_notes, set_notes
from effwb.export.paper.panels import (
    Panel,
    arrange,
    find_panels,
    set_domains,
    set_tops,
    set_widths,
)
from effwb.export.paper.text import GAP, SIZE, SMALL, height, wrap
from effwb.export.paper.ticks import thin_ticks

FONTS = {
    "times": "Times New Roman, Times, TeX Gyre Termes, Nimbus Roman, Liberation Serif, STIXGeneral, serif",
    "sans": "Helvetica, Arial, TeX Gyre Heros, Nimbus Sans, Liberation Sans, DejaVu Sans, sans-serif",
}
EDGE = 14  # CSS pixels on the right of a panel: half a tick label
NARROW = 600  # CSS pixels of a page on which panels are stacked
LOWEST = 60  # CSS pixels of a panel below which nothing can be read
TALL = 1.25  # how much taller a panel grows while its labels have no room ...
TRIES = 4  # ... at most so often


def paper_version(
    fig: go.Figure,
    page: float,
    page_height: float | None = None,
    *,
    font: str = "times",
    has_title: bool = False,
) -> go.Figure:
    """Return a copy of a figure laid out for a page.

    Args:
        fig: A plotly figure.
        page: Width of the page in CSS pixels.
        page_height: Its height; default: what the panels, at about their proportions, and the legend need.
        font: Name in `FONTS`.
        has_title: Whether the title stays; papers have captions instead.

    Returns:
        A figure with the width and the height of the page.

    Raises:
        ConfigError: The height leaves no room for the panels.
    """
    tall, figure = 1.0, decoded(fig.to_dict())
    for _ in range(TRIES):
        drawn, is_apart = _laid_out(go.Figure(figure), page, page_height, tall, font, has_title)
        if is_apart or page_height is not None:
            break
        tall *= TALL
    return drawn


def _laid_out(
    fig: go.Figure, page: float, page_height: float | None, tall: float, font: str, has_title: bool
) -> tuple[go.Figure, bool]:
    """Lay out a figure, and say whether its labels are apart."""
    own_size = (fig.layout.width or 860, fig.layout.height or 520)
    panels = find_panels(fig)
    top = _set_style(fig, page, font, has_title)
    if not panels:
        return fig.update_layout(width=page, height=page_height or 0.6 * page), True
    arrange(fig, panels, page)
    shapes = {id(panel): tall * _proportion(panel, own_size, len(panels), page) for panel in panels}
    for _ in range(2):  # the height tells how many lines the title of an axis takes, these the width
        set_widths(fig, panels, page, EDGE)
        for panel in panels:
            panel.height = panel.width * shapes[id(panel)]
    homes, below = place_legends(fig, panels, page)
    notes = place_notes(fig, panels)
    end = set_tops(fig, panels, top) + below
    if page_height is not None:
        end = _fit(fig, panels, page_height - below, top) + below
    size = (page, page_height or round(end + GAP / 2))
    set_domains(fig, panels, size)
    anchor_legends(fig, homes, size, end - below)
    set_notes(fig, notes)
    for panel in panels:
        for part in (panel, *panel.insets):
            thin_ticks(fig, part)
    is_apart = all([separate_labels(fig, panel, page) for panel in panels])
    return fig.update_layout(width=size[0], height=size[1]), is_apart


def _set_style(fig: go.Figure, page: float, font: str, has_title: bool) -> float:
    """Set fonts, and take away what is no use on paper; return the pixels that the title takes."""
    fig.layout.updatemenus = fig.layout.sliders = ()
    fig.update_layout(font={"family": FONTS[font], "size": SMALL}, autosize=False)
    fig.update_layout(margin={"l": 0, "r": 0, "t": 0, "b": 0, "pad": 0, "autoexpand": False})
    for update in (fig.update_xaxes, fig.update_yaxes):
        update(automargin=False, tickangle=0, tickfont_size=SMALL, title_font_size=SIZE, title_standoff=GAP)
    for note in fig.layout.annotations:
        note.font.size = SMALL if (note.font.size or SIZE) > 13 else 12
    text = fig.layout.title.text if has_title else None
    if not text:
        fig.update_layout(title=None)
        return GAP
    text = wrap(text, page - 2 * GAP, SIZE + 2)
    place = {"x": GAP / page, "xref": "container", "y": 1, "yref": "container", "pad": {"t": GAP}}
    fig.update_layout(title={"text": text, "yanchor": "top", "font": {"size": SIZE + 2}, **place})
    return GAP + height(text, SIZE + 2) + GAP


def _proportion(panel: Panel, size: tuple[float, float], panels: int, page: float) -> float:
    """Height over width of a panel: as on the screen within limits; lower where many are stacked."""
    left, right, bottom, top = panel.home
    shape = (top - bottom) * (size[1] - 125) / ((right - left) * (size[0] - 95))
    if page > NARROW or panels == 1:
        return min(max(shape, 0.3 if page > NARROW else 0.6), 0.9)
    return min(max(shape, 0.3), 0.5 if panels <= 4 else 0.3)


def _fit(fig: go.Figure, panels: list[Panel], end: float, top: float) -> float:
    """Make panels lower or higher so that they end at a height; ConfigError where that cannot be."""
    for _ in range(3):  # lower panels may break titles into more lines
        rows = [max(p.height for p in panels if p.row == row) for row in range(panels[-1].row + 1)]
        missing = end - set_tops(fig, panels, top) - GAP / 2
        factor = 1 + missing / sum(rows)
        if factor * min(rows) < LOWEST:
            least = end - missing + (LOWEST / min(rows) - 1) * sum(rows)
            raise ConfigError(
                f"height leaves {factor * min(rows):.0f} pixels for a panel of {LOWEST} at least; "
                f"make it {least / end:.1f} times as high, or leave it out"
            )
        for panel in panels:
            panel.height *= factor
    return set_tops(fig, panels, top)
