"""The table of benchmarks in the documents says what their results say; growth measures what it says."""

import json
import shutil

import numpy as np
import pytest

from benchmarks import growth, table
from effwb.analysis.finished import read_evaluation
from effwb.errors import DataError
from effwb.probes import COLUMNS as PROBED
from effwb.rollouts import COLUMNS as SAMPLED
from effwb.runs import RunDir

RESULTS = table.HERE / "results"


def test_the_documents_have_the_table_that_the_results_give():
    text = table.PAGE.read_text(encoding="utf-8")
    assert text == table.written(text, table.table()), "run python -m benchmarks.table"


def test_each_row_is_of_a_benchmark_that_can_be_run():
    assert [name for name in table.ROWS if not (table.HERE / f"{name}.py").exists()] == []


def test_a_row_follows_its_results(tmp_path):
    found = json.loads((RESULTS / "reo_step.json").read_text())
    (tmp_path / "reo_step.json").write_text(json.dumps({**found, "ratio": 7.654}))
    lines = table.table(tmp_path).splitlines()
    assert len(lines) == 3  # two of the head; what has no results has no row
    assert "| `python -m benchmarks.reo_step` | 7.65 of" in lines[2]


@pytest.mark.parametrize(("load", "said"), [(1.9, False), (2.1, True)])
def test_other_work_on_the_machine_is_said(tmp_path, load, said):
    shutil.copy(RESULTS / "verify.json", tmp_path)
    found = json.loads((tmp_path / "verify.json").read_text())
    found["machine"] = {"cores": 2, "load": [load, 0, 0]}
    (tmp_path / "verify.json").write_text(json.dumps(found))
    assert ("with other work on both cores" in table.table(tmp_path)) == said


@pytest.mark.parametrize("text", ["", table.BEGIN, table.END + table.BEGIN, table.BEGIN * 2 + table.END])
def test_a_text_without_its_markers_is_refused(text):
    with pytest.raises(DataError, match="once each and in this order"):
        table.written(text, "| a |")


@pytest.mark.parametrize("budgets", [growth.BUDGETS, 5])
def test_a_run_for_growth_is_one_that_evaluate_could_have_left(tmp_path, budgets):
    probed = growth.make_run(tmp_path / "run", 400, growth.grid(budgets, 512), 512)
    found, run = read_evaluation(tmp_path / "run"), RunDir(tmp_path / "run")
    assert (len(found.rollouts), len(found.probes), found.curve.budgets.size) == (400, probed, budgets)
    assert (
        len(run.shards("rollouts")) == len(run.shards("probes")) == 2
    )  # 32 of the 50 problems, and the rest
    rollouts = run.read("rollouts")
    assert tuple(rollouts.columns) == SAMPLED
    assert tuple(run.read("probes").columns) == PROBED
    assert (rollouts["completion_ids"].map(len) == rollouts["length"]).all()


@pytest.mark.parametrize(
    ("cost", "exponent", "runs"),
    [(lambda x: 3 + 2 * x, 1, 4), (lambda x: 3 + x**1.5, 1.5, 4), (lambda x: 3 + 0 * x, None, 0)],
)
def test_the_fixed_cost_is_taken_out_of_an_exponent(cost, exponent, runs):
    least, x = 16, np.array([0, 10, 100, 1000, 10_000])
    points = [
        {"rollouts": least + n, "costs": {"a": {"b": dict.fromkeys(growth.COSTS, float(cost(n)))}}} for n in x
    ]
    found = growth.exponents("rollouts", points, "a", "b")["seconds"]
    assert (found["exponent"], found["last"], found["runs"]) == (exponent, exponent, runs)
