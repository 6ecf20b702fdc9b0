"""Figures and tables as files: HTML, PDF, SVG and PNG for figures, LaTeX and Markdown for tables."""

from effwb.export.figures import (
    CHROMES,
    COLUMNS,
    convert,
    image,
    images,
    need_chrome,
    read_figure,
    save,
    tables,
)
from effwb.export.text_tables import latex, markdown, readable

__all__ = [
    "CHROMES",
    "COLUMNS",
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
