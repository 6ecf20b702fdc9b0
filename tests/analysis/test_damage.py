"""A finished evaluation is read whole or refused, with and without checksums, and from a read-only disk."""

import shutil

import pandas as pd
import pytest

from effwb import evaluation, profiles
from effwb.analysis import RunSet
from effwb.analysis.finished import describe_run, read_evaluation
from effwb.cli import main
from effwb.errors import ConfigError, DataError
from effwb.rollouts import regrade
from effwb.runs import RunDir
from tests.made_up import write_evaluation

PROFILE = profiles.profile("pocket", n_samples=2, max_tokens=64)


@pytest.fixture(params=["with checksums", "of an older version"])
def run(request, finished, tmp_path):
    """A copy of a finished evaluation, with and without its checksums."""
    shutil.copytree(finished / "free", tmp_path / "free")
    if request.param == "of an older version":
        for file in tmp_path.rglob("checksums.jsonl"):
            file.unlink()
    return RunDir(tmp_path / "free")


def edit(file, change):
    """Change a table as another program would."""
    change(pd.read_parquet(file)).to_parquet(file, index=False)


def refuse(run, match):
    """No reader of a finished evaluation takes it."""
    readers = (
        lambda: read_evaluation(run.path),
        lambda: RunSet.find(run.path).reg(),
        lambda: RunSet.find(run.path).opinions("free"),
        lambda: regrade(run.path),
    )
    for read in readers:
        with pytest.raises(DataError, match=match):
            read()


def test_a_shard_with_only_its_right_rows_is_refused(run):
    edit(run.shard("rollouts", 0), lambda rows: rows[rows["verdict"] == "correct"])
    refuse(run, r"00000\.parquet|does not hold 14 problems x 2 samples: sample \d of .* is there 0 times")


def test_rows_that_are_there_twice_are_refused(run):
    edit(run.shard("rollouts", 0), lambda rows: pd.concat([rows, rows.iloc[:1]]))
    refuse(run, r"00000\.parquet|sample 0 of .* is there 2 times; delete 00000\.parquet")


def test_rows_of_another_run_are_refused(run):
    edit(run.shard("rollouts", 0), lambda rows: rows.assign(problem_id=[f"x{p}" for p in rows["problem_id"]]))
    refuse(run, r"00000\.parquet|sample \d of 'x.*' is of another run")


def test_edited_golds_are_refused(run, few, pocket):
    edit(run.path / "problems.parquet", lambda problems: problems.assign(answer="0"))
    match = r"problems\.parquet (cannot be read: it was changed|holds other questions or golds).*delete it"
    refuse(run, match)
    (run.path / "rollouts" / "DONE").unlink()
    with pytest.raises(DataError, match=match):  # before anything is sampled
        evaluation.evaluate(few, pocket, PROFILE, run_dir=run.path, progress=False)
    (run.path / "problems.parquet").unlink()
    restored = evaluation.evaluate(few, pocket, PROFILE, run_dir=run.path, progress=False)
    assert restored.summary()["accuracy"] == read_evaluation(run.path).summary()["accuracy"]


def test_superfluous_forced_answers_are_refused(run):
    edit(run.shard("probes", 0), lambda rows: pd.concat([rows, rows.iloc[:1].assign(sample=5)]))
    with pytest.raises(DataError, match=r"00000\.parquet|probes holds \d+ forced answers, but the rollouts"):
        read_evaluation(run.path)


def test_an_edited_verdict_is_found_by_its_checksum(finished, tmp_path):
    for table in ("rollouts", "probes"):
        run = RunDir(shutil.copytree(finished / "free", tmp_path / table))
        edit(run.shard(table, 0), lambda rows: rows.assign(verdict="correct"))
        with pytest.raises(DataError, match=rf"{table}/00000\.parquet cannot be read: it was changed"):
            read_evaluation(run.path)


def test_a_shard_of_another_run_is_found_by_its_checksum(finished, tmp_path):
    run = RunDir(shutil.copytree(finished / "free", tmp_path / "free"))
    shutil.copy(finished / "low/probes/00000.parquet", run.shard("probes", 0))
    with pytest.raises(DataError, match=r"probes/00000\.parquet cannot be read: it was changed"):
        read_evaluation(run.path)


def test_a_lost_shard_leaves_the_run_out_with_a_warning(tmp_path, caplog):
    write_evaluation(tmp_path / "whole")
    (write_evaluation(tmp_path / "lost") / "probes" / "00000.parquet").unlink()
    assert RunSet.find(tmp_path).names == ["whole"]
    assert f"{tmp_path / 'lost'} is left out: it has lost files; see `effwb check`" in caplog.text


def test_a_missing_config_is_named(tmp_path):
    (write_evaluation(tmp_path / "one") / "config.json").unlink()
    for read in (read_evaluation, lambda folder: RunSet.find(folder).methods):
        with pytest.raises(DataError, match=r"config\.json does not say how .* were made; restore it"):
            read(tmp_path / "one")


def test_a_read_only_disk_is_read_by_everything(copy_read_only, finished, few, pocket, tmp_path, capsys):
    read_only, whole = copy_read_only(finished), read_evaluation(finished / "free").summary()
    again = evaluation.evaluate(few, pocket, PROFILE, run_dir=read_only / "free", progress=False)
    assert again.summary() == whole
    assert RunSet.find(read_only)["free"].texts()["text"].notna().all()
    for command in (["reg", str(read_only)], ["regrade", str(read_only / "free")], ["check", str(read_only)]):
        assert main(command) == 0
    assert main(["report", str(read_only), "-o", str(tmp_path / "report.html")]) == 0
    capsys.readouterr()
    arguments = ["--n-problems", "14", "--n-samples", "2", "--max-tokens", "64", "--problems", "pocket"]
    with pytest.raises(SystemExit):
        main(["eval", "-o", str(read_only / "new"), *arguments])
    assert "is read-only" in capsys.readouterr().err
    assert main(["eval", "-o", str(read_only), *arguments]) == 2
    assert "Read-only" in capsys.readouterr().err


def test_a_run_directory_that_is_a_file_is_named_before_anything_is_sampled(few, pocket, tmp_path):
    (tmp_path / "file").touch()
    for write in (
        lambda: evaluation.evaluate(few, pocket, PROFILE, run_dir=tmp_path / "file", progress=False),
        lambda: describe_run(tmp_path / "file", {"method": "mine", "seed": 0}),
    ):
        with pytest.raises(ConfigError, match="file is or lies in a file; give a directory"):
            write()
