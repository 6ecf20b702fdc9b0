"""Figures and tables as files: HTML, PDF, SVG and PNG for figures, LaTeX and Markdown for tables."""

from effwb.export.chrome import CHROMES, need_chrome
from effwb.export.figures import COLUMNS, convert, image, images, read_figure, save, tables
from effwb.export.paper import FONTS
from effwb.export.text_tables import latex, markdown, readable

__all__ = [
    "CHROMES",
    "COLUMNS",
    "FONTS",
    "convert",
    "image",
    "images",
    "latex",
    "markdown",
    "need_chrome",
    "read_figure",
    "readable",
    "save",
    "tables",
]
