"""Messages speak of options, and of places that cannot be written."""

import argparse
from pathlib import Path

import pytest

from effwb import cli
from effwb.cli.options import cannot_write, directory, file_to_write, in_terms_of_options, new_file

ARGS = argparse.Namespace(
    n_problems=5, l_max=None, jobs=1, out=Path("o"), largest=False, command="x", run="r"
)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("n_problems=0 must be at least 1", "--n-problems 0 must be at least 1"),
        ("unknown l_max 'x'; legal: 1", "unknown --l-max 'x'; legal: 1"),
        ("jobs must be a whole number from 1, got 0", "--jobs must be a whole number from 1, got 0"),
        ("jobs=3 and 2 GPU(s): every job needs its own", "--jobs 3 and 2 GPU(s): every job needs its own"),
        ("asked for too many; n_problems=5 leaves 3", "asked for too many; --n-problems 5 leaves 3"),
        ("out='x' is a file", "-o 'x' is a file"),
        ("RunSet.largest() takes the 2 that agree", "--largest takes the 2 that agree"),
        ("point n_problems=5 seed=1: run=2", "point --n-problems 5 seed=1: run=2"),
        ("training.jobs=3 stays", "training.jobs=3 stays"),
    ],
)
def test_parameters_become_options(message, words):
    assert in_terms_of_options(message, ARGS) == words


def test_a_command_without_the_option_advises_what_it_can():
    message = in_terms_of_options("RunSet.largest() takes the 2 that agree", argparse.Namespace(out=None))
    assert message == "name the 2 that agree"


@pytest.fixture
def read_only(monkeypatch):
    """A file system that cannot be written, whoever asks."""
    monkeypatch.setattr("os.access", lambda path, mode: False)


@pytest.mark.parametrize("kind", [directory, new_file, file_to_write])
def test_a_place_that_cannot_be_written_is_refused_at_once(kind, read_only, tmp_path):
    with pytest.raises(argparse.ArgumentTypeError, match=f"cannot be written: '{tmp_path}' is read-only"):
        kind(str(tmp_path / "new"))


@pytest.mark.parametrize("command", [["eval"], ["report", "."], ["sweep", "n.ipynb", "-a", "x=1"]])
def test_every_out_says_so(command, read_only, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([*command, "-o", "somewhere"])
    assert end.value.code == 2
    assert "argument -o/--out: 'somewhere' cannot be written" in capsys.readouterr().err


def test_a_failure_of_the_file_system_names_the_option():
    error = OSError(28, "No space left on device", "o/rollouts/00000.parquet")
    sentence = (
        "-o o cannot be written (o/rollouts/00000.parquet: No space left on device); choose another place"
    )
    assert cannot_write(error, ARGS) == sentence
    assert cannot_write(OSError(2, "No such file or directory", "/elsewhere"), ARGS) == (
        "/elsewhere: No such file or directory"
    )
    assert cannot_write(OSError(2, "No such file or directory"), ARGS) == "No such file or directory"
