"""Profiles: values checked field by field, with errors that name the legal ones."""

import copy
import json
import pickle

import pytest

from effwb.errors import ConfigError
from effwb.profiles import PROFILES, Profile, Training, profile


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_samples": "2"}, "^n_samples must be int, got '2'$"),
        ({"n_samples": True}, "^n_samples must be int, got True$"),
        ({"n_samples": 2.0}, "^n_samples must be int, got 2.0$"),
        ({"n_samples": 0}, "^n_samples=0 must be at least 1$"),
        ({"temperature": float("nan")}, "^temperature=nan must be at least 0$"),
        ({"top_p": 1.5}, r"^top_p=1.5 must lie in \[1e-06, 1\]$"),
        ({"dtype": "flaot32"}, "^unknown profile dtype 'flaot32'; legal: .* Did you mean 'float32'"),
        ({"sampels": 2}, "^unknown profile field 'sampels'; legal: .* Did you mean 'n_samples'"),
        ({"sampels": None}, "unknown profile field 'sampels'"),
        ({"training": {"steps": 3}}, "training must be Training, got {'steps': 3}"),
    ],
)
def test_a_bad_value_of_a_profile_is_refused_by_name(changes, message):
    with pytest.raises(ConfigError, match=message):
        profile("pocket", **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "^steps=0 must be at least 1$"),
        ({"steps": None, "kl": -1.0}, "^kl=-1.0 must be at least 0$"),
        ({"kl": float("nan")}, "^kl=nan must be at least 0$"),
        ({"learning_rate": True}, "^learning_rate must be float, got True$"),
        ({"refill_rounds": 1001}, r"^refill_rounds=1001 must lie in \[0, 1000\]$"),
        ({"precision": "float16"}, "^unknown training precision 'float16'; legal: float32, bfloat16."),
        ({"gradient_checkpointing": 1}, "^gradient_checkpointing must be bool, got 1$"),
    ],
)
def test_a_bad_value_of_a_training_is_refused_by_name(changes, message):
    with pytest.raises(ConfigError, match=message):
        PROFILES["pocket"].training.override(**changes)


def test_a_missing_field_is_named():
    with pytest.raises(ConfigError, match="training field 'n_problems' is missing"):
        Training(steps=3)


def test_a_whole_number_is_a_float_and_none_changes_nothing():
    pocket = PROFILES["pocket"]
    training = pocket.training.override(learning_rate=1, steps=None)
    assert (training.learning_rate, training.steps) == (1.0, pocket.training.steps)
    assert pocket.override(temperature=None) == pocket


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_survives_json_and_pickle(name):
    original = PROFILES[name]
    values = json.loads(json.dumps(original.as_dict()))
    assert Profile(**{**values, "training": Training(**values["training"])}) == original
    assert pickle.loads(pickle.dumps(original)) == copy.deepcopy(original) == original


def test_values_never_change():
    with pytest.raises(ValueError, match="frozen"):
        PROFILES["pocket"].n_samples = 3


def test_the_order_of_the_dict_is_that_of_run_identities():
    values = PROFILES["pocket"].as_dict()
    assert list(values)[:3] == ["model", "problems", "n_problems"]
    assert list(values["training"])[:6] == [
        "n_problems", "steps", "problems_per_round", "group_size", "learning_rate", "temperature",
    ]  # fmt: skip
    assert list(values["training"])[-3:] == ["engine", "processes", "accelerate_config"]
