"""The table of a sweep while it runs: how far each point has come, and the time left."""

import json

import pytest

from effwb._internal import progress as lines_of_progress
from effwb._internal.progress import notebook_line
from effwb.runs import RunDir
from effwb.sweep import board
from effwb.sweep.board import PointProgress, ProgressBoard, point_progress
from effwb.sweep.local import Event
from effwb.sweep.point import SweepPoint
from tests.training.test_progress import Cell


def write_training(point, name, step, steps=20, done=False):
    """A training below a point that has come to a step."""
    run = RunDir(point.folder / "runs" / name)
    run.path.mkdir(parents=True, exist_ok=True)
    run.begin("train", {"settings": {"steps": steps}})
    rows = [{"step": s, "accuracy": 0.1 * s} for s in range(1, step + 1)]
    (run.path / "train/metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if done:
        (run.path / "train/DONE").write_text("{}")


@pytest.fixture
def points(tmp_path, monkeypatch):
    """Four points of a sweep; each trains twice."""
    monkeypatch.setattr(board, "_trainings_of", lambda point: 2)
    for name in "abcd":
        (tmp_path / name).mkdir()
    return [SweepPoint(tmp_path / name) for name in "abcd"]


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [0.0]
    monkeypatch.setattr(board.time, "monotonic", lambda: now[0])
    return now


def test_the_progress_of_a_point_is_read_from_its_trainings(points):
    assert point_progress(points[0].folder) is None
    write_training(points[0], "first", 20, done=True)
    write_training(points[0], "second", 5)
    found = point_progress(points[0].folder)
    assert found == PointProgress(finished=1, step=5, steps=20, accuracy=0.5)
    assert found.trained == 1.25
    (points[0].folder / "runs/second/train/metrics.jsonl").write_text('{"step": ')  # being written
    assert point_progress(points[0].folder) is None


def test_an_offline_training_has_steps_too(points):
    """5 rows in batches of 2 are 3 updates of an epoch, and 6 of two; there are no rollouts."""
    run = RunDir(points[0].folder / "runs/first")
    run.path.mkdir(parents=True)
    run.begin("train", {"settings": {"epochs": 2, "batch_size": 2}})
    (run.path / "train/examples.json").write_text('{"rows": 5}')
    (run.path / "train/metrics.jsonl").write_text('{"step": 1}\n')
    assert point_progress(points[0].folder) == PointProgress(finished=0, step=1, steps=6, accuracy=None)


def test_running_points_are_counted_and_shown_with_the_time_left(points, clock, capsys):
    table = ProgressBoard(points, visible=True)
    for point in points[:2]:
        table.update(Event("started", point))
    clock[0] = 19
    table.refresh()
    heading, *rows = capsys.readouterr().err.splitlines()
    assert heading.split() == ["time", "done", "running", "failed", "to", "do", "left"]
    assert [row.split()[:6] for row in rows] == [
        ["0:00", "0", "0", "0", "4", "?"],
        ["0:00", "0", "1", "0", "3", "?"],
        ["0:00", "0", "2", "0", "2", "?"],
    ]
    write_training(points[0], "first", 10)  # a quarter of the point
    clock[0] = 20
    table.refresh()
    counts, first, second = capsys.readouterr().err.splitlines()
    # a needs 80 s in all, so 60 more; so do the two that wait; two run at a time: (60 + 80 - 20 + 2 x 80) / 2
    assert counts.split() == ["0:20", "0", "2", "0", "2", "2:20"]
    assert first == "        a: step 10 of 20, accuracy 1.000, 1:00 left"
    assert second == "        b: no step yet after 0:20"
    clock[0] = 39
    table.refresh()
    assert capsys.readouterr().err == ""
    assert board.REFRESH <= 30


def test_steps_of_an_earlier_attempt_do_not_count_as_fast(points, clock, capsys):
    write_training(points[0], "first", 10)
    table = ProgressBoard(points[:1], visible=True)
    table.update(Event("started", points[0]))
    clock[0] = 20
    table.refresh()
    assert capsys.readouterr().err.splitlines()[-1] == "        a: step 10 of 20, accuracy 1.000, after 0:20"
    write_training(points[0], "first", 15)  # an eighth of the point in 40 s; five eighths are left
    clock[0] = 40
    table.refresh()
    assert capsys.readouterr().err.splitlines()[-1] == "        a: step 15 of 20, accuracy 1.500, 3:20 left"


def test_in_a_notebook_the_table_is_renewed_in_place(points, clock, monkeypatch, capsys):
    cell = Cell(monkeypatch)
    monkeypatch.setattr(lines_of_progress, "in_notebook", lambda: True)
    monkeypatch.setattr(lines_of_progress, "_lines", {})
    monkeypatch.setattr(lines_of_progress, "current_cell", lambda: 1)
    with notebook_line():
        table = ProgressBoard(points, visible=True)
        table.update(Event("started", points[0]))
        write_training(points[0], "first", 10)
        clock[0] = 30
        table.refresh()
    (shown,) = cell.now
    heading, counts, point = shown["text/plain"].splitlines()
    assert (heading, counts.split()[:5]) == (board.HEADING, ["0:30", "0", "1", "0", "3"])
    assert point.endswith("a: step 10 of 20, accuracy 1.000, 1:30 left")
    assert capsys.readouterr().err == ""
