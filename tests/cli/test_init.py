"""`effwb init`: notebooks in a folder of one's own, and paths that are taken from that folder."""

from pathlib import Path

import pytest

from effwb import notebook
from effwb._internal import paths
from effwb.cli import main
from effwb.cli.init import lay_out

ROOT = Path(__file__).parents[2]
NAMES = {file.name for file in (ROOT / "notebooks").glob("*.ipynb")}


def test_it_lays_out_every_notebook_and_says_which_to_open(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "my work"]) == 0
    assert {file.name for file in Path("my work/notebooks").iterdir()} == NAMES
    out = capsys.readouterr().out
    assert f"{len(NAMES)} of {len(NAMES)} notebooks written" in out
    assert "  cd 'my work'\n  jupyter lab notebooks/00_quickstart.ipynb" in out
    monkeypatch.chdir("my work")
    assert main(["init", "."]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"0 of {len(NAMES)} notebooks written")
    assert "cd " not in out


def test_a_changed_notebook_is_never_overwritten(tmp_path, capsys):
    lay_out(tmp_path)
    changed, deleted = tmp_path / "notebooks/00_quickstart.ipynb", tmp_path / "notebooks/30_lapo.ipynb"
    changed.write_text("mine")
    deleted.unlink()
    assert main(["init", str(tmp_path)]) == 0
    assert "left as they are, because they were changed: 00_quickstart.ipynb" in capsys.readouterr().out
    assert changed.read_text() == "mine"
    assert deleted.read_bytes() == (ROOT / "notebooks/30_lapo.ipynb").read_bytes()
    (tmp_path / ".effwb.json").unlink()  # whose the files are is not known any more
    assert lay_out(tmp_path)["00_quickstart.ipynb"] == "changed"
    assert changed.read_text() == "mine"


def test_a_notebook_of_an_older_effwb_is_updated(tmp_path, monkeypatch):
    old = tmp_path / "old"
    (old / "notebooks").mkdir(parents=True)
    for name in ("a.ipynb", "b.ipynb", "c.ipynb"):
        (old / "notebooks" / name).write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr("effwb.cli.init.shipped", lambda name: old / name)
        lay_out(tmp_path / "work")
        (tmp_path / "work/notebooks/b.ipynb").write_text("mine")
        for name in ("a.ipynb", "b.ipynb"):
            (old / "notebooks" / name).write_text("new")
        states = lay_out(tmp_path / "work")
    assert states == {"a.ipynb": "updated", "b.ipynb": "changed", "c.ipynb": "current"}
    assert (tmp_path / "work/notebooks/a.ipynb").read_text() == "new"
    assert (tmp_path / "work/notebooks/b.ipynb").read_text() == "mine"


def test_a_folder_of_the_checkout_is_refused(capsys):
    assert main(["init", str(ROOT / "data" / "work")]) == 2
    assert "which has the notebooks already" in capsys.readouterr().err
    assert not (ROOT / "data" / "work").exists()


def test_a_damaged_marker_is_named(tmp_path, capsys):
    (tmp_path / ".effwb.json").write_text("{")
    assert main(["init", str(tmp_path)]) == 2
    assert ".effwb.json is not valid JSON" in capsys.readouterr().err


@pytest.mark.parametrize("below", [".", "notebooks", "data/runs/a"])
def test_paths_are_taken_from_the_project_one_works_in(tmp_path, monkeypatch, below):
    lay_out(tmp_path / "work")
    (tmp_path / "work" / below).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(tmp_path / "work" / below)
    assert notebook.from_root("data/runs/x") == tmp_path / "work/data/runs/x"


def test_without_a_project_paths_are_taken_from_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert notebook.from_root("figures") == tmp_path / "figures"
    assert notebook.from_root(tmp_path / "else") == tmp_path / "else"


def test_in_the_checkout_paths_are_taken_from_its_root(monkeypatch):
    monkeypatch.chdir(ROOT / "notebooks")
    assert notebook.from_root("data", create=False) == ROOT / "data"


def test_what_ships_is_found_in_a_wheel(tmp_path, monkeypatch):
    """A wheel has no checkout around it; `tests/test_wheel.py` installs a real one."""
    monkeypatch.delenv("EFFWB_DATA", raising=False)
    assert paths.data_dir("pocket") == ROOT / "data" / "pocket"
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "site-packages" / "effwb")
    monkeypatch.setattr(paths, "SHIPPED", tmp_path / "site-packages" / "effwb" / "_shipped")
    assert paths.checkout() is None
    assert paths.shipped("notebooks") == tmp_path / "site-packages/effwb/_shipped/notebooks"
    with pytest.raises(paths.ConfigError, match="which ships with effwb; install effwb again"):
        paths.data_dir("pocket")
