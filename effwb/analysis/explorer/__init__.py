"""The interactive view of finished runs: `explore("data/runs")` in a notebook, `effwb explore` outside it."""

from effwb.analysis.explorer.drawings import FIGURES
from effwb.analysis.explorer.explorer import Explorer, explore
from effwb.analysis.explorer.frontiers import FRONTIERS

__all__ = ["FIGURES", "FRONTIERS", "Explorer", "explore"]
