"""Run directories: atomic writes, guarded identities, and damage that is named."""

import errno
import json
import multiprocessing
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from effwb.errors import ConfigError, DataError, IdentityError
from effwb.runs import RunDir, write_atomic, write_parquet

FRAME = pd.DataFrame({"a": [1, 2], "text": ["x", "y"]})


def finished_run(path, identity=None):
    run = RunDir(path)
    with run.lock():
        run.begin("rollouts", identity or {"model": "pocket", "template": {"name": "pocket"}})
        run.fill("rollouts", [FRAME, FRAME], lambda part: part, unit="row", progress=False)
    return run


def test_round_trip(tmp_path):
    run = finished_run(tmp_path / "r")
    assert run.is_done("rollouts")
    assert len(run.read("rollouts")) == 4
    assert set(run.config["rollouts"]) == {"identity", "environment"}
    assert not list(run.path.rglob("*.tmp"))


def test_another_identity_is_refused_and_nothing_changes(tmp_path):
    run = finished_run(tmp_path / "r")
    before = (run.path / "config.json").read_bytes()
    with pytest.raises(IdentityError) as error:
        run.begin("rollouts", {"model": "pocket", "template": {"name": "boxed"}})
    assert "template.name: 'pocket' on disk, 'boxed' asked" in str(error.value)
    assert (run.path / "config.json").read_bytes() == before


def test_a_key_that_is_known_only_at_the_end(tmp_path):
    run = RunDir(tmp_path)
    run.begin("probes", {"rollouts": None, "n": 1}, pending=["rollouts"])
    run.fill("probes", [FRAME], lambda part: part, unit="row", progress=False)
    started = run.config["probes"]["environment"]
    with pytest.raises(IdentityError, match="n: 1 on disk, 2 asked"):
        run.begin("probes", {"rollouts": "ab", "n": 2}, pending=["rollouts"])
    run.begin("probes", {"rollouts": "ab", "n": 1}, pending=["rollouts"])
    assert run.config["probes"] == {"identity": {"rollouts": "ab", "n": 1}, "environment": started}
    with pytest.raises(IdentityError, match="rollouts: 'ab' on disk, 'cd' asked"):
        run.begin("probes", {"rollouts": "cd", "n": 1}, pending=["rollouts"])
    run.begin("probes", {"rollouts": None, "n": 1}, pending=["rollouts"])  # they are sampled again
    assert run.identity("probes") == {"rollouts": None, "n": 1}


def test_a_declaration_without_data_can_be_replaced(tmp_path):
    run = RunDir(tmp_path)
    run.begin("rollouts", {"n": 1})
    run.begin("rollouts", {"n": 2})
    assert run.config["rollouts"]["identity"] == {"n": 2}


def test_a_missing_or_cut_shard_is_named_and_can_be_restored(tmp_path):
    run = finished_run(tmp_path / "r")
    whole = run.shard("rollouts", 1).read_bytes()
    run.shard("rollouts", 1).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"00001\.parquet cannot be read"):
        run.read("rollouts")
    run.shard("rollouts", 1).unlink()
    with pytest.raises(DataError, match=r"lacks shards \[1\]"):
        run.read("rollouts")
    assert not run.is_done("rollouts")
    assert len(finished_run(tmp_path / "r").read("rollouts")) == 4


PEAK = """
import re, sys
from pathlib import Path
from effwb.runs import RunDir

def kilobytes(key):
    return int(re.search(key + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

run = RunDir(sys.argv[1])
run.read("rollouts", columns=["0"])  # imports, and memory that is allocated once
before = kilobytes("VmRSS")
frame = run.read("rollouts")
print(1024 * (kilobytes("VmHWM") - before) / frame.memory_usage().sum())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_a_table_is_not_held_twice_while_it_is_read(tmp_path):
    run, wide = RunDir(tmp_path), pd.DataFrame(np.zeros((250_000, 16), dtype=int)).add_prefix("")
    run.begin("rollouts", {})
    run.fill("rollouts", [wide] * 4, lambda part: part, unit="row", progress=False)
    command = [sys.executable, "-c", PEAK, str(tmp_path)]
    peak = float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    assert peak < 1.8  # times the memory of the DataFrame; 2.1 if memory held the table twice


@pytest.mark.parametrize("shards", [1, 2])
def test_a_table_that_was_read_can_be_written_to(tmp_path, shards):
    run = RunDir(tmp_path)
    run.begin("rollouts", {})
    run.fill("rollouts", [FRAME] * shards, lambda part: part, unit="row", progress=False)
    frame = run.read("rollouts", categories=["text"])
    frame.loc[0, "a"] = 5
    assert frame["a"].tolist() == [5, 2, 1, 2][: 2 * shards]


def test_an_unfinished_table_is_not_read_by_accident(tmp_path):
    run = finished_run(tmp_path / "r")
    (run.path / "rollouts" / "DONE").unlink()
    with pytest.raises(DataError, match="is not finished"):
        run.read("rollouts")
    assert len(run.read("rollouts", partial=True)) == 4


def test_a_run_with_other_tables_is_not_taken_over(tmp_path):
    run = finished_run(tmp_path / "r")
    run.begin("probes", {"budgets": [1]})
    run.fill("probes", [FRAME], lambda part: part, unit="row", progress=False)
    for file in (run.path / "rollouts").iterdir():
        file.unlink()
    with pytest.raises(IdentityError):
        run.begin("rollouts", {"model": "other"})


def test_reading_a_table_that_does_not_exist(tmp_path):
    with pytest.raises(DataError, match="has no probes"):
        finished_run(tmp_path / "r").read("probes")


def test_a_damaged_config_is_named(tmp_path):
    run = finished_run(tmp_path / "r")
    (run.path / "config.json").write_text("{ not json")
    with pytest.raises(DataError, match=r"config\.json is not valid JSON"):
        _ = run.config


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"shards": "2"}', '{"shards": null}', "\0\0"])
def test_a_damaged_done_marker_is_named(tmp_path, text):
    run = finished_run(tmp_path / "r")
    (run.path / "rollouts" / "DONE").write_text(text)
    for read in (run.read, run.is_done):
        with pytest.raises(DataError, match=r"rollouts/DONE .*delete it and run again"):
            read("rollouts")
    (run.path / "rollouts" / "DONE").unlink()
    assert len(finished_run(tmp_path / "r").read("rollouts")) == 4


@pytest.mark.parametrize("done", [True, False])
def test_data_without_its_config_is_not_taken_over(tmp_path, done):
    run = finished_run(tmp_path / "r")
    (run.path / "config.json").unlink()
    if not done:
        (run.path / "rollouts" / "DONE").unlink()
    with pytest.raises(DataError, match=r"config\.json does not say how rollouts .*restore it from a copy"):
        run.begin("rollouts", {"model": "other"})
    with pytest.raises(DataError, match="does not say how rollouts"):
        run.stored_identity("rollouts")


def test_a_config_that_was_edited_is_named(tmp_path):
    run = finished_run(tmp_path / "r", {"temperature": 1.0})
    file = run.path / "config.json"
    file.write_text(file.read_text().replace("1.0", "0.6"))
    with pytest.raises(DataError, match=r"config\.json was changed .*or delete its entry 'digest'"):
        run.identity("rollouts")
    config = json.loads(file.read_text())
    del config["digest"]
    file.write_text(json.dumps(config))  # as an older version wrote it
    assert run.identity("rollouts") == {"temperature": 0.6}


def test_a_shard_from_elsewhere_is_named(tmp_path):
    run = finished_run(tmp_path / "r")
    write_parquet(run.shard("rollouts", 2), FRAME)
    with pytest.raises(DataError, match=r"has 3 shards, but was finished with 2; remove 00002\.parquet"):
        run.read("rollouts")


def test_a_damaged_shard_is_named_before_a_table_is_continued(tmp_path):
    run = finished_run(tmp_path / "r", {"n": 1})
    run.shard("rollouts", 1).unlink()
    FRAME.iloc[:1].to_parquet(run.shard("rollouts", 0))
    with pytest.raises(DataError, match=r"00000\.parquet cannot be read: it was changed .*delete it"):
        run.begin("rollouts", {"n": 1})
    run.shard("rollouts", 0).unlink()
    assert len(finished_run(tmp_path / "r", {"n": 1}).read("rollouts")) == 4


def test_a_run_directory_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file is or lies in a file; give a directory"):
        finished_run(tmp_path / "file")
    with pytest.raises(DataError, match="has no rollouts"):
        RunDir(tmp_path / "file").read("rollouts")


def test_a_disk_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(ConfigError, match=r"cannot write .*Read-only.* copy it to another disk"):
        write_atomic(tmp_path / "f", b"new")


def _try_lock(path, queue):
    try:
        with RunDir(path).lock():
            queue.put("locked")
    except ConfigError as error:
        queue.put(str(error))


def test_two_processes_cannot_write_the_same_run(tmp_path):
    queue = multiprocessing.get_context("spawn").Queue()
    with RunDir(tmp_path / "r").lock():
        child = multiprocessing.get_context("spawn").Process(target=_try_lock, args=(tmp_path / "r", queue))
        child.start()
        child.join(60)
    assert "another process" in queue.get(timeout=5)


def test_write_atomic_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    target = tmp_path / "f"
    write_atomic(target, b"old")
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomic(target, b"new")
    assert target.read_bytes() == b"old"


def test_identity_survives_json(tmp_path):
    run = finished_run(tmp_path / "r", {"budgets": (1, 2), "hint": None})
    run.begin("rollouts", {"budgets": [1, 2], "hint": None})
    assert json.loads((run.path / "config.json").read_text())["schema"] == 1
