"""What lies below an ordinary run root, and by which settings its runs can be chosen."""

import pytest

from effwb.analysis.run_root import base_model, folders_of_runs, settings_of, survey
from effwb.errors import ConfigError
from tests.messy_root import TRAININGS, write_training


@pytest.fixture(scope="module")
def content(messy):
    return survey(messy)


def test_every_run_is_in_one_place(content):
    assert len(content.finished) == 12
    assert {"free", "more/a-low", "qwen/free", "training/pocket/vanilla-seed0"} <= content.finished.keys()
    assert list(content.finished) == sorted(content.finished)
    assert content.unfinished == {
        "lost": "has lost files; `effwb check` names them",
        "under-way": "not finished: shards so far 2 of rollouts and 2 of probes",
        "training/pocket/gdpo-seed0": "trained, not evaluated",
        "training/pocket/lead-seed0": "training, not finished",
    }


def test_trainings_have_their_metrics(content):
    names = [*TRAININGS, "gdpo-seed0", "lead-seed0"]
    assert list(content.trainings) == sorted(f"training/pocket/{name}" for name in names)
    under_way = content.trainings["training/pocket/lead-seed0"]
    assert not under_way.finished
    assert (under_way.info.design, under_way.info.seed, len(under_way.metrics())) == ("lead", 0, 6)


def test_a_damaged_config_is_a_reason(tmp_path):
    write_training(tmp_path / "a", "kimi")
    (tmp_path / "a/config.json").write_text("{")
    assert "is not valid JSON" in survey(tmp_path).unfinished["a"]


def test_a_config_that_lacks_a_part_is_a_reason(tmp_path):
    write_training(tmp_path / "a", "kimi")
    (tmp_path / "a/config.json").write_text('{"train": {"identity": {"model": "pocket"}}}')
    assert survey(tmp_path).unfinished["a"] == "config.json is damaged: KeyError('design')"


def test_what_a_warm_start_learned_from_is_no_run():
    assert folders_of_runs(["warm_start", "think", "empty", "model", "b", "a"]) == ["a", "b"]
    assert folders_of_runs(["think", "empty"]) == ["empty", "think"]


def test_no_directory(tmp_path):
    with pytest.raises(ConfigError, match="no directory"):
        survey(tmp_path / "none")


def test_the_model_behind_a_chain_of_trainings(messy, tmp_path):
    assert base_model(messy / "qwen/free") == "Qwen/Qwen3-8B"
    assert base_model(messy / "training/pocket/kimi_weight=0.5-seed0/eval") == "pocket"
    write_training(tmp_path / "first", "lapo_discovery")
    write_training(tmp_path / "second", "lapo_internalization", model="first")
    assert base_model(tmp_path / "second") == "pocket"


def test_settings(content):
    training = content.trainings["training/pocket/kimi_weight=0.5-seed1"]
    settings = settings_of(training.folder / "eval", training.info)
    assert (settings["design"], settings["seed"], settings["weight"]) == ("kimi", 1, 0.5)
    assert settings["base"] == "pocket"
    assert (settings["settings.learning_rate"], settings["temperature"]) == (1e-3, 1.0)
