"""The explorer without a browser: widgets are moved from Python, and what they show is read back."""

import numpy as np
import pandas as pd
import pytest

from effwb.analysis import explorer as E
from effwb.analysis.comparison import compare, same_budgets
from effwb.analysis.explorer import canvas, rollout_pane
from effwb.analysis.run_analysis import RunAnalysis
from effwb.analysis.run_set import RunSet
from effwb.errors import ConfigError, DataError, EngineError
from effwb.frontier import Frontier, reg
from tests.made_up import write_evaluation

pytest.importorskip("anywidget")


@pytest.fixture
def view(finished):
    return E.explore(finished)


class Points:
    """What plotly hands to a click."""

    def __init__(self, trace, *inds):
        self.point_inds = list(inds)
        self.xs, self.ys = ([values[i] for i in inds] for values in (trace.x, trace.y))


def line(view, name, at=0):
    figure = view.canvases[at]
    return next(t for t in figure.data if name in (t.name, t.legendgroup) and t.customdata is not None)


class TestCompare:
    def test_it_is_reg_and_aes(self, finished):
        chosen = RunSet.find(finished)
        best = chosen.frontier()
        table = compare(chosen, best, 64, "free").set_index("name")
        assert table.loc["low", "REG"] == pytest.approx(reg(best, chosen["low"].curve, 64))
        assert table.loc["low", "REG low"] <= table.loc["low", "REG"] <= table.loc["low", "REG high"]
        assert np.isnan(table.loc["free", "AES"])
        assert table.loc["low", "AES low"] <= table.loc["low", "AES"] <= table.loc["low", "AES high"]

    def test_other_budgets_are_interpolated_without_an_interval(self, finished):
        free = RunSet.find(finished).filter(names=["free"])
        other = Frontier([0, 30, 64], [0.5, 0.6, 0.7])
        assert not same_budgets(free["free"], other, 64)
        row = compare(free, other, 64, "free").iloc[0]
        assert row["REG"] == pytest.approx(reg(other, free.curve("free"), 64, interpolate=True))
        assert np.isnan(row["REG low"])


class TestChoices:
    def test_what_it_opens_with(self, view):
        assert view.table["name"].tolist() == ["free", "low"]
        assert view.l_max.value == 64
        assert view.note.value == ""
        assert len(view.canvases[0].data) > 2

    def test_l_max_moves_reg_and_the_shaded_area(self, view):
        before = view.table["REG"].tolist()
        view.l_max.value = 32
        assert view.table["REG"].tolist() != before
        assert "J(32)" in view.numbers.value
        shaded = next(t for t in view.canvases[0].data if (t.name or "").startswith("gap"))
        assert f"REG {view.table['REG'][0]:,.1f} [" in shaded.name
        low, high = view.table["REG low"][0], view.table["REG high"][0]
        assert f"[{low:,.1f}, {high:,.1f}]" in shaded.name  # the interval of the table
        assert max(shaded.x) == 32

    def test_the_best_of_all_leaves_out_what_is_measured_differently(self, tmp_path):
        for name, right in (("a", 0), ("b", 1)):
            write_evaluation(tmp_path / name, right)
        write_evaluation(tmp_path / "c", version=2)
        view = E.explore(tmp_path, runs=["a"], frontier="best of all runs")
        assert view.note.value == ""
        assert view.best.accuracy.tolist() == [0, 1, 1]
        assert set(view.best.owner) <= {"a", "b"}

    def test_a_frontier_of_its_own_grid(self, view):
        view.frontier.value = "pocket"
        assert "pocket frontier" in view.numbers.value
        assert "REG is computed from linear interpolations" in view.numbers.value
        assert view.note.value == ""

    def test_cross_fitted(self, view):
        view.frontier.value = "best of all runs, cross-fitted"
        assert view.best.provenance["method"] == "cross_fit"

    def test_no_run_and_too_many_are_said_and_nothing_old_is_shown(self, view, monkeypatch):
        view.runs.value = ()
        assert "0 runs are chosen; choose 1 to 12" in view.note.value
        assert view.numbers.value == ""
        view.l_max.value = 32  # still alive
        view.open("free", 8)
        view.runs.value = ("low",)
        assert view.note.value == ""
        assert view.table["name"].tolist() == ["low"]
        assert view.base.value == view.focus.value == "low"

    def test_errors_of_data_are_shown_and_escaped(self, tmp_path):
        write_evaluation(tmp_path / "a")
        write_evaluation(tmp_path / "b", suffix="<b>{")
        view = E.explore(tmp_path, runs=["a"])
        view.runs.value = ("a", "b")
        assert "not measured alike" in view.note.value
        assert "&lt;b&gt;" in view.note.value

    def test_words_keep_the_chosen_and_find_others(self, tmp_path):
        for name in ("lead-seed0", "lead-seed1", "mrt-seed0"):
            write_evaluation(tmp_path / name)
        view = E.explore(tmp_path, runs=["mrt-seed0"])
        view.filter.value = "lead 1"
        assert list(view.runs.options) == ["mrt-seed0", "lead-seed1"]
        assert view.runs.value == ("mrt-seed0",)

    def test_a_name_that_is_none(self, finished):
        with pytest.raises(ConfigError, match=r"unknown run 'fre'.*Did you mean 'free'"):
            E.explore(finished, runs=["fre"])
        with pytest.raises(ConfigError, match="unknown frontier"):
            E.explore(finished, frontier="best")

    def test_without_anywidget_the_remedy_is_named(self, finished, monkeypatch):
        def missing():
            raise ImportError("Please install anywidget")

        monkeypatch.setattr(canvas, "FigureWidget", missing)
        with pytest.raises(EngineError, match="pip install anywidget"):
            E.explore(finished)


class TestClicks:
    def test_a_point_opens_the_run_at_its_budget(self, view):
        trace = line(view, "low")
        view._click(trace, Points(trace, 3), None)
        assert view.focus.value == "low"
        assert view.clicked == trace.customdata[3][0]
        assert f"at {view.clicked} tokens" in view.count.value

    def test_a_point_in_the_plane_opens_the_run(self, view):
        view.tabs.selected_index = 1
        view._click(line(view, "low", 1), Points(line(view, "low", 1), 0), None)
        assert (view.focus.value, view.clicked) == ("low", None)

    def test_what_goes_wrong_in_a_click_is_shown(self, view, monkeypatch):
        def broken(*_):
            raise DataError("shard <7> is gone")

        monkeypatch.setattr(rollout_pane, "read_rollout", broken)
        view.rollouts.index = 1
        assert "shard &lt;7&gt; is gone" in view.note.value
        with pytest.raises(ConfigError, match="unknown run 'other'"):
            view.open("other")

    def test_beside_every_point_nothing_happens(self, view):
        view._click(line(view, "low"), Points(line(view, "low")), None)
        assert view.focus.value == "free"

    def test_lists_are_what_they_say(self, view):
        view.open("low", 16)
        run = view.chosen["low"]
        view.show.value = "right at the budget clicked"
        assert len(view.rollouts.options) == int(run.scores[16].sum())
        view.show.value = "wrong at the budget clicked"
        assert len(view.rollouts.options) == int((run.scores[16] == 0).sum())
        view.show.value = "cut off by the cap"
        assert len(view.rollouts.options) == (run.rollouts["finish_reason"] == "length").sum()

    def test_an_empty_list_says_so(self, view):
        view.show.value = "verifiers disagree"
        assert view.rollouts.options == ()
        assert view.reader.value == "no rollout to show"

    def test_the_reader_follows_the_list(self, view):
        first = view.reader.value
        assert "effwb-reasoning" in first
        view.rollouts.index = 1
        assert view.reader.value != first

    def test_the_verifiers_are_asked_again(self, view):
        view.regrade.click()
        assert "0 of 28 answers of free" in view.note.value
        assert "math-verify: <b>" in view.reader.value
        opinions = view.pane.opinions["free"]
        view.pane.opinions["free"] = opinions.assign(disagree=np.arange(len(opinions)) == 4)
        view.show.value = "verifiers disagree"
        assert view.rollouts.value == opinions.index[4]


class TestFigures:
    @pytest.mark.parametrize("which", E.FIGURES)
    def test_each_is_plain_and_drawn(self, view, which):
        figure = view.figure(which)
        assert type(figure).__name__ == "Figure"
        assert len(figure.data) > 0

    def test_another_name_is_refused(self, view):
        with pytest.raises(ConfigError, match="unknown figure 'curve'"):
            view.figure("curve")

    def test_each_tab_is_drawn_when_it_is_opened(self, view):
        assert len(view.canvases[2].data) == 0
        view.tabs.selected_index = 2
        assert len(view.canvases[2].data) > 0

    def test_the_whole_is_one_widget(self, view):
        assert "effwb-explorer" in view.widget._dom_classes
        assert isinstance(view.table, pd.DataFrame)
        assert isinstance(view.chosen["free"], RunAnalysis)
