"""The settings of sampling, probing and evaluating."""

import inspect

import numpy as np
import pytest

from effwb import evaluation, probes, problems, profiles, rollouts, runs
from effwb.errors import ConfigError
from effwb.profiles import Sampling
from effwb.prompts import Prompting


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


def test_a_run_on_two_benchmarks_is_averaged(pocket, tmp_path):
    rows = problems.load("pocket", n=6, seed=3).to_pandas().drop(columns="source")
    for name, part in (("easy", rows[:2]), ("hard", rows[2:])):
        part.to_json(tmp_path / f"{name}.jsonl", orient="records", lines=True)
    both = problems.load(f"{tmp_path}/easy.jsonl+{tmp_path}/hard.jsonl")
    small = profiles.profile("pocket", n_samples=2, max_tokens=24)
    result = evaluation.evaluate(both, pocket, small, run_dir=tmp_path / "run", progress=False)
    assert result.curve.benchmark == "average"
    assert result.curve.benchmarks == ("easy", "hard")
    table = result.summaries().set_index("benchmark")
    assert list(table.index) == ["easy", "hard", "average"]
    assert table.loc["average", "mean length"] == pytest.approx(table["mean length"][:2].mean())
    assert result.summary()["accuracy"] == table.loc["average", "accuracy"]
    assert "6 problems (easy 2, hard 4; average over benchmarks) x 2 samples" in result.caption()
    again = evaluation.evaluate(both, pocket, small, run_dir=tmp_path / "run", progress=False)
    assert np.array_equal(again.curve.accuracy, result.curve.accuracy)
