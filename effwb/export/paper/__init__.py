"""Figures laid out for a column of a paper."""

from effwb.export.paper.layout import FONTS, paper_version
from effwb.export.paper.text import SIZE

__all__ = ["FONTS", "SIZE", "paper_version"]
