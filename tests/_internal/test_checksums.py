"""Checksums of files: every changed byte is named, and only what is read is verified."""

import numpy as np
import pandas as pd
import pytest

from effwb._internal import checksums
from effwb.errors import DataError
from effwb.runs import read_parquet, write_parquet

FRAME = pd.DataFrame(
    {"problem_id": ["a", "a", "b"], "verdict": ["correct", "wrong", "wrong"], "ids": [[1, 2], [3], []]}
)


@pytest.fixture
def table(tmp_path):
    write_parquet(tmp_path / "00000.parquet", FRAME)
    return tmp_path / "00000.parquet"


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1 << place % 8
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("start", range(4))
def test_flipped_bytes_are_named(table, start):
    whole = table.read_bytes()
    for place in range(4 + start, len(whole), 29):  # after the mark at the beginning, which nobody reads
        flip(table, place)
        with pytest.raises(DataError, match=r"00000\.parquet cannot be read: .*delete it and run again"):
            read_parquet(table)
        table.write_bytes(whole)
    assert read_parquet(table)["verdict"].tolist() == FRAME["verdict"].tolist()


@pytest.mark.parametrize("size", [0, 5, 11, 200])
def test_a_cut_file_is_named(table, size):
    table.write_bytes(table.read_bytes()[:size])
    with pytest.raises(DataError, match=r"00000\.parquet cannot be read"):
        read_parquet(table)


def test_only_the_columns_that_are_read_are_verified(table):
    flip(table, table.read_bytes().index(b"correct"))
    assert read_parquet(table, ["problem_id"])["problem_id"].tolist() == ["a", "a", "b"]
    with pytest.raises(DataError, match="checksum of its column verdict"):
        read_parquet(table, ["problem_id", "verdict"])


def test_a_table_that_another_program_wrote_is_named(table):
    FRAME.assign(verdict="correct").to_parquet(table, index=False)
    with pytest.raises(DataError, match="was changed after it was written"):
        read_parquet(table, ["verdict"])
    write_parquet(table, FRAME.assign(verdict="correct"))
    assert read_parquet(table)["verdict"].tolist() == ["correct"] * 3


def test_without_a_record_the_checksums_of_pages_are_verified(table):
    (table.parent / checksums.FILE).unlink()
    read_parquet(table)
    flip(table, table.read_bytes().index(b"correct"))
    with pytest.raises(DataError, match=r"00000\.parquet cannot be read .*CRC"):
        read_parquet(table)


def test_a_file_of_an_older_version_is_read(tmp_path):
    FRAME.to_parquet(tmp_path / "old.parquet", index=False)
    assert len(read_parquet(tmp_path / "old.parquet")) == 3


def test_a_kill_before_the_file_gets_its_name_loses_nothing(table, monkeypatch):
    new = table.with_name("00001.parquet")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_parquet(new, FRAME)
    monkeypatch.undo()
    assert not new.exists()
    write_parquet(new, FRAME.iloc[:1])
    assert len(read_parquet(new)) == 1
    assert len(read_parquet(table)) == 3


def test_a_damaged_record_is_named_or_not_used(table):
    record = table.parent / checksums.FILE
    whole, rng = record.read_bytes(), np.random.default_rng(0)
    for place in rng.choice(len(whole), 60, replace=False):
        flip(record, int(place))
        message = ""
        try:
            assert read_parquet(table)["verdict"].tolist() == FRAME["verdict"].tolist()
        except DataError as error:
            message = str(error)
        assert not message or "00000.parquet" in message or checksums.FILE in message
        record.write_bytes(whole)
    for size in (0, len(whole) // 2):
        record.write_bytes(whole[:size])
        assert len(read_parquet(table)) == 3


def test_whole_files(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text("one")
    checksums.verify_file(file)  # there is no record yet
    checksums.record_file(file)
    checksums.verify_file(file)
    file.write_text("two!")
    with pytest.raises(checksums.Damaged, match="was changed"):
        checksums.verify_file(file)
    file.unlink()
    with pytest.raises(checksums.Damaged, match="is missing"):
        checksums.verify_file(file)
