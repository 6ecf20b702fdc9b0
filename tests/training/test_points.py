"""Points and their names, the problems to train on, and the frozen reference."""

import json

import numpy as np
import pytest

from effwb import problems, profiles
from effwb.designs import DESIGNS
from effwb.errors import ConfigError, DataError
from effwb.frontier import Frontier
from effwb.training import Point, WarmStart, frozen_reference, load_train_and_eval, run_name, two_modes

POCKET = profiles.profile("pocket")
TINY = POCKET.override(n_problems=7, n_samples=2, max_tokens=48)


class TestProblemSets:
    def test_pocket_splits_are_disjoint_and_those_of_the_benchmark(self):
        train_problems, eval_problems = load_train_and_eval(POCKET.override(n_problems=30), 40)
        assert (len(train_problems), len(eval_problems)) == (40, 30)
        assert not set(train_problems["problem_id"]) & set(eval_problems["problem_id"])
        assert train_problems["problem_id"] == problems.load("pocket", 40, split="train")["problem_id"]
        assert eval_problems["problem_id"] == problems.load("pocket", 30)["problem_id"]

    def test_as_many_as_the_profile_trains_on(self):
        assert len(load_train_and_eval(POCKET)[0]) == POCKET.training.n_problems

    def test_one_set_for_both_is_refused_and_another_source_taken(self, tmp_path):
        file = tmp_path / "few.jsonl"
        rows = [{"question": f"Compute {k}+1.", "answer": str(k + 1)} for k in range(5)]
        file.write_text("\n".join(map(json.dumps, rows)))
        mine = POCKET.override(problems=str(file), n_problems=5)
        with pytest.raises(DataError, match=r"5 problems of .* would be trained on and evaluated on"):
            load_train_and_eval(mine, 5)
        train_problems, eval_problems = load_train_and_eval(mine, 8, source="pocket")
        assert (len(train_problems), len(eval_problems)) == (8, 5)


class TestFrozenReference:
    def test_it_is_sampled_once_and_covers_the_training_problems(self, tmp_path):
        train_problems = problems.load("pocket", 4, split="train")
        reference = frozen_reference(TINY, train_problems, run_root=tmp_path, n=3)
        assert set(reference) == set(train_problems["problem_id"])
        assert all(0 < row["length"] <= 48 and 0 <= row["accuracy"] <= 1 for row in reference.values())
        (shard,) = (tmp_path / "reference-48x3").glob("rollouts/*.parquet")
        written = shard.stat().st_mtime_ns
        assert frozen_reference(TINY, train_problems, run_root=tmp_path, n=3) == reference
        assert shard.stat().st_mtime_ns == written

    def test_another_cap_is_another_reference(self, tmp_path):
        train_problems = problems.load("pocket", 2, split="train")
        frozen_reference(TINY, train_problems, run_root=tmp_path, max_tokens=32)
        assert [p.name for p in tmp_path.iterdir()] == ["reference-32x2"]


class TestStages:
    @pytest.mark.parametrize("design", DESIGNS)
    def test_a_design_comes_after_what_its_paper_trains_first(self, design):
        after = {
            "l1_max": "l1_max after l1_exact",
            "lapo_internalization": "lapo_internalization after lapo_discovery",
            "hgpo": "hgpo after warm_start",
            "thinkless": "thinkless after warm_start",
        }
        assert Point.with_stages(design).name == after.get(design, design)

    def test_the_stage_before_has_the_parameters_that_both_designs_know(self):
        point = Point.with_stages("lapo_internalization", {"statistic": "mean", "beta": 0.8}, 64)
        first = Point("lapo_discovery", {"statistic": "mean"}, 64)
        assert point == Point("lapo_internalization", {"statistic": "mean", "beta": 0.8}, 64, after=first)
        assert point.stages == [first, point]
        warm = Point.with_stages("hgpo", {"delta": 0.1})
        assert (warm.after, warm.stages) == (WarmStart(), [warm])

    def test_a_design_of_ones_own_comes_after_nothing(self):
        assert Point.with_stages("effwb.designs.kimi:Kimi", {"weight": 0.5}).after is None

    def test_a_warm_start_has_the_settings_of_its_profile(self, monkeypatch):
        calls = []
        monkeypatch.setattr(two_modes, "sft_warm_start", lambda *_, **options: calls.append(options))
        real = POCKET.override(recipe="paper")
        for profile, warm in ((POCKET, WarmStart(n=4)), (real, WarmStart(epochs=1))):
            warm.train(profile, None, run_dir="r", model="m", seed=2)
        where = {"run_dir": "r", "model": "m", "seed": 2, "engine": None, "watch": "auto"}
        assert calls == [
            {**where, "learning_rate": 1e-3, "batch_size": 16, "n": 4},
            {**where, "epochs": 1},
        ]
        with pytest.raises(ConfigError, match="epochs=0 must be at least 1"):
            WarmStart(epochs=0)

    def test_two_warm_starts_have_two_names(self):
        assert WarmStart().name == "warm_start"
        assert WarmStart(n=4, epochs=1).name == "warm_start n=4 epochs=1"
        assert Point("hgpo", after=WarmStart(epochs=1)).name == "hgpo after warm_start epochs=1"


class TestPoints:
    @pytest.mark.parametrize(
        ("point", "name"),
        [
            (Point("vanilla"), "vanilla"),
            (Point("kimi", {"weight": 0.5}), "kimi weight=0.5"),
            (Point("token_budget", max_tokens=64), "token_budget cap=64"),
            (Point("dler", {"target": 64}, training={"clip_high": 0.28}), "dler target=64"),
            (Point("l1_max", {"delta": 0.4}, after=Point("l1_exact")), "l1_max delta=0.4 after l1_exact"),
        ],
    )
    def test_names_are_those_of_the_directories(self, point, name):
        assert point.name == name
        assert run_name(name, 3) == f"{name.replace(' ', '_')}-seed3"

    def test_a_long_parameter_is_replaced_by_its_digest(self):
        frontier = Frontier(np.arange(0, 640, 20), np.linspace(0, 1, 32))
        table = {f"problem-{k}": k for k in range(500)}
        points = [
            Point("reo_rl", {"budgets": "oracle", "frontier": frontier}),
            Point("reo_rl", {"budgets": "oracle", "frontier": Frontier([0, 10], [0, 1])}),
            Point("reo_rl", {"budgets": "q_spec", "table": table}),
            Point("lead", {"static": 0.5}, after=Point("reo_rl", {"budgets": "q_spec", "table": table})),
            Point("length_harmonizing", {f"parameter_{k}": 0.1 * k for k in range(20)}),
        ]
        names = [point.name for point in points]
        assert max(map(len, names)) <= 120
        assert len(set(names)) == len(names)
        assert names[0].startswith("reo_rl budgets=oracle frontier=")
        assert names == [point.name for point in points]  # the same every time
