"""Every notebook: its form, and a run through papermill at the smallest size that shows it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

from effwb.sweep.estimate import counts
from effwb.sweep.parameters import declared_parameters

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TINY = {"n_problems": 14, "n_samples": 2, "steps": 1, "group_size": 4, "training": {"n_problems": 16}}
SHORT = {**TINY, "max_tokens": 96}
BRIEF = {**SHORT, "training": {"n_problems": 8, "problems_per_round": 8}}
SMALL = {
    "00_quickstart": {"n_problems": 14, "n_samples": 2, "efforts": ["low"]},
    "01_published_frontiers": {},
    "10_grpo_any_design": {"n_problems": 14, "n_samples": 2, "steps": 2, "max_tokens": 96, "group_size": 4},
    "11_train_to_reason_efficiently": {**SHORT, "alphas": [0.1, 0.4]},
    "12_token_budgets": {**TINY, "caps": [96, 32], "direct": [32]},
    "13_length_harmonizing_and_kimi": {**SHORT, "weights": [0.5]},
    "14_l1_length_control": {**SHORT, "hints": [16, 64], "slopes": ["released"]},
    "15_laser_dler_gdpo": SHORT,
    "20_reo_rl": {**BRIEF, "forced": True},
    "21_reo_rl_ablations": {**BRIEF, "max_tokens": 64, "most": 6, "start_from": "rl"},
    "22_anytime_mrt_brpo": BRIEF,
    "23_pocket_frontier": {**TINY, "caps": [32]},
    "30_lapo": {**SHORT, "statistics": ["median", "min"], "told_lengths": [16, 64]},
    "31_lead": {**BRIEF, "ratios": [1.0], "aggregators": ["median"]},
    "32_when_to_think": {**SHORT, "warm": {"n": 4, "epochs": 1}, "forced_samples": 2},
    "40_offline_baselines": {
        **{**BRIEF, "training": {"n_problems": 16, "problems_per_round": 8}},
        "methods": ["sft_tops", "simpo_dast", "dpo_shortest", "o1_pruner"],
        "rl": ["vanilla"],
        "cutoffs": [32],
        "offline": {"epochs": 1},
    },
    "50_explorer": {"n_problems": 14, "n_samples": 2},
    "60_paper_figures": {"n_problems": 14, "n_samples": 2},
    "90_build_pocket": {"steps": 50, "tokens_per_batch": 512, "n_problems": 14},
}


def read(path):
    return nbformat.read(path, as_version=4)


def code_of(notebook):
    return [c for c in notebook.cells if c.cell_type == "code"]


def run(path, out, folder, env=None, **parameters):
    arguments = [a for k, v in parameters.items() for a in ("-y", f"{k}: {v}")]
    command = [sys.executable, "-m", "papermill", str(path), str(out), "--no-progress-bar", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=550
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_form(path):
    notebook = read(path)
    code = code_of(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info.name == "python"
    assert not any(c.outputs or c.execution_count for c in code), "stored with outputs"
    assert code[0].metadata.tags == ["parameters"]
    for line in code[0].source.splitlines():
        assert " = " in line, f"the parameters cell holds literals with a comment each, not {line!r}"
        assert " # " in line, f"no comment behind {line!r}"
    names = {line.partition(" = ")[0] for line in code[0].source.splitlines()}
    assert set(papermill.inspect_notebook(path)) == names  # it reads lines, and stumbles over a second "="
    assert notebook.cells[0].source.startswith("# ")
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    assert sum(line.startswith("# ") for line in text.splitlines()) == 1
    longest = max(len(c.source.splitlines()) for c in code)
    assert longest <= 25, f"a code cell of {longest} lines"
    assert "study.save(" in code[-1].source or "files_written" in code[-1].source


def test_every_notebook_is_run_small():
    assert set(SMALL) == {p.stem for p in NOTEBOOKS}


@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_runs_from_its_parameters_cell(path, tmp_path):
    where = {}
    declared = code_of(read(path))[0].source
    for name in ("run_root", "work_dir", "out_dir", "figures_dir"):
        if f"{name} = " in declared:
            where[name] = str(tmp_path / name)
    done = run(path, tmp_path / "out.ipynb", tmp_path, **where, **SMALL[path.stem])
    assert done.returncode == 0, done.stderr[-3000:]
    _check_counts(path, tmp_path / "run_root", where)
    _check_progress(read(tmp_path / "out.ipynb"))
    figures = list((tmp_path / "figures_dir").glob("*.html"))
    assert figures
    assert all(f.with_name(f"{f.stem}.csv").exists() for f in figures), "a figure without its table"


def _check_progress(notebook):
    """In the executed notebook, progress has left one line per cell at most, none of them on stderr."""
    for cell in code_of(notebook):
        errors = "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stderr")
        assert not re.search(r"\d+%\||\d of \d+ (problem|rollout)s|step \d+ of", errors), errors
        shown = [o.data for o in cell.outputs if o.output_type == "display_data"]
        lines = [data["text/plain"] for data in shown if list(data) == ["text/plain"]]
        assert len(lines) <= 1, lines
        if "study.train(" in cell.source:
            assert re.fullmatch(r"\d+ runs done in [\d.]+ (s|min)", lines[0])


def _check_counts(path, root, where):
    """What the notebook says of itself, for estimates, is what it did."""
    if "effwb" not in read(path).metadata:
        assert path.stem in ("01_published_frontiers", "50_explorer", "60_paper_figures", "90_build_pocket")
        return
    told = counts(path, {**declared_parameters(path), **SMALL[path.stem], **where})
    trained = [file for file in root.rglob("train/DONE") if "warm" not in str(file)]
    assert told["trainings"] == len(trained)
    probed = [file for file in root.rglob("probes/DONE") if "-practice" not in str(file)]
    assert told["evaluations"] == len(probed)


@pytest.mark.notebook
def test_an_unknown_parameter_stops_the_notebook(tmp_path):
    done = run(ROOT / "notebooks/00_quickstart.ipynb", tmp_path / "out.ipynb", tmp_path, n_problem=3)
    assert done.returncode != 0
    assert "unknown notebook parameter 'n_problem'" in done.stderr
    assert "Did you mean 'n_problems'?" in done.stderr


@pytest.mark.notebook
@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"profile": "poket"}, "unknown profile 'poket'"),
        ({"engine": "vlm"}, "unknown engine 'vlm'"),
        ({"n_problems": "many"}, "n_problems must be int"),
    ],
)
def test_a_bad_value_stops_the_notebook(tmp_path, parameter, message):
    where = {"run_root": str(tmp_path / "r"), "figures_dir": str(tmp_path / "f")}
    done = run(ROOT / "notebooks/00_quickstart.ipynb", tmp_path / "out.ipynb", tmp_path, **where, **parameter)
    assert done.returncode != 0
    assert message in done.stderr
