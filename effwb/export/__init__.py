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

__all__ = ["CHROMES", "COLUMNS", "convert", "image", "images", "need_chrome", "read_figure", "save", "tables"]
