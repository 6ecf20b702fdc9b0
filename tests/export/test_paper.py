"""Figures in the columns of papers: no text is cut off, over another, on the data or too small."""

import inspect

import plotly.graph_objects as go
import pytest

from effwb import plots
from effwb.errors import ConfigError
from effwb.export import COLUMNS, FONTS
from effwb.export.arrays import values
from effwb.export.paper import paper_version
from effwb.export.paper.panels import find_panels
from effwb.export.paper.text import spaced, width, wrap
from tests.export.boxes import boxes, faults
from tests.export.kinds import KINDS
from tests.export.pages import need_chrome_or_skip

PIXELS = {
    column: inches * 144 for column, inches in COLUMNS.items()
}  # text of 16 pixels printed with 8 points
PAPERS = ("neurips", "icml", "icml-wide", "acl", "acl-wide")  # iclr is as wide as neurips


@pytest.fixture(scope="module")
def figures():
    need_chrome_or_skip()
    return {kind: draw("A title") for kind, draw in KINDS.items()}


def test_every_kind_of_figure_is_measured():
    kinds = {name for name in plots.__all__ if name.endswith("_figure")}
    assert {kind.split(",")[0] for kind in KINDS} == kinds
    assert COLUMNS["iclr"] == COLUMNS["neurips"]


@pytest.mark.browser
@pytest.mark.parametrize("column", PAPERS)
@pytest.mark.parametrize("kind", KINDS)
def test_texts_have_their_place(kind, column, figures):
    page = paper_version(figures[kind], PIXELS[column])
    assert faults(page, PIXELS[column], page.layout.height) == []


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(("column", "font"), [*((column, "sans") for column in PAPERS), ("slide", "sans")])
@pytest.mark.parametrize("kind", KINDS)
def test_texts_have_their_place_in_other_letters(kind, column, font, figures):
    page = paper_version(figures[kind], PIXELS[column], font=font, has_title=column == "slide")
    assert faults(page, PIXELS[column], page.layout.height) == []


@pytest.mark.browser
@pytest.mark.parametrize("kind", ["curve_figure", "reward_figure", "tradeoff_figure"])
def test_a_height_is_kept(kind, figures):
    for inches in (3.0, 4.5):
        page = paper_version(figures[kind], PIXELS["neurips"], inches * 144)
        assert page.layout.height == inches * 144
        assert faults(page, PIXELS["neurips"], inches * 144) == []
    with pytest.raises(ConfigError, match="times as high"):
        paper_version(figures[kind], PIXELS["neurips"], 60)


@pytest.mark.browser
def test_the_measure_sees_what_is_wrong(figures):
    """The figures as they are on the screen, at a column's width: what this layout is for."""
    long = go.Figure(
        go.Scatter(y=[1, 2]), {"yaxis_title": "the share of all rollouts in the bin", "height": 200}
    )
    assert any("leaves the page" in line for line in faults(long, 300, 200))
    inside = go.Figure([go.Scatter(y=[1, 2], name=n) for n in "ab"], {"legend": {"x": 0, "y": 1}})
    assert "a legend covers data" in faults(inside, 500, 400)
    note = {"x": 1, "y": 1, "showarrow": False, "xref": "paper", "yref": "paper"}
    twice = go.Figure(layout={"annotations": [note | {"text": "one"}, note | {"text": "two"}]})
    assert "'one' over 'two'" in faults(twice.add_scatter(y=[1, 2]), 500, 400)


@pytest.mark.browser
@pytest.mark.parametrize(
    ("kind", "stacked"), [("shape_figure", 3), ("quadrature_figure", 4), ("reg_tradeoff_figure", 2)]
)
def test_panels_are_stacked_where_it_is_narrow(kind, stacked, figures):
    page = paper_version(figures[kind], PIXELS["icml"])
    lefts = {round(panel.home[0], 3) for panel in find_panels(page)}
    assert (len(lefts), len(find_panels(page))) == (1, stacked)
    _, areas, _ = boxes(page, PIXELS["icml"], page.layout.height)
    assert min(area.right - area.left for area in areas) > 0.75 * PIXELS["icml"]
    assert all(page.layout[f"yaxis{panel.y[0][1:]}"].title.text for panel in find_panels(page))
    wide = paper_version(figures[kind], PIXELS["neurips"])
    assert len({round(panel.home[0], 3) for panel in find_panels(wide)}) > 1


def test_data_and_the_figure_itself_stay_as_they_are():
    fig = KINDS["tradeoff_figure"]("A title")
    before = fig.to_json()
    page = paper_version(fig, PIXELS["icml"])
    assert fig.to_json() == before
    assert [values(t.y).tolist() for t in page.data] == [values(t.y).tolist() for t in fig.data]
    assert page.layout.title.text is None
    assert paper_version(fig, PIXELS["slide"], has_title=True).layout.title.text == "A title"


def test_a_figure_that_was_read_back_is_laid_out_alike():
    fig = KINDS["curve_figure"]("A title")
    again = go.Figure(fig.to_dict())  # with arrays as base64, as in an HTML file
    assert paper_version(again, PIXELS["icml"]).to_json() == paper_version(fig, PIXELS["icml"]).to_json()


def test_an_empty_figure_has_a_size():
    assert paper_version(go.Figure(), 468).layout.width == 468


def test_ticks_keep_both_ends_and_equal_steps():
    assert spaced([0, 20, 40, 60, 80], [10] * 5) == [0, 1, 2, 3, 4]
    assert spaced([0, 20, 40, 60, 80], [30] * 5) == [0, 2, 4]
    assert spaced([0, 20, 40, 60, 80, 100], [30] * 6) == [1, 3, 5]  # no room for the first
    assert spaced([], []) == []


def test_lines_break_between_words():
    assert wrap("short", 100) == "short"
    assert all(width(line) <= 120 for line in wrap("accuracy, average of 4 benchmarks", 120).split("<br>"))
    assert wrap("<b>bold</b> words that are long", 20) == "<b>bold</b> words that are long"


def test_fonts_are_those_of_the_venues():
    assert FONTS["times"].startswith("Times New Roman")
    assert set(FONTS) == {"times", "sans"}
    assert inspect.signature(paper_version).parameters["font"].default == "times"
