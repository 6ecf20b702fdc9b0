"""The published frontiers digit for digit, REG and its relatives on curves whose answer is known."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effwb import frontier as F
from effwb.analysis.published import check_reg_table, published_reg_table
from effwb.budgets import paper_grid
from effwb.curves import BudgetCurve, Curve
from effwb.errors import ConfigError, DataError

PUBLISHED = json.loads((Path(__file__).parent / "data" / "published.json").read_text())
GRANULARITY = {"aime24": 960, "aime25": 960, "amc23": 1280, "minerva_math": 8704}
GRID = [0, 4, 8, 16]
accuracies = st.lists(st.floats(0, 1), min_size=4, max_size=4)


@pytest.mark.parametrize("model", F.MODELS)
def test_published_frontiers(model):
    for benchmark in F.BENCHMARKS:
        frontier = F.Frontier.published(model, benchmark)
        assert frontier.budgets.tolist() == paper_grid(32768).tolist()
        areas = PUBLISHED["areas"][model][benchmark]
        assert [frontier.area(16384), frontier.area(32768)] == pytest.approx(areas, abs=1e-3)
        if benchmark != "average":
            counts = frontier.accuracy * GRANULARITY[benchmark]
            assert counts == pytest.approx(counts.round(), abs=1e-9)
            falls = frontier.budgets[1:][
                np.diff(frontier.accuracy) < 0
            ]  # they do fall: never assert monotone
            assert falls.tolist() == PUBLISHED["falls_at"][model][benchmark]


@pytest.mark.parametrize("model", F.MODELS)
def test_average_reg_is_the_mean_of_the_benchmark_regs(model):
    def gap(benchmark):
        frontier = F.Frontier.published(model, benchmark)
        return F.reg(frontier, Curve(frontier.budgets, frontier.accuracy**2))

    parts = [F.Frontier.published(model, b) for b in F.BENCHMARKS[:-1]]
    mean_curve = Curve(parts[0].budgets, np.mean([p.accuracy**2 for p in parts], axis=0))
    average = F.reg(F.Frontier.published(model), mean_curve)
    assert average == pytest.approx(np.mean([gap(b) for b in F.BENCHMARKS[:-1]]))


def test_the_pocket_frontier_comes_with_the_repository():
    frontier = F.Frontier.pocket()
    assert frontier.budgets[[0, -1]].tolist() == [0, 512]
    assert len(set(frontier.owner)) > 3


def test_published_tables_add_up_except_one_row():
    table = published_reg_table()
    assert len(table) == 44 * 5
    for model, printed in PUBLISHED["base_reg"].items():
        base = table[(table.model == model) & (table.method == "Base LRM")]
        assert base.reg.tolist() == printed
        assert np.mean(printed[:4]) == pytest.approx(printed[4], abs=0.06)
    flags = check_reg_table(table)
    assert (flags.accuracy_ok & flags.length_ok & flags.possible).all()
    assert flags.index[~flags.reg_ok].tolist() == [("r1-distill-qwen-7b", "HGPO")]
    assert flags.reg_error["r1-distill-qwen-7b", "HGPO"] == pytest.approx(-2.06, abs=0.01)
    table.loc[(table.method == "REO-RL (Exp)") & (table.benchmark == "aime24"), "length"] += 1.0
    assert (~check_reg_table(table).length_ok).sum() == 4  # the check can fail


def test_reg_of_the_frontier_itself_and_of_a_model_that_is_never_right():
    frontier = F.Frontier.published("qwen3-8b", "aime25")
    assert F.reg(frontier, frontier) == 0
    nothing = Curve(frontier.budgets, np.zeros(48))
    assert F.reg(frontier, nothing) == frontier.area(16384)
    assert F.reg(frontier, nothing, l_max=1000) == pytest.approx(frontier.area(1000))
    assert F.reg(nothing, frontier) < 0  # negative gaps are not clipped
    better = frontier.accuracy.copy()
    better[3] += 0.1
    assert F.reg(frontier, Curve(frontier.budgets, better)) == pytest.approx(-6.4)


def test_grids_must_agree_up_to_l_max():
    frontier, coarse = Curve([0, 4, 8, 16], [0, 0.4, 0.8, 0.8]), Curve([0, 8, 16], [0, 0.8, 0.8])
    with pytest.raises(DataError, match=r"only in the first \[4\]"):
        F.reg(frontier, coarse, 16)
    assert F.reg(frontier, coarse, 16, interpolate=True) == pytest.approx(0)
    with pytest.raises(ConfigError, match="l_max=16384 is beyond the last budget 16"):
        F.reg(frontier, frontier)
    longer = Curve([0, 4, 8, 16, 32], [0, 0.4, 0.8, 0.8, 1])
    assert F.reg(frontier, longer, 16) == 0


@given(accuracies, accuracies)
def test_wasted_tokens_is_reg_for_rising_curves(a, b):
    a, b = Curve(GRID, sorted(a)), Curve(GRID, sorted(b))
    for l_max in (16, 11):
        assert F.wasted_tokens(a, b, l_max) == pytest.approx(F.reg(a, b, l_max), abs=1e-9)


def test_wasted_tokens_of_a_shift_and_of_a_falling_curve():
    fast, slow = Curve([0, 4, 8, 16], [0, 0.5, 0.5, 0.5]), Curve([0, 4, 8, 16], [0, 0, 0.5, 0.5])
    assert F.wasted_tokens(fast, slow, 16, shared_levels=True) == pytest.approx(4)
    assert F.wasted_tokens(fast, slow, 16) == pytest.approx(0.5 * 4)
    nothing = Curve([0, 4, 8, 16], np.zeros(4))
    assert np.isnan(F.wasted_tokens(fast, nothing, 16, shared_levels=True))
    falling = Curve([0, 4, 8, 16], [0, 0.4, 0.2, 0.5])
    with pytest.raises(DataError, match=r"curve falls from 0\.4000 to 0\.2000 at budget 8"):
        F.wasted_tokens(fast, falling, 16)
    flat = Curve([0, 4, 8, 16], [0, 0.4, 0.4, 0.5])
    assert F.wasted_tokens(fast, falling, 16, monotone="running_max") == pytest.approx(F.reg(fast, flat, 16))
    with pytest.raises(ConfigError, match="monotone 'yes'"):
        F.wasted_tokens(fast, falling, 16, monotone="yes")


def measured(rng, skill_PK, n=8, name=""):
    """A curve from n samples a problem, with its halves; problems are rows of the true skills (P, K)."""
    halves = np.stack([rng.binomial(n // 2, skill_PK) / (n // 2) for _ in range(2)])
    per_problem = halves.mean(axis=0)
    ids = [f"toy-{i:03d}" for i in range(len(skill_PK))]
    return BudgetCurve(GRID, per_problem.mean(axis=0), per_problem, problem_ids=ids, halves=halves, name=name)


def test_max_knows_the_owner_of_each_budget_and_is_saved_and_loaded(tmp_path):
    a = BudgetCurve(GRID, [0.1, 0.5, 0.6, 0.6], name="a")
    b = BudgetCurve(GRID, [0.1, 0.3, 0.7, 0.5], name="b")
    frontier = F.Frontier.from_curves([a, b])
    assert frontier.accuracy.tolist() == [0.1, 0.5, 0.7, 0.6]  # not monotone, and left so
    assert frontier.owner == ("a", "a", "b", "a")
    back = F.Frontier.load(frontier.save(tmp_path / "f.json"))
    assert (back.owner, back.name, back.provenance) == (frontier.owner, frontier.name, frontier.provenance)
    assert np.array_equal(back.accuracy, frontier.accuracy)
    assert F.Frontier.from_curves({"x": a, "y": b}).owner == ("x", "x", "y", "x")


def test_cross_fit_is_less_biased_than_max():
    rng = np.random.default_rng(0)
    skill = rng.uniform(0.2, 0.6, (30, 1)) * np.ones(4)  # twelve equal models: every gain is luck
    bias = {m: [] for m in F.METHODS}
    for _ in range(60):
        curves = {f"run {i}": measured(rng, skill) for i in range(12)}
        for method, values in bias.items():
            values.append(F.Frontier.from_curves(curves, method).accuracy.mean() - skill.mean())
    assert np.mean(bias["max"]) > 0.02
    assert abs(np.mean(bias["cross_fit"])) < 0.2 * np.mean(bias["max"])


def test_permuting_problems_changes_nothing_but_the_order():
    rng = np.random.default_rng(1)
    curve = measured(rng, rng.random((20, 1)) * np.ones(4))
    order = rng.permutation(20)
    moved = BudgetCurve(GRID, curve.accuracy, curve.per_problem[order], problem_ids=curve.problem_ids[order])
    frontier = Curve(GRID, np.ones(4))
    assert F.reg(frontier, moved, 16) == F.reg(frontier, curve, 16)
    same = [F.reg_interval(frontier, c, 16) for c in (curve, moved)]
    assert same[0] == pytest.approx(same[1], rel=0.02)
    with pytest.raises(DataError, match="order differs"):
        F.reg_difference(curve, moved, 16)


def test_reg_intervals_cover():
    rng, hits, frontier = np.random.default_rng(3), np.zeros(2), Curve(GRID, [0.3, 0.6, 0.9, 0.9])
    shape, worse = np.array([0.2, 0.5, 0.7, 0.8]), np.array([0.2, 0.4, 0.6, 0.8])
    truth = [F.reg(frontier, Curve(GRID, shape), 16), F.reg(frontier, Curve(GRID, worse), 16)]
    for seed in range(400):
        spread = rng.uniform(-0.2, 0.2, (40, 1))
        a, b = measured(rng, shape + spread), measured(rng, worse + spread)
        _, low, high = F.reg_interval(frontier, a, 16, resamples=500, seed=seed)
        hits[0] += low <= truth[0] <= high
        _, low, high = F.reg_difference(a, b, 16, resamples=500, seed=seed)
        hits[1] += low <= truth[0] - truth[1] <= high
    assert (hits / 400 >= 0.90).all()
    assert (hits / 400 <= 0.99).all()


def test_reg_interval_around_reg_and_a_shared_frontier():
    rng = np.random.default_rng(4)
    skill = rng.uniform(0.1, 0.6, (60, 1)) * np.ones(4)
    strong, weak = measured(rng, skill + 0.3, name="strong"), measured(rng, skill, name="weak")
    mixed = {m: F.Frontier.from_curves([weak, strong], m) for m in F.METHODS}
    for frontier in mixed.values():
        assert frontier.per_problem.mean(axis=0) == pytest.approx(frontier.accuracy)
    frontier = mixed["max"]
    fixed = F.reg_interval(frontier, weak, 16)
    shared = F.reg_interval(frontier, weak, 16, resample_frontier=True)
    assert fixed.mean == pytest.approx(F.reg(frontier, weak, 16))
    assert shared.mean == pytest.approx(fixed.mean)
    assert fixed.low < fixed.mean < fixed.high
    assert (shared.high - shared.low) < (fixed.high - fixed.low)  # hard problems are hard for both
    d = F.reg_difference(weak, strong, 16)
    assert d.mean == pytest.approx(F.reg(frontier, weak, 16) - F.reg(frontier, strong, 16))
    assert d.low > 0


def test_the_row_of_a_table_names_its_interval_after_reg():
    rng = np.random.default_rng(4)
    curve = measured(rng, rng.uniform(0.1, 0.6, (20, 1)) * np.ones(4))
    row = F.reg_row(F.Frontier(GRID, np.ones(4)), curve, 16)
    assert list(row) == ["J(16)", "mean tokens", "REG", "REG low", "REG high"]
    assert row["REG low"] < row["REG"] < row["REG high"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.Frontier.published("qwen3-32b"), ConfigError, "qwen3-32b.*legal"),
        (lambda: F.Frontier.published("qwen3-4b", "aime"), ConfigError, "aime"),
        (lambda: F.Frontier.from_curves([]), DataError, "at least one"),
        (lambda: F.Frontier.from_curves([BudgetCurve(GRID, [0] * 4)], "best"), ConfigError, "best"),
        (
            lambda: F.Frontier.from_curves([BudgetCurve(GRID, [0] * 4)], "cross_fit"),
            DataError,
            "curve 0.*halves",
        ),
        (
            lambda: F.Frontier.from_curves([BudgetCurve(GRID, [0] * 4, name="a")] * 2),
            DataError,
            "both called 'a'",
        ),
        (lambda: F.Frontier(GRID, [0] * 4, owner=["a"]), DataError, "1 owners for 4"),
        (
            lambda: F.reg_interval(Curve(GRID, [1] * 4), BudgetCurve(GRID, [0] * 4), 16),
            DataError,
            "no per_problem",
        ),
        (lambda: F.Frontier.load("nowhere.json"), ConfigError, "nowhere.json"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_different_problems_are_refused():
    a = BudgetCurve(GRID, [0.5] * 4, [[0.5] * 4], problem_ids=["p"])
    b = BudgetCurve(GRID, [0.5] * 4, [[0.5] * 4], problem_ids=["q"])
    with pytest.raises(DataError, match="not on the same problems: 2 are in one only"):
        F.Frontier.from_curves([a, b])


def test_data_directory_override_and_its_absence(monkeypatch, tmp_path):
    monkeypatch.setenv("EFFWB_DATA", str(tmp_path))
    with pytest.raises(ConfigError, match="set EFFWB_DATA to the data/ of a checkout"):
        F.Frontier.published("qwen3-4b")
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(DataError, match="not a saved frontier"):
        F.Frontier.load(tmp_path / "x.json")


class TestRegChanges:
    def curve(self, rows, tokens=10.0):
        values = np.array(rows, dtype=float)
        return BudgetCurve([0, 10, 20], values.mean(axis=0), per_problem=values, mean_tokens=tokens)

    def of(self):
        vanilla = [
            self.curve([[0, 0.4, 1], [0, 0.4, 0.8]], 30.0),
            self.curve([[0, 0.6, 1], [0, 0.6, 0.8]], 50.0),
        ]
        return {"vanilla": vanilla, "short": [self.curve([[0, 0.8, 0.8], [0, 0.8, 0.8]])]}

    def test_seeds_are_averaged_and_the_change_is_relative(self):
        frontier = F.Frontier([0, 10, 20], [0.1, 1.0, 1.0])
        result = F.reg_changes(frontier, self.of()).set_index("name")
        # trapezoids: frontier 15.5, vanilla 2.5 + 7, short 4 + 8
        assert result["REG"].tolist() == pytest.approx([6.0, 3.5])
        assert result["seeds"].tolist() == [2, 1]
        assert result["mean tokens"].tolist() == [40.0, 10.0]
        assert result["J(20)"].tolist() == pytest.approx([0.9, 0.8])
        short = result.loc["short"]
        assert short["Δ REG"] == pytest.approx(-2.5)
        assert short["REG %"] == pytest.approx(-100 * 2.5 / 6)
        # the two problems differ by -2 and -3, so these are the ends of what can be drawn
        assert short[["Δ REG low", "Δ REG high"]].tolist() == pytest.approx([-3.0, -2.0])
        assert short["REG % low"] == pytest.approx(-50.0)
        assert result.loc["vanilla", ["Δ REG", "REG %"]].isna().all()

    def test_a_baseline_on_the_frontier_has_no_percent_but_a_difference(self):
        curves = self.of()
        result = F.reg_changes(F.Frontier.from_curves([curves["short"][0]]), curves, "short").set_index(
            "name"
        )
        assert np.isnan(result.loc["vanilla", "REG %"])
        assert result.loc["vanilla", "Δ REG"] == pytest.approx(2.5)

    def test_an_unknown_baseline_and_no_curves(self):
        with pytest.raises(ConfigError, match="unknown baseline 'grpo'"):
            F.reg_changes(F.Frontier([0, 10, 20], [0, 1, 1]), self.of(), "grpo")
        with pytest.raises(DataError, match="no curve of 'vanilla'"):
            F.reg_changes(F.Frontier([0, 10, 20], [0, 1, 1]), {"vanilla": []})
