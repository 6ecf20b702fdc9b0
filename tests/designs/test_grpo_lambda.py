"""GRPO-lambda: which groups are punished for length, and how."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effwb.designs import Group, make_design, toy_group
from effwb.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("error")
CAP = 1024


def batch(solved_by_problem, G=4, step=0, ids=None):
    """Groups whose first rollouts are right; lengths 100, 200, ..."""
    correct = [[g < n for g in range(G)] for n in solved_by_problem]
    length = np.tile(100 * np.arange(1, G + 1), (len(correct), 1))
    ids = ids or [f"p{p}" for p in range(len(correct))]
    return Group(correct, length, np.ones_like(length), CAP, ids, step=step)


def test_a_group_worked_by_hand():
    """Right answers of 100 and 300 tokens: mean 200, std 100, r = 1 - 0.4 sigmoid(-1), 1 - 0.4 sigmoid(1)."""
    group = toy_group([100, 300, 400, 50], [1, 1, 0, 0])
    total = make_design("grpo_lambda", alpha=0.4).reward(group)["total"]
    np.testing.assert_allclose(total[0], [0.892423, 0.707577, 0, 0], atol=1e-6)
    lone = toy_group([100, 300, 400, 50], [0, 1, 0, 0])
    equal = toy_group([300, 300, 400, 50], [1, 1, 0, 0])
    design = make_design("grpo_lambda", alpha=0.4)
    assert design.reward(lone)["total"][0].tolist() == [0, 0.8, 0, 0]
    assert design.reward(equal)["total"][0].tolist() == [0.8, 0.8, 0, 0]


def test_the_best_fifth_is_punished_and_the_rest_is_not():
    solved = [1, 4, 2, 3, 0, 2, 1, 0, 1, 3]
    group, design = batch(solved), make_design("grpo_lambda")
    chosen = np.flatnonzero(design.selected(group)).tolist()
    assert len(chosen) == 2
    assert chosen[0] == 1
    assert chosen[1] in (3, 9)  # both solved 3 of 4
    length = design.reward(group)["length"]
    assert (length[chosen] != 0).any(axis=1).all()
    assert not np.delete(length, chosen, axis=0).any()
    assert design.diagnostics(group) == {"lowest_solve_rate_with_length_penalty": 0.75}


@pytest.mark.parametrize(
    ("lam", "P", "count"), [(0.2, 1, 1), (0.2, 5, 1), (0.2, 6, 2), (0.7, 10, 7), (0.0, 5, 0), (1.0, 5, 5)]
)
def test_the_share_of_groups_is_rounded_up(lam, P, count):
    design = make_design("grpo_lambda", lam=lam)
    selected = design.selected(batch([2] * P))
    assert (selected.shape, selected.sum()) == ((P, 1), count)


def test_all_groups_and_none_are_two_known_designs():
    group = batch([3, 2, 1])
    arora = make_design("length_group_norm", alpha=0.6, reading="reo_rl").reward(group)["total"]
    np.testing.assert_allclose(make_design("grpo_lambda", lam=1.0).reward(group)["total"], arora, atol=1e-12)
    vanilla, none = make_design("vanilla"), make_design("grpo_lambda", lam=0.0)
    np.testing.assert_array_equal(none.advantage(group), vanilla.advantage(group))


def test_ties_are_drawn_anew_in_every_step():
    group = batch([4] * 10)
    design = make_design("grpo_lambda")
    drawn = [tuple(np.flatnonzero(design.selected(dataclasses.replace(group, step=s)))) for s in range(20)]
    assert drawn[0] == tuple(np.flatnonzero(design.selected(group)))
    assert len(set(drawn)) > 10
    assert len({p for pair in drawn for p in pair}) == 10


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_group_depends_on_others_only_by_being_selected(data):
    solved = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=8))
    group = batch(solved, step=data.draw(st.integers(0, 9)))
    design = make_design("grpo_lambda")
    selected, reward = design.selected(group), design.reward(group)
    everywhere = make_design("grpo_lambda", lam=1.0).reward(group)["length"]
    np.testing.assert_array_equal(reward["length"], np.where(selected, everywhere, 0.0))
    order = data.draw(st.permutations(range(group.P)))
    shuffled = batch([solved[p] for p in order], step=group.step, ids=[group.problem_ids[p] for p in order])
    np.testing.assert_array_equal(design.selected(shuffled), selected[list(order)])
    rates = group.correct_PG.mean(axis=1, keepdims=True)
    if not selected.all():
        assert rates[selected].min() >= rates[~selected].max()


def test_bad_values():
    for params in ({"alpha": 1.0}, {"alpha": -0.1}, {"lam": 1.1}, {"lam": -0.1}):
        with pytest.raises(ConfigError, match=f"grpo_lambda: {next(iter(params))}="):
            make_design("grpo_lambda", **params)
    empty = Group(np.zeros((0, 4)), np.zeros((0, 4)), np.zeros((0, 4)), CAP, [])
    assert make_design("grpo_lambda").advantage(empty).shape == (0, 4)
    assert np.isnan(make_design("grpo_lambda").diagnostics(empty)["lowest_solve_rate_with_length_penalty"])
