"""Look at finished runs with the mouse: `explore("data/runs")` in a notebook."""

from effwb.explorer.store import FRONTIERS, Store
from effwb.explorer.view import Explorer, explore

__all__ = ["FRONTIERS", "Explorer", "Store", "explore"]
