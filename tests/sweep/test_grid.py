"""Sweeps: checked before they start, kept through real kills, collected into one table."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import ClassVar

import nbformat
import papermill
import pytest

from effwb import notebook as notebook_helpers
from effwb import sweep
from effwb.errors import ConfigError, DataError, IdentityError
from effwb.runs import RunDir
from effwb.sweep import local
from effwb.sweep.parameters import declared_parameters, grid_points, point_name, read_file, read_values
from effwb.sweep.point import SweepPoint

pytestmark = pytest.mark.long  # every test starts kernels or a cluster

PARAMETERS = """number = 0  # of the point
name = "plain"  # any text
rate = 0.5  # a float
values = []  # a list
anything = None  # any type
run_root = "runs"  # where it writes"""
WORK = """import os, signal, time
from pathlib import Path
from effwb import notebook
Path(run_root).mkdir(parents=True, exist_ok=True)
with open(Path(run_root) / "attempts", "a") as file:
    file.write(f"{number}\\n")
print("working on", number)
while anything == "wait" and not Path(name).exists():
    time.sleep(0.02)
if anything == "crash":
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
if anything == "kernel":
    os.kill(os.getpid(), signal.SIGKILL)
assert number != 13, "thirteen is unlucky" """
RESULTS = """rows = {"square": number**2, "name": name, "gpu": os.environ.get("CUDA_VISIBLE_DEVICES")}
rows |= {"threads": os.environ.get("OMP_NUM_THREADS"), "cores": len(os.sched_getaffinity(0))}
notebook.results(rows, Path(run_root) / "results.json")"""
QUIET = {"progress": False}


@pytest.fixture
def tiny(tmp_path):
    """A notebook that needs no model: it squares a number."""
    cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, WORK, RESULTS)]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    path = tmp_path / "tiny.ipynb"
    nbformat.write(content, path)
    return path


def rewrite(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def attempts(out, point):
    return (out / point / "runs" / "attempts").read_text().split()


# parameters


@pytest.mark.parametrize(
    ("axes", "fixed", "message"),
    [
        ({"numbr": [1]}, {}, r"unknown notebook parameter 'numbr'.*Did you mean 'number'"),
        ({"number": [1]}, {"nam": "x"}, "unknown notebook parameter 'nam'; legal: number, name"),
        ({"number": [1, "two"]}, {}, "number must be int like its default 0, got str 'two'"),
        ({"number": [True]}, {}, "number must be int like its default 0, got bool True"),
        ({"number": [1]}, {"rate": "fast"}, "rate must be float"),
        ({"name": [1]}, {}, "name must be str"),
        ({"values": [1]}, {}, r"values must be list.*Did you mean \[1\]"),
        ({"number": 3}, {}, r"axis 'number' must be a list, got 3. Did you mean \[3\]"),
        ({"number": []}, {}, "axis 'number' has no values"),
        ({"number": [1, 1]}, {}, "occurs twice"),
        ({"number": [1]}, {"number": 2}, "is an axis and fixed"),
        ({"anything": [{1: 2}]}, {}, "is not plain"),
        ({"anything": [object()]}, {}, "is not plain"),
        ({}, {}, "at least one axis"),
        ("out", {}, "axes must be a dict of lists by parameter, got 'out'"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(tiny, tmp_path, axes, fixed, message):
    with pytest.raises(ConfigError, match=message):
        sweep.run(tiny, axes, tmp_path / "out", fixed=fixed)
    assert not (tmp_path / "out").exists()


def test_points_of_a_grid():
    declared = {"rate": 0.5, "anything": None, "values": []}
    points = grid_points(declared, {"rate": [1, 0.1], "anything": [None, "x"]}, {"values": [[1], {"a": 2}]})
    assert list(points) == [
        "anything=null,rate=1",
        "anything=x,rate=1",
        "anything=null,rate=0.1",
        "anything=x,rate=0.1",
    ]
    assert points["anything=x,rate=1"] == {"rate": 1, "anything": "x", "values": [[1], {"a": 2}]}


def test_a_renamed_parameter_is_named_by_its_new_name():
    message = "^notebook parameter 'practice_set' is now called 'train_source'$"
    declared = {"train_source": "deepscaler", "seed": 0}
    with pytest.raises(ConfigError, match=message):
        grid_points(declared, {"seed": [0]}, {"practice_set": "gsm8k"})
    with pytest.raises(ConfigError, match=message):
        grid_points(declared, {"practice_set": ["gsm8k"]})

    class Shell:
        user_ns: ClassVar[dict] = {
            "In": ["", "train_source = 'deepscaler'", "# Parameters\npractice_set = 'gsm8k'"]
        }

    with pytest.raises(ConfigError, match=message):
        notebook_helpers.check_parameters(Shell)
    Shell.user_ns["In"][2] = "# Parameters\ntrain_source = 'gsm8k'"
    assert notebook_helpers.check_parameters(Shell) == ["train_source"]


def test_an_old_name_that_is_still_declared_is_accepted():
    assert list(grid_points({"practice_set": "a"}, {"practice_set": ["b"]})) == ["practice_set=b"]


def test_no_notebook_and_no_parameters(tmp_path):
    with pytest.raises(ConfigError, match="no notebook"):
        declared_parameters(tmp_path / "none.ipynb")
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "empty.ipynb")
    with pytest.raises(ConfigError, match="declares no parameters"):
        declared_parameters(tmp_path / "empty.ipynb")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("vanilla,lead", ["vanilla", "lead"]),
        ("0, 1,-2", [0, 1, -2]),
        ("6e-4,.5,1.,1.5e3", [6e-4, 0.5, 1.0, 1500.0]),
        ("True,false,None,null", [True, False, None, None]),
        ("yes,on,2024-01-01,1:30,007", ["yes", "on", "2024-01-01", "1:30", "007"]),
        ("'1','a, b'", ["1", "a, b"]),
        ("[16, 64],[]", [[16, 64], []]),
        ("{kl: 0.001},{}", [{"kl": 0.001}, {}]),
        ("Qwen/Qwen3-0.6B,reasoning-gym:chain_sum", ["Qwen/Qwen3-0.6B", "reasoning-gym:chain_sum"]),
    ],
)
def test_values_on_the_command_line(text, values):
    read = read_values(text)
    assert read == values
    assert [type(v) for v in read] == [type(v) for v in values]


def test_values_that_cannot_be_read():
    with pytest.raises(ConfigError, match="cannot read the value"):
        read_values("{a")


def test_names_are_safe_and_differ():
    odd = ["a/b", "a b", "a-b", "A-b", "../..", "ü", "", "1", "null", "{x}", "x" * 400, "a\nb", "~", "*"]
    other = [1, 1.0, True, None, [1], {"a": 1}, {"a": 2}, {"a": "1"}, -1, 1e-9]
    names = [point_name({"p": value}) for value in odd + other]
    assert len({name.lower() for name in names}) == len(names)
    assert all(len(name) <= 200 and not set(name) & set("/\\ {}*\n:\"'~") for name in names)
    assert point_name({"b": 1, "a": "x"}) == point_name({"a": "x", "b": 1}) == "a=x,b=1"


def test_a_sweep_in_yaml(tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_text("notebook: n.ipynb\naxes: {rate: [6e-4, 1], name: [yes]}\nout: o\n")
    assert read_file(file) == {
        "notebook": "n.ipynb",
        "axes": {"rate": [6e-4, 1], "name": ["yes"]},
        "out": "o",
    }
    file.write_text("axis: {}\n")
    with pytest.raises(ConfigError, match="Did you mean 'axes'"):
        read_file(file)
    file.write_text("axes: 3\n")
    with pytest.raises(ConfigError, match=r"axes in .* must be a table of parameters, got 3"):
        read_file(file)
    with pytest.raises(ConfigError, match="cannot read the sweep"):
        read_file(tmp_path / "none.yaml")


# results


def test_two_at_a_time_give_one_table_and_a_second_call_runs_nothing(tiny, tmp_path, capfd):
    out = tmp_path / "out {0}"  # papermill formats what is in braces
    axes = {"number": [10, 2], "name": ["a/b", "{x}"]}
    table = sweep.run(tiny, axes, out, fixed={"rate": 1}, jobs=2)
    assert list(table.columns[:6]) == ["point", "number", "name", "rate", "status", "seconds"]
    assert table["number"].tolist() == [2, 10, 2, 10]
    assert set(table["name"]) == {"a/b", "{x}"}
    assert (table["square"] == table["number"] ** 2).all()
    assert (table["result/name"] == table["name"]).all()
    assert (table["status"] == "done").all()
    assert table["error"].isna().all()
    heading, *rows = capfd.readouterr().err.strip().splitlines()
    assert heading.split() == ["time", "done", "running", "failed", "to", "do", "left"]
    assert rows[-1].split()[1:5] == ["4", "0", "0", "0"]

    stamps = {file: file.stat().st_mtime_ns for file in out.rglob("*") if file.is_file()}
    assert sweep.run(tiny, axes, out, fixed={"rate": 1}, **QUIET).equals(table)
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*") if file.is_file()} == stamps


def test_a_point_has_everything_in_its_directory_and_papermill_alone_says_the_same(tiny, tmp_path):
    out = tmp_path / "out"
    sweep.run(tiny, {"number": [3]}, out, **QUIET)
    folder = out / "number=3"
    assert {"config.json", "tiny.ipynb", "log.txt", "results.json", "DONE", "runs"} <= set(os.listdir(folder))
    assert "working on 3" in (folder / "log.txt").read_text()
    assert SweepPoint(folder).parameters == {"number": 3}

    papermill.execute_notebook(
        tiny, tmp_path / "alone.ipynb", {"number": 3, "run_root": str(tmp_path / "alone")}, progress_bar=False
    )
    assert (tmp_path / "alone/results.json").read_bytes() == (folder / "results.json").read_bytes()


def test_a_sweep_can_grow(tiny, tmp_path):
    sweep.run(tiny, {"number": [1]}, tmp_path / "out", **QUIET)
    table = sweep.run(tiny, {"number": [1, 2]}, tmp_path / "out", **QUIET)
    assert table["square"].tolist() == [1, 4]
    assert attempts(tmp_path / "out", "number=1") == ["1"]


def test_another_notebook_or_other_parameters_are_refused(tiny, tmp_path):
    out = tmp_path / "out"
    sweep.run(tiny, {"number": [1]}, out, **QUIET)
    with pytest.raises(IdentityError, match=r"parameters.name: None on disk, 'b' asked"):
        sweep.run(tiny, {"number": [0, 1]}, out, fixed={"name": "b"})
    assert not (out / "number=0").exists()
    rewrite(tiny, "number**2", "number**3")
    with pytest.raises(IdentityError, match="code: "):
        sweep.run(tiny, {"number": [1]}, out)


def test_a_directory_without_a_sweep(tiny, tmp_path):
    with pytest.raises(ConfigError, match="holds no sweep"):
        sweep.table(tmp_path)
    RunDir(tmp_path / "other").path.mkdir()
    RunDir(tmp_path / "other").begin("rollouts", {"n": 1})
    with pytest.raises(
        DataError, match="other is not a point of a sweep; give the sweep a directory of its own"
    ):
        sweep.run(tiny, {"number": [1]}, tmp_path)
    assert not (tmp_path / "number=1").exists()


@pytest.mark.parametrize("file", ["config.json", "results.json"])
def test_a_finished_point_that_was_edited_by_hand_is_not_averaged(tiny, tmp_path, file):
    sweep.run(tiny, {"number": [4]}, tmp_path / "out", **QUIET)
    changed = tmp_path / "out/number=4" / file
    rewrite(changed, "4" if file == "config.json" else "16", "5")
    with pytest.raises(DataError, match=f"{file} is not what the point finished with; delete .*DONE"):
        sweep.table(tmp_path / "out")


# failures


def test_a_failing_point_costs_itself_alone_and_runs_again_on_request(tiny, tmp_path, capfd):
    out, axes = tmp_path / "out", {"number": [13, 1]}
    table = sweep.run(tiny, axes, out).set_index("number")
    assert table["status"].to_dict() == {13: "failed", 1: "done"}
    assert table.loc[13, "error"] == "AssertionError: thirteen is unlucky"
    shown = capfd.readouterr().err
    assert "number=13 failed in cell [3]" in shown
    assert 'assert number != 13, "thirteen is unlucky"' in shown

    sweep.run(tiny, axes, out, **QUIET)
    assert attempts(out, "number=13") == ["13"]
    sweep.run(tiny, axes, out, retry=True, **QUIET)
    assert attempts(out, "number=13") == ["13", "13"]
    assert attempts(out, "number=1") == ["1"]


@pytest.mark.parametrize(
    ("cause", "error"), [("crash", "the process was killed by SIGKILL"), ("kernel", "the kernel died")]
)
def test_a_killed_process_costs_one_point(tiny, tmp_path, cause, error):
    table = sweep.run(tiny, {"anything": [cause, "fine"]}, tmp_path / "out", jobs=2, **QUIET)
    table = table.set_index("anything")
    assert table["status"].to_dict() == {cause: "failed", "fine": "done"}
    assert error in table.loc[cause, "error"]


def start(notebook, axes, out, **options):
    """The same sweep in a process of its own."""
    code = f"from effwb import sweep\nsweep.run({str(notebook)!r}, {axes!r}, {str(out)!r}, **{options!r})"
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)


def test_a_killed_sweep_continues_and_its_children_end_with_it(tiny, tmp_path):
    out, gate = tmp_path / "out", tmp_path / "gate"
    fixed = {"anything": ["wait"], "name": [str(gate)]}
    process = start(tiny, {"number": [1, 2, 3], **fixed}, out, jobs=2)
    wait_for(lambda: len(list(out.glob("*/runs/attempts"))) == 2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: "running" not in set(sweep.table(out)["status"]), 10)
    assert sweep.table(out)["status"].tolist() == ["to do"] * 3

    gate.touch()
    table = sweep.run(tiny, {"number": [1, 2, 3], **fixed}, out, **QUIET)
    assert table["status"].tolist() == ["done"] * 3
    assert table["square"].tolist() == [1, 4, 9]


def test_two_sweeps_at_once_do_nothing_twice(tiny, tmp_path):
    out, gate = tmp_path / "out", tmp_path / "gate"
    fixed = {"anything": ["wait"], "name": [str(gate)]}
    small, large = {"number": [1], **fixed}, {"number": [1, 2], **fixed}
    sweeps = []
    for running, axes in ((1, small), (2, large)):  # the second sweep leaves number 1 to the first
        sweeps.append(start(tiny, axes, out))
        wait_for(lambda n=running: len(list(out.glob("*/runs/attempts"))) == n)
    assert set(sweep.run(tiny, large, out, **QUIET)["status"]) == {"running"}
    gate.touch()
    assert [process.wait(60) for process in sweeps] == [0, 0]
    table = sweep.table(out)
    assert table["status"].tolist() == ["done", "done"]
    assert all(len(attempts(out, name)) == 1 for name in table["point"])


def test_a_point_that_another_process_took_meanwhile_is_left_alone(tiny, tmp_path):
    sweep.run(tiny, {"number": [13]}, tmp_path / "out", **QUIET)
    point = SweepPoint(tmp_path / "out/number=13")
    with RunDir(point.folder).lock():
        events = list(local.execute([point], local.make_slots(1)))
    assert [event.kind for event in events] == ["started", "busy"]
    assert attempts(tmp_path / "out", "number=13") == ["13"]


@pytest.mark.slow
def test_a_sweep_survives_kills_at_random_moments(tiny, tmp_path, capsys):
    """The sweep, a process of a point or a kernel is killed, and the same sweep started again."""
    import random

    import psutil

    rng, axes = random.Random(0), {"number": [1, 2, 3, 4], "name": ["a", "b"]}
    kills, sweeps = 0, 0
    rewrite(tiny, "import os, signal, time", "import os, signal, time\\ntime.sleep(1)")
    whole = sweep.run(tiny, axes, tmp_path / "whole", jobs=2, **QUIET)
    while kills < 12:
        out = tmp_path / f"out{sweeps}"
        while "done" not in _states(out) or len(_states(out)) > 1:
            running = start(tiny, axes, out, jobs=2, retry=True)
            time.sleep(rng.uniform(0.5, 5))
            if running.poll() is None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    parent = psutil.Process(running.pid)
                    rng.choice([parent, *parent.children(recursive=True)]).kill()
                    kills += 1
            if rng.random() < 0.5:
                running.kill()
            running.wait()
        table = sweep.table(out)
        assert len(table) == 8
        assert table.drop(columns="seconds").equals(whole.drop(columns="seconds"))
        sweeps += 1
    with capsys.disabled():
        print(f"\nsweep: {kills} kills survived in {sweeps} sweeps")  # noqa: T201


def _states(out):
    """Those of all points; none where the sweep has not begun."""
    return set(sweep.table(out)["status"]) if list(out.glob("*/config.json")) else set()


def test_editing_the_notebook_does_not_touch_a_sweep_that_runs(tiny, tmp_path):
    out, gate = tmp_path / "out", tmp_path / "gate"
    process = start(tiny, {"number": [1, 2], "anything": ["wait"], "name": [str(gate)]}, out)
    wait_for(lambda: list(out.glob("*/runs/attempts")))
    rewrite(tiny, "number**2", "0")
    gate.touch()
    assert process.wait(60) == 0
    assert sweep.table(out)["square"].tolist() == [1, 4]


# GPUs and cores


def test_cores_are_divided(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(local, "visible_gpus", list)
    monkeypatch.setattr(local, "usable_cores", lambda: [0, 1, 2, 3, 4])
    assert local.make_slots(1) == [local.Slot({})]
    assert local.make_slots(2) == [
        local.Slot({"OMP_NUM_THREADS": "3"}, (0, 2, 4)),
        local.Slot({"OMP_NUM_THREADS": "2"}, (1, 3)),
    ]
    assert [slot.cores for slot in local.make_slots(6)] == [(0,), (1,), (2,), (3,), (4,), (0,)]
    with pytest.raises(ConfigError, match="jobs must be a whole number"):
        local.make_slots(0)


def test_every_job_has_a_gpu_of_its_own(monkeypatch, tmp_path):
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in local.make_slots(2)] == ["0", "1"]
    assert local.make_slots(1)[0].environment == {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "0",
    }
    with pytest.raises(ConfigError, match=r"jobs=3 and 2 GPU"):
        local.make_slots(3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,5,-1,7")
    assert local.visible_gpus() == ["GPU-a", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert local.visible_gpus() == []


def test_the_notebook_sees_its_gpu_or_its_cores(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    table = sweep.run(tiny, {"number": [1, 2]}, tmp_path / "gpus", jobs=2, **QUIET)
    assert set(table["gpu"]) == {"3", "5"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(local, "usable_cores", lambda: sorted(os.sched_getaffinity(0))[:1])
    table = sweep.run(tiny, {"number": [1, 2]}, tmp_path / "cores", jobs=2, **QUIET)
    assert set(table["threads"]) == {"1"}
    assert set(table["cores"]) == {1}


# handing over results


def test_results_are_exact(tmp_path, monkeypatch):
    import numpy as np
    import pandas as pd

    copy = tmp_path / "copy.json"
    monkeypatch.setenv(notebook_helpers.RESULTS, str(copy))
    frame = pd.DataFrame({"x": [0.1 + 0.2, np.nan], "n": [1, 2], "t": ["a", None]})
    path = notebook_helpers.results(frame, tmp_path / "r.json")
    assert path.read_bytes() == copy.read_bytes()
    first, second = json.loads(path.read_text())
    assert first == {"x": 0.1 + 0.2, "n": 1, "t": "a"}
    assert second["x"] != second["x"]
    notebook_helpers.results({"n": np.int64(3)}, path)
    assert json.loads(copy.read_text()) == [{"n": 3}]
    with pytest.raises(ConfigError, match="numbers and text"):
        notebook_helpers.results({"n": object()}, path)
