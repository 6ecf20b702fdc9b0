"""Find finished evaluations on disk, read one back, and check that several were measured alike."""

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from effwb.averages import run_curve
from effwb.errors import ConfigError
from effwb.evaluation import Evaluation
from effwb.probes import read_probes
from effwb.rollouts import problems_of, read_rollouts
from effwb.runs import SCHEMA, RunDir, digest

ROLLOUT_COLUMNS = ["problem_id", "sample", "length", "finish_reason", "verdict"]  # what a curve needs
PROBE_COLUMNS = ["problem_id", "sample", "budget", "verdict"]
CATEGORIES = ("problem_id", "finish_reason", "verdict")
BASE = "base"  # the method name of the model that training starts from
DIGEST = re.compile(r" \([0-9a-f]{12}\)")  # what tells two values of a measure apart, but says nothing
EVALUATION = "eval"  # the folder of a training run that holds its evaluation


class RunInfo(NamedTuple):
    """What a run is, as its config.json says.

    Attributes:
        method: Short name of what was trained or prompted, the same for all seeds of it.
        seed: Seed of the training, or of the rollouts where nothing was trained.
        design: Name of the design or offline method; None where nothing was trained.
        params: Parameters of the design by name.
        after: Method of the run that this one continues; None for one that starts from the base model.
        training_dir: Directory of the training run; None where nothing was trained.
        steps: Optimizer updates of the training; None of an offline one, which counts epochs, and where
            nothing was trained.
    """

    method: str
    seed: int
    design: str | None
    params: dict[str, Any]
    after: str | None
    training_dir: Path | None
    steps: int | None = None


def finished_runs(root: str | Path) -> dict[str, RunDir]:
    """Find every finished evaluation below a directory; no table is read.

    An evaluation is finished when all its rollouts and forced answers are there. One that has lost some since
    it was finished is left out with a warning. Its name is its path below
    `root`; an evaluation in the folder `eval` of a training run is named after that run.

    Args:
        root: Directory to search.

    Returns:
        The run directory of each evaluation by name, sorted by name.

    Raises:
        ConfigError: There is no such directory.
    """
    root = Path(root)
    if not root.is_dir():
        raise ConfigError(f"no directory {root}")
    runs = {}
    for folder in (done.parents[1] for done in root.rglob("probes/DONE")):
        run = RunDir(folder)
        if run.is_done("rollouts") and run.is_done("probes"):
            runs[run_name_below(root, folder)] = run
        elif run.is_marked("rollouts"):
            logging.getLogger(__name__).warning(
                "%s is left out: it has lost files; see `effwb check`", folder
            )
    return dict(sorted(runs.items()))


def run_name_below(root: Path, folder: Path) -> str:
    """Name an evaluation by its path below `root`, without the last folder where that is `eval`."""
    named = folder.parent if folder.name == EVALUATION and folder != root else folder
    name = str(named.relative_to(root)) if named.is_relative_to(root) else "."
    return named.name if name == "." else name


def read_evaluation(run_dir: str | Path, name: str = "") -> Evaluation:
    """Read a finished evaluation back, whatever model it is of.

    The tables hold what a curve needs: no texts and no tokens, and ids and verdicts as categories.

    Args:
        run_dir: Directory of the evaluation.
        name: Name of the curve; default: the name of the directory.

    Raises:
        DataError: The evaluation is not finished, a file of it was changed or is damaged, or its rows are not
            those that its config.json describes.
    """
    run = RunDir(run_dir)
    name = name or run.path.name
    rollouts = read_rollouts(run_dir, ROLLOUT_COLUMNS, [c for c in CATEGORIES if c in ROLLOUT_COLUMNS])
    probes = read_probes(run_dir, rollouts, PROBE_COLUMNS, [c for c in CATEGORIES if c in PROBE_COLUMNS])
    identity = run.stored_identity("probes")
    curve = run_curve(rollouts, probes, identity["budgets"], name=name, snap=identity.get("snap"))
    return Evaluation(name, run.path, rollouts, probes, curve)


# ------------------------------------------------------------------------------- what a run is
def describe_run(folder: str | Path, info: Mapping[str, Any]) -> None:
    """Write what a run is into its config.json, where `run_info` reads it; it identifies nothing.

    Args:
        folder: Directory of the evaluation.
        info: `method`, `seed`, and `design`, `params`, `after` where something was trained.
    """
    run = RunDir(folder)
    if run.config.get("run") != info:
        with run.lock():
            run.write_config({"schema": SCHEMA, **run.config, "run": dict(info)})


def run_info(folder: str | Path) -> RunInfo:
    """Read what a run is from its config.json and from that of the training it belongs to.

    Runs of version 0.1 have no section `run`: their method is put together from the design and the
    parameters that differ from its defaults.
    """
    folder = Path(folder)
    config = RunDir(folder).config
    training_dir = folder.parent if folder.name == EVALUATION else folder
    trained = RunDir(training_dir).config.get("train", {}).get("identity")
    steps = (trained or {}).get("settings", {}).get("steps")
    if "run" in config:
        run = config["run"]
        return RunInfo(
            run["method"],
            run["seed"],
            run.get("design"),
            run.get("params", {}),
            run.get("after"),
            training_dir if trained else None,
            steps,
        )
    if trained is None:
        identity = RunDir(folder).stored_identity("rollouts")
        method = BASE if folder.name == EVALUATION else folder.name
        if method == BASE and identity.get("effort"):
            method = f"{identity['effort']} effort"
        return RunInfo(method, identity.get("seed", 0), None, {}, None, None)
    params = {key: value for key, value in trained["design"].items() if key != "name"}
    design, after = trained["design"]["name"], None
    words = [design, *(f"{key}={value}" for key, value in _changed(params, design, trained).items())]
    before = training_dir.parent / trained["model"]  # the run beside this one, if that left its model
    if before != training_dir and (before / "train").is_dir():
        after = run_info(before / EVALUATION if (before / EVALUATION).is_dir() else before).method
        words.append(f"after {after}")
    return RunInfo(" ".join(words), trained["seed"], design, params, after, training_dir, steps)


def _changed(params: dict[str, Any], design: str, trained: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that differ from the design's defaults at the cap of the training.

    A parameter that the design did not have yet has the value that stands for what the run did.
    """
    from effwb.designs import DESIGNS, fit_design

    if design not in DESIGNS:
        return {}
    added = {key: params.get(key, before) for key, before in DESIGNS[design].ADDED_PARAMETERS.items()}
    try:
        now, then = (fit_design(design, trained["max_tokens"], **given).parameters() for given in ({}, added))
    except ConfigError:  # a design that has no defaults at this cap
        now, then = {}, {}
    plain = json.loads(json.dumps(then, default=str))
    changed = {key: value for key, value in added.items() if now.get(key) != value}
    return {**changed, **{key: value for key, value in params.items() if plain.get(key) != value}}


# --------------------------------------------------------------------------- what is comparable
def measure_of(run: RunDir, known_problems: dict[tuple, str] | None = None) -> str:
    """Say what two evaluations must share to be compared, in words and digests.

    Args:
        run: The evaluation.
        known_problems: What earlier calls said of the same problem files; they are not read again.

    Returns:
        A JSON object with the problems, the budgets, the forced answer and the verifier.
    """
    rollouts, probes = (run.stored_identity(table) for table in ("rollouts", "probes"))
    problems = _problems_in_words(run, rollouts, {} if known_problems is None else known_problems)
    budgets, verifiers = probes["budgets"], [rollouts["verifier"], probes["verifier"]]
    snap = f", cut down to blocks of {probes['snap']}" if "snap" in probes else ""
    verifier = verifiers[0]["verifier"]
    return json.dumps(
        {
            "problems": problems,
            "budgets": f"{len(budgets)} from {budgets[0]} to {budgets[-1]} ({digest(budgets)}){snap}",
            "forced answer": f"{probes['suffix']!r} and {probes['answer_tokens']} tokens",
            "verifier": f"{verifier['name']} {verifier['version']} ({digest(verifiers)})",
        }
    )


def _problems_in_words(run: RunDir, identity: Mapping[str, Any], known: dict[tuple, str]) -> str:
    """The number of problems and a digest of their ids and golds."""
    file = run.path / "problems.parquet"
    content = hashlib.sha256(file.read_bytes()).digest() if file.is_file() else b""
    key = (content, identity.get("problems"))
    if key not in known:
        problems = problems_of(run.path, ["problem_id", "answer"]).sort_values("problem_id")
        known[key] = f"{len(problems)} ({digest(problems.to_numpy().tolist())})"
    return known[key]


def group_alike(measures: Mapping[str, str]) -> dict[str, list[str]]:
    """Group names by measure, in order of appearance."""
    sets: dict[str, list[str]] = {}
    for name, measure in measures.items():
        sets.setdefault(measure, []).append(name)
    return sets


def differences(sets: Mapping[str, list[str]]) -> str:
    """Say in what sets of evaluations differ, with an example of each value."""
    parts = [(json.loads(measure), names) for measure, names in sets.items()]
    lines = []
    for key in parts[0][0]:
        runs: dict[str, list[str]] = {}
        for measure, names in parts:
            runs.setdefault(measure[key], []).extend(names)
        if len(runs) > 1:
            texts = [DIGEST.sub("", value) for value in runs]
            repeated = ["other " if text in texts[:i] else "" for i, text in enumerate(texts)]
            examples = [
                f"{other}{text} in {names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}"
                for other, text, names in zip(repeated, texts, runs.values(), strict=True)
            ]
            lines.append(f"{key}: {', '.join(examples)}")
    return "; ".join(lines)
