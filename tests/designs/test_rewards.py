"""What holds for every design: order, other groups, scale, truncation and pickling change nothing."""

import copy
import dataclasses
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effwb.designs import DESIGNS, Group, make_design, toy_group

pytestmark = pytest.mark.filterwarnings("error")
CAP = 1024
PARAMS = {"gfpo": {"k": 2}, "laser_d": {"every": 1}, "laser_de": {"every": 1}}
BATCH = ("dler", "gdpo", "lead")
BATCH_REWARD = (
    "grpo_lambda",
)  # which groups are punished for length depends on the others: test_grpo_lambda
# From the papers: designs whose wrong answers have a length term, and designs that want a certain length
WRONG_HAS_LENGTH = {
    "length_harmonizing",
    "kimi",
    "soft_overlong",
    "cosine",
    "shorter_better",
    "l1_exact",
    "alp",
    "hapo",
    "laser_de",
    "gdpo",
    "lead",
}
NOT_MONOTONE = {"l1_exact", "lapo_discovery", "lapo_internalization", "lead"}  # they want a length


def build(name, warm=None):
    """The design at the scale of these groups; `warm` is a group that it has already observed."""
    design = make_design(name, **PARAMS.get(name, {})).at_scale(CAP)
    if warm is not None:
        design.observe(warm)
    return design


@st.composite
def groups(draw, min_p=1, min_length=1, distinct=False, finished=None):
    P, G = draw(st.integers(min_p, 3)), draw(st.integers(3, 6))
    length = st.lists(st.integers(min_length, CAP), min_size=G, max_size=G, unique=distinct)
    flags = st.lists(st.booleans(), min_size=G, max_size=G)

    def rows(values):
        return np.array(draw(st.lists(values, min_size=P, max_size=P))).reshape(P, G)

    done = rows(flags) if finished is None else np.full((P, G), finished)
    lengths = rows(length).astype(int)
    beyond = draw(st.integers(0, 3))  # engines differ on whether the last token counts
    ids = [f"p{p}" for p in range(P)]
    return Group(
        rows(flags).astype(bool),
        np.where(done, lengths, CAP + beyond) if not distinct else lengths,
        done,
        CAP,
        ids,
        reference={pid: {"length": 300.0 + 50 * p, "accuracy": 0.25 * p} for p, pid in enumerate(ids)},
        hint_tokens_P=np.array([200 + 100 * p for p in range(P)], dtype=int),
        step=draw(st.integers(0, 5)),
    )


def take(group, rows=None, columns=None):
    """The group with its problems or its rollouts reordered or selected."""
    rows = list(range(group.P)) if rows is None else rows
    columns = list(range(group.G)) if columns is None else columns
    changes = {
        name: getattr(group, name)[rows][:, columns] for name in ("correct_PG", "length_PG", "finished_PG")
    }
    changes["problem_ids"] = [group.problem_ids[p] for p in rows]
    changes["hint_tokens_P"] = group.hint_tokens_P[rows]
    return dataclasses.replace(group, **changes)


def outputs(design, group):
    return {**design.reward(group), "mask": design.mask(group), "advantage": design.advantage(group)}


def assert_same(a, b, columns=slice(None), rows=slice(None), skip=()):
    assert set(a) == set(b)
    for key in set(a) - set(skip):
        np.testing.assert_allclose(a[key][rows][:, columns], b[key], atol=1e-9, err_msg=key)


SEGMENTED = ("reo_rl", "mrt", "brpo")  # advantages by segment: test_segments.py
MODES = ("hgpo", "adapt_think", "thinkless")  # the choice to think: test_two_modes.py
SCALAR = [name for name in DESIGNS if name not in (*SEGMENTED, *MODES)]
each = pytest.mark.parametrize("name", SCALAR)
few = settings(max_examples=40, deadline=None)


@each
@few
@given(data=st.data())
def test_permuting_the_group_permutes_everything(name, data):
    group, warm = data.draw(groups(distinct=name == "gfpo")), data.draw(groups())
    design, order = build(name, warm), data.draw(st.permutations(range(group.G)))
    assert_same(outputs(design, group), outputs(design, take(group, columns=order)), columns=order)
    rows = data.draw(st.permutations(range(group.P)))
    assert_same(outputs(design, group), outputs(design, take(group, rows=rows)), rows=rows)


@each
@few
@given(group=groups(), warm=groups())
def test_statistics_never_leave_the_group(name, group, warm):
    if name in BATCH_REWARD:
        return
    design = build(name, warm)
    whole = outputs(design, group)
    for p in range(group.P):
        skip = ("advantage",) if name in BATCH else ()
        assert_same(whole, outputs(design, take(group, rows=[p])), rows=[p], skip=skip)


@pytest.mark.parametrize(("name", "target"), [("dler", 45), ("gdpo", 15)])
def test_batch_rules_do_see_the_whole_batch(name, target):
    group = Group([[1, 1, 0, 0]] * 2, [[10, 20, 30, 40]] * 2, [[1] * 4] * 2, CAP, ["a", "b"])
    other = dataclasses.replace(group, correct_PG=[[1, 1, 0, 0], [1, 0, 0, 0]])
    design = make_design(name, cap=CAP, target=target)
    assert not np.allclose(design.advantage(group)[0], design.advantage(other)[0])
    np.testing.assert_array_equal(design.reward(group)["total"][0], design.reward(other)["total"][0])


@each
@few
@given(group=groups(min_p=0, min_length=0), warm=groups())
def test_outputs_are_finite_and_of_the_right_shape(name, group, warm):
    design = build(name, warm)
    result = outputs(design, group)
    for value in result.values():
        assert value.shape == (group.P, group.G)
        assert np.isfinite(value).all()
    assert result["mask"].dtype == bool
    assert not result["advantage"][~result["mask"]].any()


@each
@few
@given(group=groups(), warm=groups())
def test_total_is_the_sum_of_its_parts(name, group, warm):
    parts = build(name, warm).reward(group)
    np.testing.assert_allclose(parts.pop("total"), sum(parts.values()), atol=1e-12)


@each
@few
@given(group=groups(), warm=groups())
def test_group_means_are_zero_where_the_rule_centres(name, group, warm):
    if name in ("grpo_lead", "lead"):
        return  # reweighting, and whitening over tokens, break it by design
    design = build(name, warm)
    advantage, mask = design.advantage(group), design.mask(group)
    if mask.all() or not design.masked_in_statistics:
        np.testing.assert_allclose(advantage.sum(axis=1), 0, atol=1e-6)
    total = design.reward(group)["total"]
    flat = (total == total[:, :1]).all(axis=1)
    if design.rule != "decoupled":
        assert (advantage[flat] == 0).all()


@each
@few
@given(group=groups(), warm=groups())
def test_correct_answers_are_ranked_by_length(name, group, warm):
    if name in NOT_MONOTONE:
        return
    design = build(name, warm)
    total, solved = design.reward(group)["total"], design.solved(group)
    for p in range(group.P):
        order = np.argsort(group.length_PG[p][solved[p]], kind="stable")
        assert (np.diff(total[p][solved[p]][order]) <= 1e-12).all()


@pytest.mark.parametrize("name", sorted(set(SCALAR) - WRONG_HAS_LENGTH))
@few
@given(group=groups(finished=True), warm=groups())
def test_wrong_answers_have_no_length_term(name, group, warm):
    total, wrong = build(name, warm).reward(group)["total"], ~group.correct_PG
    for p in range(group.P):
        assert np.unique(total[p][wrong[p]]).size <= 1


@pytest.mark.parametrize("name", sorted(WRONG_HAS_LENGTH))
def test_wrong_answers_have_a_length_term_where_the_paper_says_so(name):
    group = toy_group(
        [200, 1, 500, 1000],
        [1, 0, 0, 0],
        cap=CAP,
        hint_tokens_P=[300],
        reference={"toy-000000000000": {"length": 300, "accuracy": 0.5}},
    )
    total = build(name, group).reward(group)["total"][0]
    assert np.unique(total[1:]).size > 1
    if name in ("kimi", "hapo"):
        assert total[1] == 0  # never paid for being short
    if name in ("cosine", "laser_de"):
        assert total[3] > total[1]


@each
@few
@given(group=groups(), warm=groups())
def test_a_truncated_rollout_is_wrong_whatever_its_verdict(name, group, warm):
    flip = dataclasses.replace(group, correct_PG=group.correct_PG ^ ~group.finished_PG)
    design = build(name, warm)
    assert_same(outputs(design, group), outputs(design, flip))


@each
@few
@given(group=groups(), warm=groups(), factor=st.sampled_from([2, 4, 16]))
def test_at_scale_keeps_relative_behaviour(name, group, warm, factor):
    def scaled(g):
        return dataclasses.replace(
            g,
            length_PG=g.length_PG * factor,
            cap=g.cap * factor,
            hint_tokens_P=g.hint_tokens_P * factor,
            reference={pid: {**r, "length": r["length"] * factor} for pid, r in g.reference.items()},
        )

    small = build(name, warm)
    large = small.at_scale(CAP * factor)
    large.observe(scaled(warm))
    a, b = small.reward(group), large.reward(scaled(group))
    for key in a:
        np.testing.assert_allclose(a[key], b[key], atol=1e-6, err_msg=key)


@each
@few
@given(group=groups(), warm=groups())
def test_reward_advantage_and_mask_are_pure(name, group, warm):
    design = build(name, warm)
    before, first = design.state(), outputs(design, group)
    assert_same(first, outputs(design, group))
    assert design.state() == before


@each
@few
@given(group=groups(), warm=groups())
def test_state_and_pickle_round_trips(name, group, warm):
    design = build(name, warm)
    design.observe(group)
    restored = build(name)
    restored.load_state(json.loads(json.dumps(design.state())))
    for other in (restored, pickle.loads(pickle.dumps(design)), copy.deepcopy(design)):
        assert other.parameters() == design.parameters()
        assert other.state() == design.state()
        assert_same(outputs(design, group), outputs(other, group))
    restored.observe(group)
    restored.observe(take(group, columns=[0, 1, 2]))
    assert_same(outputs(design, group), outputs(pickle.loads(pickle.dumps(design)), group))


SWITCHES = [
    ("length_group_norm", {"reading": "laser"}),
    ("length_group_norm", {"reading": "reo_rl"}),
    ("length_group_norm", {"reading": "released"}),
    ("length_harmonizing", {"clip": (-2, 4)}),
    *(("truncation", {"variant": v, "target": 4000}) for v in ("-I", "-L&C", "-L&C-S&I", "-L&C-L&I")),
    ("soft_overlong", {"filtering": True}),
    ("cosine", {"reading": "open_r1"}),
    ("cosine", {"reading": "open_r1", "exceed": -10.0}),
    ("l1_max", {"slope": "released"}),
    ("grpo_lead", {"reweight": False}),
    ("grpo_lead", {"gate": 300, "cap": CAP}),
    ("lapo_discovery", {"statistic": "min", "low": 0, "high": 50}),
    ("lapo_internalization", {"statistic": "mean", "unsolved_centre": "group"}),
    ("laser_d", {"reading": "released", "every": 1}),
    ("laser_de", {"reading": "released", "every": 1}),
    ("grpo_lambda", {"lam": 1.0}),
    ("dler", {"weighting": "token", "difficulty_aware": True}),
    ("dler", {"filter_groups": False}),
    ("gdpo", {"weighting": "token", "gated": True}),
    *(("lead", {"mode": m, "aggregator": "median"}) for m in ("max_asym", "upper_only")),
    ("lead", {"aggregator": "mean_all", "unsolved": "neutral", "static": 0.2}),
    ("gfpo", {"k": 2, "metric": "efficiency"}),
    ("gfpo", {"k": 2, "adaptive": True, "adaptive_k": (2, 2, 3, 3)}),
]


@pytest.mark.parametrize(("name", "params"), SWITCHES, ids=str)
@few
@given(data=st.data())
def test_switches_keep_the_contract(name, params, data):
    group, warm = data.draw(groups(distinct=name == "gfpo")), data.draw(groups())
    design = make_design(name, **params).at_scale(CAP)
    design.observe(warm)
    result, order = outputs(design, group), data.draw(st.permutations(range(group.G)))
    assert all(np.isfinite(value).all() for value in result.values())
    if params.get("metric") != "efficiency":  # wrong answers tie at 0 there
        assert_same(result, outputs(design, take(group, columns=order)), columns=order)
    alone = outputs(design, take(group, rows=[0]))
    skip = ("advantage",) if name in BATCH or design.whiten else ()
    assert_same(result, alone, rows=[0], skip=skip)


@each
@pytest.mark.parametrize("rule", ["group", "group_no_std", "rloo", "batch", "decoupled"])
@settings(max_examples=5, deadline=None)
@given(group=groups(min_length=0), truncated=st.sampled_from(["wrong", "masked"]), inside=st.booleans())
def test_every_design_takes_every_rule(name, rule, group, truncated, inside):
    std = None if name != "gfpo" or rule != "group_no_std" else "none"
    params = {"rule": rule, "std": std, "truncated": truncated, "masked_in_statistics": inside}
    result = outputs(make_design(name, **{**PARAMS.get(name, {}), **params}).at_scale(CAP), group)
    assert np.isfinite(result["advantage"]).all()
    assert not result["advantage"][~result["mask"]].any()
    if truncated == "masked":
        assert not (result["mask"] & ~group.finished_PG).any()
