"""Designs that reward forced answers (REO-RL, MRT, BRPO): vectors, segments, order, bad input."""

import copy
import dataclasses
import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effwb.budgets import coefficients
from effwb.designs import DESIGNS, Group, fit_design, make_design, question_budgets, toy_group
from effwb.designs.segments import per_token, returns_to_go
from effwb.errors import ConfigError, DataError
from effwb.frontier import Frontier

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "worked_examples.json").read_text())
CAP, BUDGETS = 1024, [64, 256]
few = settings(max_examples=40, deadline=None)
each = pytest.mark.parametrize("name", ["reo_rl", "mrt", "brpo"])


def build(name, **params):
    return make_design(name, cap=CAP, **({} if name == "mrt" else {"budgets": BUDGETS}), **params)


@st.composite
def groups(draw, name):
    P, G, K = draw(st.integers(0, 3)), draw(st.integers(2, 5)), len(BUDGETS)
    flags = lambda *shape: np.array(  # noqa: E731
        draw(st.lists(st.booleans(), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    ).reshape(shape).astype(bool)  # fmt: skip
    length = np.array(draw(st.lists(st.integers(1, CAP), min_size=P * G, max_size=P * G))).reshape(P, G)
    correct, finished, probes = flags(P, G), flags(P, G), flags(P, G, K)
    budgets = np.broadcast_to(BUDGETS, (P, G, K))
    ended = finished[..., None] & (length[..., None] <= budgets)
    probes = np.where(ended, correct[..., None], probes)
    probe_fields = {"probe_budgets_K": BUDGETS if name != "mrt" else budgets, "probe_correct_PGK": probes}
    return Group(correct, length.astype(int), finished, CAP, [f"p{p}" for p in range(P)], **probe_fields)


def take(group, columns):
    budgets = group.probe_budgets_K
    return Group(
        group.correct_PG[:, columns],
        group.length_PG[:, columns],
        group.finished_PG[:, columns],
        group.cap,
        group.problem_ids,
        probe_budgets_K=budgets[:, columns] if budgets.ndim == 3 else budgets,
        probe_correct_PGK=group.probe_correct_PGK[:, columns],
    )


class TestVectors:
    def test_returns_and_advantages_of_reo_rl(self):
        vector = VECTORS["reo_rl_returns_and_group_advantages"]
        R = np.array(vector["input"]["R(sample x budget incl. full)"])
        budgets = vector["params"]["budgets"]
        length = [9000, 9000, 9000, 9000]
        group = toy_group(length, R[:, -1], probe_budgets_K=budgets, probe_correct_PGK=R[None, :, :-1])
        design = make_design("reo_rl", budgets=budgets)
        returns = returns_to_go(R * coefficients(budgets, 16384))
        np.testing.assert_allclose(returns, vector["output"]["returns"], atol=1e-5)
        advantages = design.advantage(group)[0].T
        np.testing.assert_allclose(advantages, vector["output"]["advantages_by_segment"], atol=1e-5)

    @pytest.mark.parametrize("name", ["reo_rl_coefficients_16k", "reo_rl_coefficients_pow2"])
    def test_default_budgets_are_powers_of_two(self, name):
        vector, cap = VECTORS[name]["output"], VECTORS[name]["params"]["Lmax"]
        design = make_design("reo_rl", cap=cap)
        assert design.chosen.tolist() == vector["budgets"]
        assert coefficients(design.chosen, cap).tolist() == vector["coeffs"]

    def test_own_past_of_brpo(self):
        vector = VECTORS["brpo_returns_V1"]
        r = vector["input"]["r at the 4 budgets"]
        group = toy_group(
            [7000, 7000], [r[-1], 0], cap=8000, probe_budgets_K=[2000, 4000, 6000],
            probe_correct_PGK=[[r[:-1], [0, 0, 0]]],
        )  # fmt: skip
        design = make_design("brpo", lam=vector["params"]["lam"])
        np.testing.assert_allclose(design.own_past(group)[0, 0, 1:], vector["output"]["V1"][1:], atol=1e-5)
        returns = returns_to_go(np.array(r) * design.weights(group))
        np.testing.assert_allclose(returns, vector["output"]["R"], atol=1e-5)


class TestAllThree:
    @each
    @few
    @given(data=st.data())
    def test_shape_finite_and_order(self, name, data):
        group, design = data.draw(groups(name)), build(name)
        advantages = design.advantage(group)
        assert advantages.shape == (group.P, group.G, len(BUDGETS) + 1)
        assert np.isfinite(advantages).all()
        order = data.draw(st.permutations(range(group.G)))
        np.testing.assert_allclose(advantages[:, order], design.advantage(take(group, order)), atol=1e-9)
        parts = design.reward(group)
        np.testing.assert_allclose(parts.pop("total"), sum(parts.values()), atol=1e-12)

    @each
    def test_all_wrong_and_all_right_at_every_budget_teach_nothing(self, name):
        for right in (0, 1):
            probes = np.full((1, 3, 2), right)
            budgets = BUDGETS if name != "mrt" else [[[0, 64]] * 3]
            group = toy_group(
                [300] * 3, [right] * 3, cap=CAP, probe_budgets_K=budgets, probe_correct_PGK=probes
            )
            assert not build(name).advantage(group).any()

    @each
    def test_pickling_state_and_probes(self, name):
        design = build(name)
        copied = pickle.loads(pickle.dumps(design))
        assert copied.parameters() == design.parameters()
        assert copy.deepcopy(design).state() == design.state()
        assert design.probes
        with pytest.raises(ConfigError, match="rewards forced answers"):
            design.reward(toy_group([10, 20], [1, 0], cap=CAP))

    @each
    def test_unknown_parameters_and_other_rules_are_refused(self, name):
        with pytest.raises(ConfigError, match="Did you mean"):
            DESIGNS[name](**{"allpha" if name == "mrt" else "budgts": 1})
        with pytest.raises(ConfigError, match="rule='rloo'"):
            DESIGNS[name](rule="rloo")

    @each
    @few
    @given(data=st.data())
    def test_a_truncated_rollout_is_wrong_with_its_own_verdict_at_the_cap(self, name, data):
        group, design = data.draw(groups(name)), build(name, at_cap="own")
        flipped = dataclasses.replace(group, correct_PG=group.correct_PG ^ ~group.finished_PG)
        for before, after in (
            (design.reward(group)["total"], design.reward(flipped)["total"]),
            (design.advantage(group), design.advantage(flipped)),
        ):
            np.testing.assert_array_equal(before, after)
        budgets = BUDGETS if name != "mrt" else [[[0, 64]] * 2]
        group = toy_group(
            [CAP, 300], [1, 1], finished=[0, 1], cap=CAP, probe_budgets_K=budgets,
            probe_correct_PGK=np.zeros((1, 2, 2)),
        )  # fmt: skip
        assert design.reward(group)["total"][0, 0] == 0
        assert build(name).reward(group)["total"][0, 0] > 0


class TestReoRl:
    @staticmethod
    def group(R, length=900, budgets=BUDGETS, **fields):
        R = np.array(R)
        return toy_group(
            [length] * len(R),
            R[:, -1],
            cap=CAP,
            probe_budgets_K=budgets,
            probe_correct_PGK=R[None, :, :-1],
            **fields,
        )

    def test_earlier_is_better(self):
        early, late, never = [1, 1, 1], [0, 1, 1], [0, 0, 0]
        advantages = build("reo_rl").advantage(self.group([early, late, never]))[0]
        assert advantages[0, 0] > advantages[1, 0] > advantages[2, 0]
        assert advantages[0, 1] == advantages[1, 1] > advantages[2, 1], (
            "verdicts before a segment do not count for it"
        )

    def test_tokens_after_a_budget_are_not_paid_for_it(self):
        """The verdict on the forced answer at L_i changes no advantage after L_i."""
        a = build("reo_rl").advantage(self.group([[1, 0, 0], [0, 0, 0]]))[0]
        assert a[0, 0] > 0
        assert not a[:, 1:].any()

    def test_segment_paper_shifts_by_one(self):
        group = self.group([[1, 1, 1], [0, 1, 1], [0, 0, 0]])
        causal = build("reo_rl").advantage(group)
        paper = make_design("reo_rl", cap=CAP, budgets=BUDGETS, segment="paper").advantage(group)
        assert not paper[..., 0].any()
        np.testing.assert_array_equal(paper[..., 1:], causal[..., :-1])

    @pytest.mark.parametrize(
        ("params", "expected"),
        [
            ({"budgets": "exp"}, [32, 64, 128, 256, 512]),
            ({"budgets": "exp", "l_min": 64, "n": 4}, [64, 128, 256, 512]),
            ({"budgets": "linear", "n": 3}, [256, 512, 768]),
            ({"budgets": [10, 100]}, [10, 100]),
        ],
    )
    def test_budgets(self, params, expected):
        assert make_design("reo_rl", cap=CAP, **params).chosen.tolist() == expected

    @pytest.mark.parametrize("n", [5, 10])
    def test_any_number_of_exponential_budgets(self, n):
        chosen = fit_design("reo_rl", 512, n=n).chosen
        assert len(chosen) == n
        assert chosen[0] == 16
        assert chosen[-1] < 512

    def test_oracle_takes_a_frontier(self):
        frontier = Frontier([0, 128, 256, 512, 1024], [0.1, 0.5, 0.8, 0.9, 0.95])
        design = make_design("reo_rl", cap=CAP, budgets="oracle", frontier=frontier, n=2)
        assert len(design.chosen) == 2
        assert set(design.chosen) <= {128, 256, 512}
        with pytest.raises(ConfigError, match="come together"):
            make_design("reo_rl", budgets="oracle")

    def test_coefficients_one(self):
        group = self.group([[1, 0, 0], [0, 0, 1]])
        design = make_design("reo_rl", cap=CAP, budgets=BUDGETS, coefficients="one")
        assert design.reward(group)["total"].tolist() == [[pytest.approx(1 / 3), pytest.approx(1 / 3)]]
        assert build("reo_rl").reward(group)["total"][0, 1] > build("reo_rl").reward(group)["total"][0, 0]

    def test_scale_moves_lists_and_l_min(self):
        moved = make_design("reo_rl", budgets=[1024, 8192]).at_scale(512)
        assert list(moved.budgets) == [32, 256]
        assert make_design("reo_rl", l_min=512).at_scale(512).l_min == 16
        with pytest.raises(ConfigError, match="belong to a cap of 16384"):
            make_design("reo_rl", budgets=[1024, 8192]).check_cap(512)
        make_design("reo_rl", cap=512, table={"a": 3}, budgets="q_spec").check_cap(512)

    @pytest.mark.parametrize(
        ("params", "message"),
        [
            ({"budgets": [0, 10]}, "strictly inside"),
            ({"budgets": [10, CAP]}, "strictly inside"),
            ({"budgets": [10, 10]}, "occurs twice"),
            ({"budgets": [20, 10]}, "must increase"),
            ({"budgets": "expo"}, "Did you mean 'exp'"),
            ({"budgets": "q_spec"}, "come together"),
            ({"budgets": "q_spec", "table": {"a": CAP + 1}}, "budget of a is 1025"),
            ({"hard": True}, "belong to budgets='q_spec'"),
            ({"n": 0}, "n=0"),
            ({"l_min": -1}, "l_min"),
            ({"coefficients": "two"}, "coefficients"),
            ({"segment": "both"}, "segment"),
        ],
    )
    def test_refuses(self, params, message):
        with pytest.raises(ConfigError, match=message):
            make_design("reo_rl", cap=CAP, **params)


class TestQSpec:
    TABLE = {"toy-000000000000": 100}  # noqa: RUF012

    def design(self, **params):
        return make_design("reo_rl", cap=CAP, budgets="q_spec", table=self.TABLE, **params)

    def test_points_and_fallback(self):
        design = self.design()
        assert design.probe_points("toy-000000000000", [1] * 50, CAP, None) == [100]
        assert design.probe_points("another", [1] * 50, CAP, None) == [CAP], "no table: the full response"

    @pytest.mark.parametrize(
        ("params", "weights"),
        [({}, [512, 462]), ({"first_weight": "printed"}, [50, 462]), ({"hard": True}, [512, 0])],
    )
    def test_weights(self, params, weights):
        group = toy_group(
            [900, 900], [1, 1], cap=CAP, probe_budgets_K=[[100]], probe_correct_PGK=[[[1], [0]]]
        )
        assert self.design(**params).weights(group)[0, 0].tolist() == weights
        share = weights[1] / sum(weights)
        assert self.design(**params).reward(group)["total"][0].tolist() == pytest.approx([1.0, share])

    def test_question_budgets_as_in_the_paper(self):
        """Two checkpoints; the second reaches the best accuracy (1/2) at 40 tokens, the first only at 80."""
        tables = [
            pd.DataFrame({"problem_id": "a", "length": [80, 200], "verdict": ["correct", "wrong"]}),
            pd.DataFrame({"problem_id": "a", "length": [40, 200], "verdict": ["correct", "wrong"]}),
        ]
        tables = [t.assign(finish_reason="stop", sample=[0, 1]) for t in tables]
        unsolved = tables[0].assign(problem_id="b", verdict="wrong")
        budgets = question_budgets([pd.concat([tables[0], unsolved]), tables[1]], CAP)
        assert budgets == {"a": 40, "b": CAP}

    def test_question_budgets_with_forcing(self):
        table = pd.DataFrame(
            {"problem_id": "a", "sample": [0, 1], "length": [80, 200], "verdict": ["correct"] * 2}
        ).assign(finish_reason="stop")
        probes = pd.DataFrame({"problem_id": "a", "sample": [0, 1, 1], "budget": [32, 32, 128]}).assign(
            verdict=["wrong", "correct", "correct"]
        )
        assert question_budgets([table], CAP) == {"a": 200}
        assert question_budgets([table], CAP, probes=[probes], grid=[0, 32, 128, 512]) == {"a": 128}
        with pytest.raises(ConfigError, match="one probe table per rollout table"):
            question_budgets([table], CAP, probes=[])


class TestMrt:
    @staticmethod
    def decode(ids):
        return "".join({0: "1+2=3 ", 1: "Wait ", 2: "so "}[i] for i in ids)

    def test_steps_begin_at_keywords(self):
        design = make_design("mrt", keywords=("Wait",), min_tokens=2)
        assert design.probe_points("p", [0, 0, 0, 1, 0, 0, 1, 0], CAP, self.decode) == [0, 3, 6]
        assert design.probe_points("p", [0, 0, 0], CAP, self.decode) == [0]

    def test_short_steps_and_too_many_are_joined(self):
        ids = [0, 1] * 20
        assert (
            make_design("mrt", keywords=("Wait",), min_tokens=6).probe_points("p", ids, CAP, self.decode)[1]
            >= 6
        )
        assert len(make_design("mrt", keywords=("Wait",), min_tokens=1, max_steps=3).probe_points(
            "p", ids, CAP, self.decode
        )) == 3  # fmt: skip

    def test_progress_is_paid_where_it_is_made(self):
        probes = {"probe_budgets_K": [[[0, 10], [0, 10]]], "probe_correct_PGK": [[[0, 1], [0, 0]]]}
        group = toy_group([30, 30], [1, 1], cap=CAP, **probes)
        advantage = make_design("mrt").advantage(group)[0]
        assert advantage[0, 1] > 0 > advantage[0, 2]
        assert advantage[1, 2] > 0 > advantage[1, 1]

    def test_a_rollout_with_fewer_steps_has_no_share_in_the_statistics(self):
        probes = {"probe_budgets_K": [[[0, 10], [0, 0]]], "probe_correct_PGK": [[[0, 1], [0, 0]]]}
        group = toy_group([30, 30], [1, 1], cap=CAP, **probes)
        advantage = make_design("mrt", std="none").advantage(group)[0]
        assert advantage[1, 1] == 0
        assert advantage.sum() == pytest.approx(0)


class TestBrpo:
    def group(self):
        return toy_group(
            [900] * 3, [1, 0, 1], cap=CAP, probe_budgets_K=[256, 512, 768],
            probe_correct_PGK=[[[0, 1, 1], [0, 0, 0], [1, 1, 1]]],
        )  # fmt: skip

    def test_default_budgets_and_priors(self):
        assert make_design("brpo").chosen.tolist() == [2000, 4000, 6000]
        group = self.group()
        for prior, weights in (
            ("uniform", [0.25] * 4),
            ("base", [0, 0, 0, 1]),
            ("linear", [0.1, 0.2, 0.3, 0.4]),
        ):
            result = make_design("brpo", cap=CAP, prior=prior).weights(group)
            assert result.tolist() == pytest.approx(weights)

    def test_base_prior_is_grpo_without_std(self):
        advantages = make_design("brpo", cap=CAP, prior="base", baseline="V2").advantage(self.group())
        right = np.array([1, 0, 1])
        for k in range(4):
            assert advantages[0, :, k].tolist() == pytest.approx((right - right.mean()).tolist())

    def test_the_baseline_both_is_a_weighted_mean(self):
        own_past, group_mean, combined = (
            make_design("brpo", cap=CAP, baseline=b).advantage(self.group()) for b in ("V1", "V2", "both")
        )
        share = np.arange(4) / 4
        np.testing.assert_allclose(combined, share * own_past + (1 - share) * group_mean)


class TestSegments:
    def test_tokens_find_their_segment(self):
        assert per_token([1.0, 2.0], np.array([3]), 5).tolist() == [1, 1, 1, 2, 2]
        assert per_token([1.0, 2.0, 3.0], np.array([0, 2]), 4).tolist() == [2, 2, 3, 3]

    def test_group_takes_budgets_of_three_shapes(self):
        right = np.zeros((2, 3, 2))
        base = dict(correct_PG=np.ones((2, 3)), length_PG=np.full((2, 3), 9), finished_PG=np.ones((2, 3)))
        for budgets in ([1, 2], [[1, 2], [3, 4]], np.tile([1, 1], (2, 3, 1))):
            group = Group(
                **base, cap=CAP, problem_ids=["a", "b"], probe_budgets_K=budgets, probe_correct_PGK=right
            )
            assert group.probe_budgets_PGK.shape == (2, 3, 2)
        with pytest.raises(
            ConfigError, match=r"brpo needs the same probe budgets \(K,\) .* shape \(2, 3, 2\)"
        ):
            make_design("brpo").reward(group)
        with pytest.raises(ConfigError, match="no probes"):
            _ = Group(**base, cap=CAP, problem_ids=["a", "b"]).probe_budgets_PGK
        for budgets in ([[1, 2]] * 3, np.ones((3, 2, 2)), np.ones((1, 1, 1, 2))):
            with pytest.raises(DataError, match="probe_budgets_K"):
                Group(
                    **base, cap=CAP, problem_ids=["a", "b"], probe_budgets_K=budgets, probe_correct_PGK=right
                )
