"""Figures in notebooks: each output has an image beside the interactive figure, with Chrome and without."""

import base64
import io
import warnings

import nbclient
import nbformat
import numpy as np
import pytest
from nbconvert import HTMLExporter, MarkdownExporter
from PIL import Image

from effwb.errors import EngineError
from effwb.export import chrome, display
from tests.export.kinds import KINDS, METHODS
from tests.export.pages import count, need_chrome_or_skip, pixels_of

CELLS = (
    "import pandas as pd, plotly.graph_objects as go\nfrom effwb import plots",
    "plots.loss_figure([4.0, 2.0, 1.0], window=1)",  # a cell that ends in a figure
    "plots.loss_figure([4.0, 2.0, 1.0], window=1).show()",
    "for _ in range(2):\n    display(plots.loss_figure([4.0, 2.0, 1.0], window=1))",
    "go.FigureWidget(plots.loss_figure([4.0, 2.0, 1.0], window=1))",
)
BLUE = "#0072B2"  # of the first line of a figure


def execute():
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", store_widget_state=False)
    return client.execute()


@pytest.fixture(scope="module")
def notebook():
    """A notebook that was executed where there is a Chrome."""
    need_chrome_or_skip()
    return execute()


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.outputs]


def check(output, width=860, height=520):
    """An output has the interactive figure, and a PNG that shows its line."""
    assert {display.PLOTLY, "application/vnd.jupyter.widget-view+json"} & set(output["data"])
    picture = Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"])))
    assert picture.size == (display.SCALE * width, display.SCALE * height)
    assert count(np.asarray(picture.convert("RGB"), dtype=int), BLUE) > 500


@pytest.mark.browser
class TestNotebook:
    def test_every_figure_has_an_image_beside_it(self, notebook):
        assert len(outputs(notebook)) == 5
        for output in outputs(notebook):
            check(output)
        shown = outputs(notebook)[0]
        assert shown["metadata"]["image/png"] == {"width": 860, "height": 520}
        assert len(shown["data"]["image/png"]) < 100_000

    def test_its_page_shows_the_figures_without_a_network(self, notebook, tmp_path):
        page = tmp_path / "notebook.html"
        page.write_text(HTMLExporter().from_notebook_node(notebook)[0])
        assert pixels_of(page, BLUE) > 1000

    def test_markdown_has_the_images_as_files(self, notebook):
        text, resources = MarkdownExporter().from_notebook_node(notebook)
        assert text.count("![png]") == 5
        assert sum(name.endswith(".png") for name in resources["outputs"]) == 5


def test_a_notebook_without_chrome_has_plain_images(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    for output in outputs(execute()):
        check(output)


@pytest.mark.parametrize("kind", KINDS)
def test_any_figure_can_be_drawn_plainly(kind, monkeypatch):
    monkeypatch.setattr(chrome, "find_chrome", lambda: None)
    figure = KINDS[kind]("A title").to_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = Image.open(io.BytesIO(display.png(figure))).convert("RGB")
    width, height = display.size(figure)
    assert picture.size == (display.SCALE * width, display.SCALE * height)
    drawn = np.asarray(picture.resize((width, height)), dtype=int)
    panels = drawn.reshape(-1, 3)[np.ptp(drawn.reshape(-1, 3), axis=1) > 60]  # coloured, so data
    assert len(panels) > 300


def test_after_two_failures_images_are_plain_and_it_is_said_once(monkeypatch):
    def fail(*_):
        calls.append(1)
        raise EngineError("Chrome did not draw")

    calls = []
    monkeypatch.setattr(display, "_failures", 0)
    monkeypatch.setattr(chrome, "can_draw", lambda: True)
    monkeypatch.setattr(chrome, "draw", fail)
    figure = KINDS["loss_figure"]("").to_dict()
    assert display.png(figure).startswith(b"\x89PNG")
    with pytest.warns(UserWarning, match="images beside figures are plain from here on"):
        display.png(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert display.png(figure).startswith(b"\x89PNG")
    assert len(calls) == 2


def test_the_plain_drawing_has_the_texts_of_the_figure():
    from effwb.export import plain

    drawing = plain._Drawing(plain.decoded(KINDS["curve_figure"]("A title").to_dict()), 860, 520)
    for trace in plain.decoded(KINDS["curve_figure"]("A title").to_dict())["data"]:
        drawing.add_trace(trace, "#000000")
    drawing.finish()
    (panel,) = drawing.panels.values()
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("token budget (tokens)", "accuracy")
    assert [text.get_text() for text in panel.get_xticklabels()][:2] == ["0", "2"]
    names = {text.get_text() for legend in drawing.page.legends for text in legend.get_texts()}
    assert names >= {*METHODS, "frontier"}
    assert "A title" in [text.get_text() for text in drawing.page.texts]


def test_nothing_changes_outside_jupyter():
    import plotly.io as pio

    before = pio.renderers.default
    display.show_with_images()
    assert pio.renderers.default == before
    assert isinstance(pio.renderers["effwb"], display.ImageRenderer)
