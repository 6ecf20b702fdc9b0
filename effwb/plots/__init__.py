"""Figures: curves or DataFrames in, a plotly figure out. Nothing here computes a result or opens a window."""

import sys

from effwb.plots.benchmarks import benchmark_figure, reg_tradeoff_figure
from effwb.plots.budget import curve_figure, frontier_figure, owner_figure, question_budget_figure
from effwb.plots.parameters import parameter_figure
from effwb.plots.published import oracle_figure, quadrature_figure, reg_figure
from effwb.plots.rewards import reward_figure, shape_figure
from effwb.plots.runs import length_figure, level_figure, loss_figure
from effwb.plots.stated_lengths import hint_figure
from effwb.plots.style import AXES, COLOURS, GREY, SYMBOLS
from effwb.plots.tradeoff import tradeoff_figure
from effwb.plots.training import state_figure, training_figure

if "IPython" in sys.modules:  # elsewhere no figure is shown, and plotly's renderers take a second to import
    from effwb.export.display import show_with_images

    show_with_images()

__all__ = [
    "AXES",
    "COLOURS",
    "GREY",
    "SYMBOLS",
    "benchmark_figure",
    "curve_figure",
    "frontier_figure",
    "hint_figure",
    "length_figure",
    "level_figure",
    "loss_figure",
    "oracle_figure",
    "owner_figure",
    "parameter_figure",
    "quadrature_figure",
    "question_budget_figure",
    "reg_figure",
    "reg_tradeoff_figure",
    "reward_figure",
    "shape_figure",
    "state_figure",
    "tradeoff_figure",
    "training_figure",
]
