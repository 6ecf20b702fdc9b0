"""Ctrl-C on the command line, with a real SIGINT: one line, exit status 130, and the next call continues."""

import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest

pytestmark = pytest.mark.long  # each test starts the command

PARAMETERS = 'number = 0  # of the point\nrun_root = "runs"  # where it writes'
WORK = """import time
from pathlib import Path
Path(run_root).mkdir(parents=True, exist_ok=True)
(Path(run_root) / "began").touch()
while not Path(run_root, "go").exists():
    time.sleep(0.02)"""


def start(folder, *arguments):
    """The command in a process group of its own, as a shell starts it."""
    command = [sys.executable, "-m", "effwb.cli", *map(str, arguments)]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen(command, cwd=folder, start_new_session=True, **pipes)


def interrupt_when(process, is_time, seconds=120):
    """Send Ctrl-C to the whole group once it is time; returns (exit status, stdout, stderr)."""
    end = time.monotonic() + seconds
    while not is_time():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def lines_of(file):
    return file.read_text().count("\n") if file.exists() else 0


@pytest.fixture
def job(tmp_path):
    """A config.json for a training of the pocket model that would take minutes."""
    training = {"steps": 200, "problems_per_round": 2, "group_size": 4, "save_every": 200}
    config = {"design": "kimi", "problems": "pocket", "n_problems": 8, "run_dir": "run", "max_tokens": 48}
    (tmp_path / "job.json").write_text(json.dumps({**config, "training": training}))
    return tmp_path / "job.json"


def test_train(job, tmp_path):
    metrics = tmp_path / "run/train/metrics.jsonl"
    status, _, err = interrupt_when(start(tmp_path, "train", job), lambda: lines_of(metrics) >= 2)
    assert status == 130
    last = err.strip().splitlines()[-1]
    assert last.startswith("effwb train: kimi, seed 0: interrupted at step ")
    step = int(last.rpartition(" ")[2])
    assert last.endswith(f"interrupted at step {step}; the next run continues from step {step}")
    assert "Traceback" not in err
    assert lines_of(metrics) == step


@pytest.mark.slow
def test_the_next_training_continues(job, tmp_path):
    metrics = tmp_path / "run/train/metrics.jsonl"
    interrupt_when(start(tmp_path, "train", job), lambda: lines_of(metrics) >= 2)
    step = lines_of(metrics)
    _, out, _ = interrupt_when(start(tmp_path, "train", job), lambda: lines_of(metrics) > step)
    assert out.splitlines()[-1].startswith(f"kimi, seed 0: step {step + 1} of 200, ")


@pytest.mark.slow
def test_before_anything_is_loaded(job, tmp_path):
    process = start(tmp_path, "train", job)
    loaded = lambda: "torch" in " ".join(m.path for m in psutil.Process(process.pid).memory_maps())  # noqa: E731
    status, _, err = interrupt_when(process, loaded)
    assert status == 130
    assert err.strip() == "effwb train: interrupted; run the same command again to continue"


@pytest.mark.slow
def test_eval(tmp_path):
    shard = tmp_path / "run/probes/00000.parquet"
    command = ("eval", "-o", "run", "--n-problems", 64, "--n-samples", 2, "--max-tokens", 256)
    status, _, err = interrupt_when(start(tmp_path, *command), shard.exists)
    assert status == 130
    assert err.strip() == (
        "effwb eval: evaluation of run: interrupted at 32 of 64 problems; they are kept, and the next run "
        "continues there"
    )
    stamp = shard.stat().st_mtime_ns
    done = start(tmp_path, *command)
    assert done.wait(120) == 0
    assert shard.stat().st_mtime_ns == stamp
    done.communicate()


@pytest.mark.slow
def test_sweep(tmp_path):
    cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, WORK)]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "tiny.ipynb")
    command = ("sweep", "tiny.ipynb", "-a", "number=1,2,3", "-j", "2", "-o", "out")
    process = start(tmp_path, *command)
    children = []

    def both_run():
        children[:] = psutil.Process(process.pid).children(recursive=True)
        return len(list(tmp_path.glob("out/*/runs/began"))) == 2

    status, _, err = interrupt_when(process, both_run)
    assert status == 130
    assert err.strip().splitlines()[-1] == (
        "effwb sweep: interrupted: 0 of 3 points are done; run the same sweep again, and the points that "
        "were stopped continue"
    )
    assert "Traceback" not in err
    assert len(children) == 4  # two points, each with its kernel
    assert psutil.wait_procs(children, timeout=10)[1] == []

    for number in (1, 2, 3):
        (tmp_path / f"out/number={number}/runs").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"out/number={number}/runs/go").touch()
    again = start(tmp_path, *command)
    assert again.wait(120) == 0
    again.communicate()
