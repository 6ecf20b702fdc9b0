"""Figures of several benchmarks: a panel each, one legend, averages where one point stands for a method."""

import numpy as np
import pytest

from effwb import plots
from effwb.curves import BudgetCurve
from effwb.errors import ConfigError
from effwb.frontier import Frontier, macro_average
from effwb.plots.style import method_style
from tests.plots.examples import axis_titles, method_rows, reg_rows
from tests.test_averages import curve_on


@pytest.fixture
def curves():
    """Two methods on two benchmarks and their average."""
    rng = np.random.default_rng(0)
    parts = {
        benchmark: {
            m: curve_on(benchmark, np.sort(rng.random((5, 3)), axis=1), 20.0, m) for m in ("base", "lead")
        }
        for benchmark in ("aime24", "amc23")
    }
    average = {m: macro_average({b: own[m] for b, own in parts.items()}, m) for m in ("base", "lead")}
    return {**parts, "average": average}


class TestBenchmarkFigure:
    def test_a_panel_for_each_with_its_curves_and_frontier(self, curves):
        frontiers = {b: Frontier.from_curves(own) for b, own in curves.items()}
        fig = plots.benchmark_figure(curves, frontiers, bands=["lead"], title="mine")
        titles = [a.text for a in fig.layout.annotations if a.text != "//"]
        assert titles == ["aime24", "amc23", "average"]
        for i, own in enumerate(curves.values()):
            traces = [t for t in fig.data if t.yaxis == ("y" if i == 0 else f"y{i + 1}")]
            line = next(t for t in traces if t.name == "lead")
            assert (
                line.y.tolist() == own["lead"].accuracy[1:].tolist()
            )  # budget 0 is dotted, beyond the break
            band = {"band: 95% interval over problems"} if i == 0 else set()  # in the legend once
            assert {t.name for t in traces if t.name} == {"base", "lead", "frontier", *band}
        legend = [t.name for t in fig.data if t.showlegend]
        assert legend == ["base", "lead", "frontier", "band: 95% interval over problems"]
        assert fig.layout.title.text == "mine"
        assert axis_titles(fig, "xaxis").count("token budget (tokens)") == 2

    def test_every_panel_has_room_for_its_bands(self, curves):
        fig = plots.benchmark_figure(curves)
        for trace in (t for t in fig.data if t.x[0] is not None):  # others are entries of the legend
            axis = fig.layout["yaxis" + trace.yaxis[1:]]
            assert axis.range[0] == 0
            assert max(trace.y) <= axis.range[1]

    def test_a_panel_may_be_a_base_model_with_budgets_of_its_own(self):
        small, large = (BudgetCurve(np.array([0, 8, 16]) * k, [0.1, 0.4, 0.5]) for k in (1, 16))
        models = {"pocket": {"run a": small}, "qwen3-8b": {"run a": large, "base": large}}
        fig = plots.benchmark_figure(models, methods={"run a": "kimi"}, axis="linear")
        assert [a.text for a in fig.layout.annotations if a.text != "//"] == ["pocket", "qwen3-8b"]
        assert (fig.layout.xaxis.range[1], fig.layout.xaxis2.range[1]) == pytest.approx((16.16, 258.56))
        colours = {(t.name, t.xaxis): t.line.color for t in fig.data if t.name}
        assert colours["run a", "x"] == colours["run a", "x2"] == method_style("kimi").colour

    def test_the_break_of_a_log_axis_is_in_every_panel(self, curves):
        breaks = [a.xref for a in plots.benchmark_figure(curves).layout.annotations if a.text == "//"]
        assert breaks == ["x", "x2", "x3"]
        linear = plots.benchmark_figure(curves, axis="linear")
        assert not [a for a in linear.layout.annotations if a.text == "//" and a.visible]
        with pytest.raises(ConfigError, match="unknown axis"):
            plots.benchmark_figure(curves, axis="logarithmic")


class TestRegTradeoff:
    def test_the_averages_are_drawn_with_their_intervals(self):
        fig = plots.reg_tradeoff_figure(reg_rows())
        points = {(t.name, t.xaxis): t for t in fig.data}
        assert len(points) == 4
        assert points["reo_rl", "x"].x.tolist() == [200]
        assert points["reo_rl", "x2"].x.tolist() == [0.82]
        for axis in ("x", "x2"):
            assert points["reo_rl", axis].y.tolist() == [9]
            assert list(points["reo_rl", axis].error_y.array) == [5]
        assert "[4.0, 14.0]" in points["reo_rl", "x"].customdata[0]
        assert axis_titles(fig, "xaxis") == ["mean length (tokens)", "accuracy at 512 tokens"]

    def test_one_benchmark_is_drawn_where_the_table_was_filtered(self):
        one = reg_rows().query("benchmark == 'aime24'").assign(REG=7.0)
        assert plots.reg_tradeoff_figure(one).data[0].y.tolist() == [7]

    def test_without_intervals_there_are_no_bars(self):
        fig = plots.reg_tradeoff_figure(reg_rows().drop(columns=["REG low", "REG high"]))
        assert np.isnan(fig.data[0].error_y.array).all()


def test_the_plane_of_accuracy_and_tokens_draws_the_averages():
    rows = method_rows().drop(columns=["family", "parameter"])
    table = rows.loc[rows.index.repeat(3)].assign(benchmark=["aime24", "amc23", "average"] * 4)
    table.loc[table["benchmark"] != "average", "accuracy"] = 0.1
    fig, plain = plots.tradeoff_figure(table), plots.tradeoff_figure(rows)
    assert [t.y for t in fig.data] == [t.y for t in plain.data]
