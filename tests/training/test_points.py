"""Several runs side by side: problem sets, frozen reference, points, frontier, REG, effects over seeds."""

import json

import numpy as np
import pytest

from effwb import problems, profiles
from effwb.curves import BudgetCurve
from effwb.errors import ConfigError, DataError
from effwb.evaluation import Evaluation
from effwb.frontier import Frontier
from effwb.metrics import aes
from effwb.training import (
    Point,
    Trained,
    TrainResult,
    aes_table,
    effects,
    level_table,
    over_seeds,
    run_points,
    table,
)
from effwb.training import points as points_module
from effwb.training.points import frontier_of, frozen_reference, load_train_and_eval, reg_table

POCKET = profiles.profile("pocket")
TINY = POCKET.override(n_problems=7, n_samples=2, max_tokens=48)
SHORT = dict(steps=1, problems_per_round=2, group_size=4, watch="none")


def ran(name: str, per_problem, seed: int = 0, tokens: float = 50.0) -> Trained:
    """A run with a curve at 0, 10 and 20 tokens; `per_problem` is (P, 3)."""
    values = np.array(per_problem, dtype=float)
    curve = BudgetCurve(
        [0, 10, 20], values.mean(axis=0), per_problem=values, halves=np.stack([values] * 2),
        mean_tokens=tokens, name=name,
    )  # fmt: skip
    return Trained(name, seed, None, Evaluation(name, None, None, None, curve))


EARLY = ran("early", [[0.5, 0.5, 0.5], [0.5, 0.7, 0.7]])  # 0.5, 0.6, 0.6
LATE = ran("late", [[0.0, 0.4, 1.0], [0.0, 0.4, 0.8]])  # 0.0, 0.4, 0.9


class TestProblemSets:
    def test_pocket_splits_are_disjoint_and_those_of_the_benchmark(self):
        practice, asked = load_train_and_eval(POCKET.override(n_problems=30), 40)
        assert (len(practice), len(asked)) == (40, 30)
        assert not set(practice["problem_id"]) & set(asked["problem_id"])
        assert practice["problem_id"] == problems.load("pocket", 40, split="train")["problem_id"]
        assert asked["problem_id"] == problems.load("pocket", 30)["problem_id"]

    def test_as_many_as_the_profile_trains_on(self):
        assert len(load_train_and_eval(POCKET)[0]) == POCKET.training.n_problems

    def test_one_set_for_both_is_refused_and_another_source_taken(self, tmp_path):
        file = tmp_path / "few.jsonl"
        rows = [{"question": f"Compute {k}+1.", "answer": str(k + 1)} for k in range(5)]
        file.write_text("\n".join(map(json.dumps, rows)))
        mine = POCKET.override(problems=str(file), n_problems=5)
        with pytest.raises(DataError, match=r"5 problems of .* would be trained on and evaluated on"):
            load_train_and_eval(mine, 5)
        practice, asked = load_train_and_eval(mine, 8, source="pocket")
        assert (len(practice), len(asked)) == (8, 5)


class TestFrozenReference:
    def test_it_is_sampled_once_and_covers_the_practice_problems(self, tmp_path):
        practice = problems.load("pocket", 4, split="train")
        found = frozen_reference(TINY, practice, run_root=tmp_path, n=3)
        assert set(found) == set(practice["problem_id"])
        assert all(0 < row["length"] <= 48 and 0 <= row["accuracy"] <= 1 for row in found.values())
        (shard,) = (tmp_path / "reference-48x3").glob("rollouts/*.parquet")
        written = shard.stat().st_mtime_ns
        assert frozen_reference(TINY, practice, run_root=tmp_path, n=3) == found
        assert shard.stat().st_mtime_ns == written

    def test_another_cap_is_another_reference(self, tmp_path):
        practice = problems.load("pocket", 2, split="train")
        frozen_reference(TINY, practice, run_root=tmp_path, max_tokens=32)
        assert [p.name for p in tmp_path.iterdir()] == ["reference-32x2"]


class TestFrontierAndReg:
    def test_the_frontier_names_the_run_that_owns_each_budget(self):
        frontier = frontier_of([EARLY, LATE])
        assert frontier.accuracy.tolist() == pytest.approx([0.5, 0.6, 0.9])
        assert frontier.owner == ("early-seed0", "early-seed0", "late-seed0")

    def test_reg_is_the_area_that_is_missing(self):
        regs = reg_table([EARLY, LATE]).set_index("name")
        # trapezoids: frontier 5.5 + 7.5, early 5.5 + 6, late 2 + 6.5
        assert regs["REG"].tolist() == pytest.approx([1.5, 4.5])
        assert regs["REG, cross-fitted"].tolist() == pytest.approx([1.5, 4.5])  # both halves are alike here
        assert regs["J(20)"].tolist() == pytest.approx([0.6, 0.9])
        assert (regs["REG low"] <= regs["REG"]).all()
        assert (regs["REG"] <= regs["REG high"]).all()

    def test_a_single_run_is_its_own_frontier(self):
        assert reg_table([LATE]).loc[0, ["REG", "REG low", "REG high"]].tolist() == [0.0, 0.0, 0.0]

    def test_a_frontier_from_elsewhere_is_a_fixed_yardstick(self):
        regs = reg_table([EARLY, LATE], Frontier([0, 10, 20], [1.0, 1.0, 1.0]))
        assert regs["REG"].tolist() == pytest.approx([20 - 11.5, 20 - 8.5])
        assert "REG, cross-fitted" not in regs


class TestPoints:
    @pytest.mark.parametrize(
        ("point", "name"),
        [
            (Point("vanilla"), "vanilla"),
            (Point("kimi", {"weight": 0.5}), "kimi weight=0.5"),
            (Point("token_budget", max_tokens=64), "token_budget cap=64"),
            (Point("dler", {"target": 64}, settings={"clip_high": 0.28}), "dler target=64"),
            (Point("l1_max", {"delta": 0.4}, after=Point("l1_exact")), "l1_max delta=0.4 after l1_exact"),
        ],
    )
    def test_names_are_those_of_the_directories(self, point, name):
        assert point.name == name

    def test_trained_evaluated_and_read_back(self, tmp_path):
        practice, asked = load_train_and_eval(TINY, 8)
        points = [Point("kimi", {"weight": 0.5})]
        first = run_points(points, practice, asked, TINY, run_root=tmp_path, **SHORT)
        assert [one.run for one in first] == ["base-seed0", "kimi_weight=0.5-seed0"]
        stamps = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.parquet")}
        again = run_points(points, practice, asked, TINY, run_root=tmp_path, **SHORT)
        assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.parquet")} == stamps
        assert table(again).equals(table(first))
        assert list(reg_table(again)["name"]) == ["base", "kimi weight=0.5"]

    def test_a_point_after_another_begins_with_its_model_and_state(self, tmp_path, monkeypatch):
        asked_for = []

        def fake(design, practice, *, run_dir, seed, **more):
            asked_for.append((design, run_dir.name, more.get("model"), more.get("state")))
            return TrainResult(run_dir, design)

        monkeypatch.setattr(points_module, "train", fake)
        monkeypatch.setattr(TrainResult, "state", {"design": "lapo_discovery"})
        monkeypatch.setattr(points_module, "measure", lambda *_: None)
        first = Point("lapo_discovery")
        points = {"D": first, "I": Point("lapo_internalization", after=first)}
        run_points(points, None, None, TINY, run_root=tmp_path, base=False, model="start")
        model = str(tmp_path / "D-seed0" / "model")
        begun = ("lapo_discovery", "D-seed0", "start", None)
        assert asked_for == [
            begun, begun, ("lapo_internalization", "I-seed0", model, {"design": "lapo_discovery"})
        ]  # fmt: skip
        asked_for.clear()
        found = run_points(
            [Point("vanilla", after=Point("kimi"))], None, None, TINY, run_root=tmp_path, base=False
        )
        assert [(one[1], one[3]) for one in asked_for] == [
            ("kimi-seed0", None), ("vanilla_after_kimi-seed0", None)
        ]  # fmt: skip
        assert [one.name for one in found] == ["vanilla after kimi"]

    def test_a_second_design_that_is_unknown_is_refused_before_the_first_trains(self, tmp_path):
        with pytest.raises(ConfigError, match="unknown design 'lapo_internalisation'"):
            run_points(
                [Point("lapo_internalisation", after=Point("lapo_discovery"))], None, None, TINY,
                run_root=tmp_path, base=False,
            )  # fmt: skip
        assert not list(tmp_path.iterdir())

    def test_base_is_taken(self, tmp_path):
        with pytest.raises(ConfigError, match="cannot be called 'base'"):
            run_points({"base": Point("kimi")}, None, None, TINY, run_root=tmp_path)


class TestEffects:
    def runs(self):
        import pandas as pd

        rows = [("a", s, 0.5, 100.0 * (1 + s), 10.0) for s in range(3)]
        rows += [("b", s, 0.5 + 0.01 * (1 + s), 50.0 * (1 + s), 11.0 + s) for s in range(3)]
        return pd.DataFrame(rows, columns=["name", "seed", "accuracy", "mean length", "area"])

    def test_paired_by_seed(self):
        row = effects(self.runs(), "a").set_index("name").loc["b"]
        assert row["length ratio"] == pytest.approx(0.5)  # the same ratio in each seed, whatever the lengths
        assert row[["length ratio low", "length ratio high"]].tolist() == pytest.approx([0.5, 0.5])
        assert row["Δ accuracy"] == pytest.approx(0.02)
        half = 4.302653 * 0.01 / 3**0.5
        assert row["Δ accuracy high"] == pytest.approx(0.02 + half)
        assert row["Δ area"] == pytest.approx(2.0)

    def test_one_seed_has_no_interval(self):
        row = effects(self.runs().query("seed == 0"), "a").iloc[1]
        assert np.isnan(row[["Δ accuracy low", "length ratio high"]].astype(float)).all()

    def test_an_unknown_baseline_and_too_many_seeds(self):
        with pytest.raises(ConfigError, match="no run is called 'vanilla'"):
            effects(self.runs())
        with pytest.raises(ConfigError, match="needs 1 to 10"):
            over_seeds(range(11))

    def test_aes_is_scored_in_each_seed(self):
        found = aes_table(self.runs(), "a").set_index("name")
        scores = [aes(0.5, 100.0, 0.5 + 0.01 * (1 + s), 50.0) for s in range(3)]
        assert list(found.index) == ["b"]
        row = found.loc["b"]
        assert row[["AES", "AES low", "AES high"]].tolist() == pytest.approx(over_seeds(scores))
        with pytest.raises(ConfigError, match="no run is called 'base'"):
            aes_table(self.runs())


def test_levels_have_intervals_over_their_problems():
    import pandas as pd

    rollouts = pd.DataFrame(
        [(f"p{p}", s, 10 * (p + 1) + s, s % 2 == 0 or p < 2) for p in range(5) for s in range(2)],
        columns=["problem_id", "sample", "length", "right"],
    )
    rollouts["verdict"] = rollouts.pop("right").map({True: "correct", False: "wrong"})
    rollouts["finish_reason"] = "stop"
    asked = {"problem_id": [f"p{p}" for p in range(5)], "level": ["10", "2", "2", "10", "extra"]}
    one = Trained("lead", 3, None, Evaluation("lead", None, rollouts, None, None))
    found = level_table([one], asked).set_index("level")
    assert list(found.index) == ["2", "10", "extra"]
    assert found["problems"].tolist() == [2, 2, 1]
    assert found["length"].tolist() == [25.5, 25.5, 50.5]
    assert found["accuracy"].tolist() == [0.75, 0.75, 0.5]
    assert found.loc["2", "length low"] < 25.5 < found.loc["2", "length high"]
    assert np.isnan(found.loc["extra", ["length low", "high"]].astype(float)).all()
