"""One rollout cut by cut: where the cuts fall, when it was right, and what becomes of hostile text."""

import dataclasses

import pytest

from effwb.analysis.finished import read_evaluation
from effwb.analysis.rollout_view import RolloutView, Segment, read_rollout
from effwb.errors import DataError
from effwb.runs import RunDir


def view_of(*verdicts, length=30, finish="stop", **changed):
    """A rollout with cuts at 0, 10, 20 ... and the verdicts given; the last is its own."""
    at = [10 * i for i in range(len(verdicts) - 1)] + [length]
    segments = [Segment(a, f"text to {a} ", "7", v, a != length) for a, v in zip(at, verdicts, strict=True)]
    fields = dict(
        problem_id="p-1", sample=0, question="3+4=?", gold="7", text="", length=length, has_cuts=True
    )
    fields |= dict(finish_reason=finish, extracted="7", verdict=verdicts[-1], segments=tuple(segments))
    return RolloutView(**{**fields, **changed})


class TestWhenItWasRight:
    @pytest.mark.parametrize(
        ("verdicts", "first", "wasted", "good"),
        [
            (("wrong", "correct", "wrong", "correct"), 10, 20, 30),
            (("wrong", "correct", "correct", "correct"), 10, 20, 10),
            (("correct", "wrong"), 0, 30, None),
            (("wrong", "unparsed"), None, None, None),
            (("wrong", "wrong", "correct"), 30, 0, 30),
        ],
    )
    def test_first_after_and_for_good(self, verdicts, first, wasted, good):
        view = view_of(*verdicts)
        assert (view.first_right, view.wasted, view.right_for_good) == (first, wasted, good)

    def test_the_page_says_so(self):
        assert "right for good after <b>30</b>" in view_of("wrong", "correct", "wrong", "correct").html()
        assert "wrong again at the end" in view_of("correct", "wrong").html()
        assert "never right" in view_of("wrong", "wrong").html()
        assert "only at the end" in view_of("wrong", "wrong", "correct").html()


class TestHtml:
    def test_text_is_escaped(self):
        evil = "<script>alert('x')</script>"
        segments = (Segment(0, evil, evil, "wrong", True),)
        shown = dataclasses.replace(
            view_of("wrong", "wrong"), question=evil, gold=evil, segments=segments
        ).html()
        assert "<script" not in shown
        assert "onmouse" not in shown
        assert shown.count("&lt;script&gt;") == 5  # question, gold, text, mark and its title

    def test_an_answer_is_written_out_only_where_it_changed(self):
        shown = view_of("wrong", "wrong", "correct", "correct", length=40).html()
        assert shown.count("border-radius") == 2
        assert "30: 7" not in shown

    def test_grey_begins_behind_the_first_right_answer(self):
        shown = view_of("wrong", "correct", "correct").html()
        assert "color:#555'>text to 30" in shown
        assert "color:#555'>text to 10" not in shown

    def test_other_verdicts_are_told(self):
        shown = view_of("correct", "correct").html({"effwb": "correct", "math-verify": None})
        assert "math-verify: <b>not asked</b>" in shown

    def test_without_a_tokenizer_the_text_is_whole(self):
        shown = view_of("wrong", "correct", has_cuts=False, text="all of it").html()
        assert "all of it" in shown
        assert "tokenizer of this run is not on this machine" in shown


class TestReadRollout:
    def test_the_pieces_are_the_text(self, finished):
        row = read_evaluation(finished / "free").rollouts.iloc[5]
        view = read_rollout(finished / "free", row["problem_id"], row["sample"])
        assert view.has_cuts
        assert "".join(p.text for p in view.segments) == view.text
        assert view.segments[-1].at == view.length == row["length"]
        assert [p.at for p in view.segments] == sorted({p.at for p in view.segments})

    def test_it_agrees_with_the_table_of_all(self, finished):
        from effwb.analysis.run_set import RunSet

        outcomes = RunSet.find(finished)["low"].outcomes
        for (problem, sample), row in outcomes.head(8).iterrows():
            view = read_rollout(finished / "low", problem, sample)
            assert (view.first_right is None) == (row["first_right"] != row["first_right"])
            assert view.first_right is None or view.wasted == row["wasted"]

    def test_another_tokenizer_is_noticed(self, finished, monkeypatch):
        monkeypatch.setattr("effwb.analysis.rollout_view._tokenizers", lambda run: [])
        name = read_evaluation(finished / "free").rollouts["problem_id"].iloc[0]
        view = read_rollout(finished / "free", name, 0)
        assert not view.has_cuts
        assert view.text in view.html().replace("&#x27;", "'")

    def test_what_is_not_there_is_named(self, finished):
        with pytest.raises(DataError, match=r"no sample 99 of the problem 'toy-1'"):
            read_rollout(finished / "free", "toy-1", 99)
        with pytest.raises(DataError, match="no rollouts"):
            RunDir(finished).rows("rollouts", sample=1)
