"""Accuracy against tokens spent, and where its labels go."""

import numpy as np
import pandas as pd
import pytest

from effwb import plots
from effwb.metrics import aes
from effwb.plots.style import line_styles
from effwb.plots.tradeoff import iso_accuracy
from tests.plots.examples import axis_titles, method_rows


def test_tradeoff_joins_families_and_labels_parameters():
    fig = plots.tradeoff_figure(method_rows(), title="toy")
    kimi = next(t for t in fig.data if t.name == "kimi")
    assert kimi.mode == "lines+markers+text"
    assert kimi.x == (200.0, 100.0)
    assert kimi.text == ("w = 1", "w = 2")
    assert {t.name: t.text for t in fig.data if t.name != "kimi"} == {"base": ("base",), "alp": ("alp",)}
    assert len({t.marker.symbol for t in fig.data}) == 3
    assert (axis_titles(fig, "xaxis"), axis_titles(fig, "yaxis")) == (["mean length (tokens)"], ["accuracy"])
    assert fig.layout.xaxis.type == "log"
    by_length = plots.tradeoff_figure(method_rows(), order="mean length")
    assert next(t for t in by_length.data if t.name == "kimi").x == (100.0, 200.0)


def test_tradeoff_draws_both_intervals_and_hover_is_complete():
    table = method_rows().assign(low=0.4, high=0.7, problems=210)
    table = table.assign(**{"length low": 90.0, "length high": 450.0})
    base = plots.tradeoff_figure(table).data[0]
    assert (base.error_x.arrayminus[0], base.error_x.array[0]) == pytest.approx((310, 50))
    assert (base.error_y.arrayminus[0], base.error_y.array[0]) == pytest.approx((0.2, 0.1))
    assert "accuracy 0.600 [0.400, 0.700]" in base.customdata[0]
    assert "mean length 400.0 [90.0, 450.0] tokens<br>problems: 210" in base.customdata[0]


def test_the_figure_says_what_bars_are_over():
    table = method_rows().assign(low=0.4, high=0.7)
    fig = plots.tradeoff_figure(table)
    assert [a.text for a in fig.layout.annotations] == ["bars: 95 % intervals over problems"]
    assert fig.data[0].customdata[0].endswith("in brackets: 95 % interval over problems")
    seeds = plots.tradeoff_figure(table.assign(over="seeds"))
    assert [a.text for a in seeds.layout.annotations] == ["bars: 95 % intervals over seeds"]
    assert seeds.data[0].customdata[0].endswith("in brackets: 95 % interval over seeds")
    assert not plots.tradeoff_figure(method_rows()).layout.annotations  # no bars, no note
    several = plots.tradeoff_figure(pd.concat([table, table]))
    assert [a.text for a in several.layout.annotations] == ["faint: single seeds"]


def test_an_accuracy_axis_never_begins_below_zero():
    table = method_rows().assign(low=-0.2, high=1.1)
    assert plots.tradeoff_figure(table).layout.yaxis.range[0] == 0


def test_tradeoff_shows_the_mean_of_seeds_and_faint_seeds():
    table = pd.concat([method_rows(), method_rows().assign(accuracy=0.7)], ignore_index=True).assign(
        low=0.1, high=0.9
    )
    fig = plots.tradeoff_figure(table)
    faint, strong = (t for t in fig.data if t.legendgroup == "alp")
    assert faint.y == (0.66, 0.7)
    assert faint.opacity < 1
    assert strong.y[0] == pytest.approx(0.68)
    assert np.isnan(strong.error_y.array[0])  # an interval over problems does not come from seeds
    assert "mean of 2 seeds" in strong.customdata[0]


def test_iso_lines_have_the_aes_they_say():
    for level in (-0.5, 0.0, 0.3, 0.9):
        accuracy = iso_accuracy(level, 0.6, 400, [100.0, 400.0, 500.0])
        assert [aes(0.6, 400, a, n) for a, n in zip(accuracy, (100, 400, 500), strict=True)] == pytest.approx(
            [level] * 3
        )
    fig = plots.tradeoff_figure(method_rows(), iso_aes=(0, 0.5, 40))
    assert [a.text for a in fig.layout.annotations] == ["AES 0", "AES 0.5"]  # 40 is outside of the picture
    lines = [t for t in fig.data if t.line.dash == "dot" and t.name is None]
    low, high = fig.layout.yaxis.range
    assert all(low <= y <= high for t in lines for y in t.y)


def test_labels_of_close_points_take_different_sides():
    table = pd.DataFrame({"name": ["one", "two"], "accuracy": [0.5, 0.501], "mean length": [100, 101]})
    table.loc[2] = ["far", 0.6, 200]
    sides = [t.textposition for t in plots.tradeoff_figure(table).data]
    assert sides[0] != sides[1]


def test_the_method_column_decides_the_colour():
    table = pd.DataFrame({"name": ["a", "b"], "accuracy": [0.5, 0.6], "mean length": [100, 200]})
    colours = {t.name: t.line.color for t in plots.tradeoff_figure(table.assign(method=["lead", None])).data}
    assert colours == {"a": line_styles(["lead"])["lead"].colour, "b": line_styles(["b"])["b"].colour}
