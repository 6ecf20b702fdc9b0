"""Ctrl-C during training: where it stops, what is saved, and that the next run ends in the same weights."""

import os
import signal

import numpy as np
import pytest

from effwb import problems, profiles
from effwb.designs import fit_design
from effwb.errors import Interrupted
from effwb.training import train
from effwb.training.checkpoints import damage_of, sealed
from effwb.training.record import Record, interruption
from effwb.training.rounds import Collector
from effwb.training.run import TrainingRun
from effwb.training.trainer import GroupTrainer

SETTINGS = dict(steps=4, problems_per_round=2, group_size=4, micro_batch=8, save_every=4)


@pytest.fixture(scope="module")
def easy():
    return problems.load("pocket", 16, split="train")


def small(run_dir, easy, design="hapo", **settings):
    options = dict(profile=profiles.profile("pocket"), max_tokens=48, watch="none")
    return train(design, easy, run_dir=run_dir, **options, **{**SETTINGS, **settings})


@pytest.fixture(scope="module")
def whole(easy, tmp_path_factory):
    """The run that nothing happened to, with two updates per round; read only."""
    return small(tmp_path_factory.mktemp("whole") / "r", easy, updates_per_round=2)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def at_call(patch, owner, name, number, times=1):
    """Send SIGINT before the call of a method with this number, counted from 1."""
    original, calls = getattr(owner, name), []

    def call(self, *args, **options):
        calls.append(name)
        if len(calls) == number:
            for _ in range(times):
                interrupt()
        return original(self, *args, **options)

    patch.setattr(owner, name, call)


def weights(result):
    from safetensors.numpy import load_file

    return load_file(f"{result.model}/model.safetensors")


def assert_same(result, whole):
    for name, value in weights(whole).items():
        assert np.array_equal(value, weights(result)[name]), name
    columns = [c for c in whole.metrics if not c.startswith("time/")]
    assert result.metrics[columns].equals(whole.metrics[columns])
    assert result.state == whole.state


def checkpoint_steps(run_dir):
    return [folder.name for folder in sealed(run_dir / "train" / "checkpoints")]


def test_while_a_round_is_sampled_it_stops_at_once_and_saves(easy, whole, tmp_path, monkeypatch):
    run = tmp_path / "r"
    with monkeypatch.context() as patch:
        at_call(patch, Collector, "_graded", 2)
        with pytest.raises(
            Interrupted, match=r"^hapo, seed 0: interrupted at step 2; the next run continues from step 2$"
        ):
            small(run, easy, updates_per_round=2)
    assert checkpoint_steps(run) == ["checkpoint-2"]
    assert damage_of(run / "train/checkpoints/checkpoint-2") is None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert_same(small(run, easy, updates_per_round=2), whole)


def test_in_an_update_it_stops_after_the_round_and_saves(easy, whole, tmp_path, monkeypatch, capsys):
    run = tmp_path / "r"
    with monkeypatch.context() as patch:
        at_call(patch, GroupTrainer, "compute_loss", 1)
        with pytest.raises(Interrupted, match=r"interrupted at step 2; the next run continues from step 2$"):
            small(run, easy, updates_per_round=2)
    assert "stopping after the updates of this round" in capsys.readouterr().err
    assert checkpoint_steps(run) == ["checkpoint-2"]
    assert_same(small(run, easy, updates_per_round=2), whole)


def test_a_second_interrupt_stops_in_the_middle_of_an_update_and_saves_nothing(
    easy, whole, tmp_path, monkeypatch
):
    run = tmp_path / "r"
    with monkeypatch.context() as patch:
        at_call(patch, GroupTrainer, "compute_loss", 2, times=2)
        message = r"interrupted at step 1; the next run continues from step 0 \(checkpoints every 4\)$"
        with pytest.raises(Interrupted, match=message):
            small(run, easy, updates_per_round=2)
    assert checkpoint_steps(run) == []
    assert_same(small(run, easy, updates_per_round=2), whole)


@pytest.mark.slow
def test_an_interrupt_in_the_last_update_leaves_a_run_that_the_next_call_finishes(
    easy, whole, tmp_path, monkeypatch
):
    run = tmp_path / "r"
    with monkeypatch.context() as patch:
        at_call(patch, GroupTrainer, "compute_loss", 4)
        with pytest.raises(Interrupted, match=r"interrupted at step 4; the next run continues from step 4$"):
            small(run, easy, updates_per_round=2)
    assert not (run / "train/DONE").exists()
    assert_same(small(run, easy, updates_per_round=2), whole)


@pytest.mark.slow
def test_before_the_first_step_and_while_the_model_is_saved(easy, tmp_path, monkeypatch):
    run = tmp_path / "r"
    with monkeypatch.context() as patch:
        at_call(patch, Collector, "_graded", 1)
        with pytest.raises(Interrupted, match=r"interrupted at step 0; the next run continues from step 0$"):
            small(run, easy, steps=1, save_every=1)
    assert checkpoint_steps(run) == []
    with monkeypatch.context() as patch:
        at_call(patch, TrainingRun, "_save", 1)
        with pytest.raises(Interrupted, match=r"interrupted at step 1; the next run continues from step 1$"):
            small(run, easy, steps=1, save_every=1)
    assert small(run, easy, steps=1, save_every=1).metrics["step"].tolist() == [1]


@pytest.mark.slow
def test_when_the_targets_have_moved_already_it_stops_after_the_round(easy, tmp_path, monkeypatch):
    """The monitoring set of laser_d changes its state before the round is sampled: no moment to save."""

    def monitored(run_dir):
        design = fit_design("laser_d", 48, monitor="held_out", every=1)
        options = dict(profile=profiles.profile("pocket"), max_tokens=48, watch="none")
        monitor, rest = easy.select([0, 1]), easy.select(range(2, 16))
        return train(design, rest, run_dir=run_dir, monitor=monitor, **options, **SETTINGS)

    with monkeypatch.context() as patch:
        at_call(patch, Collector, "_graded", 3)  # round 0, the monitoring set, round 1
        with pytest.raises(Interrupted, match=r"interrupted at step 2; the next run continues from step 2"):
            monitored(tmp_path / "r")
    assert_same(monitored(tmp_path / "r"), monitored(tmp_path / "whole"))


@pytest.mark.slow
def test_before_the_trainer_is_ready_it_stops_at_the_first_round(easy, tmp_path, monkeypatch):
    at_call(monkeypatch, Collector, "collect", 2)  # never reached
    at_call(monkeypatch, GroupTrainer, "_generate_and_score_completions", 1)
    with pytest.raises(Interrupted, match=r"interrupted at step 0"):
        small(tmp_path / "r", easy, steps=1, save_every=1)


def test_no_checkpoint_of_several_processes_is_saved_on_interrupt(easy, tmp_path, monkeypatch):
    run = tmp_path / "r"
    with monkeypatch.context() as patch:
        patch.setattr("effwb.training.interrupts.world_size", lambda: 2)
        at_call(patch, Collector, "_graded", 2)
        with pytest.raises(Interrupted, match=r"interrupted at step 1; the next run continues from step 0"):
            small(run, easy)
    assert checkpoint_steps(run) == []


def test_the_message_of_a_run_that_is_finished(tmp_path):
    (tmp_path / "DONE").write_text("{}")
    settings = profiles.profile("pocket").training
    assert interruption(tmp_path, settings) == "interrupted when it was done; the next run reads it back"
    (tmp_path / "DONE").unlink()
    for step in (1, 2, 3):
        Record(tmp_path / "metrics.jsonl").add({"step": step})
    settings = settings.override(save_every=20)
    expected = "interrupted at step 3; the next run continues from step 0 (checkpoints every 20)"
    assert interruption(tmp_path, settings) == expected
