"""Designs with two modes (HGPO, AdaptThink, Thinkless): results by hand, order, truncation, bad input."""

import copy
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effwb.designs import Group, make_design, toy_group
from effwb.designs.segments import per_token
from effwb.errors import ConfigError, DataError

CAP = 1024
NAMES = ("hgpo", "adapt_think", "thinkless")
few = settings(max_examples=40, deadline=None)
each = pytest.mark.parametrize("name", NAMES)
TOY = {"toy-000000000000": {"length": 300.0, "accuracy": 0.5}}


@st.composite
def groups(draw, min_p=0, finished=None):
    P, G = draw(st.integers(min_p, 3)), draw(st.sampled_from([2, 4, 6]))

    def flags():
        rows = st.lists(st.booleans(), min_size=P * G, max_size=P * G)
        return np.array(draw(rows), dtype=bool).reshape(P, G)

    length = draw(st.lists(st.integers(1, CAP), min_size=P * G, max_size=P * G))
    ids = [f"p{p}" for p in range(P)]
    return Group(
        flags(),
        np.array(length, dtype=int).reshape(P, G),
        flags() if finished is None else np.full((P, G), finished),
        CAP,
        ids,
        empty_PG=flags(),
        reference={pid: {"length": 300.0, "accuracy": 0.25 * p} for p, pid in enumerate(ids)},
    )


def take(group, columns):
    arrays = (group.correct_PG, group.length_PG, group.finished_PG)
    fields = {"empty_PG": group.empty_PG[:, columns], "reference": group.reference}
    return Group(*(a[:, columns] for a in arrays), group.cap, group.problem_ids, **fields)


def outputs(design, group):
    return {**design.reward(group), "mask": design.mask(group), "advantage": design.advantage(group)}


def assert_same(a, b, columns=slice(None)):
    for key in a:
        np.testing.assert_allclose(a[key][:, columns], b[key], atol=1e-9, err_msg=key)


class TestByHand:
    def test_hgpo(self):
        group = toy_group([400, 500, 20, 30], [1, 1, 1, 0], empty_PG=[[0, 0, 1, 1]])
        # thinking 1.0, not thinking 0.5 + 0.2: thinking wins; intra 1 1 1 0, inter 1 1 0 0
        design = make_design("hgpo", std="population", eps=0.0)
        inside, between = np.array([1, 1, 1, -3]) / 3**0.5, np.array([1, 1, -1, -1])
        np.testing.assert_allclose(design.advantage(group)[0, :, 0], inside + between)
        np.testing.assert_allclose(design.advantage(group)[0, :, 1], inside)
        half = make_design("hgpo", std="population", eps=0.0, alpha=0.5).advantage(group)
        np.testing.assert_allclose(half[0, :, 0], inside + between / 2)

    @pytest.mark.parametrize(("delta", "wins"), [(0.2, 0), (0.5, 1), (0.6, 1), (0.0, 0)])
    def test_delta_decides_for_not_thinking(self, delta, wins):
        group = toy_group([400, 500, 20, 30], [1, 1, 1, 0], empty_PG=[[0, 0, 1, 1]])
        assert (
            make_design("hgpo", delta=delta).reward(group)["inter"][0].tolist() == [1 - wins] * 2 + [wins] * 2
        )

    def test_without_a_right_answer_not_thinking_wins(self):
        group = toy_group([400, 500, 20, 30], [0] * 4, empty_PG=[[0, 0, 1, 1]])
        parts = make_design("hgpo").reward(group)
        assert parts["inter"].tolist() == [[0, 0, 1, 1]]
        assert parts["intra"].tolist() == [[1, 1, 1, 1]]
        assert make_design("hgpo", ties="first").reward(group)["intra"].tolist() == [[1, 0, 1, 0]]

    def test_a_tie_is_not_decided_by_rounding(self):
        """0.9 and 0.7 with a bonus of 0.2: 0.7 + 0.2 is less than 0.9 in floating point."""
        correct, empty = [1] * 9 + [0] + [1] * 7 + [0] * 3, [0] * 10 + [1] * 10
        group = toy_group([5] * 20, correct, empty_PG=[empty])
        assert make_design("hgpo", delta=0.2).reward(group)["inter"].tolist() == [empty]

    def test_a_group_with_one_mode_does_not_reward_the_choice(self):
        for empty in (0, 1):
            group = toy_group([4, 5, 6, 7], [1, 0, 1, 0], empty_PG=[[empty] * 4])
            first, others = np.moveaxis(make_design("hgpo").advantage(group), -1, 0)
            np.testing.assert_array_equal(first, others)

    def test_adapt_think(self):
        group = toy_group([400, 500, 20, 30], [1, 0, 1, 0], empty_PG=[[0, 0, 1, 1]], reference=TOY)
        design = make_design("adapt_think", delta=0.1)
        np.testing.assert_allclose(design.advantage(group), [[0.5, -0.5, 0.6, -0.4]])
        assert design.forced_share == 0.5

    def test_thinkless_weighs_the_first_token_separately(self):
        """The split advantages under a mean over all tokens are the loss of the paper."""
        group = toy_group([4, 2, 3, 1], [1, 1, 0, 1], empty_PG=[[0, 1, 1, 1]])
        plain = make_design("thinkless", split=False).advantage(group)
        np.testing.assert_array_equal(plain[..., 0], plain[..., 1])
        split, rng = make_design("thinkless", alpha=0.01).advantage(group), np.random.default_rng(0)
        logps = [rng.normal(size=length) for length in group.length_PG[0]]
        edges = make_design("thinkless").edges(group)[0, 0]
        ours = sum((per_token(split[0, g], edges, len(row)) * row).sum() for g, row in enumerate(logps)) / 10
        A = plain[0, :, 0]
        first = np.mean([A[g] * row[0] for g, row in enumerate(logps)])
        rest = sum((A[g] * row[1:]).sum() for g, row in enumerate(logps)) / (10 - 4)
        assert ours == pytest.approx(0.01 * first + rest)

    def test_thinkless_rewards(self):
        group = toy_group([400, 20, 20, 400], [1, 1, 0, 0], empty_PG=[[0, 1, 1, 0]])
        assert make_design("thinkless").reward(group)["total"].tolist() == [[0.5, 1.0, -1.0, -1.0]]


@each
@few
@given(data=st.data())
def test_permuting_the_group_permutes_everything(name, data):
    group, design = data.draw(groups(min_p=1)), make_design(name)
    order = data.draw(st.permutations(range(group.G)))
    assert_same(outputs(design, group), outputs(design, take(group, order)), columns=order)


@each
@few
@given(group=groups())
def test_outputs_are_finite_pure_and_of_the_right_shape(name, group):
    design = make_design(name)
    before, result = design.state(), outputs(design, group)
    segments = () if name == "adapt_think" else (2,)
    assert result["advantage"].shape == (group.P, group.G, *segments)
    edges = design.edges(group)
    assert edges is None if name == "adapt_think" else edges.shape == (group.P, group.G, 1)
    assert all(np.isfinite(value).all() for value in result.values())
    assert_same(result, outputs(design, group))
    design.observe(group)
    assert design.state() == before


@each
@few
@given(group=groups())
def test_a_truncated_rollout_is_wrong_and_may_be_masked(name, group):
    other = dict(empty_PG=group.empty_PG, reference=group.reference)
    arrays = (group.correct_PG ^ ~group.finished_PG, group.length_PG, group.finished_PG)
    flipped = Group(*arrays, CAP, group.problem_ids, **other)
    assert_same(outputs(make_design(name), group), outputs(make_design(name), flipped))
    masked = make_design(name, truncated="masked").advantage(group)
    assert not masked[~group.finished_PG].any()


@each
@few
@given(group=groups(min_p=1, finished=True))
def test_length_is_never_rewarded(name, group):
    """They shorten answers only by the choice of mode: equal verdicts and modes have equal rewards."""
    total = make_design(name).reward(group)["total"]
    for p in range(group.P):
        for kind in range(4):
            same = (group.correct_PG[p] * 2 + group.empty_PG[p]) == kind
            assert np.unique(total[p][same]).size <= 1


@each
def test_pickle_and_state(name):
    group = toy_group([400, 500, 20, 30], [1, 0, 1, 0], empty_PG=[[0, 0, 1, 1]], reference=TOY)
    design = make_design(name)
    restored = make_design(name)
    restored.load_state(json.loads(json.dumps(design.state())))
    for other in (restored, pickle.loads(pickle.dumps(design)), copy.deepcopy(design)):
        assert other.parameters() == design.parameters()
        assert_same(outputs(design, group), outputs(other, group))
    assert design.at_scale(CAP).advantage(group) == pytest.approx(design.advantage(group))


@each
def test_bad_groups_and_parameters_are_refused(name):
    fields = {"reference": TOY}
    with pytest.raises(ConfigError, match="empty_PG"):
        make_design(name).advantage(toy_group([4, 5], [1, 0], **fields))
    with pytest.raises(ConfigError, match="G=1"):
        make_design(name).advantage(toy_group([4], [1], empty_PG=[[0]], **fields))
    with pytest.raises(DataError, match="empty_PG has shape"):
        toy_group([4, 5], [1, 0], empty_PG=[[0, 1, 1]])
    with pytest.raises(ConfigError, match="parameter of"):
        make_design(name, alhpa=1)


def test_forced_openings():
    assert make_design("thinkless").openings(5) is None
    for name in ("hgpo", "adapt_think"):
        assert make_design(name).openings(4) == ["think", "think", "empty", "empty"]
        with pytest.raises(ConfigError, match="even"):
            make_design(name).openings(5)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("hgpo", {"alpha": -1}),
        ("hgpo", {"delta": 2}),
        ("hgpo", {"ties": "random"}),
        ("hgpo", {"rule": "decoupled"}),
        ("hgpo", {"rule": "none"}),
        ("adapt_think", {"delta": float("nan")}),
        ("adapt_think", {"std": "population"}),
        ("thinkless", {"alpha": -0.1}),
        ("thinkless", {"wrong": 0.5}),
        ("thinkless", {"think": 1.5}),
        ("thinkless", {"split": "yes"}),
    ],
)
def test_impossible_parameters(name, params):
    with pytest.raises(ConfigError):
        make_design(name, **params)
