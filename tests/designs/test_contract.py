"""What every design refuses, and corner cases: parameters, states, groups of one rollout, scale, switches."""

import dataclasses
import inspect

import numpy as np
import pytest

from effwb.designs import DESIGNS, Design, design, make_design, toy_group
from effwb.errors import ConfigError, DataError
from tests.designs.test_rewards import CAP, PARAMS, WRONG_HAS_LENGTH, build, each, outputs

pytestmark = pytest.mark.filterwarnings("error")


@each
def test_at_scale_scales_token_parameters(name):
    design = make_design(name, **PARAMS.get(name, {}))
    half = design.at_scale(CAP)
    assert half.cap == CAP
    for key, power in design.TOKEN_PARAMETERS.items():
        if getattr(design, key) is not None:
            ratio = half.token_parameters()[key] / design.token_parameters()[key]
            assert ratio == pytest.approx((CAP / design.PAPER_CAP) ** power)
    again = half.at_scale(design.cap or CAP)
    assert again.token_parameters() == pytest.approx(design.token_parameters())
    half.check_cap(CAP)
    if design.token_parameters():
        for other in (777, 99999):
            with pytest.raises(ConfigError, match=rf"at_scale\({other}\)"):
                design.check_cap(other)
    for bad in (0, -5, float("nan"), "4k"):
        with pytest.raises(ConfigError, match="cap="):
            design.at_scale(bad)


@each
def test_state_of_another_design_is_refused(name):
    design = build(name)
    with pytest.raises(DataError, match="other"):
        design.load_state({**design.state(), "design": "other"})
    with pytest.raises(DataError, match="extra"):
        design.load_state({**design.state(), "extra": 1})


def test_state_is_copied_on_saving_and_loading():
    design, state = make_design("hapo"), {"design": "hapo", "minima": {"a": 5}}
    design.load_state(state)
    state["minima"]["a"] = 1
    design.state()["minima"]["a"] = 1
    assert design.state() == {"design": "hapo", "minima": {"a": 5}}


def test_a_design_of_ones_own():
    @design
    class Mine(Design):
        """Reward 1 for a correct answer, minus a weight."""

        NAME = "mine"
        weight: float = 0.5

        def check(self):
            self.within("weight", 0.0, 1.0)

        def components(self, group):
            return {"correctness": self.solved(group) - self.weight}

    assert Mine(weight=0.2).at_scale(CAP).reward(toy_group([1, 2], [1, 0]))["total"].tolist() == [[0.8, -0.2]]
    assert Mine(rule="rloo").advantage(toy_group([1, 2], [1, 0])).tolist() == [[1.0, -1.0]]
    with pytest.raises(ConfigError, match=r"parameter of mine 'wieght'.*Did you mean 'weight'"):
        Mine(wieght=0.2)
    with pytest.raises(ConfigError, match=r"mine: weight=2 must be a number in \[0, 1\]"):
        Mine(weight=2)


@each
def test_corner_groups(name):
    reference = {"toy-000000000000": {"length": 300, "accuracy": 0.5}}
    fields = {"hint_tokens_P": [300], "reference": reference, "cap": CAP}
    lengths = [10, 200, 1024, 700]
    right = toy_group(lengths, [1, 1, 1, 1], **fields)
    wrong = toy_group(lengths, [0, 0, 0, 0], **fields)
    single = toy_group(lengths, [0, 1, 0, 0], **fields)
    cut = toy_group([1024, 1024, 1030, 1024], [1, 0, 1, 0], finished=[0, 0, 0, 0], **fields)
    design = build(name)
    for group in (right, wrong, single, cut):
        result = outputs(design, group)
        assert all(np.isfinite(value).all() for value in result.values())
        design.observe(group)
    mask = design.mask(single)
    if mask[0, 1] and name != "length_harmonizing":  # there a very short wrong answer beats a right one
        assert np.argmax(np.where(mask, design.advantage(single), -np.inf)) == 1
    if name not in WRONG_HAS_LENGTH:
        assert not design.advantage(wrong).any()
    if name not in WRONG_HAS_LENGTH - {"soft_overlong"}:
        assert design.reward(wrong)["total"].max() <= 0


@each
def test_a_group_of_one_is_refused(name):
    fields = {"hint_tokens_P": [300], "reference": {"toy-000000000000": {"length": 300, "accuracy": 0.5}}}
    with pytest.raises(ConfigError, match="G=1"):
        build(name).advantage(toy_group([10], [1], cap=CAP, **fields))


@each
def test_parameters_are_checked(name):
    cls = DESIGNS[name]
    assert name == cls.NAME
    assert cls().hint in (None, "user", "max", "think")
    assert not cls().probes
    names = [f.name for f in dataclasses.fields(cls)]
    assert [p for p in inspect.signature(cls).parameters if p != "self"] == names
    with pytest.raises(ConfigError, match=rf"parameter of {name} 'alhpa'; legal: .*rule"):
        cls(alhpa=1)
    with pytest.raises(ConfigError, match="keyword arguments only"):
        cls(0.5)
    for field in names:
        for bad in (float("nan"), "many"):
            with pytest.raises(ConfigError, match=field):
                cls(**{field: bad})
    with pytest.raises(dataclasses.FrozenInstanceError):
        cls().rule = "rloo"


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("length_group_norm", {"alpha": 1.0}),
        ("length_group_norm", {"alpha": -0.1}),
        ("length_group_norm", {"reading": "paper"}),
        ("length_harmonizing", {"clip": (4, -2)}),
        ("truncation", {"target": 0}),
        ("truncation", {"variant": "I"}),
        ("kimi", {"warmup_steps": -1}),
        ("kimi", {"weight": True}),
        ("soft_overlong", {"l_cache": 30000}),
        ("cosine", {"max_value_wrong": 0.7, "reading": "open_r1"}),
        ("cosine", {"max_value_wrong": 1.0}),
        ("cosine", {"reading": "open-r1"}),
        ("cosine", {"max_len": 1000}),
        ("l1_max", {"delta": 1.5}),
        ("l1_exact", {"n_min": 5000}),
        ("hapo", {"c": 0.5}),
        ("grpo_lead", {"gate": 4000}),
        ("grpo_lead", {"A": 2.0}),
        ("lapo_discovery", {"low": 80}),
        ("lapo_discovery", {"high": 101}),
        ("lapo_discovery", {"falloff": 0}),
        ("lapo_discovery", {"statistic": "mode"}),
        ("lapo_internalization", {"sigma": 0}),
        ("lapo_internalization", {"unsolved": 0}),
        ("lapo_internalization", {"unsolved_centre": "median"}),
        ("laser_d", {"target": 20000}),
        ("laser_d", {"every": 0}),
        ("lead", {"mode": "sym"}),
        ("lead", {"aggregator": "mode"}),
        ("lead", {"unsolved": "ignored"}),
        ("lead", {"static": 1.5}),
        ("lead", {"b_min": 9000}),
        ("lead", {"b_max": 500}),
        ("lead", {"b_min": 0}),
        ("lead", {"too_short": -1}),
        ("lead", {"beta": 1.0}),
        ("lead", {"floor": 1.1}),
        ("lead", {"alpha": -1}),
        ("gfpo", {"k": 1}),
        ("gfpo", {"adaptive_k": (4, 6, 8)}),
        ("token_budget", {"truncated": "graded"}),
        ("vanilla", {"rule": "group_no_std", "std": "sample"}),
        ("vanilla", {"weighting": "token"}),
        ("vanilla", {"eps": -1e-6}),
    ],
)
def test_out_of_range_parameters(name, params):
    with pytest.raises(ConfigError, match=next(iter(params))):
        make_design(name, **params)


def test_make_design_suggests_the_nearest_name():
    with pytest.raises(ConfigError, match="Did you mean 'laser_d'"):
        make_design("laserd")
    assert make_design("gdpo", rule="group").rule == "group"


def test_gfpo_refuses_a_k_that_filters_nothing():
    group = toy_group([1, 2, 3, 4], [1, 0, 1, 0])
    with pytest.raises(ConfigError, match="k=4 of G=4"):
        make_design("gfpo", k=4).mask(group)
    with pytest.raises(ConfigError, match="k=8 of G=4"):
        make_design("gfpo", adaptive=True).mask(group)


@pytest.mark.parametrize("name", ["l1_exact", "l1_max"])
def test_l1_needs_hints_and_draws_them(name):
    design = make_design(name)
    with pytest.raises(ConfigError, match="draw_hints"):
        design.reward(toy_group([1, 2], [1, 0]))
    small = design.at_scale(512)
    drawn = small.draw_hints(np.random.default_rng(0), ["a"] * 4000)
    assert (drawn.min(), drawn.max()) == (12, 500)
    assert small.longest_hint() == 500
    with pytest.raises(ConfigError, match="n_min"):
        design.at_scale(8)


def test_truncated_switch():
    group = toy_group([10, 20, 1024], [1, 0, 1], finished=[1, 1, 0], cap=CAP)
    wrong, graded, masked = (make_design("vanilla", truncated=t) for t in ("wrong", "graded", "masked"))
    assert wrong.reward(group)["total"].tolist() == masked.reward(group)["total"].tolist() == [[1, 0, 0]]
    assert graded.reward(group)["total"].tolist() == [[1, 0, 1]]
    assert masked.mask(group).tolist() == [[True, True, False]]
