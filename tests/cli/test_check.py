"""`effwb check`: whole runs are called whole, every damage is named with its remedy and the exit status 1."""

import shutil

import pandas as pd
import pytest

from effwb import sweep
from effwb.cli import main
from effwb.runs import RunDir, write_atomic
from effwb.training.checkpoints import seal
from effwb.training.record import Record, mark_done


def check(capsys, *folders):
    """The exit status and the output."""
    capsys.readouterr()
    return main(["check", *map(str, folders)]), capsys.readouterr().out


def test_whole_evaluations(finished, capsys):
    status, output = check(capsys, finished)
    assert status == 0
    assert f"{finished / 'free'}: evaluation, whole" in output
    assert "0 of 2 damaged" in output


def test_an_evaluation_that_is_not_finished_is_not_damaged(finished, tmp_path, capsys):
    run = shutil.copytree(finished / "free", tmp_path / "free")
    (run / "probes/DONE").unlink()
    status, output = check(capsys, run)
    assert status == 0
    assert "not finished; the command that started it continues it" in output


def edit(file):
    frame = pd.read_parquet(file)
    frame.assign(**{"verdict" if "verdict" in frame else "answer": "0"}).to_parquet(file, index=False)


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("rollouts/00000.parquet", edit, "cannot be read: it was changed after it was written"),
        ("probes/00000.parquet", lambda file: file.write_bytes(b""), "cannot be read"),
        ("probes/00000.parquet", lambda file: file.unlink(), "has no probes"),
        ("problems.parquet", edit, "delete it and run again to restore it"),
        ("problems.parquet", lambda file: file.unlink(), "is missing; run again to restore it"),
        ("rollouts/DONE", lambda file: file.write_text("{}"), "does not say how many shards there are"),
        ("config.json", lambda file: file.unlink(), "restore it from a copy"),
        ("config.json", lambda file: file.write_text("{"), "is not valid JSON"),
    ],
)
def test_damaged_evaluations(finished, tmp_path, capsys, file, damage, message):
    run = shutil.copytree(finished / "free", tmp_path / "free")
    damage(run / file)
    status, output = check(capsys, run)
    assert status == 1
    assert f"{run}: evaluation, DAMAGED" in output
    assert message in output
    assert "1 of 1 damaged" in output


def test_probes_of_other_rollouts_with_the_same_lengths(finished, tmp_path, capsys):
    run = RunDir(shutil.copytree(finished / "free", tmp_path / "free"))
    config = run.config
    config["probes"]["identity"]["rollouts"] = "0123456789ab"
    run.write_config(config)
    status, output = check(capsys, run.path)
    assert status == 1
    assert "probes was made from other rollouts than those beside it; delete it and run again" in output


def make_training(folder, done=True):
    """Something like a training of two steps."""
    run, train = RunDir(folder), folder / "train"
    with run.lock():
        run.begin("train", {"design": {"name": "kimi"}})
    for step in (1, 2):
        Record(train / "metrics.jsonl").add({"step": step})
        checkpoint = train / "checkpoints" / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        write_atomic(checkpoint / "optimizer.pt", bytes([step]))
        seal(checkpoint, step=step)
    if done:
        shutil.rmtree(train / "checkpoints")
        (folder / "model").mkdir()
        mark_done(train, steps=2, design={})
    return folder


def test_trainings(tmp_path, capsys):
    make_training(tmp_path / "done")
    make_training(tmp_path / "killed", done=False)
    status, output = check(capsys, tmp_path / "done", tmp_path / "killed")
    assert (status, output.count("training, ")) == (0, 2)
    assert "killed: training, not finished" in output

    shutil.rmtree(tmp_path / "done/model")
    (tmp_path / "killed/train/checkpoints/checkpoint-2/optimizer.pt").unlink()
    status, output = check(capsys, tmp_path)
    assert status == 1
    assert "model is missing, though" in output
    assert "checkpoint-2: optimizer.pt is missing; delete it, and the training continues from" in output


@pytest.mark.long
def test_a_sweep(tmp_path, capsys):
    import nbformat

    cells = [nbformat.v4.new_code_cell(text) for text in ("number = 1  # any", "assert number")]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(content, tmp_path / "tiny.ipynb")
    sweep.run(tmp_path / "tiny.ipynb", {"number": [0, 1]}, tmp_path / "out", progress=False)
    status, output = check(capsys, tmp_path / "out")
    assert (status, output.count("point of a sweep, ")) == (0, 2)
    (tmp_path / "out/number=1/DONE").write_text("")
    (copy,) = (tmp_path / "out").glob("*.ipynb")
    copy.write_text("{}")
    status, output = check(capsys, tmp_path / "out")
    assert status == 1
    assert "number=1/DONE is not valid JSON" in output
    assert "delete it and start the sweep again" in output


def test_nothing_to_check(tmp_path, capsys):
    assert main(["check", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err
