"""What a user sees of a run: lines, the live figure, and the rows behind them."""

import json

import pytest

from effwb.training import progress
from effwb.training.record import Record

ROW = {
    "step": 1,
    "accuracy": 0.5,
    "length/mean": 20.0,
    "reward/total": 0.25,
    "zero_variance": 0.1,
    "time/step": 2.0,
}


def test_a_line_at_the_last_step_and_not_at_every_step(capsys):
    lines = progress.Lines(steps=3, seconds=60)
    for step in (1, 2, 3):
        lines({**ROW, "step": step})
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in shown] == ["1/3", "3/3"]
    assert "accuracy 0.500  length 20.0  reward 0.250  no spread 10%" in shown[0]
    assert "0.1 min left" in shown[0]


def test_a_step_without_a_round_shows_what_is_known(capsys):
    lines = progress.Lines(steps=2, seconds=0)
    lines(ROW)
    lines({"step": 2, "time/step": 1.0})
    assert "step 2/2  accuracy 0.500" in capsys.readouterr().out


def test_the_figure_is_redrawn_in_place(tmp_path, monkeypatch):
    pytest.importorskip("IPython")
    from IPython import display

    shown, cleared = [], []
    monkeypatch.setattr(display, "display", shown.append)
    monkeypatch.setattr(display, "clear_output", lambda wait: cleared.append(wait))
    record = Record(tmp_path / "metrics.jsonl")
    live = progress.Live(record, steps=3, title="t", seconds=0)
    for step in (1, 2, 3):
        record.add({**ROW, "step": step})
        live({**ROW, "step": step})
    assert cleared == [True] * 3
    assert max(max(t.x) for t in shown[-1].data if t.x is not None and len(t.x)) == 3


def test_a_figure_in_a_notebook_only(tmp_path):
    record = Record(tmp_path / "m.jsonl")
    assert [type(x).__name__ for x in progress.listeners("auto", record, 3, "t")] == ["Lines"]
    assert progress.listeners("none", record, 3, "t") == []


def test_a_row_is_json_without_nan(tmp_path):
    record = Record(tmp_path / "m.jsonl")
    record.add({"step": 1, "loss": float("nan"), "length/wrong": float("inf")})
    assert json.loads(record.path.read_text()) == {"step": 1, "loss": None, "length/wrong": None}
