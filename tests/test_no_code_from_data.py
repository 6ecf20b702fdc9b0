"""Data never becomes code: metadata of notebooks, jobs, designs on their way to other processes, models."""

import ast
import builtins
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

import effwb
from effwb import Point, Study, designs, models, problems, profiles, train
from effwb.curves import Curve
from effwb.designs import (
    DESIGNS,
    Design,
    design,
    find_design,
    fit_design,
    read_design,
    toy_group,
    write_design,
)
from effwb.errors import ConfigError
from effwb.frontier import Frontier
from effwb.samplers import open_sampler
from effwb.sweep import estimate
from effwb.sweep.arithmetic import compute
from effwb.training import launch
from effwb.training.job import run_job
from effwb.training.run import TrainingRun

FORBIDDEN = {
    "eval",
    "exec",
    "pickle.load",
    "pickle.loads",
    "torch.load",
    "yaml.unsafe_load",
    "input",
    "__import__",
}


def test_the_library_never_runs_what_it_reads():
    """Calls of these functions in effwb; `torch.load` is legal with weights_only=True."""
    calls = []
    for file in Path(effwb.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in FORBIDDEN:
                safe = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
                calls += [] if safe else [f"{file.name}:{node.lineno} {ast.unparse(node)}"]
    assert calls == []


# arithmetic in the metadata of notebooks


@pytest.mark.parametrize(
    "expression",
    [
        "2 ** 99999999",
        "9" * 5000,
        "10 * " * 190 + "10",
        "(" * 300 + "1" + ")" * 300,
        "-" * 300 + "1",
        "1 + " * 240 + "1",
        "1e308 * 10",
        "'a' * 999999999",
        "[0] * 999999999",
        "seeds * 3",
        "seeds.__class__",
        "__import__('os').system('true')",
        "open('/etc/passwd')",
        "lambda: 1",
        "[x for x in seeds]",
        "(seeds := 3)",
        "len(seeds, 1)",
        "other",
        "1 / 0",
        "\0",
        "",
        "1 if 'x' in 5 else 2",
        "f'{seeds}'",
        "1j",
    ],
)
def test_only_arithmetic_is_computed(expression):
    with pytest.raises(ConfigError):
        compute(expression, {"seeds": [0, 1]})


@pytest.mark.parametrize("count", ["-1", "1e15", "'two'", "1e400", {"a": 1}, ["len(seeds)"]])
def test_a_count_is_a_whole_number(tmp_path, count):
    book = nbformat.v4.new_notebook(metadata={"effwb": {"trainings": count}})
    nbformat.write(book, tmp_path / "n.ipynb")
    with pytest.raises(ConfigError, match="cannot compute trainings"):
        estimate.counts(tmp_path / "n.ipynb", {"seeds": [0]})


def test_metadata_of_another_kind_are_named(tmp_path):
    nbformat.write(nbformat.v4.new_notebook(metadata={"effwb": ["x"]}), tmp_path / "n.ipynb")
    with pytest.raises(ConfigError, match="do not say how many trainings"):
        estimate.counts(tmp_path / "n.ipynb", {})


# designs on their way to other processes


def round_trip(original: Design) -> Design:
    return read_design(json.loads(json.dumps(write_design(original))))


@pytest.mark.parametrize("name", DESIGNS)
def test_every_design_survives_the_way_through_json(name):
    for original in (fit_design(name, 512), DESIGNS[name](cap=512)):
        again = round_trip(original)
        assert type(again) is type(original)
        assert plain(again.parameters()) == plain(original.parameters())
        assert again.state() == original.state()


def plain(values):
    return json.loads(json.dumps(values, default=str))


def test_curves_tables_tuples_and_numbers_survive():
    frontier = Frontier([0, 64, 512], [0, 0.1, 1 / 3])
    oracle = designs.ReoRl(budgets="oracle", n=1, frontier=frontier, cap=512)
    again = round_trip(oracle)
    assert isinstance(again.frontier, Curve)
    assert again.frontier.accuracy.tolist() == frontier.accuracy.tolist()
    assert again.chosen.tolist() == oracle.chosen.tolist()
    table = round_trip(designs.ReoRl(budgets="q_spec", table={"a": 5}, cap=512)).table
    assert table == {"a": 5}
    clipped = designs.LengthHarmonizing(clip=(-2, 4), gamma=np.float64(0.1))
    assert round_trip(clipped).gamma == 0.1
    group = toy_group([100, 200], [1, 0], cap=512)
    assert (
        round_trip(designs.Kimi(weight=1 / 3)).advantage(group) == designs.Kimi(weight=1 / 3).advantage(group)
    ).all()


@pytest.fixture
def rewards(tmp_path, monkeypatch):
    """A module of the user's with designs."""
    (tmp_path / "my_rewards.py").write_text(
        "from effwb.designs import Design, design\n\n"
        "@design\nclass Price(Design):\n    NAME = 'price'\n    weight: float = 0.1\n"
        "    def components(self, group):\n"
        "        return {'price': self.solved(group) - self.weight * group.length_PG / group.cap}\n\n"
        "class NotADesign:\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(effwb.__file__).parents[1]}")
    yield "my_rewards:Price"
    sys.modules.pop("my_rewards", None)


def test_a_design_of_ones_own_goes_by_its_module(rewards):
    own = fit_design(rewards, 512, weight=0.25)
    assert write_design(own)["name"] == rewards
    assert type(round_trip(own)) is find_design(rewards)
    assert round_trip(own).weight == 0.25
    for name, message in (
        ("my_rewards:Pric", "cannot be imported .*package.module:Class"),
        ("my_reward:Price", "cannot be imported"),
        ("my_rewards:NotADesign", "no subclass"),
        ("my_rewards:", "cannot be imported"),
        (":Price", "cannot be imported"),
        ("kimi:", "cannot be imported"),
    ):
        with pytest.raises(ConfigError, match=message):
            find_design(name)


def test_a_design_that_others_cannot_import_is_refused_with_what_to_do(rewards, monkeypatch):
    @design
    class Local(Design):
        NAME = "local"

    with pytest.raises(
        ConfigError, match=r"Local is defined in this notebook .*from my_designs import Local"
    ):
        write_design(Local())
    in_main = find_design(rewards)
    monkeypatch.setattr(in_main, "__module__", "__main__")
    with pytest.raises(ConfigError, match=r"put it into a file, such as my_designs.py"):
        write_design(in_main())
    monkeypatch.undo()


def test_a_parameter_that_is_no_data_is_refused():
    strange = DESIGNS["kimi"](weight=0.2)
    object.__setattr__(strange, "weight", print)
    with pytest.raises(ConfigError, match="cannot be sent to other processes"):
        write_design(strange)


def test_a_point_and_a_study_take_a_module_path(rewards, tmp_path):
    study = Study.open("pocket", run_root=tmp_path / "runs", figures_dir=tmp_path / "figures")
    assert study.preview_dir(Point(rewards)).name.startswith("preview-512x")
    assert Point(rewards, {"weight": 0.2}).name == "my_rewards:Price weight=0.2"


def test_a_job_has_no_pickle(tmp_path, rewards):
    class Bomb:
        def __reduce__(self):
            return builtins.exec, ("raise SystemExit('code from a pickle ran')",)

    (tmp_path / "design.pkl").write_bytes(pickle.dumps(Bomb()))
    job = {"design": "design.pkl", "problems": "pocket", "run_dir": str(tmp_path / "run")}
    (tmp_path / "config.json").write_text(json.dumps(job))
    with pytest.raises(ConfigError, match=r"'design.pkl' is a pickle"):
        run_job(tmp_path / "config.json")


def test_what_other_processes_get_is_data(tmp_path, rewards):
    few = problems.load("pocket", 16, split="train")
    profile = profiles.profile("pocket")
    run = TrainingRun(
        design=fit_design(rewards, 512, weight=0.3),
        problems=few,
        model="pocket",
        run_dir=tmp_path / "run",
        profile=profile,
        settings=profile.training,
        max_tokens=512,
        seed=0,
        effort=None,
        reference=None,
        monitor=None,
        verify_timeout=5.0,
    )
    path = launch._write_job(run, tmp_path / "job", [])
    written = json.loads(path.read_text())
    assert written["design"]["name"] == "my_rewards:Price"
    assert written["state"] == {"design": "price"}
    assert {file.suffix for file in path.parent.iterdir()} == {".json", ".parquet"}


@pytest.mark.long
def test_a_job_trains_a_design_of_ones_own(tmp_path, rewards):
    settings = {"steps": 1, "problems_per_round": 2, "group_size": 2, "save_every": 1}
    job = {"design": rewards, "design_params": {"weight": 0.3}, "problems": "pocket", "n_problems": 4}
    job |= {"max_tokens": 32, "run_dir": str(tmp_path / "run"), "training": settings}
    (tmp_path / "config.json").write_text(json.dumps(job))
    result = run_job(tmp_path / "config.json", watch="none")
    assert result.design.weight == 0.3
    few = problems.load("pocket", 4, split="train")
    same = dict(run_dir=tmp_path / "run", profile=profiles.profile("pocket"), max_tokens=32, watch="none")
    again = train(rewards, few, design_params={"weight": 0.3}, **same, **settings)
    assert again.metrics.equals(result.metrics)  # read back: the identity is the same


# models that come with code


@pytest.fixture
def model_with_code(tmp_path):
    """The pocket model with a config that names code in its directory; running the code leaves a file."""
    folder = tmp_path / "foreign"
    shutil.copytree(models.locate("pocket").path, folder)
    trace = tmp_path / "trace"
    (folder / "own.py").write_text(
        f"open({str(trace)!r}, 'w').close()\n"
        "from transformers import Qwen3Config, Qwen3ForCausalLM\n"
        "class OwnConfig(Qwen3Config):\n    model_type = 'own'\n"
        "class OwnModel(Qwen3ForCausalLM):\n    config_class = OwnConfig\n"
    )
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder, trace


def test_code_of_a_model_needs_a_parameter_and_never_asks(model_with_code, monkeypatch, tmp_path):
    folder, trace = model_with_code
    monkeypatch.setattr(builtins, "input", lambda *_: pytest.fail("a question on the terminal"))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    for load in (models.load_config, models.load_model):
        with pytest.raises(
            ConfigError, match=r"needs code that comes with its files .*trust_remote_code=True"
        ):
            load(str(folder))
    with open_sampler(str(folder)) as sampler, pytest.raises(ConfigError, match="trust_remote_code=True"):
        _ = sampler.context
    assert not trace.exists()
    source = models.locate(str(folder), trust_remote_code=True)
    assert type(models.load_config(source)).__name__ == "OwnConfig"
    assert trace.exists()


def test_trust_is_a_field_of_the_profile(model_with_code, few, tmp_path):
    folder, trace = model_with_code
    profile = profiles.profile("pocket", model=str(folder))
    with pytest.raises(ConfigError, match="trust_remote_code=True"):
        train("vanilla", few, run_dir=tmp_path / "run", profile=profile, problems_per_round=2)
    assert not trace.exists()
    assert profile.sampler_options["trust_remote_code"] is False
    assert profile.override(trust_remote_code=True).sampler_options["trust_remote_code"] is True


def test_the_command_line_never_asks(model_with_code, tmp_path):
    folder, trace = model_with_code
    command = [sys.executable, "-m", "effwb.cli", "eval", "-o", str(tmp_path / "run"), "--model", str(folder)]
    done = subprocess.run(command, input="y\n", capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    assert "pass --trust-remote-code if you trust it" in done.stderr
    assert not trace.exists()


@pytest.mark.parametrize(
    "name", ["kimi", "gfpo", "mrt", "length_harmonizing", "reo_rl", "lead", "my_rewards:Price"]
)
def test_other_processes_continue_the_same_run(name, tmp_path, rewards, monkeypatch):
    """The job of a run, read back, is the same run: same identity, same state of the design."""
    few = problems.load("pocket", 16, split="train")
    reference = {problem: {"length": 50.5, "accuracy": 0.25} for problem in few["problem_id"]}
    params = {
        "gfpo": {"k": 4},
        "length_harmonizing": {"clip": (-2, 4)},
        "reo_rl": {"budgets": "oracle", "n": 1, "frontier": Frontier([0, 64, 512], [0, 0.1, 1 / 3])},
    }
    runs = []
    monkeypatch.setattr(TrainingRun, "finish", lambda run, *_: runs.append(run))
    profile = profiles.profile("pocket")
    train(
        name,
        few,
        run_dir=tmp_path / "run",
        profile=profile,
        design_params=params.get(name),
        reference=reference if find_design(name).needs_reference else None,
        seed=3,
        effort="low",
        learning_rate=1e-4 / 3,
    )
    (first,) = runs
    run_job(launch._write_job(first, tmp_path / "job", []))
    again = runs[1]
    assert plain(again.identity()) == plain(first.identity())
    assert again.design.state() == first.design.state()
    assert again.recorded() == first.recorded()
    assert again.run_dir == first.run_dir.resolve()
