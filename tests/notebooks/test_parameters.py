"""Parameters of notebooks are checked before anything is loaded: by papermill, in JupyterLab, in sweeps."""

from pathlib import Path

import pytest

from effwb import notebook, sweep
from effwb.errors import ConfigError
from effwb.sweep.parameters import UNKNOWN, declared_parameters

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
DECLARED = {path.name: declared_parameters(path) for path in NOTEBOOKS}
CELL = """profile = "pocket"
seeds = [0]
seed = None
steps = None
engine = None
training = {}
design = "kimi"
design_params = {}
n_samples = None
report_to = []
figures_dir = "figures"
"""
WRONG = [  # what replaces the default, and what the message says
    ("seeds = 0", "seeds"),
    ("seeds = []", "seeds must not be empty"),
    ("seeds = [1.5]", "seeds must be a list of int"),
    ("seed = 1.5", "seed must be int or None"),
    ('steps = "many"', "steps must be int"),
    ("steps = -3", "steps=-3 must be at least 1"),
    ("training = []", "training must be"),
    ('training = {"stepps": 20}', "unknown training field 'stepps'.*Did you mean 'steps'"),
    ('training = {"loss": "gpro"}', "unknown training loss 'gpro'"),
    ('engine = "vlm"', "unknown training engine 'vlm'"),
    ('profile = "poket"', "unknown profile 'poket'"),
    ('design = "kmi"', "unknown design 'kmi'.*Did you mean 'kimi'"),
    ('design_params = {"weigt": 1}', "unknown parameter of kimi 'weigt'"),
    ("design_params = 5", "design_params must be"),
    ("n_samples = 1", "n_samples=1 must be at least 2"),
    ('report_to = "wandb"', "report_to must be"),
    ('figures_dir = ""', "figures_dir must not be empty"),
    ('steps = 10\ntraining = {"steps": 20}', "steps=10 and training={'steps': 20} are both given"),
]


class Shell:
    def __init__(self, *cells):
        self.user_ns = {"In": ["", *cells]}


def edited(change: str) -> str:
    """The cell with the assignments of `change` in place of its own."""
    names = [line.partition(" = ")[0] for line in change.splitlines()]
    kept = [line for line in CELL.splitlines() if line.partition(" = ")[0] not in names]
    return "\n".join([*kept, change])


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_a_wrong_parameter_is_refused_however_it_comes(change, message):
    with pytest.raises(ConfigError, match=message):
        notebook.check_parameters(Shell(CELL, f"# Parameters\n{change}", "study = Study.open(profile)"))
    with pytest.raises(
        ConfigError, match=message
    ):  # edited in JupyterLab, after it was run with the defaults
        notebook.check_parameters(Shell(CELL, edited(change), "study = Study.open(profile)"))


def test_good_parameters_and_foreign_notebooks_pass():
    good = 'seeds = [0, 1]\nsteps = 20\ntraining = {"kl": 0.001, "steps": None}'
    assert "steps" in notebook.check_parameters(Shell(CELL, "# Parameters\nsteps = 20", "study"))
    assert notebook.check_parameters(Shell(edited(good), "study")) == []
    assert notebook.check_parameters(Shell("seeds = 0\nsteps = 'many'", "Study.open()")) == []
    assert notebook.check_parameters(Shell("figures_dir = where()\nseeds = 0", "Study.open()")) == []


def test_the_defaults_of_every_notebook_pass():
    for name, declared in DECLARED.items():
        notebook.check_settings({key: value for key, value in declared.items() if value is not UNKNOWN})
        assert declared, name


def test_settings_are_put_together():
    assert notebook.training_settings({"kl": 0.1}, steps=None, engine="vllm") == {"kl": 0.1, "engine": "vllm"}
    with pytest.raises(ConfigError, match="training must be a dict, got 5"):
        notebook.training_settings(5)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"design": ["vanilla", "kmi"]}, "point design=kmi: unknown design 'kmi'"),
        ({"steps": [20, -3]}, "point steps=-3: steps=-3 must be at least 1"),
        ({"training": [{"kl": 0.1}, {"klp": 0.1}]}, "unknown training field 'klp'"),
        (
            {"design": ["kimi", "lead"], "design_params": [{"weight": 0.2}]},
            "unknown parameter of lead 'weight'",
        ),
        ({"profile": ["pocket", "poket"]}, "unknown profile 'poket'"),
        ({"seeds": [[0], [0.5]]}, "seeds must be a list of int"),
        ({"eval_engine": ["transformers", "vlm"]}, "unknown eval_engine 'vlm'"),
    ],
)
def test_a_sweep_checks_every_point_before_the_first_runs(axes, message, tmp_path):
    grpo = next(path for path in NOTEBOOKS if path.name.startswith("10_"))
    with pytest.raises(ConfigError, match=message):
        sweep.run(grpo, axes, tmp_path / "out")
    assert not (tmp_path / "out").exists()
