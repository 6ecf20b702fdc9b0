"""Evaluations: their settings, and finding finished ones below a directory."""

import inspect
import json

import numpy as np
import pytest

from effwb import evaluation, probes, profiles, rollouts, runs
from effwb.analysis import finished
from effwb.analysis.finished import finished_below, read_evaluation
from effwb.errors import ConfigError, DataError
from effwb.frontier import Frontier
from effwb.profiles import Sampling
from effwb.prompts import Prompting
from tests.made_up import write_evaluation


class TestSettings:
    @pytest.mark.parametrize(
        ("function", "keywords", "message"),
        [
            (rollouts.sample, {"max_tokens": 64}, r"max_tokens is now Sampling\(max_tokens=\.\.\.\)"),
            (rollouts.sample, {"hint": 5}, r"hint is now Prompting\(hint=\.\.\.\)"),
            (probes.probe, {"suffix": "close"}, r"suffix is now Probing\(suffix=\.\.\.\)"),
            (evaluation.evaluate, {"thinking": False}, r"thinking is now prompting=Prompting\(thinking="),
            (evaluation.evaluate, {"n": 4}, r"n is now profile\.override\(n_samples="),
        ],
    )
    def test_a_keyword_of_version_0_1_names_its_new_place(self, function, keywords, message):
        with pytest.raises(ConfigError, match=message):
            function(None, None, 2, run_dir="nowhere", **keywords)

    def test_completion_shows_the_parameters(self):
        for function, names in (
            (rollouts.sample, "problems sampler n run_dir seed sampling prompting progress"),
            (probes.probe, "rollouts sampler budgets run_dir probing progress"),
            (
                evaluation.evaluate,
                "problems sampler profile run_dir name seed effort prompting budgets snap progress",
            ),
        ):
            assert list(inspect.signature(function).parameters) == names.split()

    def test_a_profile_gives_its_own(self):
        profile = profiles.profile("smollm2")
        assert profile.sampling(top_p=0.5) == Sampling(256, 0.7, 0.5, 8)
        assert profile.prompting(effort="low") == Prompting(template="instruct", effort="low")
        with pytest.raises(ConfigError, match="Did you mean 'top_p'"):
            profile.sampling(topp=0.5)

    def test_prompting_takes_the_template_of_the_profile(self, few, pocket, tmp_path):
        profile = profiles.profile("pocket", n_samples=1, max_tokens=8)
        settings = dict(run_dir=tmp_path, budgets=[0, 4], progress=False)
        prompting = Prompting(hint=50, hint_place="max")
        evaluation.evaluate(few, pocket, profile, effort="low", prompting=prompting, **settings)
        identity = runs.RunDir(tmp_path).identity("rollouts")
        assert identity["template"]["name"] == "pocket"
        assert [identity[key] for key in ("effort", "hint", "hint_place")] == ["low", 50, "max"]
        with pytest.raises(ConfigError, match=r"effort='low' and prompting=.*'high'"):
            evaluation.evaluate(
                few, pocket, profile, effort="low", prompting=Prompting(effort="high"), **settings
            )


class TestReadBack:
    def test_it_is_an_evaluation_without_its_model(self, tmp_path):
        result = read_evaluation(write_evaluation(tmp_path / "one"), "own")
        assert result.summary()["accuracy"] == 1
        assert result.summary()["mean length"] == 15
        assert (result.name, result.curve.name) == ("own", "own")
        assert result.curve.accuracy.tolist() == [0, 1, 1]

    def test_an_unfinished_one_is_refused(self, tmp_path):
        (write_evaluation(tmp_path / "one") / "probes" / "DONE").unlink()
        with pytest.raises(DataError, match="not finished"):
            read_evaluation(tmp_path / "one")


class TestFinished:
    def test_named_by_run_and_read_as_curves(self, tmp_path):
        write_evaluation(tmp_path / "late-seed0" / "eval", 0)
        write_evaluation(tmp_path / "stages-seed0" / "cap-64" / "eval")
        write_evaluation(tmp_path / "free")
        curves = finished_below(tmp_path)
        assert list(curves) == ["free", "late-seed0", "stages-seed0/cap-64"]
        assert curves["late-seed0"].accuracy.tolist() == [0, 0, 1]
        assert curves["free"].accuracy.tolist() == [0, 1, 1]
        assert curves["free"].mean_tokens == 15
        frontier = Frontier.from_curves(curves, "cross_fit")
        assert frontier.owner == ("free",) * 3

    def test_the_directory_itself(self, tmp_path):
        assert list(finished_below(write_evaluation(tmp_path / "one"))) == ["one"]
        assert list(finished_below(write_evaluation(tmp_path / "run-seed1" / "eval").parent)) == ["run-seed1"]

    def test_unfinished_runs_are_left_out(self, tmp_path):
        write_evaluation(tmp_path / "done")
        (write_evaluation(tmp_path / "probing") / "probes" / "DONE").unlink()
        (write_evaluation(tmp_path / "lost") / "rollouts" / "00000.parquet").unlink()
        (tmp_path / "reference" / "rollouts").mkdir(parents=True)
        (tmp_path / "reference" / "rollouts" / "DONE").write_text(json.dumps({"shards": 0}))
        assert list(finished_below(tmp_path)) == ["done"]

    def test_no_finished_run_gives_nothing_and_a_missing_directory_is_named(self, tmp_path):
        assert finished_below(tmp_path) == {}
        with pytest.raises(ConfigError, match=r"no directory .*absent"):
            finished_below(tmp_path / "absent")

    def test_only_the_columns_of_a_curve_are_read(self, tmp_path, monkeypatch):
        calls = []
        read = runs._read_arrow
        monkeypatch.setattr(
            runs, "_read_arrow", lambda p, c=None, *a, **k: calls.append(c) or read(p, c, *a, **k)
        )
        finished_below(write_evaluation(tmp_path / "one"))
        assert calls[-2:] == [finished.ROLLOUTS_READ, finished.PROBES_READ]
        assert not any("completion_ids" in (columns or ["completion_ids"]) for columns in calls)


class TestUnlike:
    @pytest.mark.parametrize(
        ("other", "message"),
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
    def test_other_measures_are_refused_unless_the_largest_set_is_requested(self, tmp_path, other, message):
        for name in ("a", "b"):
            write_evaluation(tmp_path / name)
        write_evaluation(tmp_path / "other", **other)
        with pytest.raises(DataError, match=message + ".*largest=True for the 2 that agree"):
            finished_below(tmp_path)
        assert list(finished_below(tmp_path, largest=True)) == ["a", "b"]

    def test_the_order_of_the_problems_is_no_difference(self, tmp_path):
        write_evaluation(tmp_path / "a")
        write_evaluation(tmp_path / "b", ids=("b", "a"))
        assert len(finished_below(tmp_path)) == 2


def test_a_real_evaluation_is_found_again(pocket, few, tmp_path):
    profile = profiles.profile("pocket", n_problems=2, n_samples=2, max_tokens=24)
    done = evaluation.evaluate(
        few.select(range(2)), pocket, profile, run_dir=tmp_path / "x" / "eval", progress=False
    )
    (curve,) = finished_below(tmp_path).values()
    assert curve.name == "x"
    assert np.array_equal(curve.per_problem, done.curve.per_problem)
