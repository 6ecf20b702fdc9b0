"""Wrong values at every public entry: each must be refused before a model is loaded."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.faults.judge import Result, announce, judge
from benchmarks.faults.stock import BUDGETS, POCKET, SETTINGS

NAN, INF = float("nan"), float("inf")
COUNT = [0, -3, 1.5, "many", NAN, None, [1]]  # for whole numbers from 1; None where it is not legal
NUMBER = [NAN, -1.0, "0.5", INF, [0.5]]
NAME = ["nothing", "", 7, None]


class ModelLoaded(BaseException):
    """A model would have been loaded now, so the wrong value was accepted."""


class Entry(NamedTuple):
    """A public entry.

    Attributes:
        name: Its name in the report.
        call: `call(folder, stock, **values)`.
        wrong: Wrong values by parameter.
    """

    name: str
    call: Callable[..., Any]
    wrong: dict[str, list]


def _train(folder: Path, stock: Path, **values: Any) -> Any:
    from effwb import problems
    from effwb.training import train

    arguments: dict[str, Any] = dict(run_dir=folder / "run", profile=POCKET, max_tokens=96, watch="none")
    easy = values.pop("problems", None)
    easy = problems.load("pocket", 8, split="train") if easy is None else easy
    return train(values.pop("design", "vanilla"), easy, **{**arguments, **SETTINGS, **values})


def _evaluate(folder: Path, stock: Path, **values: Any) -> Any:
    from effwb import problems
    from effwb.evaluation import evaluate
    from effwb.samplers import open_sampler

    few = values.pop("problems", None)
    fields = {k: values.pop(k) for k in list(values) if k in type(POCKET).model_fields}
    few = problems.load("pocket", n=2, seed=7) if few is None else few
    with open_sampler("pocket") as sampler:
        profile = (
            POCKET.override(**fields)
            if None not in fields.values()
            else type(POCKET)(**{**dict(POCKET), **fields})
        )
        options = {"run_dir": folder / "run", "budgets": BUDGETS, "progress": False, **values}
        return evaluate(few, sampler, profile, **options)


def _study(folder: Path, stock: Path, **values: Any) -> Any:
    from effwb import Point, Study

    points = values.pop("points", [Point("vanilla")])
    seeds = values.pop("seeds", [0])
    options = {"n_problems": 7, "n_samples": 2, "training": dict(SETTINGS, n_problems=8), **values}
    study = Study.open(
        "pocket" if "profile" not in options else options.pop("profile"), run_root=folder, **options
    )
    return study.train(points, seeds, watch="none")


def _point(folder: Path, stock: Path, **values: Any) -> Any:
    from effwb import Point

    point = Point(**{"design": "length_group_norm", **values})
    return _study(folder, stock, points=[Point("vanilla"), point])


def _sampler(folder: Path, stock: Path, **values: Any) -> Any:
    from effwb.samplers import open_sampler

    with open_sampler(values.pop("model", "pocket"), **values) as sampler:
        return sampler


def _load(folder: Path, stock: Path, **values: Any) -> Any:
    from effwb import problems

    return problems.load(values.pop("name", "pocket"), **values)


def _rows(folder: Path, stock: Path, row: Any) -> Any:
    """A file of problems whose second row is wrong, then an evaluation of it."""
    file = folder / "mine.jsonl"
    good = {"problem_id": "a", "question": "2 + 2?", "answer": "4"}
    file.write_text(f"{json.dumps(good)}\n{row if isinstance(row, str) else json.dumps(row)}\n")
    return _evaluate(folder, stock, problems=_load(folder, stock, name=str(file)))


def _verify(folder: Path, stock: Path, **values: Any) -> Any:
    from effwb.verifiers import verify

    return verify(**{"texts": [r"\boxed{1}"], "golds": ["1"], **values})


def _reg(folder: Path, stock: Path, **values: Any) -> Any:
    from effwb.curves import BudgetCurve
    from effwb.frontier import Frontier, reg

    frontier = values.pop("frontier", Frontier.published("qwen3-8b"))
    curve = BudgetCurve(values.pop("budgets", frontier.budgets), values.pop("accuracy", frontier.accuracy))
    return reg(frontier, curve, **values)


def _published(folder: Path, stock: Path, **values: Any) -> Any:
    from effwb.frontier import Frontier

    return Frontier.published(**{"model": "qwen3-8b", **values})


def _budgets(folder: Path, stock: Path, **values: Any) -> Any:
    from effwb import budgets

    return budgets.exponential(**{"n": 5, "l_min": 512, "l_max": 16384, **values})


def _metric(folder: Path, stock: Path, **values: Any) -> Any:
    from effwb import metrics

    return metrics.pass_at_k(**{"correct_PN": np.ones((3, 4)), "k": 2, **values})


def _aes(folder: Path, stock: Path, **values: Any) -> Any:
    from effwb import metrics

    base = {"base_accuracy": 0.5, "base_length": 100.0, "accuracy": 0.6, "length": 80.0}
    return metrics.aes(**{**base, **values})


def _group(folder: Path, stock: Path, **values: Any) -> Any:
    from effwb.designs import Group, make_design

    base = dict(correct_PG=[[1, 0]], length_PG=[[3, 4]], finished_PG=[[1, 1]], cap=8, problem_ids=["a"])
    return make_design("vanilla").advantage(Group(**{**base, **values}))


def _sweep(folder: Path, stock: Path, **values: Any) -> Any:
    from effwb import sweep
    from effwb._internal.paths import shipped

    notebook = shipped("notebooks", "10_grpo_any_design.ipynb")
    options = {"notebook": notebook, "axes": {"seeds": [[0]]}, "out": folder / "sweep", "progress": False}
    return sweep.run(**{**options, **values})


def _runs(folder: Path, stock: Path, **values: Any) -> Any:
    from effwb.analysis import RunSet

    runs = RunSet.find(values.pop("root", stock / "trained"))
    method, value = next(iter(values.items())) if values else ("table", None)
    return getattr(runs, method)(value) if values else runs.table()


def _design(name: str) -> Callable[..., Any]:
    def call(folder: Path, stock: Path, **values: Any) -> Any:
        return _train(folder, stock, design=name, design_params=values)

    return call


ENTRIES = [
    Entry(
        "train",
        _train,
        {
            "design": [*NAME[:2], 7],
            "steps": COUNT[:-2],
            "group_size": [*COUNT[:-2], 1],
            "problems_per_round": [*COUNT[:-2], 9],
            "learning_rate": NUMBER,
            "temperature": [*NUMBER, 0],
            "top_p": [*NUMBER, 0, 2],
            "kl": NUMBER,
            "clip_high": NUMBER,
            "loss": NAME[:3],
            "engine": NAME[:3],
            "precision": NAME[:3],
            "save_every": [0, -1, 1.5, "two"],
            "max_tokens": [0, -1, 1.5, "many", NAN, 10**6],
            "seed": [1.5, "one", -1, NAN, [0]],
            "effort": ["extreme", 7],
            "watch": NAME,
            "report_to": ["wandb_", ["nothing"], 7],
            "verify_timeout": [0, -1, NAN, "long"],
            "reference": [7],
            "state": [{"design": "kimi"}, 7],
            "design_params": [{"alpha": 0.1}, 7],
            "problems": [7, [], pd.DataFrame({"question": ["a"]})],
            "stepz": [3],
        },
    ),
    Entry(
        "evaluate",
        _evaluate,
        {
            "n_samples": COUNT,
            "max_tokens": [*COUNT[:-1], 10**6],
            "temperature": [NAN, INF, -1.0, "warm"],
            "top_p": [NAN, 0, 2, "most"],
            "answer_tokens": COUNT,
            "template": NAME,
            "budgets": [[], [4, 0], [0, 0, 4], [-1, 4], [0, 1.5], [0, 10**6], "all", 7],
            "seed": [1.5, "one", NAN],
            "effort": ["extreme", 7],
            "snap": [0, -1, 1.5, "blocks"],
            "shard_problems": COUNT,
            "problems": [7, [], pd.DataFrame({"question": ["a"]})],
            "prompting": [7, "low"],
        },
    ),
    Entry(
        "Study",
        _study,
        {
            "profile": NAME,
            "n_problems": COUNT[:5],
            "n_samples": COUNT[:5],
            "max_tokens": COUNT[:5],
            "n_problem": [7],
            "train_source": ["nothing", 7],
            "eval_engine": NAME[:3],
            "training": [{"steps": -3}, {"stepz": 3}, {"loss": "l2"}, 7, "steps=3"],
            "seeds": [0, "0", [1.5], ["a"], [], [0, 0], None],
            "points": [[], ["vanilla"], 7, None],
        },
    ),
    Entry(
        "Point",
        _point,
        {
            "design": ["kmi", "", 7],
            "params": [{"alpha": 7}, {"alpha": "big"}, {"beta": 1}, 7, {"alpha": NAN}],
            "max_tokens": [0, -1, 1.5, "many"],
            "training": [{"steps": -3}, {"stepz": 3}, 7],
            "after": ["vanilla", 7],
        },
    ),
    Entry(
        "open_sampler",
        _sampler,
        {
            "model": ["no-such-model-here", "", 7, "/nowhere/at/all"],
            "engine": NAME,
            "dtype": ["float12", 7, None],
            "batch_rows": [0, -1, "all"],
            "nothing": [1],
        },
    ),
    Entry(
        "problems.load",
        _load,
        {
            "name": ["nothing", "", 7, "mine.jsonl", "reasoning-gym:nothing", "hub:"],
            "n": [0, -1, 1.5, "all", 10**9],
            "seed": [1.5, "one", -1],
            "split": ["nothing", 7],
        },
    ),
    Entry(
        "a file of problems",
        _rows,
        {
            "row": [
                "{broken",
                {"problem_id": "b", "question": "   ", "answer": "1"},
                "[1, 2]",
                "7",
                {"problem_id": "a", "question": "twice", "answer": "1"},
                {"problem_id": "b", "answer": "1"},
                {"problem_id": "b", "question": None, "answer": "1"},
                {"problem_id": "b", "question": "no answer"},
                {"problem_id": "b", "question": "empty", "answer": ""},
                {"problem_id": "b", "question": "none", "answer": None},
                {"problem_id": "b", "question": "", "answer": "1"},
                {"problem_id": "b", "question": 7, "answer": "1"},
                {"problem_id": "b", "question": "list", "answer": ["1"]},
            ]
        },
    ),
    Entry(
        "verify",
        _verify,
        {
            "texts": [["a", "b"], 7, [7], [None]],
            "golds": [["1", "2"], 7, [["1"]]],
            "timeout": [0, -1, NAN, "long"],
            "workers": [0, -1, 1.5, "all"],
        },
    ),
    Entry(
        "reg",
        _reg,
        {
            "l_max": [0, -1, NAN, INF, 10**6, "all"],
            "budgets": [np.arange(48), np.zeros(48), np.arange(47)],
            "accuracy": [np.full(48, 2.0), np.full(48, NAN), np.ones(47), "high"],
        },
    ),
    Entry("Frontier.published", _published, {"model": NAME, "benchmark": NAME}),
    Entry(
        "budgets.exponential", _budgets, {"n": COUNT, "l_min": [0, -1, NAN, 10**6], "l_max": [0, -1, NAN, 1]}
    ),
    Entry(
        "pass_at_k",
        _metric,
        {
            "k": [0, -1, 1.5, "all"],
            "correct_PN": [np.full((3, 4), 0.5), np.ones(3), np.ones((0, 4)), [["yes"]]],
        },
    ),
    Entry(
        "aes",
        _aes,
        {
            "base_accuracy": [NAN, -1.0, INF, 0.0, "half"],
            "base_length": [0.0, -1.0, NAN],
            "accuracy": [NAN, -1.0, INF],
            "length": [NAN, -1.0, INF],
        },
    ),
    Entry(
        "Group",
        _group,
        {
            "correct_PG": [[[2, 0]], [1, 0], [[NAN, 1]], [["yes", "no"]]],
            "length_PG": [[[3]], [[-1, 4]], [[NAN, 4]], [[3, 9]]],
            "finished_PG": [[[1, 1, 1]], [[2, 1]]],
            "cap": [0, -1, NAN, "many"],
            "problem_ids": [[], ["a", "b"], 7],
        },
    ),
    Entry(
        "sweep.run",
        _sweep,
        {
            "notebook": ["nowhere.ipynb", 7, __file__],
            "axes": [
                {},
                7,
                {"nothing": [1]},
                {"seeds": 0},
                {"seeds": [0]},
                {"design": ["vanilla", "kmi"]},
                {"design": []},
                {"steps": [-3]},
                {"steps": ["many"]},
                {"training": [{"stepz": 3}]},
            ],
            "jobs": [0, -1, 1.5, "all"],
            "out": ["", 7],
        },
    ),
    Entry(
        "RunSet",
        _runs,
        {
            "root": ["nowhere", "", 7],
            "on": NAME,
            "effects": NAME,
            "aes": NAME,
            "frontier": NAME,
            "reg": [7, "nothing"],
            "__getitem__": NAME,
        },
    ),
    Entry("length_group_norm", _design("length_group_norm"), {"alpha": [1.0, *NUMBER], "reading": NAME}),
    Entry("kimi", _design("kimi"), {"weight": NUMBER}),
    Entry("reo_rl", _design("reo_rl"), {"budgets": [[], [96], [0, 4], [4, 2], "nothing", 7], "n": COUNT[:5]}),
    Entry("lead", _design("lead"), {"alpha": NUMBER, "floor": [*NUMBER, 2.0], "mode": NAME, "b_min": NUMBER}),
    Entry("truncation", _design("truncation"), {"target": [0, *NUMBER], "variant": NAME}),
    Entry("laser", _design("laser"), {"target": [0, *NUMBER], "alpha": NUMBER}),
]


def all_wrong() -> list[tuple[Entry, str, Any]]:
    """Every (entry, parameter, wrong value)."""
    return [(e, name, value) for e in ENTRIES for name, values in e.wrong.items() for value in values]


@contextlib.contextmanager
def no_models() -> Iterator[None]:
    """In this block loading weights, or starting the points of a sweep, raises `ModelLoaded`."""
    from effwb import models
    from effwb.sweep import local

    def refuse(*args, **options):
        raise ModelLoaded

    load, execute = models.load_model, local.execute
    models.load_model = local.execute = refuse
    try:
        yield
    finally:
        models.load_model, local.execute = load, execute


def wrong_value(rng: random.Random, folder: Path, stock: Path, number: int) -> Result:
    """Call a public entry with one wrong value."""
    pairs = all_wrong()
    random.Random(0).shuffle(pairs)
    entry, name, value = pairs[number % len(pairs)]
    fault = announce(folder, f"{entry.name}({name}={_short(value)})")
    os.chdir(folder)  # nothing may be written elsewhere

    def call() -> Any:
        try:
            with no_models():
                return entry.call(folder, stock, **{name: value})
        except ModelLoaded:
            return "a model would have been loaded"

    return judge(fault, call, lambda _: False)


def _short(value: Any) -> str:
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    return repr(value)[:60].replace("\n", " ")


COMMANDS = [
    "eval -o '' ",
    "eval -o run --profile nothing",
    "eval -o run --n-samples 0",
    "eval -o run --n-problems -1",
    "eval -o run --temperature nan",
    "eval -o run --max-tokens 0",
    "eval -o run --engine nothing",
    "eval -o run --effort extreme",
    "eval -o run --snap 0",
    "eval -o run --problems nowhere.jsonl",
    "eval -o run --model /nowhere",
    "eval -o a-file",
    "eval -o run --seed one",
    "train nowhere.json",
    "train a-file",
    "train wrong.json",
    "train list.json",
    "train types.json",
    "reg nowhere",
    "reg STOCK/trained --l-max 0",
    "reg STOCK/trained --l-max 1000000",
    "reg STOCK/trained --frontier nothing",
    "reg STOCK/trained --frontier nowhere.json",
    "reg STOCK/trained --csv nowhere/at/all.csv",
    "reg a-file",
    "regrade nowhere",
    "regrade STOCK/trained/eval --timeout 0",
    "regrade STOCK/trained/eval --timeout nan",
    "export nowhere.html",
    "export a-file",
    "export a-file.html --to docx",
    "export a-file.html --column nothing",
    "export a-file.html --points nan",
    "report nowhere",
    "report STOCK/trained --base nothing",
    "report STOCK/trained --l-max 0",
    "plan nowhere.ipynb",
    "plan NOTEBOOK --length 0",
    "plan NOTEBOOK -p steps many",
    "sweep nowhere.ipynb -o out -a seeds=0",
    "sweep NOTEBOOK -o out -a nothing=1",
    "sweep NOTEBOOK -o out -a design=vanilla,kmi",
    "sweep NOTEBOOK -o out -a steps=-3",
    "sweep NOTEBOOK -o out --jobs 0 -a design=vanilla",
    "sweep NOTEBOOK -o a-file -a design=vanilla",
    "nothing",
    "",
]


def command_line(rng: random.Random, folder: Path, stock: Path, number: int) -> Result:
    """Run a command with a wrong option: it must end with a sentence and a status other than 0."""
    from effwb._internal.paths import shipped
    from effwb.cli.main import main

    os.chdir(folder)
    Path("a-file").write_text("no run")
    Path("a-file.html").write_text("<p>no figure</p>")
    Path("wrong.json").write_text('{"design": "vanilla", "stepz": 3}')
    Path("list.json").write_text("[1, 2]")
    Path("types.json").write_text('{"design": 7, "run_dir": [], "profile": "pocket", "training": "steps"}')
    command = COMMANDS[number % len(COMMANDS)]
    fault = announce(folder, f"effwb {command}")
    notebook = shipped("notebooks", "10_grpo_any_design.ipynb")
    arguments = command.replace("STOCK", str(stock)).replace("NOTEBOOK", str(notebook)).split()
    arguments = ["" if argument == "''" else argument for argument in arguments]
    errors = io.StringIO()

    def call() -> tuple[int, str]:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
            try:
                with no_models():
                    status = main(arguments)
            except SystemExit as ending:
                text = "" if isinstance(ending.code, int | None) else str(ending.code)
                errors.write(text)
                status = 1 if text else int(ending.code or 0)  # type: ignore[arg-type]
            except ModelLoaded:
                status = 0
        return status, errors.getvalue()

    result = judge(fault, call, lambda _: False)
    if result.verdict != "silently wrong":
        return result
    status, text = call()
    if "Traceback" in text:
        return Result(fault, "raw", text[-200:])
    if status == 0 and arguments:
        return Result(fault, "silently wrong", f"status 0: {text[-150:]}")
    return Result(fault, "named", text[-200:])
