"""Notebook 10 runs for every design: its cells in this process, at the recipe's settings, two steps each."""

import os
from datetime import date
from pathlib import Path

import nbformat
import pytest

from effwb import DESIGNS, RunSet
from effwb.training import Point

NOTEBOOK = Path(__file__).parents[2] / "notebooks/10_grpo_any_design.ipynb"
# eight problems, of which the pocket model solves some without thinking; a first stage visits all of them
TINY = {"n_problems": 4, "n_samples": 2, "steps": 2, "max_tokens": 48}
TINY |= {"training": {"n_problems": 8, "problems_per_round": 4}}
PARTS = 3
PART = "EFFWB_PART"  # environment variable: which third of the designs is run, 0 to 2


def part_of_today():
    """The number of the third that is run today, unless the environment chooses one."""
    return int(os.environ.get(PART, date.today().toordinal())) % PARTS


def run_notebook(design, root, monkeypatch):
    """Execute the code cells one after the other in a namespace, as a kernel does."""
    monkeypatch.chdir(root)
    cells = [c.source for c in nbformat.read(NOTEBOOK, 4).cells if c.cell_type == "code"]
    names = {}
    for number, source in enumerate(cells):
        exec(compile(source, f"cell {number} with design={design}", "exec"), names)
        if number == 0:
            names |= {**TINY, "design": design, "run_root": str(root), "figures_dir": str(root / "figures")}
    return names


def check(design, root, names):
    """The design was trained after its stages, evaluated, and its figures are written."""
    point = Point.with_stages(design, max_tokens=TINY["max_tokens"])
    assert names["point"] == point
    for stage in point.stages:
        assert (root / "pocket" / f"{stage.name.replace(' ', '_')}-seed0/train/DONE").exists()
    runs = RunSet.of(root / "pocket", [run.run_dir for run in names["runs"]])
    assert list(runs.methods) == ["base", point.name]
    assert runs[point.name].metrics["step"].tolist() == [1, 2]
    assert names["preview"]["problem_id"].nunique() == 8
    prefix = f"10_{point.name.replace(' ', '_')}-seed0"
    written = {file.name.removeprefix(prefix) for file in (root / "figures").glob(f"{prefix}_*")}
    assert {"_rewards.html", "_training.html", "_curve.html", "_lengths.html", "_results.json"} <= written


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Where all designs run, so that the starting model is evaluated once."""
    return tmp_path_factory.mktemp("any")


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
def test_it_runs_for_every_design(design, root, monkeypatch):
    check(design, root, run_notebook(design, root, monkeypatch))


@pytest.mark.notebook
@pytest.mark.parametrize("number", range(-(-len(DESIGNS) // PARTS)))
def test_it_runs_for_a_third_of_the_designs(number, root, monkeypatch, capsys):
    """A third a day; EFFWB_PART=0, 1 or 2 chooses one."""
    part = part_of_today()
    designs = list(DESIGNS)[part::PARTS]
    if number == 0:
        with capsys.disabled():
            print(f"\nnotebook 10, designs of {PART}={part}: {', '.join(designs)}")  # noqa: T201
    if number >= len(designs):
        pytest.skip("this third has a design less")
    check(designs[number], root, run_notebook(designs[number], root, monkeypatch))


def test_three_days_run_every_design_once(monkeypatch):
    parts = []
    for day in range(PARTS):
        monkeypatch.setenv(PART, str(date(2025, 1, 1).toordinal() + day))
        parts += list(DESIGNS)[part_of_today() :: PARTS]
    assert sorted(parts) == sorted(DESIGNS)
