"""Grids, reward budgets and the quadrature, against the published frontiers and the paper's formulas."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effwb import budgets as B
from effwb.curves import Curve
from effwb.errors import ConfigError, DataError
from effwb.frontier import Frontier

PUBLISHED = json.loads((Path(__file__).parent / "data" / "published.json").read_text())
increasing = st.lists(st.integers(1, 16383), min_size=1, max_size=12, unique=True).map(sorted)


def test_paper_grid_and_scaled_grid():
    assert B.paper_grid().tolist() == [*range(0, 1024, 64), *range(1024, 16385, 1024)]
    assert (B.paper_grid().size, B.paper_grid(32768).size) == (32, 48)
    assert B.scaled_grid(512).tolist() == [*range(0, 32, 2), *range(32, 513, 32)]
    assert B.scaled_grid(16384).tolist() == B.paper_grid().tolist()
    assert B.scaled_grid(64).tolist() == [*range(4), *range(4, 65, 4)]
    with pytest.raises(ConfigError, match=r"1500.*scaled_grid"):
        B.paper_grid(1500)
    with pytest.raises(ConfigError, match="cap=15"):
        B.scaled_grid(15)


@given(st.integers(16, 100_000))
def test_scaled_grid_is_a_grid_up_to_its_cap(cap):
    grid = B.check_budgets(B.scaled_grid(cap), cap=cap)
    assert (grid[0], grid[-1]) == (0, cap)


@pytest.mark.parametrize(
    ("budgets", "message"),
    [
        ([], "non-empty"),
        ([-2, 4], "-2 is negative"),
        ([4, 2], "2 comes after 4"),
        ([2, 4, 4], "4 occurs twice"),
        ([1.5, 4], "1.5 is not a whole"),
        ([0, 600], "600 is above the cap of 512"),
        ([0, float("nan")], "nan is not a finite"),
        (["many"], "many"),
        (7, "non-empty list"),
    ],
)
def test_check_budgets_names_the_offender(budgets, message):
    with pytest.raises(ConfigError, match=message):
        B.check_budgets(budgets, cap=512)


def test_exponential_and_linear():
    assert B.exponential(5, 512, 16384).tolist() == [512, 1024, 2048, 4096, 8192]
    assert B.exponential(5, 64, 16384).tolist() == [64, 194, 588, 1783, 5405]
    assert B.linear(5, 16384).tolist() == [2731, 5461, 8192, 10923, 13653]
    for call in (lambda: B.exponential(5, 512, 512), lambda: B.exponential(0, 1, 8), lambda: B.linear(2, 0)):
        with pytest.raises(ConfigError):
            call()
    with pytest.raises(ConfigError, match="coincide"):
        B.exponential(20, 2, 8)


@pytest.mark.parametrize("case", PUBLISHED["coefficients"], ids=lambda c: str(c["l_max"]))
def test_printed_coefficients(case):
    c = B.coefficients(case["budgets"], case["l_max"])
    assert c.tolist() == case["c"]
    assert c.sum() == case["sum"] == case["l_max"] - case["budgets"][0] / 2


@given(increasing)
def test_coefficients_sum_to_l_max_minus_half_the_first_budget(budgets):
    assert B.coefficients(budgets, 16384).sum() == pytest.approx(16384 - budgets[0] / 2)


@pytest.mark.parametrize("bad", [[0, 5], [5, 16384], [9, 5]])
def test_coefficients_refuse_budgets_outside_the_range(bad):
    with pytest.raises(ConfigError):
        B.coefficients(bad, 16384)


@pytest.mark.parametrize(
    "row", PUBLISHED["quadrature"], ids=lambda r: f"{r['model']}-{r['l_max']}-{r['scheme']}"
)
def test_all_32_quadrature_errors(row):
    frontier, l_max = Frontier.published(row["model"]), row["l_max"]
    exact = {
        "linear": [l_max * i / 6 for i in range(1, 6)],
        "exp Lmin=64": [64 * (l_max / 64) ** (i / 5) for i in range(5)],
    }
    budgets = exact.get(row["scheme"], row["budgets"])
    value = B.quadrature(frontier, budgets, l_max)
    assert value == pytest.approx(row["approx"], abs=2e-3)
    assert 100 * (value / frontier.area(l_max) - 1) == pytest.approx(row["error_pct"], abs=6e-4)
    rounded = {"linear": B.linear(5, l_max), "exp Lmin=64": B.exponential(5, 64, l_max)}.get(row["scheme"])
    if rounded is not None:  # whole tokens move the error by less than a hundredth of a percent
        assert B.quadrature(frontier, rounded, l_max) == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("row", [r for r in PUBLISHED["quadrature"] if r["scheme"] == "oracle"], ids=str)
def test_oracle_picks(row):
    assert sorted(B.oracle(Frontier.published(row["model"]), 5, row["l_max"])) == row["budgets"]


def test_oracle_order_and_limits():
    for model, picks in PUBLISHED["oracle_16k_in_order"].items():
        assert B.oracle(Frontier.published(model), 5, 16384).tolist() == picks
    with pytest.raises(ConfigError, match="only 2"):
        B.oracle(Curve([0, 1, 2, 3], [0, 0.1, 0.2, 0.3]), 3, 3)


@given(increasing, st.randoms(use_true_random=False))
def test_quadrature_is_a_set_function_equal_to_the_coefficients(budgets, random):
    curve = Frontier.published("qwen3-4b")
    terms = B.coefficients(budgets, 16384) @ curve.at([*budgets, 16384]) + budgets[0] / 2 * curve.at(0)
    shuffled = random.sample(budgets, len(budgets))
    assert B.quadrature(curve, shuffled, 16384) == pytest.approx(terms)


def test_quadrature_over_the_whole_grid_is_the_area_and_bad_input_raises():
    curve = Frontier.published("qwen3-8b", "aime24")
    assert B.quadrature(curve, B.paper_grid(), 16384) == pytest.approx(curve.area(16384))
    with pytest.raises(ConfigError, match="40000"):
        B.quadrature(curve, [512], 40000)
    with pytest.raises(ConfigError, match="20000"):
        B.quadrature(curve, [20000], 16384)
    with pytest.raises(DataError, match="starts at budget 64"):
        B.quadrature(Curve([64, 128], [0.1, 0.2]), [100], 128)
    with pytest.raises(ConfigError, match="two budgets"):
        B.trapezoid_weights([4])
