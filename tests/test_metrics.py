"""Scores against published rows and hand counts; intervals against tables and a simulation."""

import json
import math
import tomllib
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effwb import metrics as M
from effwb._internal.paths import data_dir
from effwb.curves import Curve
from effwb.errors import ConfigError, DataError

PUBLISHED = json.loads((Path(__file__).parent / "data" / "published.json").read_text())
AES_ROWS = json.loads(data_dir("published", "reg_tables.json").read_text())["aes"]["rows"]
NAN = float("nan")


def test_mean_at_k():
    case = PUBLISHED["mean_at_k"]
    assert M.mean_at_k(case["correct"]) == case["expected"]
    assert M.mean_at_k([[1, NAN, NAN, NAN], [0, 0, 0, 1]]) == (1 + 0.25) / 2  # problems count equally


@pytest.mark.parametrize("case", PUBLISHED["pass_at_k"], ids=str)
def test_pass_at_k_worked(case):
    row = [1] * case["c"] + [0] * (case["n"] - case["c"])
    assert M.pass_at_k([row], case["k"]) == pytest.approx(case["expected"])
    assert M.pass_at_k([[*row[::-1], NAN]], case["k"]) == pytest.approx(case["expected"])


@given(st.lists(st.integers(0, 1), min_size=1, max_size=7), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_hit(row, data):
    k = data.draw(st.integers(1, len(row)))
    hits = [any(subset) for subset in combinations(row, k)]
    assert M.pass_at_k([row], k) == pytest.approx(np.mean(hits))


def test_pass_at_k_beyond_n_is_nan_not_lower():
    assert math.isnan(M.pass_at_k([[1, 0], [1, 1]], 3))
    assert math.isnan(M.pass_at_k([[1, 0, 1], [1, 1, NAN]], 3))
    with pytest.raises(ConfigError, match="k=0"):
        M.pass_at_k([[1, 0]], 0)


def test_anytime_accuracy_is_the_mean_at_the_papers_budgets():
    rising = Curve([0, 4000, 8000], [0.0, 0.4, 0.6])
    every_250 = [0.0001 * b if b <= 4000 else 0.4 + 0.00005 * (b - 4000) for b in range(250, 8001, 250)]
    assert M.anytime_accuracy(rising) == pytest.approx(np.mean(every_250))
    assert M.anytime_accuracy(rising, [2000, 8000]) == pytest.approx((0.2 + 0.6) / 2)
    assert M.anytime_accuracy(Curve([0, 512], [0.3, 0.3])) == pytest.approx(0.3)


def test_anytime_accuracy_does_not_depend_on_where_the_grid_is_dense():
    coarse, dense = [0, 512], [0, 2, 4, 8, 16, 512]
    curves = [Curve(grid, np.array(grid) / 512) for grid in (coarse, dense)]
    assert M.anytime_accuracy(curves[0]) == pytest.approx(M.anytime_accuracy(curves[1]))


@pytest.mark.parametrize("row", AES_ROWS, ids=lambda r: r["row"])
def test_aes_published(row):
    value = M.aes(row["base_accuracy"], row["base_length"], row["accuracy"], row["length"])
    if row["row"].endswith("lambda 5"):  # prints 0.45; its own accuracy and length give 0.415
        assert value == pytest.approx(0.415, abs=5e-4)
    else:
        assert value == pytest.approx(row["published_aes"], abs=0.0061)


def test_aes_asymmetry_and_weights():
    assert M.aes(0.5, 100, 0.4, 50) == pytest.approx(0.5 - 5 * 0.2)
    assert M.aes(0.5, 100, 0.6, 50) == pytest.approx(0.5 + 3 * 0.2)
    assert M.aes(50, 100, 40, 50, alpha=2, gamma=1) == pytest.approx(1 - 0.2)
    with pytest.raises(ConfigError, match="base_length=0"):
        M.aes(0.5, 0, 0.5, 10)


def test_ock_score_is_in_percent_with_a_natural_logarithm():
    assert M.ock_score(85.0, 625.0) == pytest.approx(85 - 10 * math.log(1.0625))
    assert M.ock_score(73.0, 0) == 73.0
    with pytest.raises(ConfigError, match="101"):
        M.ock_score(101, 5)


def test_length_given():
    assert M.length_given([[1, 0], [1, NAN]], [[10, 40], [20, NAN]]) == (15.0, 40.0)
    assert math.isnan(M.length_given([[1, 1]], [[3, 4]])[1])
    with pytest.raises(DataError, match="same shape"):
        M.length_given([[1, 1]], [[3]])
    with pytest.raises(DataError, match="NaN at different"):
        M.length_given([[1, 1]], [[3, NAN]])


@pytest.mark.parametrize(("p", "df", "t"), PUBLISHED["student_t"])
def test_t_quantile_tables(p, df, t):
    assert M.t_quantile(p, df) == pytest.approx(t, abs=6e-8)


def test_clustered_interval_ignores_copies_of_samples():
    values = np.random.default_rng(0).integers(0, 2, (20, 4))
    once, copied = M.clustered_interval(values), M.clustered_interval(np.tile(values, 50))
    assert copied == pytest.approx(once)
    means = values.mean(axis=1)
    half = 2.0930241 * means.std(ddof=1) / math.sqrt(20)
    assert (once.low, once.high) == pytest.approx((means.mean() - half, means.mean() + half))


def test_single_problem_has_no_interval():
    for interval in (
        M.clustered_interval([[1, 0]]),
        M.paired_difference([[1]], [[0]]),
        M.bootstrap_mean([0.5]),
    ):
        assert not math.isnan(interval.mean)
        assert math.isnan(interval.low)
        assert math.isnan(interval.high)


def test_paired_difference_is_narrower_and_antisymmetric():
    rng = np.random.default_rng(1)
    base = rng.random((40, 1))
    a, b = base + 0.1 + 0.01 * rng.random((40, 3)), base + 0.01 * rng.random((40, 5))
    d, back, alone = M.paired_difference(a, b), M.paired_difference(b, a), M.clustered_interval(a)
    assert d.low < 0.1 < d.high
    assert (d.high - d.low) < 0.1 * (alone.high - alone.low)
    assert back == pytest.approx((-d.mean, -d.high, -d.low))
    with pytest.raises(DataError, match="40 problems and b_PN 39"):
        M.paired_difference(a, b[1:])


def test_bootstrap_is_reproducible_and_agrees_with_theory():
    values = np.random.default_rng(2).random((200, 3))
    once = M.bootstrap_mean(values, seed=3)
    assert np.array_equal(once.low, M.bootstrap_mean(values, seed=3).low)
    assert not np.array_equal(once.low, M.bootstrap_mean(values, seed=4).low)
    width = 2 * 1.96 * values.std(axis=0) / math.sqrt(200)
    assert once.high - once.low == pytest.approx(width, rel=0.04)
    assert (once.high + once.low) / 2 == pytest.approx(values.mean(axis=0), abs=2e-3)
    means = M.bootstrap_means(values, 10_000)  # known centre: the sample mean, within its own noise of 2e-4
    assert means.mean(axis=0) == pytest.approx(values.mean(axis=0), abs=1e-3)
    single = M.bootstrap_mean(values[:, 0], seed=3)
    assert single.high - single.low == pytest.approx(width[0], rel=0.04)


def test_bootstrap_does_not_depend_on_the_chunks(monkeypatch):
    values = np.random.default_rng(2).random(50)
    whole = M.bootstrap_means(values, 1000)
    assert whole.shape == (1000,)
    monkeypatch.setattr(M, "CHUNK_DRAWS", 50 * 333)  # uneven chunks: 333, 333, 333, 1
    assert M.bootstrap_means(values, 1000).std() == pytest.approx(whole.std(), rel=0.1)


@pytest.mark.parametrize("interval", [M.clustered_interval, lambda v: M.bootstrap_mean(v.mean(axis=1), 1000)])
def test_intervals_cover(interval):
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(400):
        difficulty = rng.beta(0.8, 1.2, size=(40, 1))  # true mean 0.4
        _, low, high = interval((rng.random((40, 8)) < difficulty).astype(float))
        hits += low <= 0.4 <= high
    assert 0.90 <= hits / 400 <= 0.99


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: M.mean_at_k([[0.5, 1]]), "0.5"),
        (lambda: M.mean_at_k([1, 0]), r"\(2,\)"),
        (lambda: M.mean_at_k([[1, 0], [NAN, NAN]]), "problem 1 has no samples"),
        (lambda: M.clustered_interval([[1.0], [2.0]], level=95), "level=95"),
        (lambda: M.bootstrap_mean([1.0, NAN]), "NaN"),
        (lambda: M.bootstrap_mean([1.0, 2.0], resamples=0), "resamples=0"),
        (lambda: M.t_quantile(0.2, 5), "p=0.2"),
        (lambda: M.anytime_accuracy(Curve([0, 10], [0, 1]), [5, 20]), "budget 20 is outside"),
        (lambda: M.anytime_accuracy(Curve([0, 10], [0, 1]), []), "non-empty"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((ConfigError, DataError), match=message):
        call()


def test_scipy_is_still_no_dependency():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert not any(d.startswith("scipy") for d in project["dependencies"])


class TestAesInterval:
    def test_it_holds_the_score_of_the_means(self):
        rng = np.random.default_rng(0)
        right = rng.integers(0, 2, (40, 4))
        length = rng.integers(50, 200, (40, 4))
        result = M.aes_interval(right, length, right, length / 2)
        assert result.mean == pytest.approx(0.5)
        assert result.low == result.high == pytest.approx(0.5)  # every problem halved: no doubt left

    def test_problems_are_resampled_together(self):
        base = np.ones((4, 1))
        result = M.aes_interval(base, base * 0 + 100, base, np.array([[20.0], [80.0], [120.0], [100.0]]))
        assert result.mean == pytest.approx(0.2)
        assert result.low < 0.2 < result.high

    def test_a_resample_without_a_right_answer_of_the_base_leaves_no_interval(self):
        base = np.array([[1.0], [0.0]])
        result = M.aes_interval(base, base * 0 + 100, base, base * 0 + 50)
        assert result.mean == pytest.approx(0.5)
        assert np.isnan(result.low)
        assert np.isnan(result.high)

    def test_other_problems_are_refused(self):
        with pytest.raises(DataError, match=r"\[3, 3, 2, 2\] problems"):
            M.aes_interval(*[np.ones((3, 1))] * 2, *[np.ones((2, 1))] * 2)


def test_what_are_no_numbers_is_refused_by_name():
    with pytest.raises(DataError, match=r"a table of problems x samples must be numbers, got \[\['yes'\]\]"):
        M.pass_at_k([["yes"]], 1)
    with pytest.raises(ConfigError, match="k='all' must be a whole number of at least 1"):
        M.pass_at_k([[1, 0]], "all")
    for name, value in (("length", math.inf), ("base_length", math.inf), ("accuracy", math.nan)):
        with pytest.raises(ConfigError, match=name):
            M.aes(**{"base_accuracy": 0.5, "base_length": 9, "accuracy": 0.5, "length": 9, name: value})
