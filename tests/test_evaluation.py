"""Finished evaluations found below a directory, and what may not be mixed."""

import json

import numpy as np
import pytest

from effwb import evaluation, runs
from effwb.analysis.finished import finished_below, read_evaluation
from effwb.errors import ConfigError, DataError
from effwb.frontier import Frontier
from tests.made_up import made


class TestReadBack:
    def test_it_is_an_evaluation_without_its_model(self, tmp_path):
        found = read_evaluation(made(tmp_path / "one"), "mine")
        assert found.summary()["accuracy"] == 1
        assert found.summary()["mean length"] == 15
        assert (found.name, found.curve.name) == ("mine", "mine")
        assert found.curve.accuracy.tolist() == [0, 1, 1]

    def test_an_unfinished_one_is_refused(self, tmp_path):
        (made(tmp_path / "one") / "probes" / "DONE").unlink()
        with pytest.raises(DataError, match="not finished"):
            read_evaluation(tmp_path / "one")


class TestFound:
    def test_named_by_run_and_read_as_curves(self, tmp_path):
        made(tmp_path / "late-seed0" / "eval", 0)
        made(tmp_path / "stages-seed0" / "cap-64" / "eval")
        made(tmp_path / "free")
        found = finished_below(tmp_path)
        assert list(found) == ["free", "late-seed0", "stages-seed0/cap-64"]
        assert found["late-seed0"].accuracy.tolist() == [0, 0, 1]
        assert found["free"].accuracy.tolist() == [0, 1, 1]
        assert found["free"].mean_tokens == 15
        frontier = Frontier.from_curves(found, "cross_fit")
        assert frontier.owner == ("free",) * 3

    def test_the_directory_itself(self, tmp_path):
        assert list(finished_below(made(tmp_path / "one"))) == ["one"]
        assert list(finished_below(made(tmp_path / "run-seed1" / "eval").parent)) == ["run-seed1"]

    def test_what_is_not_finished_is_left_out(self, tmp_path):
        made(tmp_path / "done")
        (made(tmp_path / "probing") / "probes" / "DONE").unlink()
        (made(tmp_path / "lost") / "rollouts" / "00000.parquet").unlink()
        (tmp_path / "reference" / "rollouts").mkdir(parents=True)
        (tmp_path / "reference" / "rollouts" / "DONE").write_text(json.dumps({"shards": 0}))
        assert list(finished_below(tmp_path)) == ["done"]

    def test_nothing_finished_is_nothing_and_no_directory_is_said(self, tmp_path):
        assert finished_below(tmp_path) == {}
        with pytest.raises(ConfigError, match=r"no directory .*absent"):
            finished_below(tmp_path / "absent")

    def test_only_the_columns_of_a_curve_are_read(self, tmp_path, monkeypatch):
        seen = []
        read = runs._read_arrow
        monkeypatch.setattr(
            runs, "_read_arrow", lambda p, c=None, *a, **k: seen.append(c) or read(p, c, *a, **k)
        )
        finished_below(made(tmp_path / "one"))
        assert seen[-2:] == [evaluation.ROLLOUTS_READ, evaluation.PROBES_READ]
        assert not any("completion_ids" in (columns or ["completion_ids"]) for columns in seen)


class TestUnlike:
    @pytest.mark.parametrize(
        ("other", "said"),
        [
            ({"ids": ("a", "c")}, r"problems: 2 \(\w+\) in a and 1 more, 2 \(\w+\) in other"),
            (
                {"budgets": [0, 10, 15]},
                r"budgets: 3 from 0 to 20 .* in a and 1 more, 3 from 0 to 15 .* in other",
            ),
            ({"version": 2}, r"verifier: effwb 1 .* in a and 1 more, effwb 2 .* in other"),
            (
                {"suffix": "final{"},
                r"forced answer: 'box\{' and 8 tokens in a .*'final\{' and 8 tokens in other",
            ),
        ],
    )
    def test_it_is_refused_and_named_unless_the_largest_set_is_asked_for(self, tmp_path, other, said):
        for name in ("a", "b"):
            made(tmp_path / name)
        made(tmp_path / "other", **other)
        with pytest.raises(DataError, match=said + ".*largest=True for the 2 that agree"):
            finished_below(tmp_path)
        assert list(finished_below(tmp_path, largest=True)) == ["a", "b"]

    def test_the_order_of_the_problems_is_no_difference(self, tmp_path):
        made(tmp_path / "a")
        made(tmp_path / "b", ids=("b", "a"))
        assert len(finished_below(tmp_path)) == 2


def test_a_real_evaluation_is_found_again(pocket, few, tmp_path):
    from effwb import profiles

    scale = profiles.profile("pocket", n_problems=2, n_samples=2, max_tokens=24)
    done = evaluation.evaluate(
        few.select(range(2)), pocket, scale, run_dir=tmp_path / "x" / "eval", progress=False
    )
    (curve,) = finished_below(tmp_path).values()
    assert curve.name == "x"
    assert np.array_equal(curve.per_problem, done.curve.per_problem)
