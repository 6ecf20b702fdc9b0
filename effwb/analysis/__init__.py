"""Finished runs: find them, compare them, look at them, report on them.

`RunSet` is where to start; `explorer.explore` opens the interactive view of it.
"""

from effwb.analysis.effect_tables import aes_table, effects, level_table, over_seeds
from effwb.analysis.listing import list_runs
from effwb.analysis.paired import paired_differences, two_runs
from effwb.analysis.run_analysis import RunAnalysis
from effwb.analysis.run_set import RunSet

__all__ = [
    "RunAnalysis",
    "RunSet",
    "aes_table",
    "effects",
    "level_table",
    "list_runs",
    "over_seeds",
    "paired_differences",
    "two_runs",
]
