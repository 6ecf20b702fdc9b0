"""Figures in notebooks: beside the interactive figure each output holds drawings of it, which travel further.

JupyterLab shows the interactive figure. `nbconvert`, GitHub and a page without a network show the SVG, and
`nbconvert --to pdf` takes the PDF. There is no PNG, because plotly's part of JupyterLab would show it in
place of the figure until the mouse comes near.
"""

from __future__ import annotations

import base64
import sys
import warnings
from typing import Any

import plotly.io as pio
from plotly.io._base_renderers import ExternalRenderer, PlotlyRenderer

from effwb.errors import EngineError
from effwb.export import chrome

FAILURES = 2  # after so many in a row Chrome is not tried again in this process
PLOTLY, SVG, PDF = "application/vnd.plotly.v1+json", "image/svg+xml", "application/pdf"
RENDERER = "effwb"


class ImageRenderer(ExternalRenderer):
    """Plotly's renderer `effwb`: shows the interactive figure, with drawings of the same size beside it."""

    def render(self, figure: dict[str, Any]) -> None:
        """Show a figure.

        Args:
            figure: The figure as a dictionary.
        """
        from IPython.display import display

        data = PlotlyRenderer().to_mimebundle(figure)
        display({**data, **drawings(figure)}, raw=True)


def show_with_images() -> None:
    """From now on this notebook's figures have drawings beside them.

    Importing `effwb.plots` calls it. It changes nothing outside Jupyter, in notebooks that show figures in
    another way (Colab, Kaggle), and where `plotly.io.renderers.default` or `PLOTLY_RENDERER` was set by hand.
    """
    pio.renderers[RENDERER] = ImageRenderer()
    if pio.renderers.default != "plotly_mimetype" or "IPython" not in sys.modules:
        return
    pio.renderers.default = RENDERER
    formatter = sys.modules["IPython"].get_ipython().display_formatter.mimebundle_formatter
    formatter.for_type_by_name("plotly.graph_objs._figurewidget", "FigureWidget", _widget_with_image)


def drawings(figure: dict[str, Any]) -> dict[str, str]:
    """Draw a figure as SVG and PDF: with Chrome, or plainly where there is none.

    Args:
        figure: The figure as a dictionary.

    Returns:
        By media type, the SVG as text and the PDF as base64. Nothing where both ways failed, with a warning:
        a run of hours must not end here.
    """
    try:
        svg, pdf = (_draw(figure, suffix) for suffix in (".svg", ".pdf"))
    except Exception as error:
        warnings.warn(f"the figure has no drawing beside it: {error}", stacklevel=2)
        return {}
    return {SVG: svg.decode(), PDF: base64.b64encode(pdf).decode("ascii")}


def _draw(figure: dict[str, Any], suffix: str) -> bytes:
    global _failures
    if _failures < FAILURES and chrome.can_draw():
        try:
            image = chrome.draw(figure, suffix, *size(figure))
            _failures = 0
            return image
        except EngineError as error:
            _failures += 1
            if _failures == FAILURES:
                warnings.warn(f"{error}; drawings beside figures are plain from here on", stacklevel=3)
    from effwb.export import plain  # matplotlib takes a second to import

    return plain.draw(figure, suffix, *size(figure))


def size(figure: dict[str, Any]) -> tuple[int, int]:
    """Width and height of a figure in CSS pixels: its own, else its template's, else 860 x 520.

    Args:
        figure: The figure as a dictionary.
    """
    layout = figure.get("layout", {})
    template = layout.get("template", {})
    default = template.get("layout", {}) if isinstance(template, dict) else {}
    width, height = (
        layout.get(name) or default.get(name) or other for name, other in (("width", 860), ("height", 520))
    )
    return round(width), round(height)


def _widget_with_image(widget: Any, include: Any = None, exclude: Any = None) -> dict[str, Any]:
    """What IPython shows of a `FigureWidget`: the widget, and drawings where no kernel runs."""
    return {**widget._repr_mimebundle_(), **drawings(widget.to_dict())}


_failures = 0
