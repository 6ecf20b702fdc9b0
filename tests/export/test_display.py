"""Figures in notebooks: each output has drawings beside the interactive figure, with Chrome and without."""

import base64
import io
import warnings

import nbclient
import nbformat
import numpy as np
import pytest
from nbconvert import HTMLExporter, LatexExporter
from PIL import Image

from effwb.errors import EngineError
from effwb.export import chrome, display, plain
from tests.export.kinds import KINDS, METHODS
from tests.export.pages import need_chrome_or_skip, pixels_of

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


def check(output, blue):
    """An output has the figure, and an SVG and a PDF of its line; JupyterLab would show a PNG instead."""
    data = output["data"]
    assert {display.PLOTLY, "application/vnd.jupyter.widget-view+json"} & set(data)
    assert blue in data["image/svg+xml"]
    assert base64.b64decode(data["application/pdf"]).startswith(b"%PDF")
    assert "image/png" not in data


@pytest.mark.browser
@pytest.mark.long
class TestNotebook:
    def test_every_figure_has_drawings_beside_it(self, notebook):
        assert len(outputs(notebook)) == 5
        for output in outputs(notebook):
            check(output, "rgb(0, 114, 178)")
            assert 'width="860" height="520"' in output["data"]["image/svg+xml"][:300]
            assert len(output["data"]["image/svg+xml"]) < 60_000

    def test_its_page_shows_the_figures_without_a_network(self, notebook, tmp_path):
        page = tmp_path / "notebook.html"
        page.write_text(HTMLExporter().from_notebook_node(notebook)[0])
        assert pixels_of(page, BLUE) > 1000

    def test_a_paper_made_of_it_takes_the_vector_drawings(self, notebook):
        text, resources = LatexExporter().from_notebook_node(notebook)
        assert sum(name.endswith(".pdf") for name in resources["outputs"]) == 5
        assert text.count(".pdf}") == 5


@pytest.mark.long
def test_a_notebook_without_chrome_has_plain_drawings(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("BROWSER_PATH", raising=False)
    notebook = execute()
    for output in outputs(notebook):
        check(output, "#0072b2")
    page = tmp_path / "notebook.html"
    page.write_text(HTMLExporter(exclude_input=True).from_notebook_node(notebook)[0])
    monkeypatch.undo()
    assert pixels_of(page, BLUE) > 1000


@pytest.mark.parametrize("kind", KINDS)
def test_any_figure_can_be_drawn_plainly(kind):
    width, height = display.size(KINDS[kind]("").to_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = plain.draw(KINDS[kind]("A title").to_dict(), ".png", width, height)
    picture = Image.open(io.BytesIO(image)).convert("RGB")
    assert picture.size == (width, height)
    drawn = np.asarray(picture, dtype=int).reshape(-1, 3)
    assert (np.ptp(drawn, axis=1) > 60).sum() > 300  # colours, so data


def test_after_two_failures_images_are_plain_and_it_is_said_once(monkeypatch):
    def fail(*_):
        calls.append(1)
        raise EngineError("Chrome did not draw")

    calls = []
    monkeypatch.setattr(display, "_failures", 0)
    monkeypatch.setattr(chrome, "can_draw", lambda: True)
    monkeypatch.setattr(chrome, "draw", fail)
    figure = KINDS["loss_figure"]("").to_dict()
    with pytest.warns(UserWarning, match="drawings beside figures are plain from here on"):
        assert "<svg" in display.drawings(figure)["image/svg+xml"]  # SVG and PDF failed
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "<svg" in display.drawings(figure)["image/svg+xml"]
    assert len(calls) == 2


def test_the_plain_drawing_has_the_texts_of_the_figure():
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


def test_a_figure_that_cannot_be_drawn_is_shown_without_a_drawing(monkeypatch):
    monkeypatch.setattr(chrome, "can_draw", lambda: False)
    monkeypatch.setattr(plain, "draw", lambda *_: 1 / 0)
    with pytest.warns(UserWarning, match="no drawing beside it: division by zero"):
        assert display.drawings(KINDS["loss_figure"]("").to_dict()) == {}


def test_nothing_changes_outside_jupyter():
    import plotly.io as pio

    before = pio.renderers.default
    display.show_with_images()
    assert pio.renderers.default == before
    assert isinstance(pio.renderers["effwb"], display.ImageRenderer)
