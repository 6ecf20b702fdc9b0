"""Figures as images: drawn by a real Chrome where there is one, refused clearly where there is none."""

import base64
import re
import shutil

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from effwb import export
from effwb.errors import ConfigError, DataError, EngineError
from effwb.export import figures, save

FIGURE = go.Figure(go.Scatter(x=[1, 2], y=[3, 4]))


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
    if not any(map(shutil.which, export.CHROMES)):
        pytest.skip(f"none of {', '.join(export.CHROMES)} is installed")
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


class TestPaperVersion:
    def test_a_narrow_figure_has_its_legend_below_and_no_title(self):
        fig = go.Figure(
            [go.Scatter(y=[1], name=n) for n in ("one", "two")], {"title": "T", "width": 860, "height": 520}
        )
        narrow = figures._paper_version(fig, 468, has_title=False)
        assert narrow.layout.legend.yanchor == "bottom"
        assert narrow.layout.title.text is None
        assert narrow.layout.height > 468 * 520 / 860
        assert fig.layout.title.text == "T"
        wide = figures._paper_version(fig, 860, has_title=True)
        assert (wide.layout.legend.y, wide.layout.title.text, wide.layout.height) == (None, "T", 520)

    @pytest.mark.browser
    def test_a_pdf_is_as_wide_as_the_column(self, tmp_path):
        if not any(map(shutil.which, export.CHROMES)):
            pytest.skip(f"none of {', '.join(export.CHROMES)} is installed")
        paths = export.images(
            {tmp_path / "a": FIGURE, tmp_path / "b": FIGURE}, [".pdf", ".svg"], column="icml"
        )
        assert [p.name for p in paths] == ["a.pdf", "a.svg", "b.pdf", "b.svg"]
        box = re.search(rb"MediaBox *\[0 0 ([\d.]+)", paths[0].read_bytes())
        assert float(box[1]) == pytest.approx(3.25 * 72, abs=1)
        assert 'width="312"' in paths[1].read_text()[:300]
