"""Every worked example of the papers, and the examples in docstrings."""

import doctest
import importlib
import json
import pkgutil
from pathlib import Path

import numpy as np
import pytest

import effwb.designs
from effwb.designs import DESIGNS, make_design, toy_group
from effwb.designs.advantages import group_no_std
from effwb.designs.gr3 import rescale

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "worked_examples.json").read_text())
TOY = "toy-000000000000"
pytestmark = pytest.mark.filterwarnings("error")

# vector -> (design, parameters, other fields of the group, component)
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
    "lapo_stage1": ("lapo_discovery", {}, {}, "total"),
    "lapo_stage1_close_lengths": ("lapo_discovery", {}, {}, "total"),
    "lapo_stage2_code": ("lapo_internalization", {"beta": 0.8}, {"hint_tokens_P": [1500]}, "total"),
    "laser_step": ("laser", {"target": 2500}, {}, "total"),
    "dapo_soft_overlong": ("soft_overlong", {"l_max": 4000, "l_cache": 1000}, {}, "overlong"),
    "grpo_lead_2504.09696": ("grpo_lead", {}, {}, "total"),
    "alp_2506.05256": ("alp", {}, {}, "total"),
}


def _group(vector, **fields):
    lengths = vector["input"]["lengths"]
    if isinstance(fields.get("reference"), tuple):
        length, accuracy = fields["reference"]
        fields["reference"] = {TOY: {"length": length, "accuracy": accuracy}}
    return toy_group(lengths, vector["input"].get("correct", [1] * len(lengths)), **fields)


@pytest.mark.parametrize("name", CASES)
def test_worked_vector(name):
    design, params, fields, component = CASES[name]
    result = make_design(design, **params).reward(_group(VECTORS[name], **fields))[component]
    np.testing.assert_allclose(result[0], VECTORS[name]["output"], atol=1e-5)


def test_hapo_vector():
    design = make_design("hapo")
    design.load_state({"design": "hapo", "minima": {TOY: 2000}})
    vector = VECTORS["hapo_2505.11225"]
    np.testing.assert_allclose(design.reward(_group(vector))["total"][0], vector["output"], atol=1e-5)


def test_hapo_remembers_only_the_shortest_correct_answer():
    design = make_design("hapo")
    for lengths, correct, finished, known in [
        ([50, 90], [0, 0], [1, 1], {}),
        ([50, 90], [0, 1], [1, 1], {TOY: 90}),
        ([60, 95], [0, 1], [1, 1], {TOY: 90}),
        ([40, 99], [1, 1], [0, 1], {TOY: 90}),
        ([70, 80], [1, 1], [1, 1], {TOY: 70}),
    ]:
        design.observe(toy_group(lengths, correct, finished=finished))
        assert design.state()["minima"] == known


@pytest.mark.parametrize("name", ["truncation", "laser", "laser_d", "dler", "gdpo"])
def test_a_rollout_of_exactly_the_target_length_is_within_it(name):
    total = make_design(name, target=1000).reward(toy_group([999, 1000, 1001], [1, 1, 1]))["total"][0]
    assert total[0] == total[1] > total[2]


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
        "reo_rl_coefficients_pow2",
        "reo_rl_coefficients_16k",
        "reo_rl_returns_and_group_advantages",
        "brpo_returns_V1",
        "lapo_M_update",
        "lead_2605.09806_r_eff_max_sym",
        "lead_2605.09806_r_eff_max_asym_yaml_default",
        "lead_2605.09806_no_correct_group",
        "lead_psi_one_step",
        "_note",
    }
    assert set(VECTORS) == set(CASES) | elsewhere


MODULES = ["effwb.designs", *(m.name for m in pkgutil.iter_modules(effwb.designs.__path__, "effwb.designs."))]


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@pytest.mark.parametrize("name", DESIGNS)
def test_docstrings_have_an_example_and_a_source(name):
    text = DESIGNS[name].__doc__ + importlib.import_module(DESIGNS[name].__module__).__doc__
    assert ">>>" in DESIGNS[name].__doc__
    assert any(part[:4].isdigit() and part[4:5] == "." for part in text.replace("(", " ").split())
