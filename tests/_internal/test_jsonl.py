"""Files with an object per line: half a line at the end is no line, damage elsewhere is named."""

import pytest

from effwb._internal.jsonl import append_line, read_lines
from effwb.errors import DataError


def test_half_a_line_is_skipped_and_then_cut_off(tmp_path):
    file = tmp_path / "a.jsonl"
    append_line(file, {"step": 1})
    for tail in ('{"step": 2, "lo', "\0\0\0"):
        with open(file, "a") as stream:
            stream.write(tail)
        assert read_lines(file, "") == [{"step": 1}]
    append_line(file, {"step": 2})
    assert read_lines(file, "") == [{"step": 1}, {"step": 2}]


def test_a_last_line_without_its_line_break_counts_if_it_is_whole(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"step": 1}\n{"step": 2}')
    assert len(read_lines(tmp_path / "a.jsonl", "")) == 2


@pytest.mark.parametrize("line", ["{", "[1]", "", "\0"])
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path / "a.jsonl").write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
    with pytest.raises(DataError, match=r"line 2 of .*a\.jsonl is damaged; buy another disk"):
        read_lines(tmp_path / "a.jsonl", "buy another disk")


def test_no_file_has_no_lines(tmp_path):
    assert read_lines(tmp_path / "none.jsonl", "") == []
