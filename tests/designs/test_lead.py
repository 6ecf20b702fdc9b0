"""LEAD: its worked vectors, many steps against a second, plain implementation, and corner cases."""

import copy
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest

from effwb.designs import Group, fit_design, make_design, toy_group
from effwb.errors import ConfigError, DataError

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "worked_examples.json").read_text())
pytestmark = pytest.mark.filterwarnings("error")
REWARDS = {
    "lead_2605.09806_r_eff_max_sym": "max_sym",
    "lead_2605.09806_r_eff_max_asym_yaml_default": "max_asym",
    "lead_2605.09806_no_correct_group": "max_sym",
}


def batch(seed=0, P=5, G=8, *, low=200, cap=8000, accuracy=0.6):
    """P problems of different difficulty, with some truncated rollouts."""
    rng = np.random.default_rng(seed)
    length = rng.integers(low, cap, (P, G))
    finished = rng.random((P, G)) < 0.9
    correct = rng.random((P, G)) < np.linspace(0.0, 2 * accuracy, P)[:, None]
    ids = [f"p{p}" for p in range(P)]
    return Group(correct & finished, np.where(finished, length, cap), finished, cap, ids)


def tokens(advantage, group, keep=None):
    """The advantage of every token of the batch, one after the other."""
    keep = np.ones(advantage.shape, bool) if keep is None else keep
    return np.repeat(advantage[keep], group.length_PG[keep])


class TestWorkedVectors:
    @pytest.mark.parametrize("name", REWARDS)
    def test_efficiency(self, name):
        inputs, expected = VECTORS[name]["input"], VECTORS[name]["output"]
        design = make_design("lead", mode=REWARDS[name])
        group = toy_group(inputs["lengths"], inputs["correct"])
        np.testing.assert_allclose(design.target_lengths(group), [[expected["L_star"]]], atol=1e-5)
        np.testing.assert_allclose(design.reward(group)["efficiency"][0], expected["r_eff"], atol=1e-5)

    def test_instability_of_one_step(self):
        vector = VECTORS["lead_psi_one_step"]
        correct, length = (
            [row[name] for row in vector["input"]["groups"]] for name in ("correct", "lengths")
        )
        group = Group(correct, length, np.ones((2, 4)), 8000, ["a", "b"])
        design, expected_output = make_design("lead"), vector["output"]
        instability = design.instability(group)
        for name, key in [("mean", "mu_{}"), ("std", "sigma_{}"), ("share", "cv_{}_norm")]:
            expected = [expected_output[key.format(k)] for k in ("corr", "eff")]
            np.testing.assert_allclose(getattr(instability, name), expected, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(instability.potential, [0.5, 0.119048], atol=1e-5)
        product = instability.share * instability.potential
        np.testing.assert_allclose(product, [expected_output["D_corr"], expected_output["D_eff"]], atol=1e-5)
        np.testing.assert_allclose(instability.target[0], expected_output["target_w_corr"], atol=1e-5)
        weights = design.component_weights(("correctness", "efficiency"), group)
        np.testing.assert_allclose(
            list(weights.values()), [expected_output["w_corr_used"], expected_output["w_eff_used"]], atol=1e-5
        )
        assert design.state()["steps"] == 0
        design.observe(group)
        np.testing.assert_allclose(
            design.state()["weights"][0], expected_output["ema_w_corr_after_first_step"], atol=1e-5
        )


@pytest.mark.parametrize(
    ("aggregator", "expected"), [("mean", 2500), ("median", 2000), ("min", 1500), ("mean_all", 3000)]
)
def test_aggregators(aggregator, expected):
    group = toy_group([1500, 2000, 4000, 4500], [1, 1, 1, 0])
    assert make_design("lead", aggregator=aggregator).target_lengths(group).tolist() == [[expected]]


def test_median_of_an_even_number_is_the_middle():
    group = toy_group([1500, 2000, 4000, 4500, 8000], [1, 1, 1, 1, 0])
    assert make_design("lead", aggregator="median").target_lengths(group).tolist() == [[3000]]


def test_the_target_is_clipped_to_both_ends():
    group = Group(
        [[1, 1], [1, 1], [0, 0]], [[10, 20], [9000, 9900], [10, 20]], np.ones((3, 2)), 9999, ["a", "b", "c"]
    )
    assert make_design("lead").target_lengths(group).tolist() == [[1000], [8000], [8000]]
    assert make_design("lead", aggregator="mean_all").target_lengths(group).tolist() == [
        [1000],
        [8000],
        [1000],
    ]
    at_512 = fit_design("lead", 512)
    assert at_512.token_parameters() == {"b_max": 512, "b_min": 64, "too_short": 32}


def test_the_asymmetric_modes():
    group = toy_group([400, 1000, 2000, 3000, 400, 2000, 5000], [1, 1, 1, 1, 0, 0, 0])  # L* = 1600
    efficiency = {
        m: make_design("lead", mode=m).reward(group)["efficiency"][0] for m in ("max_asym", "upper_only")
    }
    np.testing.assert_allclose(efficiency["max_asym"], [0, 0.375, 0, 0, 0, -0.25, -1])
    np.testing.assert_allclose(efficiency["upper_only"], [0, 0, -0.25, -0.875, 0, -0.25, -1])


class TestUnsolvedGroups:
    """Without a correct rollout the target is Bmax, so the symmetric reward favours LONGER wrong ones."""

    group = toy_group([1000, 2000, 3000, 4000], [0, 0, 0, 0])

    def test_the_trap_of_the_paper(self):
        design = make_design("lead")
        assert design.reward(self.group)["efficiency"].tolist() == [[0.125, 0.25, 0.375, 0.5]]
        advantage = design.advantage(self.group)[0]
        assert (np.diff(advantage) > 0).all()
        assert advantage[-1] > 0, "the longest wrong answer is reinforced"

    @pytest.mark.parametrize("mode", ["max_asym", "upper_only"])
    def test_the_other_modes_do_not_have_the_trap(self, mode):
        assert not make_design("lead", mode=mode).advantage(self.group).any()

    @pytest.mark.parametrize("aggregator", ["mean", "mean_all"])
    def test_neutral_groups_get_no_advantage(self, aggregator):
        design = make_design("lead", unsolved="neutral", aggregator=aggregator)
        assert not design.advantage(self.group).any()
        mixed = Group(
            [[0, 0, 0, 0], [1, 0, 1, 0]], [[1000, 2000, 3000, 4000]] * 2, np.ones((2, 4)), 8000, ["a", "b"]
        )
        advantage = design.advantage(mixed)
        assert not advantage[0].any()
        assert advantage[1].any()
        paper = make_design("lead", aggregator=aggregator).reward(mixed)["efficiency"]
        np.testing.assert_array_equal(design.reward(mixed)["efficiency"][1], paper[1])


class TestWhitening:
    @pytest.mark.parametrize("mode", ["max_sym", "max_asym", "upper_only"])
    def test_over_tokens_the_mean_is_0_and_the_std_1(self, mode):
        group = batch(3, accuracy=0.5)
        group = Group(
            group.correct_PG[1:], group.length_PG[1:], group.finished_PG[1:], 8000, ["a", "b", "c", "d"]
        )
        each = tokens(make_design("lead", mode=mode).advantage(group), group)
        assert each.mean() == pytest.approx(0.0, abs=1e-9)
        assert each.std(ddof=1) == pytest.approx(1.0, abs=1e-6)
        over_rollouts = make_design("lead", mode=mode, weighting="rollout").advantage(group)
        assert over_rollouts.std(ddof=1) == pytest.approx(1.0, abs=1e-6)
        assert abs(tokens(over_rollouts, group).mean()) > 1e-3

    def test_masked_rollouts_are_in_no_statistic(self):
        group = batch(4)
        design = make_design("lead", truncated="masked")
        keep, advantage = design.mask(group), design.advantage(group)
        assert (keep == group.finished_PG).all()
        assert not advantage[~keep].any()
        solved = group.correct_PG.any(axis=1)
        each = tokens(advantage, group, keep)
        assert solved.sum() == 4
        assert each.mean() == pytest.approx(0.0, abs=1e-9)
        assert each.std(ddof=1) == pytest.approx(1.0, abs=1e-6)


# ------------------------------------------------------------------------- a plain second implementation
def plain_step(weights, correct, length, *, mode="max_sym", aggregator="mean", beta=0.95, floor=0.3):
    """One step of LEAD in loops: (advantages, weights after the step, weight of correctness used)."""
    efficiency, normal = [], []
    for c, n in zip(correct, length, strict=True):
        right = [b for a, b in zip(c, n, strict=True) if a]
        pool = list(n) if aggregator == "mean_all" else right
        pick = {"mean": np.mean, "mean_all": np.mean, "median": np.median, "min": np.min}[aggregator]
        target = min(max(float(pick(pool)), 1000.0), 8000.0) if len(pool) else 8000.0
        row = []
        for a, b in zip(c, n, strict=True):
            saved = 1 - b / target
            if mode == "max_sym":
                row.append(max(-1.0, 1 - abs(b - target) / target))
            elif mode == "upper_only" or not a:
                row.append(max(-1.0, min(0.0, saved)))
            else:
                row.append(0.0 if b < 500 else max(0.0, saved))
        efficiency.append(row)
    stats = []
    for of_correct in (False, True):
        rows = efficiency if of_correct else [[float(a) for a in c] for c in correct]
        if of_correct:
            rows = [[e for e, a in zip(r, c, strict=True) if a] for r, c in zip(rows, correct, strict=True)]
        rows = [r for r in rows if r]
        means = [sum(r) / len(r) for r in rows]
        inner = [sum((x - m) ** 2 for x in r) / len(r) for r, m in zip(rows, means, strict=True)]
        mu = sum(means) / len(means) if rows else 0.0
        outer = sum((m - mu) ** 2 for m in means) / len(means) if rows else 0.0
        sigma = math.sqrt(sum(inner) / len(inner) + outer + 1e-8) if rows else 0.0
        stats.append((mu, sigma))
    (mu_c, s_c), (mu_e, s_e) = stats
    cv = [s_c / (abs(mu_c) + 1e-8), s_e / (abs(mu_e) + 1e-8)]
    d_c = cv[0] / (sum(cv) + 1e-8) * (1 - mu_c)
    d_e = cv[1] / (sum(cv) + 1e-8) * (1 - (mu_e + 1) / 2)
    target = [d / (d_c + d_e + 1e-8) for d in (d_c, d_e)]
    weights = [beta * w + (1 - beta) * t for w, t in zip(weights, target, strict=True)]
    used = max(weights[0], floor)
    for c, e in zip(correct, efficiency, strict=True):
        z = [(x - np.mean(x)) / (np.std(x, ddof=1) + 1e-6) for x in (np.array(c, float), np.array(e))]
        normal.append(used * z[0] + (1 - used) * z[1])
    every = np.concatenate([np.repeat(a, n) for a, n in zip(normal, length, strict=True)])
    scale = math.sqrt(every.var(ddof=1) + 1e-8)
    return [(a - every.mean()) / scale for a in normal], weights, used


@pytest.mark.parametrize("mode", ["max_sym", "max_asym", "upper_only"])
@pytest.mark.parametrize("aggregator", ["mean", "median", "min", "mean_all"])
def test_many_steps_agree_with_the_plain_implementation(mode, aggregator):
    design, weights = make_design("lead", mode=mode, aggregator=aggregator), [0.5, 0.5]
    for step in range(25):
        group = batch(step, accuracy=0.5 + step / 50)
        rows = group.correct_PG.any(axis=1) & ~group.correct_PG.all(axis=1)
        correct, length = group.correct_PG[rows], group.length_PG[rows]  # groups with spread, see below
        group = Group(correct, length, group.finished_PG[rows], 8000, [f"p{p}" for p in range(rows.sum())])
        expected, weights, used = plain_step(weights, correct, length, mode=mode, aggregator=aggregator)
        np.testing.assert_allclose(design.advantage(group), expected, atol=1e-5)
        assert design.used_weight(group) == pytest.approx(used, abs=1e-9)
        design.observe(group)
        assert design.state()["weights"] == pytest.approx(weights, abs=1e-9)
    assert design.state()["steps"] == 25


def test_unsolved_and_solved_groups_agree_with_the_plain_implementation():
    """In max_sym, groups of only right or only wrong answers still differ in their rewards."""
    group, design = batch(11, P=6, accuracy=0.9), make_design("lead")
    assert not group.correct_PG[0].any()
    expected, weights, _ = plain_step([0.5, 0.5], group.correct_PG, group.length_PG)
    np.testing.assert_allclose(design.advantage(group), expected, atol=1e-5)
    design.observe(group)
    assert design.state()["weights"] == pytest.approx(weights, abs=1e-9)


def test_a_group_of_equal_rewards_gets_no_advantage():
    """The released code gives it minus the batch mean; here, as in all batch rules, exactly 0."""
    group = Group(
        [[0, 0, 0], [1, 0, 1]], [[2000, 2000, 2000], [1000, 6000, 5000]], np.ones((2, 3)), 8000, ["a", "b"]
    )
    expected, _, _ = plain_step([0.5, 0.5], group.correct_PG, group.length_PG)
    advantage = make_design("lead").advantage(group)
    assert advantage[0].tolist() == [0, 0, 0]
    assert np.ptp(expected[0]) == 0
    assert expected[0][0] != 0
    np.testing.assert_allclose(advantage[1], expected[1], atol=1e-5)


class TestWeights:
    easy = toy_group([1000, 2000, 3000, 4000], [1, 1, 1, 1])
    hopeless = toy_group([1000, 2000, 3000, 4000], [0, 0, 0, 0])

    def test_all_right_leaves_nothing_to_gain_in_correctness(self):
        design = make_design("lead")
        assert design.instability(self.easy).target[0] == 0
        for _ in range(60):
            design.observe(self.easy)
        assert design.state()["weights"][0] == pytest.approx(0.5 * 0.95**60)
        assert design.used_weight(self.easy) == 0.3, (
            "the floor applies to the used weight, not to the stored one"
        )

    def test_all_wrong_leaves_only_correctness(self):
        design = make_design("lead")
        assert design.instability(self.hopeless).target == pytest.approx([1, 0], abs=1e-6)
        for _ in range(60):
            design.observe(self.hopeless)
        assert design.used_weight(self.hopeless) == pytest.approx(1 - 0.5 * 0.95**61), "with this step"

    def test_a_single_correct_rollout_has_no_variance_of_its_own(self):
        instability = make_design("lead").instability(toy_group([1000, 2000, 3000, 4000], [0, 1, 0, 0]))
        assert instability.mean.tolist() == [0.25, 1.0]
        assert instability.std[1] == pytest.approx(1e-4)
        assert instability.potential[1] == 0

    def test_the_used_weight_includes_the_current_step(self):
        design = make_design("lead", beta=0.0)
        assert design.used_weight(self.hopeless) == pytest.approx(1.0)
        assert design.used_weight(self.easy) == 0.3
        assert design.state()["weights"] == [0.5, 0.5]

    def test_static_is_used_unchanged_and_the_moving_average_still_moves(self):
        free, fixed = make_design("lead"), make_design("lead", static=0.2)
        group = batch(7)
        for design in (free, fixed):
            design.observe(group)
        assert fixed.state() == free.state()
        assert fixed.used_weight(group) == 0.2, "below the floor, which is for the moving weight"
        diagnostics = fixed.diagnostics(group)
        assert diagnostics["correctness_weight/used"] == 0.2
        assert diagnostics["correctness_weight/ema"] == fixed.ema_weights(group)[0]

    def test_static_weighs_length_against_correctness(self):
        group = toy_group([1500, 4000, 1000, 2500], [0, 1, 1, 0])  # L* = 2500, which a wrong answer meets
        length, equal, correctness = (
            make_design("lead", static=s).advantage(group)[0] for s in (0.0, 0.5, 1.0)
        )
        assert np.argmax(length) == 3
        assert equal[1] > equal[0]
        assert correctness[1] == correctness[2] > correctness[0] == correctness[3]

    def test_rule_group_normalises_the_weighted_sum(self):
        group = toy_group([1000, 2000, 3000, 4000], [1, 1, 0, 1])
        design = make_design("lead", rule="group", static=0.8)
        reward = design.reward(group)
        np.testing.assert_allclose(reward["total"], 0.8 * reward["correctness"] + 0.2 * reward["efficiency"])
        assert design.advantage(group).sum() == pytest.approx(0.0, abs=1e-9)
        assert make_design("lead", static=0.8).reward(group)["total"][0, 0] == pytest.approx(
            1.428571, abs=1e-6
        )
        assert make_design("lead").reward(group)["total"][0, 0] == pytest.approx(1.428571, abs=1e-6)


def test_an_empty_batch_changes_nothing():
    empty = Group(np.zeros((0, 4)), np.zeros((0, 4), int), np.zeros((0, 4)), 8000, [])
    design = make_design("lead")
    design.observe(batch(1))
    before = design.state()["weights"]
    assert design.advantage(empty).shape == (0, 4)
    assert np.isnan(design.diagnostics(empty)["target_length/mean"])
    design.observe(empty)
    assert design.state()["weights"] == before


def test_permutations_move_advantages_and_leave_the_weights():
    group, design = batch(5), make_design("lead")
    rows, columns = np.random.default_rng(0).permutation(5), np.random.default_rng(1).permutation(8)
    moved = Group(
        group.correct_PG[rows][:, columns],
        group.length_PG[rows][:, columns],
        group.finished_PG[rows][:, columns],
        8000,
        [group.problem_ids[p] for p in rows],
    )
    np.testing.assert_allclose(design.advantage(moved), design.advantage(group)[rows][:, columns], atol=1e-9)
    assert design.diagnostics(moved) == pytest.approx(design.diagnostics(group), nan_ok=True)


def test_truncated_rollouts_set_no_target_unless_they_are_graded():
    group = toy_group([2000, 4000, 8000, 8000], [1, 0, 1, 1], finished=[1, 1, 0, 0], cap=8000)
    assert make_design("lead").target_lengths(group).tolist() == [[2000]]
    assert make_design("lead", truncated="graded").target_lengths(group).tolist() == [[6000]]


def test_diagnostics_describe_the_step_and_leave_the_state():
    design = make_design("lead")
    for step in range(3):
        group = batch(step)
        before, diagnostics = design.state(), design.diagnostics(group)
        assert design.state() == before
        target = diagnostics["correctness_weight/target"]
        assert target == design.instability(group).target[0]
        assert diagnostics["correctness_weight/ema"] == pytest.approx(
            0.95 * before["weights"][0] + 0.05 * target, abs=1e-12
        )
        solved = group.correct_PG.any(axis=1)
        assert diagnostics["unsolved_share"] == pytest.approx(1 - solved.mean())
        assert diagnostics["target_length/min"] == design.target_lengths(group)[solved].min()
        design.observe(group)
        assert design.state()["weights"][0] == diagnostics["correctness_weight/ema"]


class TestState:
    def test_survives_json_pickle_and_copies(self):
        design = make_design("lead")
        for step in range(3):
            design.observe(batch(step))
        restored = make_design("lead")
        restored.load_state(json.loads(json.dumps(design.state())))
        group = batch(9)
        for other in (restored, pickle.loads(pickle.dumps(design)), copy.deepcopy(design)):
            assert other.state() == design.state()
            np.testing.assert_array_equal(other.advantage(group), design.advantage(group))
        assert not np.array_equal(make_design("lead").advantage(group), design.advantage(group))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"weights": [0.5]}, "two numbers"),
            ({"weights": [0.5, float("nan")]}, "two numbers"),
            ({"weights": [1.5, -0.5]}, "two numbers"),
            ({"weights": 0.5}, "two numbers"),
            ({"design": "gdpo"}, "state of design 'gdpo', not of 'lead'"),
            ({"more": 1}, r"expected \['steps', 'weights'\]"),
        ],
    )
    def test_a_malformed_state_is_refused(self, change, message):
        design = make_design("lead")
        with pytest.raises(DataError, match=message):
            design.load_state({**design.state(), **change})
        assert design.state()["weights"] == [0.5, 0.5]

    def test_a_state_without_weights_is_refused(self):
        with pytest.raises(DataError, match=r"has keys \['steps'\], expected"):
            make_design("lead").load_state({"design": "lead", "steps": 4})


def test_weighting_follows_the_rule():
    assert make_design("lead").weighting == "token"
    assert make_design("lead", rule="group").weighting == "rollout"
    with pytest.raises(ConfigError, match="weighting='token' is for the rules batch and decoupled"):
        make_design("lead", rule="group", weighting="token")
