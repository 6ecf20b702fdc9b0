"""Which runs of an ordinary root can be compared, why the others cannot, and which frontiers fit."""

import pytest

from effwb.analysis.comparable_runs import (
    frontiers_refused,
    measured_on,
    model_key,
    readable_runs,
    sets_alike,
    why_not_comparable,
)
from effwb.analysis.run_root import survey
from effwb.analysis.run_set import RunSet
from effwb.frontier import MODELS
from effwb.profiles import PROFILES
from tests.made_up import write_evaluation
from tests.messy_root import problems_on, write_run


@pytest.fixture(scope="module")
def runs(messy):
    return RunSet.of(messy, []).extended(survey(messy).finished)


def test_sets_the_largest_first(runs):
    sets = sets_alike(runs)
    assert [len(part) for part in sets] == [7, 3, 2]
    assert measured_on(sets[0]) == "70 problems, 8 budgets to 512"
    assert sets[1].names == ["more/a-low", "more/a-plain", "more/b-high"]


def test_reasons_have_no_digests(runs):
    assert why_not_comparable(runs, "more/a-plain", "free") == "problems: 210 instead of 70"
    why = why_not_comparable(runs, "qwen/free", "free")
    assert why == "problems: 40 instead of 70; budgets: 32 from 0 to 16384 instead of 8 from 0 to 512"


def test_as_many_but_other_problems(tmp_path):
    write_evaluation(tmp_path / "a")
    write_evaluation(tmp_path / "b", ids=("a", "c"))
    assert why_not_comparable(RunSet.find(tmp_path), "b", "a") == "other problems (2 as well)"


def test_damaged_problems_are_a_reason(tmp_path):
    for name in ("a", "b"):
        write_evaluation(tmp_path / name)
    (tmp_path / "b/problems.parquet").write_bytes(b"PAR1")
    whole, reasons = readable_runs(RunSet.find(tmp_path))
    assert whole.names == ["a"]
    assert "problems.parquet cannot be read" in reasons["b"]


class TestFrontiers:
    def test_of_the_pocket_model(self, runs):
        refused = frontiers_refused(runs.filter(names=["free", "training/pocket/kimi_weight=0.5-seed0"]))
        assert set(refused) == set(MODELS)
        assert refused["qwen3-8b"] == "it belongs to another model: free starts from pocket"

    def test_of_a_published_model(self, runs):
        qwen = runs.filter(names=["qwen/free", "qwen/low"])
        assert set(frontiers_refused(qwen)) == {"pocket", *MODELS} - {"qwen3-8b"}
        assert "qwen3-8b" not in frontiers_refused(qwen.on("aime24"))
        assert "not for their pool" in frontiers_refused(qwen.on("pooled"))["qwen3-8b"]

    def test_other_benchmarks(self, tmp_path):
        run = write_run(
            tmp_path / "a", problems_on(["gsm8k", "amc23"], 8), [0, 64, 128], model="Qwen/Qwen3-8B"
        )
        reason = frontiers_refused(RunSet.of(tmp_path, [run]))["qwen3-8b"]
        assert "these runs are on amc23, gsm8k" in reason

    def test_another_scale(self, tmp_path):
        problems = problems_on(["aime24"], 8)
        for name, budgets in (("paper", [0, 64, 128]), ("other", [0, 32, 128])):
            write_run(tmp_path / name, problems, budgets, model="Qwen/Qwen3-8B")
        write_run(tmp_path / "long", problems_on(["pocket"], 8), [0, 512, 1024])
        runs = RunSet.find(tmp_path)
        assert "qwen3-8b" not in frontiers_refused(runs.filter(names=["paper"]))
        reason = frontiers_refused(runs.filter(names=["other"]))["qwen3-8b"]
        assert reason.endswith("these runs have 3 from 0 to 128")
        assert frontiers_refused(runs.filter(names=["long"]))["pocket"].startswith("it ends at 512 tokens")

    @pytest.mark.parametrize("name", ["qwen3-4b", "qwen3-8b", "r1-qwen-1.5b", "r1-qwen-7b"])
    def test_models_of_the_profiles_have_their_frontier(self, name):
        assert model_key(PROFILES[name].model) in MODELS
