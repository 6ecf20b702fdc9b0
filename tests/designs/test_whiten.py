"""Whitening of advantages over the tokens of a batch: the formula, and every design."""

import copy
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effwb.designs import DESIGNS, Design, Group, design, make_design
from effwb.designs.advantages import whiten_tokens
from effwb.designs.segments import token_counts
from effwb.errors import ConfigError
from tests.designs.test_rewards import PARAMS

CAP, BUDGETS = 1024, [64, 256]
pytestmark = pytest.mark.filterwarnings("error")
each = pytest.mark.parametrize("name", DESIGNS)


def build(name, **params):
    budgets = {"budgets": BUDGETS, "cap": CAP} if name in ("reo_rl", "brpo") else {}
    return make_design(name, **{**PARAMS.get(name, {}), **budgets, **params}).at_scale(CAP)


def group(seed, name, P=3, correct=None):
    """Random rollouts with everything that any design reads."""
    rng, G = np.random.default_rng(seed), 4
    finished = rng.random((P, G)) < 0.8
    length = np.where(finished, rng.integers(2, CAP, (P, G)), CAP)
    verdicts = rng.random((P, G)) < 0.5 if correct is None else np.full((P, G), correct)
    ids, budgets = [f"p{p}" for p in range(P)], np.broadcast_to(BUDGETS, (P, G, 2))
    probes = {}
    if DESIGNS[name].probes:
        probed = rng.random((P, G, 2)) < 0.5 if correct is None else np.full((P, G, 2), correct)
        probes["probe_correct_PGK"] = probed
        probes["probe_budgets_K"] = budgets if name == "mrt" else BUDGETS
    return Group(
        verdicts, length, finished, CAP, ids,
        reference={pid: {"length": 300.0, "accuracy": 0.5} for pid in ids},
        hint_tokens_P=np.full(P, 300), empty_PG=rng.random((P, G)) < 0.5, **probes,
    )  # fmt: skip


def spread_over_tokens(advantage, counts):
    """The advantage of every token, one after the other."""
    return np.repeat(advantage.ravel(), counts.ravel())


def test_two_groups_worked_by_hand():
    """mean -1/16 and variance 0.1836 over 16 tokens: 1 of +1, 2 of -1, 13 of 0."""
    A, tokens = np.array([[1.0, -1, 0, 0], [0, 0, 0, 0]]), np.array([[1, 2, 3, 2], [2, 2, 2, 2]])
    everything = np.ones(A.shape, bool)
    released = whiten_tokens(A, tokens, everything, shift_zeros=True)
    np.testing.assert_allclose(released[0], [2.479705, -2.187975, 0.145865, 0.145865], atol=1e-6)
    np.testing.assert_allclose(released[1], 0.145865, atol=1e-6)
    ours = whiten_tokens(A, tokens, everything)
    np.testing.assert_array_equal(ours[0], released[0])
    assert not ours[1].any()


def test_segments_worked_by_hand():
    """Rollouts of 5 and 2 tokens, an edge at 3: 3 tokens of +1/2, 2 of -1, 2 of -1/2, none of the last +1."""
    tokens = token_counts(np.array([[[3], [3]]]), np.array([[5, 2]]))
    assert tokens.tolist() == [[[3, 2], [2, 0]]]
    whitened = whiten_tokens([[[0.5, -1.0], [-0.5, 1.0]]], tokens, np.ones((1, 2), bool))
    np.testing.assert_allclose(whitened[0], [[1.104315, -1.214747], [-0.441726, 0.0]], atol=1e-6)


def test_a_segment_in_which_all_rollouts_have_no_advantage_stays_at_zero():
    A = np.array([[[1.0, 0.0], [-2.0, 0.0]], [[0.0, 3.0], [0.0, -1.0]]])
    whitened = whiten_tokens(A, np.full(A.shape, 4), np.ones((2, 2), bool))
    assert (whitened == 0).tolist() == (A == 0).tolist()


def test_masked_rollouts_are_in_no_statistic():
    A, tokens, mask = np.array([[1.0, -1, 5]]), np.array([[2, 2, 9]]), np.array([[True, True, False]])
    np.testing.assert_allclose(whiten_tokens(A, tokens, mask), [[1.0, -1.0, 0.0]])
    assert not whiten_tokens(A, tokens, np.zeros((1, 3), bool)).any()
    assert whiten_tokens(np.zeros((0, 4)), np.zeros((0, 4), int), np.ones((0, 4), bool)).shape == (0, 4)


def test_tiny_differences_are_not_blown_up():
    """The variance that is divided by is at least 1e-8, as in the released code."""
    A = np.array([[1e-6, -1e-6]])
    whitened = whiten_tokens(A, np.ones((1, 2), int), np.ones((1, 2), bool))
    np.testing.assert_allclose(whitened, A / 1e-4)


@each
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_every_design_whitens_over_all_tokens(name, seed):
    rollouts, plain, whitened = group(seed, name), build(name), build(name, whiten=True)
    np.testing.assert_array_equal(plain.advantage(rollouts), plain.unwhitened(rollouts))
    before, after = whitened.unwhitened(rollouts), whitened.advantage(rollouts)
    np.testing.assert_array_equal(before, plain.advantage(rollouts))
    assert after.shape == before.shape
    assert np.isfinite(after).all()
    mask = whitened.mask(rollouts)
    assert not after[~mask].any()
    counts = token_counts(whitened.edges(rollouts), rollouts.length_PG)
    weight = counts * (mask if before.ndim == 2 else mask[..., None])
    values = spread_over_tokens(before, weight)
    idle = ~(before != 0).any(axis=1, keepdims=True) & np.ones(before.shape, bool)
    if values.size and values.var() > 1e-8:
        expected = np.where(idle | (weight == 0), 0.0, (before - values.mean()) / values.std())
        np.testing.assert_allclose(after, expected, atol=1e-9)
    order = np.random.default_rng(seed).permutation(rollouts.P)
    shuffled = _reordered(rollouts, order)
    np.testing.assert_allclose(whitened.advantage(shuffled), after[order], atol=1e-9)


def _reordered(rollouts, order):
    arrays = ("correct_PG", "length_PG", "finished_PG", "empty_PG", "hint_tokens_P", "probe_correct_PGK")
    fields = {name: getattr(rollouts, name) for name in arrays}
    fields = {name: None if value is None else value[order] for name, value in fields.items()}
    budgets = rollouts.probe_budgets_K
    if budgets is not None:
        fields["probe_budgets_K"] = budgets[order] if budgets.ndim == 3 else budgets
    ids = [rollouts.problem_ids[p] for p in order]
    return Group(**fields, cap=CAP, problem_ids=ids, reference=rollouts.reference)


@each
def test_corner_groups_pickling_and_state(name):
    whitened = build(name, whiten=True)
    for rollouts in (group(1, name, P=0), group(2, name, correct=False), group(3, name, correct=True)):
        advantage = whitened.advantage(rollouts)
        assert np.isfinite(advantage).all()
        idle = ~(whitened.unwhitened(rollouts) != 0).any(axis=1)
        assert not np.moveaxis(advantage, 1, -1)[idle].any()
    rollouts = group(4, name)
    whitened.observe(rollouts)
    restored = build(name, whiten=True)
    restored.load_state(json.loads(json.dumps(whitened.state())))
    for other in (restored, pickle.loads(pickle.dumps(whitened)), copy.deepcopy(whitened)):
        np.testing.assert_array_equal(other.advantage(rollouts), whitened.advantage(rollouts))
    assert whitened.parameters()["whiten"] is True
    assert whitened.at_scale(2 * CAP).whiten


@each
def test_whiten_must_be_a_flag(name):
    with pytest.raises(ConfigError, match="whiten='yes' must be True or False"):
        make_design(name, whiten="yes")


def test_a_design_that_overrides_advantage_cannot_be_whitened():
    @design
    class Old(Design):
        """Has advantages of its own, in the method that applies `whiten`."""

        NAME = "old"

        def advantage(self, group):
            return np.zeros(group.correct_PG.shape)

    assert not Old().whiten
    with pytest.raises(ConfigError, match="old: whiten=True needs its advantages in `unwhitened`"):
        Old(whiten=True)
