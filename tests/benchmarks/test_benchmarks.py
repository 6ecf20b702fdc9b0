"""The table of benchmarks in the documents agrees with the results; growth measures what it says."""

import json
import shutil

import numpy as np
import pytest

from benchmarks import growth, table
from effwb.analysis.finished import read_evaluation
from effwb.errors import DataError
from effwb.probes import COLUMNS as PROBE_COLUMNS
from effwb.rollouts import COLUMNS as ROLLOUT_COLUMNS
from effwb.runs import RunDir

RESULTS = table.HERE / "results"


def test_the_table_in_the_documents_agrees_with_the_results():
    page = table.PAGE.read_text(encoding="utf-8")
    assert page == table.insert(page, table.table()), "run python -m benchmarks.table"


def test_each_row_belongs_to_a_benchmark():
    assert [name for name in table.ROWS if not (table.HERE / f"{name}.py").exists()] == []


def test_a_row_follows_its_results(tmp_path):
    results = json.loads((RESULTS / "reo_step.json").read_text())
    (tmp_path / "reo_step.json").write_text(json.dumps({**results, "ratio": 7.654}))
    lines = table.table(tmp_path).splitlines()
    assert len(lines) == 3  # two of the head; a benchmark without results has no row
    assert "| `python -m benchmarks.reo_step` | 7.65 of" in lines[2]


@pytest.mark.parametrize(("load", "busy"), [(1.9, False), (2.1, True)])
def test_the_table_mentions_other_work_on_the_machine(tmp_path, load, busy):
    shutil.copy(RESULTS / "verify.json", tmp_path)
    results = json.loads((tmp_path / "verify.json").read_text())
    results["machine"] = {"cores": 2, "load": [load, 0, 0]}
    (tmp_path / "verify.json").write_text(json.dumps(results))
    assert ("with other work on both cores" in table.table(tmp_path)) == busy


@pytest.mark.parametrize("page", ["", table.BEGIN, table.END + table.BEGIN, table.BEGIN * 2 + table.END])
def test_a_page_without_its_markers_is_refused(page):
    with pytest.raises(DataError, match="once each and in this order"):
        table.insert(page, "| a |")


@pytest.mark.parametrize("budgets", [growth.BUDGETS, 5])
def test_growth_writes_a_run_like_one_of_evaluate(tmp_path, budgets):
    n_probes = growth.make_run(tmp_path / "run", 400, growth.grid(budgets, 512), 512)
    evaluation, run = read_evaluation(tmp_path / "run"), RunDir(tmp_path / "run")
    assert (len(evaluation.rollouts), len(evaluation.probes)) == (400, n_probes)
    assert evaluation.curve.budgets.size == budgets
    # 32 of the 50 problems, and the rest
    assert len(run.shards("rollouts")) == len(run.shards("probes")) == 2
    rollouts = run.read("rollouts")
    assert tuple(rollouts.columns) == ROLLOUT_COLUMNS
    assert tuple(run.read("probes").columns) == PROBE_COLUMNS
    assert (rollouts["completion_ids"].map(len) == rollouts["length"]).all()


@pytest.mark.parametrize(
    ("cost", "exponent", "runs"),
    [(lambda x: 3 + 2 * x, 1, 4), (lambda x: 3 + x**1.5, 1.5, 4), (lambda x: 3 + 0 * x, None, 0)],
)
def test_the_fixed_cost_is_subtracted_before_an_exponent_is_fitted(cost, exponent, runs):
    smallest, x = 16, np.array([0, 10, 100, 1000, 10_000])
    points = [
        {"rollouts": smallest + n, "costs": {"a": {"b": dict.fromkeys(growth.COSTS, float(cost(n)))}}}
        for n in x
    ]
    fit = growth.exponents("rollouts", points, "a", "b")["seconds"]
    assert (fit["exponent"], fit["last"], fit["runs"]) == (exponent, exponent, runs)
