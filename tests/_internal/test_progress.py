"""Lines of progress: in a log, in a terminal, in a notebook."""

import pytest

from effwb._internal import progress
from effwb._internal.progress import counting, labelled, notebook_line
from tests.training.test_progress import Cell


@pytest.fixture
def kernel(monkeypatch):
    """Stands for a kernel, in cell 1."""
    cell = Cell(monkeypatch)
    cell.number = 1
    monkeypatch.setattr(progress, "_lines", {})
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(progress, "current_cell", lambda: cell.number)
    return cell


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with labelled("run 1 of 2: base, seed 0"), counting("evaluation", 4, "problem") as count:
        for now[0] in (4.0, 20.0):
            count(1)
    out, err = capsys.readouterr()
    assert out == ""
    begin = "run 1 of 2: base, seed 0: evaluation: 2 of 4 problems"
    now_and_then, end = err.splitlines()
    assert now_and_then == f"{begin}, 20 s left"
    assert end == f"{begin} in 20 s"


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with counting("evaluation of low", 2, "problem") as count:
        count(2)
    assert "evaluation of low: 100%" in capsys.readouterr().err


def test_nothing_is_shown_that_was_not_asked_for(capsys):
    with counting("evaluation", 2, "problem", visible=False) as count:
        count(2)
    assert capsys.readouterr() == ("", "")


def test_all_that_runs_in_a_cell_has_one_line(kernel, capsys):
    def count_all(title):
        with counting(title, 2, "problem") as count:
            count(2)

    with notebook_line():
        count_all("rollouts of a")
        count_all("probes of a")
    count_all("rollouts of b")
    assert [bundle["text/plain"] for bundle in kernel.now] == ["rollouts of b: 2 of 2 problems in 0 s"]
    assert kernel.all[0] == {"text/plain": "rollouts of a: 0 of 2 problems"}
    kernel.number = 2  # another cell has a line of its own
    count_all("rollouts of c")
    assert [bundle["text/plain"][:13] for bundle in kernel.now] == ["rollouts of b", "rollouts of c"]
    assert capsys.readouterr() == ("", "")


def test_the_line_of_what_failed_says_how_far_it_came(kernel, monkeypatch):
    monkeypatch.setattr(progress, "RENEWAL", 0.0)

    def fail():
        with counting("rollouts", 2, "problem") as count:
            count(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert kernel.now[0]["text/plain"].startswith("rollouts: 1 of 2 problems, ")
