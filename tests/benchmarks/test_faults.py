"""The fault bench draws the same faults every time, judges them as it says, and runs at a small size."""

import errno
import json
import random

import pytest

from benchmarks.faults import __main__ as command
from benchmarks.faults.bench import KINDS, LOST, VERDICTS, draw, read_lines
from benchmarks.faults.files import CHANGES, damage
from benchmarks.faults.judge import judge
from benchmarks.faults.values import COMMANDS, all_wrong
from effwb.errors import ConfigError, DataError


def test_the_faults_are_decided_by_count_and_seed():
    faults = draw(1000, 0)
    assert faults == draw(1000, 0) != draw(1000, 1)
    assert len(faults) >= 1000
    assert len({(fault.kind, fault.number) for fault in faults}) == len(faults)
    assert {fault.kind for fault in draw(1, 0)} == set(KINDS)
    assert {fault.kind for fault in draw(50, 0, ["kill"])} == {"kill"}
    with pytest.raises(ConfigError, match="unknown kind of fault 'kil'"):
        draw(10, 0, ["kil"])


def test_a_bench_of_a_thousand_tries_every_wrong_value_and_command():
    counts = {kind: sum(fault.kind == kind for fault in draw(1000, 0)) for kind in KINDS}
    assert counts["wrong value"] >= 200
    assert counts["command line"] >= len(COMMANDS)
    assert len(all_wrong()) > 250


def _fails(error):
    raise error


@pytest.mark.parametrize(
    ("action", "verdict"),
    [
        (lambda: 7, "right"),
        (lambda: 8, "silently wrong"),
        (lambda: _fails(DataError("rollouts/00001.parquet is damaged")), "named"),
        (lambda: _fails(DataError("something is damaged")), "raw"),
        (lambda: _fails(OSError(errno.ENOSPC, "no space left on device")), "named"),
        (lambda: _fails(OSError(errno.EIO, "input/output error")), "raw"),
        (lambda: _fails(ValueError("rollouts")), "raw"),
        (lambda: _fails(KeyboardInterrupt()), "raw"),
    ],
)
def test_verdicts(action, verdict):
    assert judge("a fault", action, lambda result: result == 7, ["rollouts"]).verdict == verdict
    assert verdict in VERDICTS


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_alters_the_file(change, tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"a": {"b": 1}}')
    before = file.read_bytes()
    assert damage(random.Random(0), file, change)
    assert not file.exists() or file.read_bytes() != before


@pytest.mark.long
def test_a_small_bench_loses_nothing_and_continues(tmp_path):
    only = (
        "finished evaluation,unfinished evaluation,checkpoint,finished training,command line,hostile answer"
    )
    output = tmp_path / "faults.json"
    options = [
        "run",
        "--root",
        str(tmp_path / "runs"),
        "--output",
        str(output),
        "--only",
        only,
        "--jobs",
        "1",
    ]
    command.main([*options, "--count", "8"])
    lines = read_lines(tmp_path / "runs/0.jsonl")
    assert {line["kind"] for line in lines} == set(only.split(","))
    assert [line for line in lines if line["verdict"] in LOST] == []
    (tmp_path / "runs/0.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines[:-1]) + '{"kind": "che'
    )
    command.main([*options, "--count", "8"])
    again = read_lines(tmp_path / "runs/0.jsonl")
    assert [line["fault"] for line in again] == [line["fault"] for line in lines]
    assert json.loads(output.read_text())["faults"] == len(lines)
