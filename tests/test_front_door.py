"""What `import effwb` offers, and the names that notebooks, papers and other programs rely on."""

import importlib
import subprocess
import sys

import pytest

import effwb

PUBLIC = {  # module -> names that must stay where they are
    "effwb": "Study RunSet Point evaluate train Frontier reg verify open_sampler DESIGNS PROFILES",
    "effwb.budgets": "paper_grid exponential linear oracle coefficients quadrature",
    "effwb.curves": "BudgetCurve budget_curve",
    "effwb.frontier": "Frontier reg wasted_tokens macro_average macro_reg",
    "effwb.metrics": "mean_at_k pass_at_k aes ock_score length_given clustered_interval paired_difference",
    "effwb.verifiers": "verify Verdict STATUSES",
    "effwb.problems": "load split_by_pass_rate",
    "effwb.samplers": "open_sampler",
    "effwb.rollouts": "sample",
    "effwb.probes": "probe",
    "effwb.designs": "Group DESIGNS Design design fit_design make_design",
    "effwb.recipes": "RECIPES Recipe recipe",
    "effwb.training": "train TrainResult",
    "effwb.plots": "frontier_figure curve_figure training_figure length_figure reward_figure",
    "effwb.sweep": "run table",
    "effwb.profiles": "PROFILES Training Profile",
}


@pytest.mark.parametrize(("module", "name"), [(m, n) for m, names in PUBLIC.items() for n in names.split()])
def test_public_names_stay_where_they_are(module, name):
    assert hasattr(importlib.import_module(module), name)


def test_every_name_of_the_front_door_opens_and_is_completed():
    for name in effwb.__all__:
        assert getattr(effwb, name) is not None
        assert name in dir(effwb)


def test_the_import_brings_nothing_heavy():
    code = "import effwb, sys; print(*sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    heavy = {"numpy", "pandas", "torch", "transformers", "trl", "plotly", "pydantic", "datasets"}
    assert not heavy & set(modules.split())


@pytest.mark.parametrize(("module", "name"), [("effwb", "store"), ("effwb.training", "effects")])
def test_a_name_of_version_0_1_says_where_it_went(module, name):
    with pytest.raises(ImportError, match=r"is now .*RunSet"):
        exec(f"from {module} import {name}")
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = importlib.import_module(module).no_such_name
