"""The list of rollouts with its reader, and the page of training curves."""

import pytest

from effwb.analysis import explorer as E
from effwb.analysis.rollout_list import PAGE
from tests.messy_root import write_training

pytest.importorskip("anywidget")


@pytest.fixture
def view(messy):
    return E.explore(messy, runs=["free", "cli-low"])


class TestRollouts:
    def test_search_in_questions_and_answers(self, view):
        view.pane.search.value = "what IS 12 +"
        problems = {value[0] for _, value in view.rollouts.options}
        assert problems == {f"pocket-{i:012x}" for i in range(70) if "12" in f"{i} {2 * i}"}
        view.pane.search.value = "guess"  # what the model wrote
        assert 0 < len(view.rollouts.options) < 140
        verdicts = view.chosen["free"].outcomes["verdict"]
        assert {verdicts[value] for _, value in view.rollouts.options} == {"wrong"}
        view.pane.search.value = "nothing of that kind"
        assert view.rollouts.options == ()
        assert view.reader.value == "no rollout to show"
        view.pane.search.value = ".*"  # no regular expression
        assert view.rollouts.options == ()

    def test_pages(self, view):
        assert len(view.rollouts.options) == PAGE
        assert view.pane.pages.value == "of 2 pages"
        first = view.rollouts.options
        view.pane.forth.click()
        assert view.pane.page.value == 2
        assert len(view.rollouts.options) == 140 - PAGE
        assert not {value for _, value in first} & {value for _, value in view.rollouts.options}
        view.pane.forth.click()
        assert view.pane.page.value == 2
        view.show.value = "right at the end"
        assert view.pane.page.value == 1

    @pytest.mark.parametrize(
        ("order", "column", "rising"),
        [
            ("longest first", "length", False),
            ("shortest first", "length", True),
            ("right earliest", "first_right", True),
        ],
    )
    def test_orders(self, view, order, column, rising):
        view.pane.order.value = order
        values = (
            view.chosen["free"].outcomes[column].loc[[value for _, value in view.rollouts.options]].dropna()
        )
        assert values.is_monotonic_increasing if rising else values.is_monotonic_decreasing
        assert values.nunique() > 5

    def test_levels(self, view):
        assert [value for _, value in view.pane.level.options] == ["all levels", 1, 2, 3, 4, 5]
        view.pane.level.value = 3
        assert len(view.rollouts.options) == 28
        levels = view.chosen["free"].levels
        assert {levels[value[0]] for _, value in view.rollouts.options} == {3}

    def test_the_same_problem_in_another_run(self, view):
        assert view.pane.reader_beside.value == ""
        view.pane.beside.value = "cli-low"
        problem, sample = view.rollouts.value
        assert view.pane.sample.value == sample
        assert "<b>cli-low</b>" in view.pane.reader_beside.value
        question = view.reader.value.partition("</b>")[0]
        assert question in view.pane.reader_beside.value
        before = view.pane.reader_beside.value
        view.pane.sample.value = 1 - sample
        assert view.pane.reader_beside.value != before
        view.rollouts.index = 5
        assert view.rollouts.value[0] != problem
        assert view.reader.value.partition("</b>")[0] in view.pane.reader_beside.value

    def test_a_run_is_not_set_beside_itself(self, view):
        view.pane.beside.value = "cli-low"
        view.open("cli-low")
        assert view.pane.beside.value == "nothing"
        assert [value for _, value in view.pane.beside.options] == ["nothing", "free"]

    def test_benchmarks_have_their_own_rollouts(self, messy):
        view = E.explore(messy, runs=["qwen/free"])
        view.pane.order.value = "by problem"
        assert len(view.rollouts.options) == 80
        view.benchmark.value = "amc23"
        assert {value[0].partition("-")[0] for _, value in view.rollouts.options} == {"amc23"}


class TestTrainingCurves:
    @pytest.fixture
    def pane(self, messy):
        view = E.explore(messy)
        view.pages.selected_index = 1
        assert view.note.value == ""
        return view.training

    def test_those_of_the_chosen_runs_come_first(self, pane):
        names = ["training/pocket/kimi_weight=0.5-seed0", "training/pocket/kimi_weight=0.5-seed1"]
        assert list(pane.chosen.value) == names
        assert {trace.name for trace in pane.canvas.data} >= set(names)
        assert (
            "training/pocket/lead-seed0 (not finished)",
            "training/pocket/lead-seed0",
        ) in pane.chosen.options

    def test_any_can_be_overlaid(self, pane):
        pane.chosen.value = [value for _, value in pane.chosen.options]
        assert {trace.name for trace in pane.canvas.data} >= {value for _, value in pane.chosen.options}

    def test_smoothing(self, pane):
        def last():
            return next(t for t in pane.canvas.data if t.yaxis == "y" and t.hovertemplate).y[-1]

        pane.window.value = 1
        each = last()
        pane.window.value = 4
        assert each == pytest.approx(0.3 + 0.03 * 12)
        assert last() == pytest.approx(0.3 + 0.03 * (9 + 10 + 11 + 12) / 4)

    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("design=lead", ["lead-seed0"]),
            ("seed=1", ["vanilla-seed1"]),
            ("learning_rate>1e-3", ["vanilla-seed1"]),
            ("alpha=2", ["lead-seed0"]),
            ("gdpo", ["gdpo-seed0"]),
        ],
    )
    def test_filter_by_configuration(self, pane, text, names):
        pane.chosen.value = ("training/pocket/kimi_weight=0.5-seed1",)
        pane.filter.value = text
        others = [value for _, value in pane.chosen.options if value not in pane.chosen.value]
        assert others == [f"training/pocket/{name}" for name in names]

    def test_one_quantity(self, pane):
        pane.quantity.value = "length"
        assert pane.canvas.layout.yaxis.title.text == "length (tokens)"
        assert "yaxis2" not in pane.canvas.layout.to_plotly_json()

    def test_a_refusal_leaves_nothing(self, messy):
        view = E.explore(messy)
        view.pages.selected_index = 1
        view.training.quantity.value = "what the design reports"
        assert "report nothing about" in view.note.value
        assert len(view.training.canvas.data) == 0
        assert view.training.copy.code == ""
        view.training.chosen.value = ()
        assert "0 trainings are chosen; choose 1 to 12" in view.note.value

    def test_damaged_metrics(self, tmp_path):
        write_training(tmp_path / "a", "lead")
        (tmp_path / "a/train/metrics.jsonl").write_text('{"step": 1}\n')
        view = E.explore(tmp_path)
        view.pages.selected_index = 1
        assert "metrics.jsonl" in view.note.value
        assert len(view.training.canvas.data) == 0
