"""Switches for differences between papers, their code and copies of it, against numbers worked by hand."""

import dataclasses
import math

import numpy as np
import pytest

from effwb.designs import Group, make_design, reference_table, toy_group
from effwb.designs.laser import BUCKETS, buckets
from effwb.errors import DataError

TOY = "toy-000000000000"
pytestmark = pytest.mark.filterwarnings("error")


def test_lone_correct_rollout_in_the_three_readings():
    group = toy_group([1000, 2000, 3000, 4000], [1, 0, 0, 0])
    rewards = {
        r: make_design("length_group_norm", alpha=0.4, reading=r).reward(group)["total"][0, 0]
        for r in ("arora", "laser", "reo_rl")
    }
    assert rewards == pytest.approx({"arora": 0.8, "laser": 0.6, "reo_rl": 0.8})
    arora, reo = (make_design("length_group_norm", reading=r) for r in ("arora", "reo_rl"))
    assert (arora.rule, arora.std, arora.eps) == ("rloo", "none", 0.0)
    assert (reo.rule, reo.std, reo.eps) == ("group", "population", 0.0)
    other = make_design("length_group_norm", rule="group")
    assert (other.rule, other.std, other.eps) == ("group", "sample", 1e-6)


def test_released_length_group_norm_whitens_over_all_tokens():
    """Worked from the equations by a script without effwb: 1,400 tokens, of which 400 have advantage 0.

    Rewards 1 - 0.4 sigmoid((len - 200) / 81.65), RLOO, then (A + 0.135078) / 0.435948.
    """
    lengths = [[100, 200, 300, 400], [50, 50, 100, 200]]
    group = Group([[1, 1, 1, 0], [0, 0, 0, 0]], lengths, np.ones((2, 4)), 1024, ["a", "b"])
    design = make_design("length_group_norm", alpha=0.4, reading="released")
    assert (design.rule, design.std, design.eps, design.whiten) == ("rloo", "none", 0.0, True)
    np.testing.assert_allclose(design.reward(group)["total"][0], [0.909159, 0.8, 0.690841, 0], atol=1e-6)
    unwhitened = [0.412212, 0.266667, 0.121121, -0.8]
    np.testing.assert_allclose(design.unwhitened(group), [unwhitened, [0.0] * 4], atol=1e-6)
    whitened = [1.255402, 0.921543, 0.587683, -1.525233]
    np.testing.assert_allclose(design.advantage(group), [whitened, [0.309849] * 4], atol=1e-6)
    # `whiten` of any other reading leaves the group without advantages at 0
    kept = make_design("length_group_norm", alpha=0.4, whiten=True).advantage(group)
    np.testing.assert_allclose(kept, [whitened, [0.0] * 4], atol=1e-6)
    plain = make_design("length_group_norm", alpha=0.4, reading="released", whiten=False)
    np.testing.assert_array_equal(
        plain.advantage(group), make_design("length_group_norm", alpha=0.4).advantage(group)
    )
    lone = toy_group([1000, 2000, 3000, 4000], [1, 0, 0, 0])
    assert design.reward(lone)["total"][0].tolist() == [0.8, 0, 0, 0]


def test_alpha_orders_advantages_only_without_a_std():
    group = toy_group([1000, 2000, 3000, 4000], [1, 1, 1, 1])
    spread = [
        np.ptp(make_design("length_group_norm", alpha=a).advantage(group)) for a in (0.05, 0.1, 0.2, 0.4)
    ]
    np.testing.assert_allclose(np.array(spread) / spread[0], [1, 2, 4, 8])
    normalised = [
        np.ptp(make_design("length_group_norm", alpha=a, rule="group", eps=0.0).advantage(group))
        for a in (0.05, 0.4)
    ]
    assert normalised[0] == pytest.approx(normalised[1])


def test_cosine_is_clamped_beyond_max_len():
    lengths = list(range(0, 4001, 250))
    group = toy_group(lengths, [1] * len(lengths), cap=4000)
    total = make_design("cosine", reading="open_r1", max_len=2000, cap=4000).reward(group)["total"][0]
    assert (np.diff(total) <= 1e-12).all()
    assert total[-1] == total[8] == 0.5
    wrong = make_design("cosine", max_len=2000, cap=4000).reward(toy_group(lengths, [0] * 17, cap=4000))
    assert (np.diff(wrong["total"][0]) >= -1e-12).all()
    cut = toy_group([10, 2000], [0, 1], finished=[1, 0], cap=2000)
    assert make_design("cosine", exceed=-10.0).reward(cut)["total"][0, 1] == -10.0


def test_cosine_has_the_authors_values_and_those_of_open_r1():
    """Cap 4000: 1 + cos(pi / 4) = 1.707107 and 1 + cos(3 pi / 4) = 0.292893, halved, times the span."""
    lengths = [1000, 3000, 1000, 4000, 4000]
    group = toy_group(lengths, [1, 1, 0, 0, 1], finished=[1, 1, 1, 1, 0], cap=4000)
    total = {r: make_design("cosine", reading=r).reward(group)["total"][0] for r in ("paper", "open_r1")}
    np.testing.assert_allclose(total["paper"], [1.853553, 1.146447, -8.535534, 0.0, -10.0], atol=1e-6)
    np.testing.assert_allclose(total["open_r1"], [0.926777, 0.573223, -0.926777, -0.5, -0.5], atol=1e-6)
    np.testing.assert_array_equal(make_design("cosine").reward(group)["total"][0], total["paper"])
    own = make_design("cosine", exceed=-3.0, max_value_correct=4.0)
    assert own.reward(group)["total"][0, 4] == -3.0
    assert (own.max_value_correct, own.min_value_correct) == (4.0, 1.0)


def test_cosine_of_older_runs_is_that_of_open_r1():
    design = make_design("cosine", reading="open_r1")
    names = ("min_value_correct", "max_value_correct", "min_value_wrong", "max_value_wrong", "exceed")
    assert [design.parameters()[name] for name in names] == [0.5, 1.0, -1.0, -0.5, None]
    assert design.ADDED_PARAMETERS == {"whiten": False, "reading": "open_r1"}


def test_kimi_equal_lengths_and_warm_up():
    assert make_design("kimi").reward(toy_group([500, 500, 500], [1, 0, 1]))["length"].tolist() == [[0.0] * 3]
    design = make_design("kimi", warmup_steps=3)
    before, after = (toy_group([100, 500], [1, 1], step=s) for s in (2, 3))
    assert design.reward(before)["length"].tolist() == [[0.0, 0.0]]
    assert design.reward(after)["length"].tolist() == [[0.2, -0.2]]


def test_alp_keeps_a_small_price_on_unsolved_problems():
    total = make_design("alp").reward(toy_group([1000, 2000, 3000, 4000], [0, 0, 0, 0]))["total"]
    np.testing.assert_allclose(total, [[-0.000025, -0.00005, -0.000075, -0.0001]])


def test_dapo_filtering_masks_instead_of_punishing():
    group = toy_group([3900, 100, 4000, 200], [1, 0, 1, 1], finished=[1, 1, 0, 1], cap=4000)
    soft = make_design("soft_overlong", l_max=4000, l_cache=1000)
    hard = make_design("soft_overlong", l_max=4000, l_cache=1000, filtering=True)
    assert soft.reward(group)["total"].tolist() == [[1 - 0.9, -1.0, -2.0, 1.0]]
    assert hard.reward(group)["total"].tolist() == [[1.0, -1.0, -1.0, 1.0]]
    assert hard.mask(group).tolist() == [[True, True, False, True]]
    assert soft.mask(group).all()


def test_masked_rollouts_in_the_statistics():
    group = toy_group([1000, 2000, 3000, 4000], [1, 1, 0, 1])
    inside, outside = (
        make_design(
            "truncation", target=2500, variant="-I", std="population", eps=0.0, masked_in_statistics=m
        )
        for m in (True, False)
    )
    np.testing.assert_allclose(inside.advantage(group)[0], [1, 1, 0, -1])
    np.testing.assert_allclose(
        outside.advantage(group)[0], [1 / math.sqrt(2)] * 2 + [0, -math.sqrt(2)], atol=1e-12
    )


def test_grpo_lead_reweights_hard_problems_up():
    design, plain = make_design("grpo_lead"), make_design("grpo_lead", reweight=False)
    hard, easy = toy_group([10, 20, 30, 40], [1, 0, 0, 0]), toy_group([10, 20, 30, 40], [1, 1, 1, 0])
    weight = {rho: 0.4 + 1.1 / (1 + math.exp(10 * (rho - 0.75))) for rho in (0.25, 0.75)}
    np.testing.assert_allclose(
        design.advantage(hard) / plain.advantage(hard), [[weight[0.25], *[weight[0.75]] * 3]]
    )
    assert (design.advantage(easy) / plain.advantage(easy))[0, 0] == pytest.approx(weight[0.75])
    gated = make_design("grpo_lead", gate=4000, cap=16384)
    short, long = (toy_group([n, n + 10, n + 20, n + 900], [0, 0, 1, 1], cap=16384) for n in (3000, 5000))
    assert gated.reward(short)["length"].tolist() == [[0.0] * 4]
    assert gated.reward(long)["length"].any()
    three = toy_group([100, 100, 100, 16000], [1, 1, 1, 1])  # the mean of all four is above the gate
    assert not gated.reward(three)["length"].any()


def test_laser_d_targets_follow_the_released_and_the_paper_reading():
    lengths = [1000, 1100, 2000, 5000, 6000, 7000, 8000, 9000]
    medium = toy_group(lengths, [0, 0, 1, 1, 1, 1, 0, 0])  # 4 of 8: medium; correct 2000..7000
    paper, released = (
        make_design("laser_d", target=1024, monitor="held_out", reading=r) for r in ("paper", "released")
    )
    paper.update_targets(medium)
    released.update_targets(medium)
    # paper: ceil(8/3)=3 sure, 1/4 x 3 < 1, 2/4 x 3 >= 1 -> 5000 -> 5120; code: floor=2, all: 4/8 x 2 -> 5120
    assert paper.state()["targets"] == {"hard": 16384.0, "medium": 5120.0, "easy": 16384.0}
    assert released.state()["targets"]["medium"] == 5120.0
    easy = toy_group(lengths, [1, 1, 1, 1, 1, 1, 0, 0])
    paper.update_targets(easy)
    assert paper.state()["targets"]["easy"] == 1024.0  # 1/6 x 6
    released.update_targets(easy)
    assert released.state()["targets"]["easy"] == 2048.0  # 5/8 ... floor(16/3)=5: 1/8 x 5 < 1 <= 2/8 x 5


def test_laser_d_released_reading_covers_wrong_answers_too():
    group = toy_group([2000, 3000, 4000, 5000, 9000, 9000, 9000, 9000], [1, 1, 1, 1, 0, 0, 0, 0])
    design = make_design("laser_d", target=1024, monitor="held_out", reading="released")
    design.update_targets(group)
    assert design.state()["targets"]["medium"] == 5120.0  # 4 of all 8, x 2; of the correct alone 3072


@pytest.mark.parametrize("name", ["laser_d", "laser_de"])
def test_laser_d_released_falls_back_to_the_longest_response_of_the_batch(name):
    monitored = toy_group([2000, 3000, 4000, 12000], [1, 1, 0, 0])  # medium; the others are not seen
    step = Group(
        [[1, 1, 1], [0, 0, 1], [0, 0, 0]], [[500, 900, 2500], [700, 6500, 300], [4000, 16384, 9000]],
        [[1] * 3, [1] * 3, [1, 0, 1]], 16384, ["easy", "medium", "hard"],
    )  # fmt: skip
    targets, rewards = {}, {}
    for reading in ("paper", "released"):
        design = make_design(name, target=1024, monitor="held_out", reading=reading)
        design.update_targets(monitored)
        rewards[reading] = design.reward(step)["total"]
        short = dataclasses.replace(
            step, length_PG=np.minimum(step.length_PG, 2500), finished_PG=np.ones((3, 3))
        )
        targets[reading] = design.targets(short)[:, 0].tolist(), list(design.diagnostics(short).values())
    # paper: ceil(4/3) = 2 sure, of 2 right ones half are within 2000, all within 3000: 2 x 1/2 >= 1 at 2048
    assert targets["paper"] == ([16384, 2048, 16384], [16384, 2048, 16384])
    # code: floor(4/3) = 1 sure; all 4 responses are within 12288; no target is longer than the batch
    assert targets["released"] == ([2500, 2500, 2500], [2500, 2500, 2500])
    released = make_design(name, target=1024, monitor="held_out", reading="released")
    released.update_targets(monitored)
    assert released.targets(step)[:, 0].tolist() == [16384, 12288, 16384]
    capped = make_design(name, target=1024, monitor="held_out", reading="released", l_max=16384)
    capped.load_state({**released.state(), "targets": {"hard": 1e9, "medium": 12288.0, "easy": 1e9}})
    np.testing.assert_array_equal(capped.reward(step)["total"], rewards["released"])


def test_laser_buckets_are_exact_at_one_and_two_thirds():
    solved = np.arange(9) < np.array([[0], [2], [3], [5], [6], [9]])
    assert [BUCKETS[d] for d in buckets(solved)] == ["hard", "hard", "medium", "medium", "easy", "easy"]


def test_laser_d_pools_training_groups_and_re_estimates_every_so_many_steps():
    design = make_design("laser_d", target=1024, every=2, monitor_size=3)
    solved = toy_group([3000, 3000, 3000], [1, 1, 1])
    design.observe(solved)
    assert design.state()["targets"]["easy"] == 1024.0
    design.observe(solved)
    assert design.state()["targets"]["easy"] == 3072.0
    for _ in range(4):
        design.observe(toy_group([1500, 1500, 1500], [1, 1, 1]))
    assert (len(design.state()["pool"]), design.state()["targets"]["easy"]) == (3, 2048.0)


def test_laser_de_pays_exploration_only_for_finished_wrong_answers():
    group = toy_group([100, 5000, 5000, 100], [1, 0, 0, 0], finished=[1, 1, 0, 1])
    design = make_design("laser_de", target=4096)
    assert design.reward(group)["total"].tolist() == [[1.5, 0.0, -1.0, -0.5]]
    assert make_design("laser_d", target=4096).reward(group)["total"].tolist() == [[1.5, -0.5, -1.0, -0.5]]


def test_dler_difficulty_aware_cap_and_filtering():
    easy, hard = toy_group([1000, 3000, 3500], [1, 1, 0]), toy_group([1000, 3000, 3500], [0, 1, 0])
    design = make_design("dler", difficulty_aware=True)
    assert design.reward(easy)["total"].tolist() == [[1, 0, 0]]
    assert design.reward(hard)["total"].tolist() == [[0, 1, 0]]
    solved = toy_group([1000, 1000, 1000], [1, 1, 1])
    assert not design.mask(solved).any()
    assert make_design("dler", filter_groups=False).mask(solved).all()
    mixed = Group([[1, 0, 0]], [[9, 9, 9]], [[1, 1, 1]], 4000, ["a"])
    padded = Group([[1, 0, 0], [1, 1, 1]], [[9, 9, 9]] * 2, [[1, 1, 1]] * 2, 4000, ["a", "b"])
    alone, with_solved = (make_design("dler").advantage(g) for g in (mixed, padded))
    np.testing.assert_allclose(with_solved, [alone[0], [0, 0, 0]])  # a dropped group does not dilute the std
    cut = toy_group([1000, 4000], [0, 1], finished=[1, 0], cap=4000)
    assert make_design("dler").reward(cut)["total"].tolist() == [[0, 0]]
    assert make_design("dler", truncated="graded").reward(cut)["total"].tolist() == [[0, 1]]


def test_gfpo_efficiency_and_adaptive_k():
    group = toy_group([100, 200, 300, 400, 500, 600], [0, 1, 0, 1, 0, 1])
    assert make_design("gfpo", k=3, metric="efficiency").mask(group)[0].tolist() == [0, 1, 0, 1, 0, 1]
    design = make_design("gfpo", k=2, adaptive=True, adaptive_k=(2, 3, 4, 5))
    assert design.mask(group).sum() == 2
    for solved in ([1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]):
        design.observe(toy_group([1, 2, 3, 4, 5, 6], solved))
    for solved, k in (([1] * 6, 2), ([1, 1, 1, 1, 0, 0], 3), ([1, 1, 0, 0, 0, 0], 4), ([0] * 6, 5)):
        assert design.mask(toy_group([1, 2, 3, 4, 5, 6], solved)).sum() == k


def test_length_harmonizing_reference():
    frozen = toy_group([1000, 3000, 4000], [1, 1, 1], finished=[1, 1, 0], cap=4000)
    table = reference_table(frozen)
    assert table == {TOY: {"length": pytest.approx(8000 / 3), "accuracy": pytest.approx(2 / 3)}}
    design = make_design("length_harmonizing")
    with pytest.raises(DataError, match="misses 1 of 1 problems: toy-0"):
        design.reward(toy_group([1, 2], [1, 0], reference={"other": {"length": 1, "accuracy": 1}}))
    with pytest.raises(DataError, match="reference="):
        design.reward(toy_group([1, 2], [1, 0]))
    for row in ({"length": 0, "accuracy": 1}, {"length": 5, "accuracy": 1.5}, {"length": 5}, 7):
        with pytest.raises(DataError, match=TOY):
            design.reward(toy_group([1, 2], [1, 0], reference={TOY: row}))


def test_gdpo_pays_no_length_reward_to_a_rollout_that_was_cut():
    group = toy_group([100, 100, 100], [1, 0, 0], finished=[1, 1, 0], cap=100)
    design, gated = (make_design("gdpo", gated=g) for g in (False, True))
    assert design.reward(group)["length"].tolist() == [[1, 1, 0]]
    assert gated.reward(group)["length"].tolist() == [[1, 0, 0]]
