"""LAPO: the window, the target, the length remembered for each problem, the state that stage two takes."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effwb.designs import fit_design, make_design, toy_group
from effwb.errors import ConfigError, DataError
from tests.designs.test_rewards import CAP, groups
from tests.designs.test_vectors import TOY, VECTORS

RNG = np.random.default_rng(0)
LENGTHS = st.lists(st.integers(1, 4096), min_size=2, max_size=8)


def internal(lengths=None, **params):
    design = make_design("lapo_internalization", **params)
    design.load_state({"design": "lapo_discovery", "lengths": {TOY: 1500.0} if lengths is None else lengths})
    return design


def group(lengths, correct=None, **fields):
    return toy_group(lengths, [1] * len(lengths) if correct is None else correct, **fields)


class TestDiscovery:
    @settings(max_examples=60, deadline=None)
    @given(lengths=LENGTHS)
    def test_the_reward_falls_with_distance_from_the_window(self, lengths):
        design = make_design("lapo_discovery")
        rollouts = group(lengths)
        low, high = design.window(rollouts)[0]
        assert np.allclose([low, high], np.percentile(lengths, [30, 70]))
        total, length = design.reward(rollouts)["total"][0], np.array(lengths)
        assert np.allclose(total[(low <= length) & (length <= high)], 1.7)
        away = np.maximum(np.maximum(low - length, length - high), 0)
        assert (np.diff(total[np.argsort(away)]) <= 1e-9).all()
        assert (total[away >= 100] == 1.0).all()

    @pytest.mark.parametrize(("lengths", "correct"), [([700, 90, 8], [1, 0, 0]), ([50, 50, 9], [1, 1, 0])])
    def test_a_window_of_one_length_holds_it(self, lengths, correct):
        """The released code gives these 1.0: its window is strict."""
        total = make_design("lapo_discovery").reward(group(lengths, correct))["total"][0]
        assert total.tolist() == [1.7 if c else 0.0 for c in correct]

    def test_wrong_and_truncated_rollouts_do_not_move_the_window(self):
        design = make_design("lapo_discovery")
        plain, with_wrong = group([100, 200, 300]), group([100, 200, 300, 5], [1, 1, 1, 0])
        cut = group([100, 200, 300, 20000], finished=[1, 1, 1, 0])
        for other in (with_wrong, cut):
            assert design.window(other).tolist() == design.window(plain).tolist()

    @pytest.mark.parametrize(("statistic", "known"), [("median", 200.0), ("mean", 400.0), ("min", 100.0)])
    def test_the_statistic_of_the_latest_visit_with_a_right_answer(self, statistic, known):
        design = make_design("lapo_discovery", statistic=statistic)
        for lengths, correct, expected in [
            ([5, 6, 7, 8], [0, 0, 0, 0], None),
            ([1, 1, 1, 1], [1, 1, 1, 1], 1.0),
            ([100, 200, 900, 3], [1, 1, 1, 0], known),
            ([5, 6, 7, 8], [0, 0, 0, 0], known),
        ]:
            design.observe(group(lengths, correct))
            assert design.state()["lengths"] == {TOY: expected}

    def test_a_truncated_rollout_is_not_remembered(self):
        design = make_design("lapo_discovery")
        design.observe(group([100, 16384], finished=[1, 0]))
        assert design.state()["lengths"] == {TOY: 100.0}

    def test_diagnostics_report_the_mean_target(self):
        design = make_design("lapo_discovery")
        rollouts = group([100, 200])
        assert np.isnan(design.diagnostics(rollouts)["target"])
        design.observe(rollouts)
        assert design.diagnostics(rollouts) == {"target": 150.0}

    def test_an_unsolved_problem_survives_json(self):
        design, other = make_design("lapo_discovery"), make_design("lapo_discovery")
        design.observe(group([5, 6], [0, 0]))
        other.load_state(json.loads(json.dumps(design.state())))
        assert other.state()["lengths"] == {TOY: None}


class TestInternalization:
    @settings(max_examples=60, deadline=None)
    @given(lengths=LENGTHS, n=st.integers(1, 4096))
    def test_the_reward_falls_with_distance_from_the_hint(self, lengths, n):
        total = internal().reward(group(lengths, hint_tokens_P=[n]))["total"][0]
        away = np.abs(np.array(lengths) - n)
        assert (np.diff(total[np.argsort(away)]) <= 1e-12).all()
        assert np.allclose(total[away == 0], 1.7)
        assert ((total >= 1) & (total <= 1.7)).all()

    @pytest.mark.parametrize(
        ("case", "old", "lengths"),
        [
            ("M_old=4096,correct=[1480,1500,1560]", None, [1480, 1500, 1560]),
            ("M_old=1400,correct=[1480,1500,1560]", 1400, [1480, 1500, 1560]),
            ("M_old=1600,correct=[1480,1500,1560]", 1600, [1480, 1500, 1560]),
            ("M_old=1600,correct=[]", 1600, []),
        ],
    )
    def test_update_vector(self, case, old, lengths):
        design = internal({TOY: old})
        rollouts = group([*lengths, 9], [*[1] * len(lengths), 0])
        design.observe(rollouts)
        assert design.state()["lengths"] == {TOY: VECTORS["lapo_M_update"]["output"][case]}
        assert design.state()["design"] == "lapo_internalization"

    def test_hints_are_the_known_lengths(self):
        design = internal({"a": 120.7, "b": None, "c": 0.0})
        assert design.draw_hints(RNG, ["b", "a", "c", "a"]).tolist() == [4096, 120, 1, 120]
        assert design.draw_hints(RNG, []).shape == (0,)
        assert design.longest_hint() == 4096
        assert internal({"a": 9000.0}).longest_hint() == 9000, "stage one may have had a larger cap"

    def test_unsolved_is_the_cap_at_any_scale(self):
        design = fit_design("lapo_internalization", 512)
        design.load_state({"design": "lapo_discovery", "lengths": {"a": None}})
        assert design.draw_hints(RNG, ["a"]).tolist() == [512]
        assert design.token_parameters() == {"sigma": 15.0, "unsolved": 512.0}

    def test_the_centre_of_an_unsolved_problem(self):
        rollouts = group([1480, 1500, 1560, 1700], [1, 1, 1, 0], hint_tokens_P=[4096])
        paper, own = internal({TOY: None}), internal({TOY: None}, unsolved_centre="group", beta=0.8)
        assert paper.reward(rollouts)["total"][0].round(9).tolist() == [1, 1, 1, 0], "4096 is far away"
        vector = VECTORS["lapo_stage2_code"]["output"]  # around 1500, the group's own median
        np.testing.assert_allclose(own.reward(rollouts)["total"][0], vector, atol=1e-5)
        solved = internal(
            {TOY: 4096.0}, unsolved_centre="group"
        )  # solved at that length: the hint stays the centre
        assert solved.reward(rollouts)["total"][0].round(9).tolist() == [1, 1, 1, 0]

    def test_wrong_answers_do_not_move_the_groups_own_centre(self):
        design = internal({TOY: None}, unsolved_centre="group")
        for lengths, correct in (([100, 200, 300], [1, 1, 1]), ([100, 200, 300, 7, 8], [1, 1, 1, 0, 0])):
            rollouts = group(lengths, correct, hint_tokens_P=[4096])
            assert np.argmax(design.reward(rollouts)["total"][0]) == 1
        wrong = group([1, 2], [0, 0], hint_tokens_P=[4096])
        assert not design.reward(wrong)["total"].any()

    @settings(max_examples=30, deadline=None)
    @given(first=groups(), second=groups())
    def test_targets_never_grow(self, first, second):
        design = make_design("lapo_internalization").at_scale(CAP)
        design.observe(first)
        before = design.state()["lengths"]
        design.observe(second)
        after = design.state()["lengths"]
        for pid, known in before.items():
            assert known is None or after[pid] <= known

    def test_stage_two_needs_stage_one(self):
        with pytest.raises(
            ConfigError, match=r"known for 2 of 2 problems, e\.g\. a; .*lapo_discovery leaves"
        ):
            make_design("lapo_internalization").draw_hints(RNG, ["a", "b"])
        with pytest.raises(ConfigError, match=r"known for 1 of 2 problems, e\.g\. b; "):
            internal({"a": 5.0}).draw_hints(RNG, ["a", "b"])
        with pytest.raises(ConfigError, match="hint_tokens_P"):
            internal().reward(group([1, 2]))

    def test_only_states_of_lapo_are_accepted(self):
        with pytest.raises(DataError, match="'hapo', not of 'lapo_internalization' or 'lapo_discovery'"):
            internal().load_state({"design": "hapo", "minima": {}})
        with pytest.raises(DataError, match=r"'lapo_internalization', not of 'lapo_discovery'$"):
            make_design("lapo_discovery").load_state(internal().state())
