"""Figures as images: drawn by a real Chrome where there is one, refused clearly where there is none."""

import base64
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from effwb import export
from effwb.errors import ConfigError, DataError, EngineError
from effwb.export import figures, save
from tests.export.pages import need_chrome_or_skip, pixels_of

FIGURE = go.Figure(go.Scatter(x=[1, 2], y=[3, 4], line={"color": "#FF0000", "width": 6}))


def test_save_writes_both_files_and_keeps_dots_in_names(tmp_path):
    table = pd.DataFrame({"a": [1, 2]})
    paths = save(go.Figure(), tmp_path / "new" / "qwen-1.5b", table)
    assert [p.name for p in paths] == ["qwen-1.5b.html", "qwen-1.5b.csv"]
    assert pd.read_csv(paths[1]).equals(table)
    assert "cdn.plot.ly" in paths[0].read_text()
    assert save(go.Figure(), tmp_path / "plain") == [tmp_path / "plain.html"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: save("no figure", "x"), "got str"),
        (lambda: save(go.Figure(), "x", table=[1]), "got list"),
        (lambda: save(go.Figure(), "x.html"), "suffix"),
        (lambda: save(go.Figure(), "x", plotlyjs="local"), "local"),
    ],
)
def test_what_save_cannot_write_is_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


@pytest.mark.browser
def test_an_image_is_drawn(tmp_path):
    need_chrome_or_skip()
    path = export.image(FIGURE, tmp_path / "new" / "figure.png", width=300, height=200, scale=1)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_a_browser_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(figures.shutil, "which", lambda name: None)
    with pytest.raises(EngineError, match="apt-get install chromium"):
        export.image(FIGURE, tmp_path / "figure.png")


def test_an_unknown_format_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"'\.jpeg'.*\.png, \.svg, \.pdf"):
        export.image(FIGURE, tmp_path / "figure.jpeg")


class TestConvert:
    @pytest.fixture
    def saved(self, tmp_path):
        export.save(FIGURE, tmp_path / "in" / "fig", pd.DataFrame({"x": [1, 2], "y": [3, 4]}))
        return tmp_path / "in"

    def test_a_saved_figure_is_read_back(self, saved):
        again = export.read_figure(saved / "fig.html")
        assert list(again.data[0].y) == [3, 4]

    def test_arrays_and_text_that_looks_like_code_survive(self, tmp_path):
        trace = go.Scatter(x=np.arange(50.0), y=np.arange(50.0), name='a "); Plotly.newPlot([{')
        export.save(go.Figure(trace), tmp_path / "odd", plotlyjs="embed")
        again = export.read_figure(tmp_path / "odd.html")
        assert again.data[0].name == trace.name
        decoded = base64.b64decode(again.data[0].x["bdata"])  # plotly's own form of an array
        assert np.array_equal(np.frombuffer(decoded), np.arange(50.0))

    def test_tables_and_html_need_no_browser(self, saved, tmp_path, monkeypatch):
        monkeypatch.setattr(figures.shutil, "which", lambda name: None)
        out = tmp_path / "out"
        written = export.convert([saved / "fig.html", saved / "fig.csv"], ["html", "tex", "md"], out)
        assert sorted({p.name for p in written}) == ["fig.csv", "fig.html", "fig.md", "fig.tex"]
        assert "plotly.js v" in (out / "fig.html").read_text()
        with pytest.raises(EngineError, match="apt-get install chromium"):
            export.convert([saved / "fig.html"])

    def test_bad_input_is_named(self, saved, tmp_path):
        with pytest.raises(ConfigError, match="unknown format"):
            export.convert([saved / "fig.html"], ["jpeg"])
        with pytest.raises(ConfigError, match="fits none of the files"):
            export.convert([saved / "fig.html"], ["tex"])
        with pytest.raises(ConfigError, match="no file"):
            export.convert([tmp_path / "none.html"])
        with pytest.raises(ConfigError, match="kind of file"):
            export.convert([tmp_path / "x.txt"])
        (tmp_path / "page.html").write_text("<p>hello</p>")
        with pytest.raises(DataError, match="no plotly figure"):
            export.read_figure(tmp_path / "page.html")
        with pytest.raises(ConfigError, match="unknown column 'nips'"):
            export.images({tmp_path / "a": FIGURE}, column="nips")


class TestWithoutNetwork:
    def test_the_library_is_written_once_per_folder(self, tmp_path):
        for name in ("one", "two"):
            assert save(FIGURE, tmp_path / name) == [tmp_path / f"{name}.html"]
        library = tmp_path / "plotly.min.js"
        assert library.stat().st_size > 1e6
        assert (tmp_path / "one.html").stat().st_size < 2e4
        library.write_text("another version")
        save(FIGURE, tmp_path / "three")
        assert library.stat().st_size > 1e6

    @pytest.mark.browser
    @pytest.mark.parametrize("plotlyjs", ["folder", "embed"])
    def test_a_saved_figure_is_drawn(self, plotlyjs, tmp_path):
        (page,) = save(FIGURE, tmp_path / "figure", plotlyjs=plotlyjs)
        assert pixels_of(page, "#ff0000") > 500

    @pytest.mark.browser
    def test_a_figure_that_lost_its_library_says_so(self, tmp_path):
        (page,) = save(FIGURE, tmp_path / "figure")
        (tmp_path / "plotly.min.js").unlink()
        assert pixels_of(page, "#000000") > 50


@pytest.mark.browser
def test_a_pdf_is_as_wide_as_the_column(tmp_path):
    need_chrome_or_skip()
    paths = export.images({tmp_path / "a": FIGURE, tmp_path / "b": FIGURE}, [".pdf", ".svg"], column="icml")
    assert [p.name for p in paths] == ["a.pdf", "a.svg", "b.pdf", "b.svg"]
    box = re.search(rb"MediaBox *\[0 0 ([\d.]+)", paths[0].read_bytes())
    assert float(box[1]) == pytest.approx(3.25 * 72, abs=1)
    assert 'width="312"' in paths[1].read_text()[:300]


@pytest.mark.browser
def test_font_and_height_of_an_image(tmp_path):
    need_chrome_or_skip()
    (sans,) = export.images({tmp_path / "sans": FIGURE}, [".svg"], column="icml", font="sans", height=2)
    assert 'height="192"' in sans.read_text()[:300]
    assert "Helvetica" in sans.read_text()
    (times,) = export.images({tmp_path / "times": FIGURE}, [".svg"], column="icml")
    assert "Times New Roman" in times.read_text()
    with pytest.raises(ConfigError, match="times, sans"):
        export.images({tmp_path / "x": FIGURE}, font="comic")
    with pytest.raises(ConfigError, match="height=-1"):
        export.images({tmp_path / "x": FIGURE}, height=-1)
