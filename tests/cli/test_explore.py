"""`effwb explore` up to the server: its checks, its notebook, and that it is for this machine only."""

import re
import socket

import nbformat
import pytest

from effwb.analysis import explorer as E
from effwb.cli import explore, main


def refused(capsys, *arguments):
    """The sentence with which a command line is refused before a server is started."""
    assert main(["explore", *map(str, arguments)]) == 2
    return capsys.readouterr().err


class TestRefusals:
    def test_without_voila_the_remedy_is_named(self, messy, capsys, monkeypatch):
        monkeypatch.setattr(explore, "find_spec", lambda _: None)
        assert "needs Voila, which is not installed: pip install 'effwb[explore]'" in refused(capsys, messy)

    @pytest.fixture(autouse=True)
    def with_voila(self, monkeypatch):
        monkeypatch.setattr(explore, "find_spec", lambda _: object())

    def test_no_directory(self, tmp_path, capsys):
        assert "no directory" in refused(capsys, tmp_path / "none")

    def test_nothing_to_show(self, tmp_path, capsys):
        assert "no finished evaluation and no training below" in refused(capsys, tmp_path)

    def test_a_run_and_a_frontier_that_are_none(self, messy, capsys):
        assert "unknown run 'fre'" in refused(capsys, messy, "--runs", "fre")
        assert "unknown --frontier 'best'" in refused(capsys, messy, "--frontier", "best")
        assert "unknown --theme 'blue'" in refused(capsys, messy, "--theme", "blue")
        assert "--frontier 'qwen3-8b' does not fit these runs" in refused(
            capsys, messy, "--frontier", "qwen3-8b"
        )

    def test_a_port_that_is_taken(self, messy, capsys):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            number = other.getsockname()[1]
            message = refused(capsys, messy, "--port", number)
        assert re.search(rf"--port {number} cannot be used .*; give another one", message)

    @pytest.mark.parametrize("number", ["0", "80", "70000", "abc"])
    def test_a_port_that_is_none(self, messy, capsys, number):
        with pytest.raises(SystemExit):
            main(["explore", str(messy), "--port", number])
        assert "must be a whole number from 1024 to 65535" in capsys.readouterr().err


def test_the_notebook_opens_the_explorer(messy, tmp_path):
    pytest.importorskip("anywidget")
    file = explore.write_notebook(tmp_path, messy, {"runs": ["qwen/low"], "frontier": "best of all runs"})
    (cell,) = nbformat.read(file, as_version=4).cells
    lines = cell.source.splitlines()
    names = {}
    exec("\n".join([*lines[:-1], f"view = {lines[-1]}"]), names)
    view = names["view"]
    assert isinstance(view, E.Explorer)
    assert (view.chosen.names, view.frontier.value) == (["qwen/low"], "best of all runs")


def test_for_this_machine_only_and_with_a_token(tmp_path):
    options = explore.server_options(tmp_path / "effwb.ipynb", 8866, "dark", "secret")
    assert {"--Voila.ip=localhost", "--Voila.token=secret", "--port=8866", "--theme=dark"} <= set(options)
