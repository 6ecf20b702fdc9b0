"""The explorer on an ordinary run root: it opens, says what it leaves out, and shows only what is chosen."""

import shutil

import pandas as pd
import pytest

from effwb.analysis import explorer as E
from effwb.analysis.comparison import MAX_RUNS
from effwb.errors import ConfigError, DataError
from tests.messy_root import POCKET_BUDGETS, problems_on, write_run, write_training

pytest.importorskip("anywidget")


@pytest.fixture
def view(messy):
    return E.explore(messy)


def shown_names(view):
    """Every name of a run that some part of the page shows, apart from the lists to choose from."""
    texts = [view.numbers.value, view.count.value, view.copy.widget.value]
    for canvas in view.canvases:
        texts += [str(trace.name) for trace in canvas.data] + [str(canvas.layout.title.text)]
    text, names = " ".join(texts), set()
    for name in sorted(view.all_runs.names, key=len, reverse=True):  # "free" is a part of "more/a-plain"
        if name in text:
            names.add(name)
            text = text.replace(name, "")
    return names


class TestOpening:
    def test_the_largest_set_is_chosen_without_the_damaged_run(self, view):
        assert view.note.value == ""
        first = [
            "cli-low",
            "free",
            "training/pocket/kimi_weight=0.5-seed0",
            "training/pocket/kimi_weight=0.5-seed1",
        ]
        assert view.chosen.names == first
        assert view.table["problems"].tolist() == [70] * 4
        assert list(view.runs.value) == first

    def test_the_rest_is_listed_with_the_reason(self, view):
        reasons = view.left_out.set_index("run")["reason"]
        assert reasons["more/a-low"] == "problems: 210 instead of 70"
        assert reasons["qwen/free"].startswith("problems: 40 instead of 70; budgets")
        assert "cannot be read" in reasons["damaged"]
        assert "has lost files" in reasons["lost"]
        assert "not finished" in reasons["under-way"]
        assert reasons["training/pocket/gdpo-seed0"] == "trained, not evaluated"
        assert not set(reasons.index) & set(view.chosen.names)
        assert all(name in view.chooser.left_out_note.value for name in reasons.index)

    def test_another_set_is_one_choice_away(self, view):
        assert [label for label, _ in view.alike.options][1].startswith("3 runs: 210 problems")
        view.alike.value = 1
        assert view.note.value == ""
        assert view.chosen.names == ["more/a-low", "more/a-plain", "more/b-high"]
        assert view.left_out.set_index("run")["reason"]["free"] == "problems: 70 instead of 210"
        assert shown_names(view) <= set(view.chosen.names)
        view.runs.value = ("qwen/low",)
        assert view.alike.value == 2

    def test_only_trainings(self, tmp_path):
        write_training(tmp_path / "lead-seed0", "lead", finished=False)
        view = E.explore(tmp_path)
        assert "0 runs are chosen" in view.note.value
        view.pages.selected_index = 1
        assert view.note.value == ""
        assert len(view.training.canvas.data) > 0

    def test_nothing_at_all(self, tmp_path):
        with pytest.raises(DataError, match="no finished evaluation and no training below"):
            E.explore(tmp_path)


REFUSED = {"mixed": ("free", "more/a-plain"), "damaged": ("free", "damaged"), "none": ()}


class TestRefusals:
    @pytest.mark.parametrize("names", REFUSED.values(), ids=REFUSED)
    def test_nothing_old_is_shown(self, view, names):
        for tab in range(len(E.FIGURES)):
            view.tabs.selected_index = tab
        view.tabs.selected_index = 0
        view.runs.value = names
        assert view.note.value != ""
        assert view.chosen is None
        assert view.best is None
        assert view.table.empty
        assert shown_names(view) == set()
        assert all(len(canvas.data) == 0 for canvas in view.canvases)
        assert view.rollouts.options == ()
        assert view.reader.value == view.pane.reader_beside.value == view.numbers.value == ""
        with pytest.raises(ConfigError, match="cannot be shown"):
            view.figure()
        view.tabs.selected_index = 1
        view.l_max.value = view.l_max.options[0]
        assert shown_names(view) == set()

    @pytest.mark.parametrize("names", REFUSED.values(), ids=REFUSED)
    def test_and_it_is_alive_afterwards(self, view, names):
        view.runs.value = names
        view.runs.value = ("free",)
        assert view.note.value == ""
        assert shown_names(view) == {"free"}

    def test_too_many(self, tmp_path):
        problems = problems_on(["pocket"], 4)
        for i in range(MAX_RUNS + 1):
            write_run(tmp_path / f"r{i}", problems, POCKET_BUDGETS, speed=1 + i / 10)
        view = E.explore(tmp_path)
        view.runs.value = view.runs.options
        assert "13 runs are chosen; choose 1 to 12" in view.note.value
        assert shown_names(view) == set()

    def test_a_figure_that_cannot_be_drawn_leaves_its_tab_empty(self, tmp_path):
        problems = problems_on(["pocket"], 6).drop(columns="level")
        write_run(tmp_path / "a", problems, POCKET_BUDGETS)
        view = E.explore(tmp_path)
        view.tabs.selected_index = list(E.FIGURES).index("curves by level")
        assert "have no levels" in view.note.value
        assert len(view.canvases[view.tabs.selected_index].data) == 0
        assert view.copy.code == ""

    def test_other_tabs_forget_the_choice_before(self, view):
        view.tabs.selected_index = 2
        view.tabs.selected_index = 0
        view.runs.value = ("cli-low",)
        assert len(view.canvases[2].data) == 0
        assert shown_names(view) == {"cli-low"}


class TestFrontiers:
    def test_only_those_that_belong_are_offered(self, view):
        assert list(view.frontier.options) == [*E.FRONTIERS[:4], "pocket"]
        assert "qwen3-8b: it belongs to another model" in view.frontier_note.value
        view.runs.value = ("qwen/free", "qwen/low")
        assert list(view.frontier.options) == [*E.FRONTIERS[:4], "qwen3-8b"]

    def test_one_that_no_longer_fits_is_given_up_with_the_reason(self, view):
        view.runs.value = ("qwen/free", "qwen/low")
        view.frontier.value = "qwen3-8b"
        assert view.note.value == ""
        view.benchmark.value = "pooled"
        assert view.frontier.value == E.FRONTIERS[0]
        assert "qwen3-8b does not fit these runs and is no longer used" in view.note.value
        view.benchmark.value = "average"
        view.frontier.value = "qwen3-8b"
        view.runs.value = ("free",)
        assert view.best.name == "frontier of 1 curves"
        assert "it belongs to another model" in view.note.value

    def test_one_that_the_caller_names_must_fit(self, messy):
        with pytest.raises(
            ConfigError, match="frontier='qwen3-8b' does not fit these runs: it belongs to another"
        ):
            E.explore(messy, frontier="qwen3-8b")
        assert E.explore(messy, runs=["qwen/low"], frontier="qwen3-8b").best.name == "qwen3-8b"

    def test_the_best_of_all_leaves_out_what_cannot_be_read(self, view):
        view.frontier.value = "best of all runs"
        assert view.note.value == ""
        assert len(view.best.provenance["curves"]) == 6
        assert "damaged" in view.left_out["run"].tolist()


class TestFilter:
    def test_by_settings(self, view):
        view.filter.value = "design=vanilla learning_rate>1e-3"
        assert list(view.runs.options) == [*view.runs.value, "training/pocket/vanilla-seed1"]

    def test_an_expression_is_a_sentence(self, view):
        before = view.runs.options
        view.filter.value = "RunSet - solved * x"
        assert "is neither a word of a run&#x27;s name nor a condition" in view.note.value
        assert view.runs.options == before
        view.filter.value = "<script>"
        assert "<script>" not in view.note.value


class TestRefresh:
    def test_new_runs_appear_and_what_is_chosen_stays(self, messy, tmp_path):
        root = tmp_path / "runs"
        shutil.copytree(messy / "more", root)
        problems = problems_on(["pocket"], 210)
        view = E.explore(root, runs=["a-low"], frontier="best of all runs")
        before = view.table
        view.look_again.click()
        pd.testing.assert_frame_equal(view.table, before)
        write_run(root / "c-new", problems, POCKET_BUDGETS, speed=3.0)
        view.look_again.click()
        assert "c-new" in view.runs.options
        assert view.runs.value == ("a-low",)
        assert "c-new" in view.best.provenance["curves"]
        assert "4 finished runs" in view.status.value

    def test_a_training_goes_on(self, tmp_path):
        root = write_training(tmp_path / "lead-seed0", "lead", finished=False).parent
        view = E.explore(root)
        view.pages.selected_index = 1
        assert max(view.training.canvas.data[-1].x) == 6
        write_training(root / "lead-seed0", "lead", steps=16, finished=False)
        view.refresh()
        assert max(view.training.canvas.data[-1].x) == 8
        write_training(root / "lead-seed0", "lead", steps=16)
        view.refresh()
        assert max(view.training.canvas.data[-1].x) == 16
        assert [label for label, _ in view.training.chosen.options] == ["lead-seed0"]
