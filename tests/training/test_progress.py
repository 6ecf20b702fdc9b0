"""What a user sees of a run: lines, the live figure, and the rows behind them."""

import json
from base64 import b64decode
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from effwb._internal import progress as lines_of_progress
from effwb._internal.progress import NotebookLine, labelled, notebook_line
from effwb.plots.training import LIVE, live_figure
from effwb.training import progress
from effwb.training.record import Record

PLOTLY = "application/vnd.plotly.v1+json"
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
    told = "accuracy 0.500, length 20.0, reward 0.250, no spread 10%, 2.0 s/step"
    assert shown == [f"step 1 of 3, {told}, 4 s left", f"step 3 of 3, {told}, 6 s in all"]


def test_a_step_without_a_round_shows_what_is_known(capsys):
    lines = progress.Lines(steps=2, seconds=0)
    lines(ROW)
    lines({"step": 2, "time/step": 1.0})
    assert "step 2 of 2, accuracy 0.500" in capsys.readouterr().out


def test_every_line_begins_with_the_labels(capsys):
    with labelled("run 2 of 6: kimi weight=0.5, seed 1"), labelled("first vanilla"):
        lines = progress.Lines(steps=20)
        lines({**ROW, "step": 3})
    lines({**ROW, "step": 20})
    inside, outside = capsys.readouterr().out.splitlines()
    assert inside.startswith(
        "run 2 of 6: kimi weight=0.5, seed 1: first vanilla: step 3 of 20, accuracy 0.500"
    )
    assert outside.startswith("step 20 of 20, ")


class Cell:
    """Stands for the output of a cell: what each display holds now, and all that it held."""

    def __init__(self, monkeypatch):
        self.now, self.all = [], []
        display = pytest.importorskip("IPython.display")
        monkeypatch.setattr(display, "display", self._display)
        monkeypatch.setattr(display, "clear_output", lambda wait: self.now.clear())

    def _display(self, bundle, raw, display_id):
        assert raw
        assert display_id is True
        self.now.append(bundle)
        self.all.append(bundle)
        at = len(self.now) - 1
        return SimpleNamespace(update=lambda new, raw: self._update(at, new))

    def _update(self, at, bundle):
        self.now[at] = bundle
        self.all.append(bundle)


def test_the_figure_is_redrawn_in_place_below_its_line_and_one_line_is_left(tmp_path, monkeypatch):
    cell = Cell(monkeypatch)
    record, line = Record(tmp_path / "metrics.jsonl"), NotebookLine()
    with labelled("kimi, seed 0"):
        live = progress.Live(record, steps=3, line=line, seconds=0)
        for step in (1, 2, 3):
            record.add({**ROW, "step": step})
            live({**ROW, "step": step})
    drawn = [bundle[PLOTLY] for bundle in cell.all if PLOTLY in bundle]
    steps = [np.frombuffer(b64decode(f["data"][0]["x"]["bdata"]), f["data"][0]["x"]["dtype"]) for f in drawn]
    assert [x.max() for x in steps] == [1, 2]
    assert drawn[1]["layout"]["title"]["text"].startswith("kimi, seed 0: <br>step 2 of 3, accuracy 0.500")
    assert cell.all[0] == {"text/plain": "kimi, seed 0: loading the model, 3 steps"}
    assert [list(bundle) for bundle in cell.now] == [["text/plain"]]
    assert cell.now[0]["text/plain"].startswith("kimi, seed 0: step 3 of 3, ")


def test_the_live_figure_fits_a_laptop():
    metrics = pd.DataFrame({"step": [1, 2], **{c: [0.1, 0.2] for c in (*LIVE, "loss", "kl", "probe/16")}})
    figure = live_figure(metrics, title="a<br>line")
    assert figure.layout.width <= 980  # of the 1,050 that JupyterLab with its files leaves of 1,440
    assert figure.layout.height <= 600  # of 900
    assert len({trace.xaxis for trace in figure.data}) == 6
    left, middle, right = (figure.layout[f"xaxis{n}"].domain for n in ("", "2", "3"))
    assert left[1] < middle[0] < middle[1] < right[0]


def test_a_line_in_a_notebook_and_lines_elsewhere(tmp_path, monkeypatch):
    Cell(monkeypatch)
    record = Record(tmp_path / "m.jsonl")
    assert [type(x).__name__ for x in progress.listeners("auto", record, 3)] == ["Lines"]
    assert progress.listeners("none", record, 3) == []
    monkeypatch.setattr(lines_of_progress, "in_notebook", lambda: True)
    monkeypatch.setattr(lines_of_progress, "_lines", {})
    monkeypatch.setattr(lines_of_progress, "current_cell", lambda: 1)
    with notebook_line():
        assert progress.listeners("none", record, 3) == []
        for watch, figure in (("auto", True), ("lines", False)):
            (live,) = progress.listeners(watch, record, 3)
            assert (type(live).__name__, live.figure) == ("Live", figure)


def test_a_training_that_is_stopped_leaves_its_line_without_the_figure(monkeypatch):
    cell = Cell(monkeypatch)
    monkeypatch.setattr(lines_of_progress, "in_notebook", lambda: True)
    monkeypatch.setattr(lines_of_progress, "_lines", {})
    monkeypatch.setattr(lines_of_progress, "current_cell", lambda: 1)

    def stopped():
        with notebook_line() as line:
            line.show("step 3 of 20", {"data": []})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert cell.now == [{"text/plain": "step 3 of 20"}]


def test_notes_are_printed_once_in_a_cell(tmp_path, monkeypatch, capsys):
    Cell(monkeypatch)
    line = NotebookLine()
    for notes in (["one", "two"], ["two", "three"]):
        progress.Live(Record(tmp_path / "m"), 3, line, notes=notes)
    assert capsys.readouterr().out.splitlines() == ["one", "two", "three"]
    line.show("a", {"data": []})
    line.show("b", {"data": []})  # clears the cell
    assert capsys.readouterr().out.splitlines() == ["one", "two", "three"]


def test_a_row_is_json_without_nan(tmp_path):
    record = Record(tmp_path / "m.jsonl")
    record.add({"step": 1, "loss": float("nan"), "length/wrong": float("inf")})
    assert json.loads(record.path.read_text()) == {"step": 1, "loss": None, "length/wrong": None}
