"""Accuracy and length against a parameter."""

import numpy as np
import pandas as pd
import pytest

from effwb import plots
from effwb.errors import DataError
from effwb.plots.style import method_style
from tests.plots.examples import axis_titles, parameter_rows


def test_the_parameter_is_on_both_axes_and_other_methods_are_level():
    fig = plots.parameter_figure(parameter_rows(), "alpha")
    assert axis_titles(fig, "xaxis") == ["alpha", "alpha"]
    assert axis_titles(fig, "yaxis") == ["accuracy", "mean length (tokens)"]
    traces = {(t.name, t.yaxis): t for t in fig.data}
    assert traces["length_group_norm", "y"].x.tolist() == [0.05, 0.1, 0.4]
    assert traces["length_group_norm", "y2"].y.tolist() == [120, 90, 60]
    assert traces["length_group_norm", "y"].line.color == method_style("length_group_norm").colour
    assert traces["vanilla", "y"].x == (0.05, 0.4)
    assert traces["vanilla", "y"].y == (0.8, 0.8)
    assert fig.layout.xaxis.type == "log"  # 0.4 is eight times 0.05
    assert fig.layout.xaxis.ticktext == ("0.05", "0.1", "0.4")


def test_bars_of_one_seed_are_over_problems_and_the_figure_says_so():
    fig = plots.parameter_figure(parameter_rows(), "alpha")
    assert "bars: 95 % intervals over problems" in [note.text for note in fig.layout.annotations]
    line = next(t for t in fig.data if t.name == "length_group_norm" and t.yaxis == "y")
    assert list(line.error_y.array) == pytest.approx([0.05] * 3)
    assert "accuracy 0.790 [0.740, 0.840]<br>in brackets: 95 % interval over problems" in line.customdata[0]


def test_of_several_seeds_each_is_faint_and_the_mean_has_no_interval():
    table = pd.concat([parameter_rows(), parameter_rows().assign(accuracy=0.5, seed=1)])
    fig = plots.parameter_figure(table, "alpha")
    assert "faint: single seeds, full: their mean" in [note.text for note in fig.layout.annotations]
    line = next(t for t in fig.data if t.name == "length_group_norm" and t.yaxis == "y")
    assert line.y.tolist() == pytest.approx([0.645, 0.64, 0.6])  # (0.79 + 0.5) / 2, ...
    assert np.isnan(line.error_y.array).all()
    faint = next(t for t in fig.data if t.opacity and t.yaxis == "y")
    assert len(faint.x) == 6


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (parameter_rows().assign(alpha=np.nan), "no row has a number in the column 'alpha'"),
        (parameter_rows().drop(columns="alpha"), r"lacks the columns \['alpha'\]"),
        (parameter_rows()[:0], "empty"),
    ],
)
def test_bad_input_is_named(table, message):
    with pytest.raises(DataError, match=message):
        plots.parameter_figure(table, "alpha")


def test_a_narrow_range_or_zero_has_a_linear_axis():
    table = parameter_rows().assign(alpha=[np.nan, 0.0, 0.1, 0.4])
    assert plots.parameter_figure(table, "alpha").layout.xaxis.type == "linear"
