"""Every public entry refuses wrong values by name, before any model is loaded."""

import copy
import json
import math
from pathlib import Path

import pandas as pd
import pytest
from datasets import Dataset

from effwb import (
    Point,
    RunSet,
    Study,
    cli,
    evaluate,
    models,
    open_sampler,
    problems,
    profiles,
    rollouts,
    sweep,
    train,
)
from effwb.designs import fit_design
from effwb.errors import ConfigError, DataError, EffwbError
from effwb.probes import Probing, probe
from effwb.profiles import PROFILES, Sampling, profile
from effwb.prompts import Prompting
from effwb.samplers import SamplingParams
from effwb.training import Stage, frozen_reference, preview, sft_warm_start, train_stages
from effwb.training.job import run_job

NAN, INF = math.nan, math.inf
POCKET = PROFILES["pocket"]
QUICKSTART = Path(__file__).parents[1] / "notebooks" / "00_quickstart.ipynb"
KIMI = fit_design("kimi", 512)


@pytest.fixture(autouse=True)
def no_model_is_loaded(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(models, "load_model", refuse)


@pytest.fixture(scope="module")
def sampler():
    return open_sampler("pocket")  # the weights would be loaded at the first use


@pytest.fixture
def study(tmp_path):
    return Study.open("pocket", run_root=tmp_path / "runs", figures_dir=tmp_path / "figures")


VALUES = [  # (entry, parameter, wrong values)
    ("sampling", "max_tokens", [0, "64", 1.5, True]),
    ("sampling", "temperature", [-1, NAN, INF, "1", None]),
    ("sampling", "top_p", [0, 1.5, NAN, "x"]),
    ("sampling", "shard_problems", [0, 1.5]),
    ("sampling", "verify_timeout", [0, -1, NAN, INF, "5"]),
    ("prompting", "template", ["boxd", 5]),
    ("prompting", "effort", ["", 5]),
    ("prompting", "hint", [0, -5, 1.5, ""]),
    ("prompting", "hint_place", ["end", None]),
    ("prompting", "thinking", ["False", 1, None]),
    ("prompting", "opening", ["closed"]),
    ("probing", "answer_tokens", [0, "8"]),
    ("probing", "snap", [0, 1.5]),
    ("probing", "shard_rollouts", [0]),
    ("probing", "verify_timeout", [0, NAN]),
    ("params", "temperature", [NAN, INF, -1]),
    ("params", "n", [0, 1.5]),
    ("params", "top_p", [0, 2]),
    ("point", "design", ["", 5, None]),
    ("point", "params", [[1], "weight"]),
    ("point", "max_tokens", [0, "64"]),
    ("point", "training", [[1], 5]),
    ("point", "after", ["vanilla"]),
    ("profile", "engine", ["vlm", 5]),
    ("profile", "template", ["boxd"]),
    ("profile", "n_samples", [0, 1.5, "8"]),
    ("profile", "temperature", [NAN, INF, -1]),
    ("profile", "dtype", ["flaot32"]),
    ("profile", "trust_remote_code", ["yes", 1]),
    ("training", "steps", [0, -3, 1.5, "many", True]),
    ("training", "learning_rate", [NAN, INF, -1, "1e-6"]),
    ("training", "engine", ["vlm", "server"]),
    ("training", "loss", ["gpro"]),
    ("training", "precision", ["float16"]),
    ("training", "save_every", [0, "20"]),
    ("training", "kl", [NAN, INF]),
    ("training", "clip_high", [NAN, INF, "x"]),
    ("study", "n_problems", [0, "70", 1.5]),
    ("study", "n_samples", [0, 1, "8"]),
    ("study", "max_tokens", [0, NAN]),
    ("study", "training", [[1], 5, {"stepps": 1}, {"steps": "20"}]),
    ("study", "eval_engine", ["vlm", 5]),
    ("study", "run_root", ["", 5]),
    ("study", "train_source", ["", 5]),
    ("study.train", "seeds", [0, [], [1.5], ["0"], [-1], [0, 0], None]),
    ("study.train", "points", [[], "kimi", Point("kimi"), [5], {}]),
    ("study.train", "report_to", ["tensorboard", [""], ["tensorbord"]]),
    ("study.train", "watch", ["nothing"]),
    ("study.evaluate", "seed", [1.5, -1, "0", None]),
    ("study.evaluate", "effort", ["lwo", "", 5]),
    ("study.evaluate", "prompting", ["low"]),
    ("study.reference", "n", [0, 1.5, "8"]),
    ("train", "design", ["kmi", 5, None, "no.such.module:Design", "effwb.designs:Group"]),
    ("train", "profile", ["pocket", None]),
    ("train", "run_dir", ["", 5]),
    ("train", "seed", [1.5, -1, "0"]),
    ("train", "max_tokens", [0, "96", 1.5]),
    ("train", "effort", ["lwo", 5]),
    ("train", "verify_timeout", [0, NAN, "5"]),
    ("train", "watch", ["nothing"]),
    ("train", "report_to", ["tensorboard", ["tensorbord"]]),
    ("train", "steps", [0, -3, "many", 1.5]),
    ("train", "loss", ["gpro"]),
    ("train", "engine", ["vlm"]),
    ("train", "precision", ["half"]),
    ("train", "learning_rate", [NAN]),
    ("train", "save_every", [0]),
    ("train", "group_size", [1]),
    ("evaluate", "profile", ["pocket"]),
    ("evaluate", "sampler", ["pocket"]),
    ("evaluate", "seed", [1.5, "0", -1]),
    ("evaluate", "effort", ["lwo", 5]),
    ("evaluate", "snap", [0, "16"]),
    ("evaluate", "budgets", [[], "64", [NAN], [-1], [64, 32]]),
    ("evaluate", "run_dir", [""]),
    ("evaluate", "progress", ["yes"]),
    ("sample", "n", [0, 1.5, "8"]),
    ("sample", "sampling", [{"temperature": 1.0}]),
    ("sample", "prompting", ["low"]),
    ("sample", "seed", [1.5]),
    ("preview", "n_problems", [0, "8"]),
    ("preview", "design", ["kimi"]),
    ("sft", "epochs", [0, 1.5, "3"]),
    ("sft", "batch_size", [0]),
    ("sft", "learning_rate", [NAN, -1]),
    ("frozen_reference", "n", [0]),
    ("load", "n", [0, 1.5, "8"]),
    ("load", "name", ["", 5, "pockt"]),
    ("load", "seed", [1.5]),
    ("reg", "l_max", [0, -5, "64", NAN]),
    ("reg", "frontier", ["qwen3-8b"]),
    ("filter", "seed", [1.5, -1]),
    ("effects", "baseline", [5, ""]),
    ("find", "root", [5, ""]),
    ("stage", "design", [5, ""]),
    ("stage", "settings", [5]),
    ("stages", "stages", [5, ["a"]]),
    ("sweep", "fixed", [[1], 5]),
    ("sweep", "axes", [[1], 5, {}]),
    ("sweep", "out", ["", 5]),
    ("sweep", "jobs", [0, "two"]),
    ("sweep", "ray", [5]),
    ("sweep", "retry", ["yes"]),
    ("sweep", "notebook", ["", 5, "nowhere.ipynb"]),
    ("table", "out", ["", 5]),
    ("transformers", "batch_rows", [0, "64", 1.5]),
    ("transformers", "dtype", ["float64"]),
    ("server", "timeout", ["x", 0, NAN]),
    ("server", "concurrency", [0, 1.5]),
    ("server", "trust_remote_code", ["yes"]),
    ("vllm", "gpu_memory_utilization", [0, 2, "half"]),
    ("vllm", "cache_gib", [0, NAN]),
    ("job", "design", [5, None, ["kimi"], "kmi"]),
    ("job", "problems", [5, ""]),
    ("job", "run_dir", ["", 5]),
    ("job", "seed", [1.5, "0"]),
    ("job", "training", [[1], {"steps": "20"}, {"stepps": 1}]),
    ("job", "design_params", ["weight", {"weigt": 1}]),
    ("job", "verify_timeout", [0]),
    ("job", "report_to", ["tensorboard"]),
    ("job", "profile", ["poket", {"model": "pocket"}]),
    ("job", "n_problems", [0, "16"]),
]
CASES = [(entry, name, value) for entry, name, values in VALUES for value in values]


def call(entry: str, name: str, value, *, study, sampler, few, folder) -> None:
    """Call an entry with one wrong value and legal others."""
    wrong = {name: value}
    job = {"design": "kimi", "problems": "pocket", "run_dir": str(folder / "run"), **wrong}
    (folder / "config.json").write_text(json.dumps(job, default=str))
    run = {"run_dir": folder / "run"}
    training = {**run, "design": "kimi", "problems": few, "profile": POCKET, "problems_per_round": 2}
    entries = {
        "sampling": lambda: Sampling(**wrong),
        "prompting": lambda: Prompting(**wrong),
        "probing": lambda: Probing(**wrong),
        "params": lambda: SamplingParams(**{"max_tokens": 8, **wrong}),
        "point": lambda: Point(**{"design": "kimi", **wrong}),
        "profile": lambda: POCKET.override(**wrong),
        "training": lambda: POCKET.training.override(**wrong),
        "study": lambda: Study.open("pocket", **{"run_root": folder, "figures_dir": folder, **wrong}),
        "study.train": lambda: study.train(**{"points": [Point("vanilla")], **wrong}),
        "study.evaluate": lambda: study.evaluate(**wrong),
        "study.reference": lambda: study.reference(**wrong),
        "train": lambda: train(**{**training, **wrong}),
        "evaluate": lambda: evaluate(
            **{"problems": few, "sampler": sampler, "profile": POCKET, "progress": False, **run, **wrong}
        ),
        "sample": lambda: rollouts.sample(
            **{"problems": few, "sampler": sampler, "n": 2, "progress": False, **run, **wrong}
        ),
        "preview": lambda: preview(
            **{"design": KIMI, "problems": few, "sampler": sampler, "profile": POCKET, **run, **wrong}
        ),
        "sft": lambda: sft_warm_start(POCKET, few, **{**run, **wrong}),
        "frozen_reference": lambda: frozen_reference(POCKET, few, run_root=folder, **wrong),
        "load": lambda: problems.load(**{"name": "pocket", **wrong}),
        "reg": lambda: RunSet.of(folder, []).reg(**wrong),
        "sweep": lambda: sweep.run(**{"notebook": QUICKSTART, "axes": {"seed": [0]}, "out": folder, **wrong}),
        "table": lambda: sweep.table(**wrong),
        "filter": lambda: RunSet.of(folder, []).filter(**wrong),
        "effects": lambda: RunSet.of(folder, []).effects(**wrong),
        "find": lambda: RunSet.find(value),
        "stage": lambda: Stage(**{"name": "one", "design": "kimi", **wrong}),
        "stages": lambda: train_stages(problems=few, **run, profile=POCKET, **wrong),
        "transformers": lambda: open_sampler("pocket", **wrong),
        "server": lambda: open_sampler("pocket", "server", **wrong),
        "vllm": lambda: open_sampler("pocket", "vllm", **wrong),
        "job": lambda: run_job(folder / "config.json"),
    }
    entries[entry]()


@pytest.mark.parametrize(("entry", "name", "value"), CASES, ids=lambda v: str(v)[:30])
def test_a_wrong_value_is_refused_by_name(entry, name, value, study, sampler, few, tmp_path):
    with pytest.raises(EffwbError) as error:
        call(entry, name, value, study=study, sampler=sampler, few=few, folder=tmp_path)
    others = {"budgets": "budget", "training": "steps", "design_params": "parameter of kimi", "axes": "axis"}
    assert name in str(error.value) or others.get(name, "problem source") in str(error.value)
    assert not list(tmp_path.rglob("*.parquet"))


def test_an_unknown_argument_has_the_nearest_name(few, sampler):
    with pytest.raises(ConfigError, match=r"unknown argument of Study.open\(\) 'n_problem'.*'n_problems'"):
        Study.open(n_problem=70)
    with pytest.raises(ConfigError, match=r"argument of evaluate\(\) 'sed'.*Did you mean 'seed'"):
        evaluate(few, sampler, POCKET, run_dir="x", sed=1)
    with pytest.raises(ConfigError, match="unknown training field 'stepps'"):
        train("kimi", few, run_dir="x", profile=POCKET, stepps=1)


def with_row(few: Dataset, **values) -> Dataset:
    """The problems with the first row changed."""
    table = few.to_pandas().astype(object)
    for name, value in values.items():
        table.at[0, name] = value
    return Dataset.from_pandas(table, preserve_index=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda few: few.to_pandas(), "must be a data set, .* got DataFrame; .*from_pandas"),
        (lambda few: few.to_list(), "must be a data set, .* got list"),
        (lambda few: with_row(few, question=None), "no text as question, such as row 0: None"),
        (lambda few: with_row(few, question="  "), "no text as question"),
        (lambda few: with_row(few, problem_id=None), "no text as problem_id"),
        (lambda few: with_row(few, answer=None), "gold that no verifier can use, such as row 0: None"),
        (lambda few: with_row(few, answer=""), "gold that no verifier can use"),
        (lambda few: with_row(few, answer=r"\frac{"), "gold that no verifier can use"),
        (lambda few: few.select([]), "there are no problems"),
        (lambda few: few.remove_columns("answer"), r"lack the columns \['answer'\]"),
    ],
)
def test_problems_that_cannot_be_sampled_are_refused(change, message, few, sampler, tmp_path):
    bad = change(few)
    for start in (
        lambda: evaluate(bad, sampler, POCKET, run_dir=tmp_path / "run", progress=False),
        lambda: rollouts.sample(bad, sampler, 2, run_dir=tmp_path / "run", progress=False),
        lambda: train("kimi", bad, run_dir=tmp_path / "run", profile=POCKET),
    ):
        with pytest.raises(DataError, match=message):
            start()


def test_ids_that_are_numbers_are_refused(few, sampler, tmp_path):
    table = few.to_pandas().assign(problem_id=range(len(few)))
    with pytest.raises(DataError, match="no text as problem_id, such as row 0: 0"):
        evaluate(Dataset.from_pandas(table), sampler, POCKET, run_dir=tmp_path, progress=False)


def test_every_point_is_checked_before_the_first_is_trained(few, tmp_path):
    """adapt_think needs loss "grpo"; vanilla before it would have trained."""
    from effwb.study import run_points

    small = POCKET.override(training=POCKET.training.override(problems_per_round=2))
    reference = {problem: {"length": 10.0, "accuracy": 0.5} for problem in few["problem_id"]}
    for points, message in (
        (
            [Point("vanilla"), Point("adapt_think", training={"loss": "dapo"})],
            "adapt_think needs loss='grpo'",
        ),
        ([Point("vanilla"), Point("kmi")], "Did you mean 'kimi'"),
        ([Point("vanilla"), Point("kimi", training={"steps": 3, "updates_per_round": 2})], "multiple"),
        ([Point("vanilla"), Point("length_harmonizing")], "compares with a frozen model"),
        (
            [Point("vanilla"), Point("kimi", after=Point("l1_max", {"delt": 1}))],
            "unknown parameter of l1_max",
        ),
        ([Point("vanilla"), Point("kimi", training={"engine": "trl-vllm-colocate"})], "needs CUDA"),
        ([Point("vanilla"), Point("kimi", training={"engine": "vllm"})], "not installed"),
    ):
        if "vllm" in str(points) and "installed" in message and _has_vllm():
            continue
        known = None if "frozen" in message else reference
        with pytest.raises(EffwbError, match=message):
            run_points(points, few, few, small, run_root=tmp_path, base=False, reference=known)


def test_every_stage_is_checked_before_the_first_is_trained(few, tmp_path):
    for second, message in (
        (Stage("two", "kmi"), "Did you mean 'kimi'"),
        (Stage("two", "kimi", settings={"steps": "many"}), "steps must be int"),
        (Stage("two", "kimi", {"weigt": 1}), "unknown parameter of kimi"),
    ):
        with pytest.raises(ConfigError, match=message):
            train_stages([Stage("one", "vanilla"), second], few, run_dir=tmp_path, profile=POCKET)


def _has_vllm() -> bool:
    from importlib.util import find_spec

    return find_spec("vllm") is not None


def test_the_rest_of_probe_is_checked(few, sampler, tmp_path):
    with pytest.raises(ConfigError, match="probing must be Probing"):
        probe(pd.DataFrame(), sampler, [1], run_dir=tmp_path, probing={"snap": 1})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval", "-o", ""], "argument -o/--out: must name a path, got ''"),
        (
            ["eval", "-o", "r", "--n-samples", "0"],
            "argument --n-samples: must be a whole number from 1, got '0'",
        ),
        (["eval", "-o", "r", "--seed", "1.5"], "argument --seed: must be a whole number from 0, got '1.5'"),
        (
            ["eval", "-o", "r", "--temperature", "nan"],
            "argument --temperature: must be a number of at least 0",
        ),
        (["eval", "-o", "r", "--snap", "x"], "argument --snap: must be a whole number from 1, got 'x'"),
        (["eval", "-o", "r", "--engine", "vlm"], "unknown --engine 'vlm'; legal: transformers"),
        (["eval", "-o", "r", "--model", "none"], "unknown --model 'none'"),
        (["eval", "-o", "r", "--effort", "lwo"], "unknown --effort 'lwo'"),
        (["eval", "-o", "text.txt"], "'text.txt' is a file, not a directory"),
        (["eval", "-o", "text.txt/run"], "argument -o/--out: 'text.txt/run' is or lies in a file"),
        (
            ["report", ".", "-o", "text.txt/r.html"],
            "argument -o/--out: 'text.txt/r.html' is or lies in a file",
        ),
        (["report", ".", "-o", "."], "argument -o/--out: '.' is a directory; name a file in it"),
        (["train", "misplaced.json"], """steps is a training setting; write "training": {"steps": 3}"""),
        (["eval", "-o", "r", "--problems", "broken.jsonl"], "broken.jsonl, line 3 is not valid JSON"),
        (
            ["eval", "-o", "r", "--problems", "columns.jsonl"],
            "'columns' has none of the columns question, problem",
        ),
        (["eval", "-o", "r", "--problems", "null.jsonl"], "'null', line 4: question must be a text"),
        (["reg", ".", "--l-max", "0"], "argument --l-max: must be a whole number from 1, got '0'"),
        (
            ["reg", ".", "--csv", "none/reg.csv"],
            "argument --csv: 'none/reg.csv': there is no directory 'none'",
        ),
        (["regrade", ".", "--timeout", "inf"], "argument --timeout: must be a number above 0, got 'inf'"),
        (["plan", "n.ipynb", "--length", "0"], "argument --length: must be a number above 0, got '0'"),
        (["plan", "n.ipynb", "--gpu", "h1000"], "unknown --gpu 'h1000'"),
        (["sweep", "n.ipynb", "-a", "x=1", "-o", ""], "argument -o/--out: must name a path"),
        (["sweep", "wrong.yaml", "-o", "s"], "jobs in wrong.yaml must be int or None, got 'two'"),
        (["train", "list.json"], "must hold a JSON object"),
        (["train", "typed.json"], "typed.json: seed must be int, got 1.5"),
        (["train", "pickle.json"], "'x.pkl' is a pickle, which can run any code"),
    ],
)
def test_the_command_line_speaks_of_options(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    job = {"design": "kimi", "problems": "pocket", "run_dir": "r"}
    good = '{"question": "2+3=?", "answer": "5"}'
    for name, text in {
        "text.txt": "text",
        "broken.jsonl": f'{good}\n\n{{"question": \n',
        "columns.jsonl": '{"q": 1}\n',
        "null.jsonl": f'{good}\n\n\n{{"question": null, "answer": "5"}}\n',
        "wrong.yaml": "notebook: n.ipynb\naxes: {a: [1]}\njobs: two\n",
        "list.json": "[1]",
        "misplaced.json": json.dumps({**job, "steps": 3}),
        "typed.json": json.dumps({**job, "seed": 1.5}),
        "pickle.json": json.dumps({**job, "design": "x.pkl"}),
    }.items():
        (tmp_path / name).write_text(text)
    try:
        status = cli.main(arguments)
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_a_file_of_problems_is_taken_whole(tmp_path, monkeypatch):
    """--problems mine.jsonl: all its rows, also where the profile has fewer; columns problem and solution."""
    rows = [{"problem": f"{i}+1=?", "solution": rf"so \boxed{{{i + 1}}}"} for i in range(9)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setitem(PROFILES, "pocket", profile("pocket", n_problems=4))
    numbers = []

    def stop(problems, *_, **__):
        numbers.append(len(problems))
        raise ConfigError("enough")

    monkeypatch.setattr("effwb.evaluation.evaluate", stop)
    arguments = ["eval", "-o", str(tmp_path / "r"), "--problems", str(tmp_path / "mine.jsonl")]
    for extra in ([], ["--n-problems", "3"]):
        assert cli.main([*arguments, *extra]) == 2
    assert numbers == [9, 3]


def test_checked_values_are_what_they_were():
    """Numbers of numpy, ranges and arrays are legal; nothing is converted."""
    import numpy as np

    sampling = Sampling(max_tokens=np.int64(64), temperature=np.float32(0.5))
    assert copy.copy(sampling) == sampling
    assert isinstance(sampling.max_tokens, np.int64)
    assert profiles.profile("pocket", temperature=1).temperature == 1.0
