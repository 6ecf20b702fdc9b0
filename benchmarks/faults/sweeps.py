"""Damaged sweeps, and a Ray worker that dies."""

from __future__ import annotations

import contextlib
import importlib.util
import random
import shutil
import threading
import time
from pathlib import Path

import psutil

from benchmarks.faults.files import damage_one, files_of
from benchmarks.faults.judge import NOT_TRIED, Result, announce, judge
from effwb import sweep

PARAMETERS = 'number = 0  # squared\nrun_root = "runs"  # where it writes'
WORK = """import time
from pathlib import Path
from effwb import notebook
Path(run_root).mkdir(parents=True, exist_ok=True)
Path(run_root, f"working-{time.time()}").touch()
time.sleep(0.5)
notebook.results({"square": number**2}, Path(run_root) / "results.json")"""
AXES = {"number": [2, 3]}


def _notebook(folder: Path) -> Path:
    """A notebook that needs no model."""
    import nbformat

    cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, WORK)]
    cells[0].metadata["tags"] = ["parameters"]
    for number, cell in enumerate(cells):
        cell["id"] = f"c{number:02}"  # the code of a sweep must be the same every time
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = folder / "square.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def _squares(table) -> bool:
    done = table[table["status"] == "done"]
    return (done["square"] == done["number"].astype(int) ** 2).all() and len(table) == len(AXES["number"])


def _finished_sweep(folder: Path, stock: Path) -> Path:
    """A copy of a finished sweep of the stock, which is made by whoever needs it first."""
    whole = stock / "sweep"
    if not whole.exists():
        temporary = folder / "sweep"
        sweep.run(_notebook(folder), AXES, temporary, progress=False)
        try:
            temporary.rename(whole)
        except OSError:  # another process was faster, or another disk
            if not whole.exists():
                shutil.copytree(temporary, whole, dirs_exist_ok=True)
    return shutil.copytree(whole, folder / "run", dirs_exist_ok=True)


def sweep_file(rng: random.Random, folder: Path, stock: Path, number: int) -> Result:
    """Damage a file of a sweep, then read its table, or run it again after a point was left undone."""
    run = _finished_sweep(folder, stock)
    again = rng.random() < 0.5
    if again:
        (run / "number=3/DONE").unlink()
    files = [file for file in files_of(run, "log.txt") if "runs" not in file.relative_to(run).parts]
    fault, file = damage_one(rng, run, files, folder)
    names = [file.name, file.parent.name, run.name]
    if again:
        return judge(
            f"run again, {fault}",
            lambda: sweep.run(_notebook(folder), AXES, run, progress=False),
            lambda table: _squares(table) and (table["status"] == "done").all(),
            names,
        )
    return judge(f"table, {fault}", lambda: sweep.table(run), _squares, names)


def ray_worker(rng: random.Random, folder: Path, stock: Path, number: int) -> Result:
    """Kill the Ray worker of a point while it runs; the table must be whole in the end."""
    fault, run = announce(folder, "a Ray worker killed"), folder / "run"
    if importlib.util.find_spec("ray") is None:
        return Result(fault, NOT_TRIED, "Ray is not installed")

    def kill_worker() -> None:
        end = time.monotonic() + 120
        while not list(run.glob("*/runs/working-*")) and time.monotonic() < end:
            time.sleep(0.02)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                command = " ".join(process.cmdline())
                if "effwb.sweep.child" in command and str(run) in command:
                    process.parent().kill()  # type: ignore[union-attr]
                    return

    killer = threading.Thread(target=kill_worker)
    killer.start()
    result = judge(
        fault,
        lambda: sweep.run(_notebook(folder), AXES, run, ray=True, progress=False),
        lambda table: _squares(table) and (table["status"] == "done").all(),
        ["run"],
    )
    killer.join()
    return result
