"""Figures in notebooks: beside the interactive figure each output holds an image, which travels further.

`nbconvert`, GitHub, a mail and a page without a network show the image; JupyterLab shows the figure.
"""

from __future__ import annotations

import base64
import io
import sys
import warnings
from typing import Any

import plotly.io as pio
from plotly.io._base_renderers import ExternalRenderer, PlotlyRenderer

from effwb.errors import EngineError
from effwb.export import chrome

SCALE = 2.0  # image pixels per CSS pixel: sharp on paper and on screens with small pixels
COLOURS = 128  # of an image in a notebook; a quarter of the bytes of all colours, and no difference to see
FAILURES = 2  # after so many in a row Chrome is not tried again in this process
PLOTLY = "application/vnd.plotly.v1+json"
RENDERER = "effwb"


class ImageRenderer(ExternalRenderer):
    """Plotly's renderer `effwb`: shows the interactive figure with a PNG of the same size beside it."""

    def render(self, figure: dict[str, Any]) -> None:
        """Show a figure.

        Args:
            figure: The figure as a dictionary.
        """
        from IPython.display import display

        data, metadata = PlotlyRenderer().to_mimebundle(figure), {}
        width, height = size(figure)
        try:
            data["image/png"] = base64.b64encode(png(figure)).decode("ascii")
            metadata["image/png"] = {"width": width, "height": height}
        except Exception as error:  # a run of hours must not end here
            warnings.warn(f"the figure has no image beside it: {error}", stacklevel=2)
        display(data, metadata=metadata, raw=True)


def show_with_images() -> None:
    """From now on this notebook's figures have an image beside them.

    Importing `effwb.plots` calls it. It changes nothing outside Jupyter, in notebooks that show figures in
    another way (Colab, Kaggle), and where `plotly.io.renderers.default` or `PLOTLY_RENDERER` was set by hand.
    """
    pio.renderers[RENDERER] = ImageRenderer()
    if pio.renderers.default != "plotly_mimetype" or "IPython" not in sys.modules:
        return
    pio.renderers.default = RENDERER
    formatter = sys.modules["IPython"].get_ipython().display_formatter.mimebundle_formatter
    formatter.for_type_by_name("plotly.graph_objs._figurewidget", "FigureWidget", _widget_with_image)


def png(figure: dict[str, Any]) -> bytes:
    """Draw a figure as a small PNG: with Chrome, or plainly where there is none.

    Args:
        figure: The figure as a dictionary.

    Returns:
        The bytes of the file, `SCALE` image pixels per CSS pixel.
    """
    global _failures
    width, height = size(figure)
    if _failures < FAILURES and chrome.can_draw():
        try:
            image = chrome.draw(figure, ".png", width, height, SCALE)
            _failures = 0
            return _with_few_colours(image)
        except EngineError as error:
            _failures += 1
            if _failures == FAILURES:
                warnings.warn(f"{error}; images beside figures are plain from here on", stacklevel=2)
    from effwb.export import plain  # matplotlib takes a second to import

    return plain.draw(figure, width, height, SCALE)


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


def _with_few_colours(image: bytes) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    with Image.open(io.BytesIO(image)) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, "PNG")
    return file.getvalue()


def _widget_with_image(widget: Any, include: Any = None, exclude: Any = None) -> dict[str, Any]:
    """What IPython shows of a `FigureWidget`: the widget, and an image where no kernel runs."""
    data = widget._repr_mimebundle_()
    try:
        data["image/png"] = base64.b64encode(png(widget.to_dict())).decode("ascii")
    except Exception as error:
        warnings.warn(f"the figure has no image beside it: {error}", stacklevel=2)
    return data


_failures = 0
