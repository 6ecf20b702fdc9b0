"""The advantage rules against their formulas, and the checks of Group."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effwb.designs import Group
from effwb.designs import advantages as A
from effwb.designs.base import Design
from effwb.errors import ConfigError, DataError

pytestmark = pytest.mark.filterwarnings("error")
R = np.array([[1.0, 0.5, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0], [0.3, 0.3, 0.3, 0.3]])
rewards = st.lists(st.lists(st.floats(-3, 3, width=32), min_size=4, max_size=4), min_size=1, max_size=4).map(
    np.array
)
masks = st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=4, max_size=4).map(np.array)
WITHOUT_STD = ("group_no_std", "none")
rules = pytest.mark.parametrize("rule", A.RULES)


def centred(r):
    return r - r.mean(axis=1, keepdims=True)


def test_group_uses_the_chosen_std():
    for std, ddof in (("sample", 1), ("population", 0)):
        expected = centred(R) / (R.std(axis=1, ddof=ddof, keepdims=True) + 1e-6)
        expected[2] = 0
        np.testing.assert_allclose(A.group(R, std=std, eps=1e-6), expected, atol=1e-12)
    np.testing.assert_allclose(A.group(R, std="none", eps=0.0)[:2], centred(R)[:2], atol=1e-12)
    np.testing.assert_allclose(A.group_no_std(R)[:2], centred(R)[:2], atol=1e-12)
    assert not np.allclose(A.group(R, eps=1e-6), A.group(R, eps=0.5))


def test_rloo_is_the_mean_of_the_others():
    expected = np.array([[r[i] - np.delete(r, i).mean() for i in range(4)] for r in R])
    np.testing.assert_allclose(A.rloo(R), expected, atol=1e-12)


def test_batch_divides_by_the_std_over_the_batch():
    c = centred(R)
    np.testing.assert_allclose(A.batch(R), c / (c.std(ddof=1) + 1e-8), atol=1e-12)
    tokens = np.array([[1, 2, 3, 4], [4, 3, 2, 1], [1, 1, 1, 1]])
    spread = np.repeat(c.ravel(), tokens.ravel())  # the values that whitening over tokens works on
    expected = (c - spread.mean()) / (spread.std(ddof=1) + 1e-8)
    result = A.batch(R, weight_PG=tokens)
    np.testing.assert_allclose(result[:2], expected[:2], atol=1e-12)
    assert (result[2] == 0).all()


def test_decoupled_normalises_each_component_separately():
    parts = {"a": R, "b": 100 * R[:, ::-1] ** 2}
    advantage = A.decoupled(parts, {"a": 1, "b": 1})
    np.testing.assert_allclose(
        advantage, A.decoupled({**parts, "b": parts["b"] / 100}, {"a": 1, "b": 1}), atol=1e-4
    )
    z = sum(A.group(part) for part in parts.values())
    np.testing.assert_allclose(advantage, z / (z.std(ddof=1) + 1e-8), atol=1e-12)
    swapped = A.decoupled(parts, {"a": 3, "b": 1})
    z = 3 * A.group(parts["a"]) + A.group(parts["b"])
    np.testing.assert_allclose(swapped, z / (z.std(ddof=1) + 1e-8), atol=1e-12)
    with pytest.raises(ConfigError, match="weights"):
        A.decoupled(parts, {"a": 1})


@rules
@given(r=rewards, m=masks, inside=st.booleans(), std=st.sampled_from(["sample", "population", "none"]))
def test_rules_are_finite_and_masked(rule, r, m, inside, std):
    m = m[: len(r)]
    std = "none" if rule in WITHOUT_STD else std
    result = A.RULES[rule](r, std=std, eps=0.0, mask_PG=m, masked_in_statistics=inside)
    assert np.isfinite(result).all()
    assert (result[~m] == 0).all()
    if not inside:  # then a masked reward has no influence at all
        other = A.RULES[rule](np.where(m, r, 7.0), std=std, eps=0.0, mask_PG=m, masked_in_statistics=False)
        np.testing.assert_allclose(result, other, atol=1e-12)
        if rule not in ("batch", "none"):
            np.testing.assert_allclose(result.sum(axis=1), 0, atol=1e-6)


@rules
@given(value=st.floats(-1e6, 1e6), eps=st.sampled_from([0.0, 1e-6]))
def test_equal_rewards_give_exactly_zero(rule, value, eps):
    std = "none" if rule in WITHOUT_STD else "sample"
    result = A.RULES[rule](np.full((2, 3), value), std=std, eps=eps)
    assert (result == (value if rule == "none" else 0)).all()
    assert (A.decoupled({"a": np.full((2, 3), value)}, {"a": 1.0}, eps=eps) == 0).all()


@rules
def test_rules_refuse_bad_arguments(rule):
    f = A.RULES[rule]
    with pytest.raises(ConfigError, match="G=1"):
        f(np.ones((3, 1)))
    with pytest.raises(DataError, match=r"rollout \(0, 1\) is nan"):
        f(np.array([[1.0, np.nan]]))
    with pytest.raises(ConfigError, match="std"):
        f(R, std="bessel")
    with pytest.raises(DataError, match="mask has shape"):
        f(R, mask_PG=np.ones((3, 3), bool))
    with pytest.raises(DataError, match=r"\(P, G\)"):
        f(np.ones(3))
    assert f(np.ones((0, 4))).shape == (0, 4)
    if rule != "group_no_std":
        with pytest.raises(ConfigError, match="eps"):
            f(R, eps=-1.0)


def test_a_fully_masked_group_gets_zero():
    none = np.zeros(R.shape, bool)
    for f in A.RULES.values():
        assert not f(R, mask_PG=none, masked_in_statistics=False).any()


GOOD = {
    "correct_PG": [[1, 0], [0, 1]],
    "length_PG": [[5, 9], [9, 12]],
    "finished_PG": [[1, 1], [1, 0]],
    "cap": 10,
    "problem_ids": ["a", "b"],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"correct_PG": [[1, 0.5], [0, 1]]}, r"correct_PG must be 0/1 or bool, got 0\.5"),
        ({"correct_PG": [1, 0]}, "correct_PG must have 2 axes"),
        ({"correct_PG": [[1, 0], [0]]}, "ragged"),
        ({"correct_PG": [["yes", "no"], ["no", "no"]]}, "must be numbers"),
        (
            {"correct_PG": np.zeros((2, 0)), "length_PG": np.zeros((2, 0)), "finished_PG": np.zeros((2, 0))},
            "at least one",
        ),
        ({"length_PG": [[5, -1], [9, 12]]}, "-1"),
        ({"length_PG": [[5, 9.5], [9, 12]]}, r"9\.5"),
        ({"length_PG": [[5, np.nan], [9, 12]]}, "nan"),
        ({"length_PG": [[5, 9, 1], [9, 12, 1]]}, r"length_PG has shape \(2, 3\)"),
        ({"length_PG": [[True, False], [True, True]]}, "swapped"),
        ({"length_PG": [[5, 11], [9, 12]]}, r"rollout \(0, 1\) finished with 11 tokens, the cap is 10"),
        ({"cap": 0}, "cap=0"),
        ({"cap": 10.5}, r"cap=10\.5"),
        ({"problem_ids": ["a"]}, "1 problem_ids for 2 problems"),
        ({"problem_ids": [0, 1]}, "problem id 0 is not a string"),
        ({"hint_tokens_P": [5]}, "hint_tokens_P needs 2 lengths"),
        ({"hint_tokens_P": [5, 0]}, "at least 1 token"),
        ({"probe_budgets_K": [1, 2]}, "come together"),
        ({"probe_budgets_K": [2, 1], "probe_correct_PGK": np.zeros((2, 2, 2))}, "increase strictly"),
        (
            {"probe_budgets_K": [1, 2], "probe_correct_PGK": np.zeros((2, 2, 3))},
            "probe_correct_PGK has shape",
        ),
        ({"reference": [1, 2]}, "reference must map"),
        ({"step": -1}, "step=-1"),
    ],
)
def test_group_names_the_bad_argument(change, message):
    with pytest.raises(DataError, match=message):
        Group(**{**GOOD, **change})


def test_group_copies_its_input_and_cannot_be_written():
    lengths = np.array(GOOD["length_PG"])
    group = Group(**{**GOOD, "length_PG": lengths})
    lengths[0, 0] = 99
    assert group.length_PG[0, 0] == 5
    assert (group.P, group.G, group.correct_PG.dtype) == (2, 2, bool)
    with pytest.raises(ValueError, match="read-only"):
        group.correct_PG[0, 0] = False
    with pytest.raises(dataclasses.FrozenInstanceError):
        group.cap = 5


def test_design_base_has_no_reward():
    with pytest.raises(NotImplementedError):
        Design().reward(Group(**GOOD))
