"""Damaged checkpoints are passed over, damaged metrics and models named; the resumed weights are the same."""

import json
import shutil

import numpy as np
import pytest

from effwb import models, problems, profiles
from effwb.errors import DataError, TrainingError
from effwb.runs import read_json
from effwb.training import read_metrics, train
from effwb.training.checkpoints import STATE, check_model, damage_of, newest_whole, seal, writing
from effwb.training.record import Record, done_marker
from effwb.training.run import TrainingRun

SETTINGS = dict(steps=3, problems_per_round=2, group_size=4, micro_batch=8, save_every=1)


def small(run_dir):
    easy = problems.load("pocket", 16, split="train")
    options = dict(profile=profiles.profile("pocket"), max_tokens=96, watch="none")
    return train("hapo", easy, run_dir=run_dir, **options, **SETTINGS)


def weights(model):
    from safetensors.numpy import load_file

    return load_file(f"{model}/model.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing happened to; read only."""
    return small(tmp_path_factory.mktemp("whole") / "r")


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A run that was killed after its last checkpoint, and has those of steps 2 and 3; read only."""
    folder = tmp_path_factory.mktemp("killed") / "r"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingRun, "_save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            small(folder)
    return folder


def delete(file):
    file.unlink()


def empty(file):
    file.write_bytes(b"")


def halve(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [delete, empty, halve, flip])
@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", STATE],
)
def test_every_damage_to_a_checkpoint_is_seen(killed, tmp_path, caplog, name, damage):
    folder = tmp_path / "checkpoints"
    shutil.copytree(killed / "train/checkpoints", folder)
    assert newest_whole(folder, 3).name == "checkpoint-3"
    damage(folder / "checkpoint-3" / name)
    assert newest_whole(folder, 3).name == "checkpoint-2"
    if (folder / "checkpoint-3" / STATE).exists():  # without it, it is one that a kill left half written
        assert "checkpoint-3 cannot be continued: " in caplog.text
        assert (
            f"{name} is damaged" in caplog.text
            or f"{name} is missing" in caplog.text
            or f"{name} changed" in caplog.text
        )
        assert "continuing from checkpoint-2" in caplog.text


@pytest.mark.long
@pytest.mark.parametrize("damage", [delete, flip])
def test_a_run_continues_from_the_newest_whole_checkpoint_to_the_same_weights(
    killed, whole, tmp_path, caplog, damage
):
    run = shutil.copytree(killed, tmp_path / "r")
    damage(run / "train/checkpoints/checkpoint-3/optimizer.pt")
    resumed = small(run)
    assert "continuing from checkpoint-2" in caplog.text
    for name, value in weights(whole.model).items():
        assert np.array_equal(value, weights(resumed.model)[name]), name
    columns = [c for c in whole.metrics if not c.startswith("time/")]
    assert resumed.metrics[columns].equals(whole.metrics[columns])


def test_none_is_whole(killed, tmp_path):
    run = shutil.copytree(killed, tmp_path / "r")
    for file in run.glob("train/checkpoints/*/optimizer.pt"):
        halve(file)
    with pytest.raises(
        DataError, match=r"checkpoint-3 .*optimizer\.pt changed.*checkpoint-2.*or delete .*chec"
    ):
        small(run)


def test_a_checkpoint_of_an_older_version_is_continued(tmp_path):
    (tmp_path / "checkpoint-2").mkdir()
    (tmp_path / "checkpoint-2" / STATE).write_text('{"step": 2, "design": {}}')
    assert damage_of(tmp_path / "checkpoint-2") is None
    seal(tmp_path / "checkpoint-2", step=2)
    assert read_json(tmp_path / "checkpoint-2" / STATE, "") == {"step": 2, "files": {}}


class TestMetrics:
    def test_steps_that_the_checkpoint_has_behind_it_are_missing(self, killed, tmp_path, caplog):
        folder = tmp_path / "train"
        shutil.copytree(killed / "train", folder)
        record = Record(folder / "metrics.jsonl")
        rows = record.path.read_text().splitlines(keepends=True)
        record.path.write_text("".join(rows[:2]) + rows[2][:20])  # the machine lost power
        assert newest_whole(folder / "checkpoints", record.steps()).name == "checkpoint-2"
        assert "metrics.jsonl has only 2 steps" in caplog.text
        record.path.unlink()
        with pytest.raises(DataError, match=r"metrics\.jsonl has only 0 steps"):
            newest_whole(folder / "checkpoints", record.steps())

    def test_a_damaged_line_is_named(self, killed, tmp_path):
        run = shutil.copytree(killed, tmp_path / "r")
        lines = (run / "train/metrics.jsonl").read_text().splitlines(keepends=True)
        (run / "train/metrics.jsonl").write_text(lines[0] + lines[1][9:] + lines[2])
        with pytest.raises(DataError, match=r"line 2 of .*metrics\.jsonl is damaged; restore it"):
            small(run)

    @pytest.mark.parametrize("change", ["edited", "shorter", "gone"])
    def test_those_of_a_finished_run_are_whole_or_refused(self, whole, tmp_path, change):
        file = shutil.copytree(whole.run_dir / "train", tmp_path / "train") / "metrics.jsonl"
        assert len(read_metrics(file)) == 3
        text = file.read_text()
        if change == "gone":
            file.unlink()
        else:
            file.write_text(text.replace('"step": 3', '"step": 4') if change == "edited" else text[:-200])
        with pytest.raises(
            DataError, match=r"metrics\.jsonl (was changed|is missing).*restore it from a copy"
        ):
            read_metrics(file)
        (tmp_path / "train/checksums.jsonl").unlink()  # as in an older version
        with pytest.raises(DataError, match=r"metrics\.jsonl lacks step \d of 3"):
            read_metrics(file)


class TestBehindTheDoneMarker:
    @pytest.mark.parametrize("damage", [delete, flip])
    @pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
    def test_a_damaged_model_is_named(self, whole, tmp_path, name, damage):
        run = shutil.copytree(whole.run_dir, tmp_path / "r")
        damage(run / "model" / name)
        match = rf"model/{name} (is missing|was changed).* delete .*train/DONE to train again"
        with pytest.raises(DataError, match=match):
            small(run)
        if name == "model.safetensors" and damage is flip:  # an evaluation of it would be of another model
            with pytest.raises(DataError, match=r"model\.safetensors was changed after it was written"):
                models.fingerprint(models.locate(str(run / "model")))

    def test_a_missing_model_is_named(self, whole, tmp_path):
        run = shutil.copytree(whole.run_dir, tmp_path / "r")
        shutil.rmtree(run / "model")
        with pytest.raises(
            DataError, match=r"model is missing, though .*DONE says .* restore it from a copy"
        ):
            small(run)

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"steps": "3", "design": {}}', '{"steps": 3}'])
    def test_a_damaged_marker_is_named(self, whole, tmp_path, text):
        run = shutil.copytree(whole.run_dir, tmp_path / "r")
        (run / "train/DONE").write_text(text)
        for read in (lambda: small(run), lambda: done_marker(run / "train")):
            with pytest.raises(DataError, match=r"train/DONE .*restore it from a copy, or delete it"):
                read()

    def test_an_edited_state_of_the_design_is_named(self, whole, tmp_path):
        run = shutil.copytree(whole.run_dir, tmp_path / "r")
        marker = done_marker(run / "train")
        edited = (run / "train/DONE").read_text().replace('"steps": 3', '"steps": 2')
        (run / "train/DONE").write_text(edited)
        with pytest.raises(DataError, match=r"train/DONE was changed after it was written"):
            done_marker(run / "train")
        (run / "train/DONE").write_text(json.dumps(marker))  # as an older version wrote it
        assert done_marker(run / "train") == marker

    def test_a_finished_run_is_read_on_a_disk_that_cannot_be_written(self, whole, copy_read_only):
        again = small(copy_read_only(whole.run_dir))
        assert again.state == whole.state
        assert again.metrics.equals(whole.metrics)

    def test_a_model_of_an_older_version_is_read(self, whole, tmp_path):
        model = shutil.copytree(whole.model, tmp_path / "model")
        (model / "checksums.jsonl").unlink()
        check_model(model, tmp_path / "DONE")
        assert models.fingerprint(models.locate(str(model)))


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("I/O error (os error 28)")]
)
def test_a_directory_that_cannot_be_written_is_named(error, tmp_path):
    with (
        pytest.raises(TrainingError, match=rf"{tmp_path} could not be written.*make room"),
        writing(tmp_path),
    ):
        raise error
    with pytest.raises(ValueError, match="another"), writing(tmp_path):
        raise ValueError("another error")
