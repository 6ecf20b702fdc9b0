"""Every worked vector, the docstring examples, and the numbers that tell papers from their code."""

import doctest
import importlib
import json
import math
import pkgutil
from pathlib import Path

import numpy as np
import pytest

import effwb.designs
from effwb.designs import DESIGNS, make_design, reference_table, toy_group
from effwb.designs.advantages import group_no_std
from effwb.designs.gr3 import rescale
from effwb.errors import DataError

VECTORS = json.loads((Path(__file__).parent / "data" / "worked_examples.json").read_text())
TOY = "toy-000000000000"
pytestmark = pytest.mark.filterwarnings("error")

# vector -> (design, parameters, what else the group carries, component)
CASES = {
    "arora_zanette": ("length_group_norm", {"alpha": 0.1}, {}, "total"),
    "arora_zanette_single_correct": ("length_group_norm", {"alpha": 0.1}, {}, "total"),
    "arora_laser_repo_reimplementation": (
        "length_group_norm",
        {"alpha": 0.4, "reading": "laser"},
        {},
        "total",
    ),
    "kimi_k1.5": ("kimi", {"weight": 1.0}, {}, "length"),
    "shorterbetter": ("shorter_better", {}, {}, "total"),
    "shorterbetter_none_correct": ("shorter_better", {}, {}, "total"),
    "l1_exact_paper": ("l1_exact", {}, {"hint_tokens_P": [2000]}, "total"),
    "l1_max_paper": ("l1_max", {}, {"hint_tokens_P": [2000]}, "total"),
    "l1_max_released_code_slope": ("l1_max", {"slope": "released"}, {"hint_tokens_P": [2000]}, "total"),
    "o1_pruner_RLH": ("length_harmonizing", {"gamma": 2}, {"reference": (3000, 0.5)}, "total"),
    "o1_pruner_released_weight_before_zscore": (
        "length_harmonizing",
        {"gamma": 5, "clip": (-2, 4)},
        {"reference": (3000, 0.5)},
        "total",
    ),
    "laser_step": ("laser", {"target": 2500}, {}, "total"),
    "dapo_soft_overlong": ("soft_overlong", {"l_max": 4000, "l_cache": 1000}, {}, "overlong"),
    "grpo_lead_2504.09696": ("grpo_lead", {}, {}, "total"),
    "alp_2506.05256": ("alp", {}, {}, "total"),
}


def _group(vector, **more):
    lengths = vector["input"]["lengths"]
    if isinstance(more.get("reference"), tuple):
        length, accuracy = more["reference"]
        more["reference"] = {TOY: {"length": length, "accuracy": accuracy}}
    return toy_group(lengths, vector["input"].get("correct", [1] * len(lengths)), **more)


@pytest.mark.parametrize("name", CASES)
def test_worked_vector(name):
    design, params, more, component = CASES[name]
    got = make_design(design, **params).reward(_group(VECTORS[name], **more))[component]
    np.testing.assert_allclose(got[0], VECTORS[name]["output"], atol=1e-5)


def test_hapo_vector():
    design = make_design("hapo")
    design.load_state({"design": "hapo", "minima": {TOY: 2000}})
    vector = VECTORS["hapo_2505.11225"]
    np.testing.assert_allclose(design.reward(_group(vector))["total"][0], vector["output"], atol=1e-5)


def test_gr3_published_unit_test():
    vector = VECTORS["gr3_prime_rl_unit_test"]
    reward = rescale([vector["input"]["rewards"]], [vector["input"]["lengths"]], vector["params"]["alpha"])
    np.testing.assert_allclose(group_no_std(reward)[0], vector["output"], atol=1e-7)


def test_gfpo_vector():
    vector = VECTORS["gfpo_top_k_shortest"]
    mask = make_design("gfpo", k=2).mask(_group(vector))
    assert mask[0].astype(int).tolist() == vector["output"]["kept"]


@pytest.mark.parametrize("variant", VECTORS["art_negative_variants"]["output"])
def test_art_variants(variant):
    vector = VECTORS["art_negative_variants"]
    design, group = make_design("truncation", target=2500, variant=variant), _group(vector)
    expected = vector["output"][variant]
    assert design.mask(group)[0].tolist() == [value is not None for value in expected]
    reward = design.reward(group)["total"][0]
    assert [r for r, value in zip(reward, expected, strict=True) if value is not None] == [
        value for value in expected if value is not None
    ]


def test_every_copied_vector_is_used():
    elsewhere = {
        "hapo_2505.11225",
        "gr3_prime_rl_unit_test",
        "gfpo_top_k_shortest",
        "art_negative_variants",
        "_note",
    }
    assert set(VECTORS) == set(CASES) | elsewhere


@pytest.mark.parametrize("module", [m.name for m in pkgutil.iter_modules(effwb.designs.__path__)])
def test_docstring_examples(module):
    found = importlib.import_module(f"effwb.designs.{module}")
    assert doctest.testmod(found).failed == 0


@pytest.mark.parametrize("name", DESIGNS)
def test_docstrings_hold_an_example_and_a_source(name):
    text = DESIGNS[name].__doc__ + importlib.import_module(DESIGNS[name].__module__).__doc__
    assert ">>>" in DESIGNS[name].__doc__
    assert any(part[:4].isdigit() and part[4:5] == "." for part in text.replace("(", " ").split())


# The differences between papers, their code, and copies of their code


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
    total = make_design("cosine", max_len=2000, cap=4000).reward(group)["total"][0]
    assert (np.diff(total) <= 1e-12).all()
    assert total[-1] == total[8] == 0.5
    wrong = make_design("cosine", max_len=2000, cap=4000).reward(toy_group(lengths, [0] * 17, cap=4000))
    assert (np.diff(wrong["total"][0]) >= -1e-12).all()
    cut = toy_group([10, 2000], [0, 1], finished=[1, 0], cap=2000)
    assert make_design("cosine", exceed=-10.0).reward(cut)["total"][0, 1] == -10.0


def test_kimi_equal_lengths_and_warm_up():
    assert make_design("kimi").reward(toy_group([500, 500, 500], [1, 0, 1]))["length"].tolist() == [[0.0] * 3]
    design = make_design("kimi", warmup_steps=3)
    before, after = (toy_group([100, 500], [1, 1], step=s) for s in (2, 3))
    assert design.reward(before)["length"].tolist() == [[0.0, 0.0]]
    assert design.reward(after)["length"].tolist() == [[0.2, -0.2]]


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
