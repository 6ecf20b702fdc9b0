"""Figures as images: drawn by a real Chrome where there is one, refused clearly where there is none."""

import shutil

import plotly.graph_objects as go
import pytest

from effwb import export
from effwb.errors import ConfigError, EngineError

FIGURE = go.Figure(go.Scatter(x=[1, 2], y=[3, 4]))


@pytest.mark.browser
def test_an_image_is_drawn(tmp_path):
    if not any(map(shutil.which, export.CHROMES)):
        pytest.skip(f"none of {', '.join(export.CHROMES)} is installed")
    path = export.image(FIGURE, tmp_path / "new" / "figure.png", width=300, height=200, scale=1)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_a_browser_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(export.shutil, "which", lambda name: None)
    with pytest.raises(EngineError, match="apt-get install chromium"):
        export.image(FIGURE, tmp_path / "figure.png")


def test_an_unknown_format_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"'\.jpeg'.*\.png, \.svg, \.pdf"):
        export.image(FIGURE, tmp_path / "figure.jpeg")
