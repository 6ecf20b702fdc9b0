"""The copy of the notebook that a sweep runs: a changed one does not run."""

import json
import shutil

import nbformat
import pytest

from effwb import sweep
from effwb.errors import DataError
from effwb.sweep.child import execute
from effwb.sweep.point import SweepPoint
from effwb.sweep.snapshot import check_snapshot, code_digest, take_snapshot


@pytest.fixture
def notebook(tmp_path):
    cells = [nbformat.v4.new_code_cell(text) for text in ("number = 1  # any", "print(number)")]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_markdown_cell("About"), *cells]
    content = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(content, tmp_path / "tiny.ipynb")
    return tmp_path / "tiny.ipynb"


def rewrite(path, old, new):
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


CHANGES = {
    "code": lambda copy: rewrite(copy, "print(number)", "print(2)"),
    "the tag of the parameters": lambda copy: rewrite(copy, '"parameters"', '"parametres"'),
    "prose": lambda copy: rewrite(copy, "About", "about"),
    "no notebook": lambda copy: copy.write_text("{}"),
    "half": lambda copy: copy.write_text(copy.read_text()[:100]),
    "gone": lambda copy: copy.unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_named_and_taken_anew_once_it_is_deleted(notebook, tmp_path, change):
    out, code = tmp_path / "out", code_digest(notebook)
    copy = take_snapshot(notebook, out, code)
    assert take_snapshot(notebook, out, code) == copy
    CHANGES[change](copy)
    with pytest.raises(DataError, match=rf"{copy.name} .*delete it and start the sweep again"):
        check_snapshot(copy, code)
    copy.unlink(missing_ok=True)
    check_snapshot(take_snapshot(notebook, out, code), code)


def test_without_a_record_other_code_is_named(notebook, tmp_path):
    copy = take_snapshot(notebook, tmp_path / "out", code_digest(notebook))
    (tmp_path / "out/checksums.jsonl").unlink()
    CHANGES["prose"](copy)
    check_snapshot(copy, code_digest(notebook))
    CHANGES["code"](copy)
    with pytest.raises(DataError, match="has other code than the points of this sweep"):
        check_snapshot(copy, code_digest(notebook))


@pytest.mark.long
def test_a_point_does_not_run_a_changed_copy(notebook, tmp_path):
    out = tmp_path / "out"
    sweep.run(notebook, {"number": [1]}, out, progress=False)
    shutil.rmtree(out / "number=1")
    sweep.run(notebook, {"number": [1]}, out, progress=False)
    (out / "number=1/DONE").unlink()
    (copy,) = out.glob("*.ipynb")
    CHANGES["code"](copy)
    with pytest.raises(DataError, match="delete it and start the sweep again"):
        sweep.run(notebook, {"number": [1, 2]}, out, progress=False)
    assert not execute(out / "number=1", [])  # the copy was changed while the sweep ran
    assert "delete it and start the sweep again" in SweepPoint(out / "number=1").failure()["error"]


def test_a_damaged_config_of_a_point_is_named(tmp_path):
    point = SweepPoint(tmp_path / "number=1")
    point.folder.mkdir()
    for section in ({"point": []}, {"point": {"idfntity": {}}}, {"point": {"identity": {}}}):
        (point.folder / "config.json").write_text(json.dumps(section))
        with pytest.raises(DataError, match="number=1 is not a point of a sweep"):
            _ = point.parameters


@pytest.mark.parametrize("name", ["DONE", "FAILED.json", "log.txt"])
def test_a_point_that_lost_its_config_is_named(name, tmp_path):
    (tmp_path / "number=1").mkdir()
    (tmp_path / "number=1" / name).write_text("{}")
    with pytest.raises(DataError, match=r"number=1 has lost its config\.json; run the sweep again"):
        sweep.table(tmp_path)
