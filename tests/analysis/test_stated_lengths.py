"""Lengths that a model states: found by the template's sentence, summed up by problem, NaN without any."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from effwb.analysis.stated_lengths import stated_lengths, stated_summary
from effwb.errors import ConfigError, DataError
from effwb.metrics import rank_correlation
from effwb.prompts import TEMPLATES

SAID = "I will answer the question with {} tokens.\n"


@pytest.mark.parametrize(
    ("text", "n"),
    [
        (SAID.format(40) + "1+2=3.", 40),
        ("\n I will  answer the question\nwith 1234 tokens. So", 1234),
        ("1+2=3. " + SAID.format(7) + SAID.format(9), 7),
        ("I will answer the question with  tokens.", None),
        ("I will answer the question with n tokens.", None),
        ("I will answer the question with -5 tokens.", None),
        ("I will answer the question with 1,234 tokens.", None),
        ("Think for 40 tokens.", None),
        ("", None),
    ],
)
def test_sentences(text, n):
    (found,) = stated_lengths([text], "pocket")
    assert found == n or (n is None and np.isnan(found))


def test_the_sentence_is_the_templates_own():
    mine = replace(TEMPLATES["boxed"], hints={"think": "({n} tokens?)"})
    assert stated_lengths(["(12 tokens?)", SAID.format(3)], mine)[0] == 12
    assert np.isnan(stated_lengths([SAID.format(3)], mine)[0])
    with pytest.raises(ConfigError, match="boxxed"):
        stated_lengths([""], "boxxed")


def rollouts(rows):
    return pd.DataFrame(rows, columns=["problem_id", "text", "length"])


def test_summary():
    table = rollouts(
        [(f"p{k}", SAID.format(10 * k), 12 * k) for k in range(1, 6)]
        + [(f"p{k}", "", 50) for k in range(1, 6)]
    )
    found = stated_summary(table, "pocket", {f"p{k}": -k for k in range(1, 6)})
    assert (found["rollouts"], found["problems"], found["problems stating"]) == (10, 5, 5)
    assert (found["stating"], found["stated"], found["used"]) == pytest.approx((0.5, 30, 36))
    assert found["off"] == pytest.approx(0.2)
    assert (found["rank to level"], found["rank to used"]) == pytest.approx((-1, 1))
    assert found["rank to used low"] == pytest.approx(1)
    assert "rank to level" not in stated_summary(table, "pocket")


def test_nobody_states_anything():
    found = stated_summary(rollouts([("a", "1+2=3", 5), ("b", "", 3)]), "pocket", {"a": 1, "b": 2})
    assert (found["stating"], found["stating high"], found["problems stating"]) == (0.0, 0.0, 0)
    for name in ("stated", "used", "off", "rank to level", "rank to used high"):
        assert np.isnan(found[name]), name
    with pytest.raises(DataError, match="no rollouts"):
        stated_summary(rollouts([]), "pocket")


def test_one_problem_has_no_correlation():
    found = stated_summary(rollouts([("a", SAID.format(5), 5), ("b", "", 3)]), "pocket", {"a": 1, "b": 2})
    assert (found["stated"], found["problems stating"]) == (5.0, 1)
    assert np.isnan(found["rank to level"])


class TestRankCorrelation:
    def test_ties_share_their_rank(self):
        # ranks 1.5 1.5 3 4 against 1 2 3 4
        assert rank_correlation([1, 1, 2, 9], [0, 1, 2, 3]).mean == pytest.approx(4.5 / (4.5 * 5) ** 0.5)

    def test_only_ranks_count(self):
        x = np.random.default_rng(0).normal(size=40)
        found = rank_correlation(x, np.exp(3 * x))
        assert found == pytest.approx((1, 1, 1))
        assert rank_correlation(x, -x).mean == pytest.approx(-1)

    def test_the_interval_holds_the_estimate_and_narrows(self):
        rng = np.random.default_rng(0)
        widths = []
        for n in (20, 200):
            x = rng.normal(size=n)
            mean, low, high = rank_correlation(x, x + rng.normal(size=n))
            assert -1 <= low < mean < high <= 1
            widths.append(high - low)
        assert widths[1] < widths[0] / 2

    def test_same_seed_same_answer(self):
        x, y = np.random.default_rng(0).normal(size=(2, 30))
        assert rank_correlation(x, y) == rank_correlation(x, y) != rank_correlation(x, y, seed=1)

    @pytest.mark.parametrize(("x", "y"), [([], []), ([1], [2]), ([1, 1, 1], [1, 2, 3])])
    def test_none(self, x, y):
        assert np.isnan(rank_correlation(x, y)).all()

    @pytest.mark.parametrize(
        ("x", "y", "said"), [([1, 2], [1], "shapes"), ([1, np.nan], [1, 2], "NaN"), ([[1]], [[1]], "shapes")]
    )
    def test_bad_input(self, x, y, said):
        with pytest.raises(DataError, match=said):
            rank_correlation(x, y)
