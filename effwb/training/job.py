"""A training run as a file: what `effwb train` runs, and what a run on several GPUs gives its processes.

config.json holds the arguments of `train`, with `training` for the training settings. No code is read from
it: a design is a name with parameters. An example:

    {"design": "lead", "design_params": {"b_min": 1000}, "profile": "r1-qwen-1.5b", "problems": "deepscaler",
     "run_dir": "data/runs/lead", "training": {"steps": 100, "processes": 4}}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb import profiles
from effwb._internal.checked import AboveZero, Positive, Seed, Text
from effwb.designs import Design, read_design
from effwb.errors import ConfigError, one_of
from effwb.profiles import CheckedValues, Profile, Training
from effwb.training.fine_tuning import OfflineResult, run_written
from effwb.training.offline import is_offline, offline_settings, train_offline
from effwb.training.points import Point, load_train_problems
from effwb.training.run import TrainResult, train
from effwb.training.settings import run_settings

if TYPE_CHECKING:
    from datasets import Dataset

REQUIRED = ("design", "problems", "run_dir")
NOT_OFFLINE = ("effort", "reference", "monitor", "state")  # keys that an offline method has no use for


class Job(CheckedValues):
    """The keys of a config.json, checked before anything is loaded; `run_job` says what they mean."""

    design: Text | dict[str, Any]
    problems: Text
    run_dir: Text
    profile: Text | dict[str, Any] = "pocket"
    recipe: Text | dict[str, Any] | None = None
    design_params: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    model: Text | None = None
    n_problems: Positive | None = None
    max_tokens: Positive | None = None
    seed: Seed = 0
    effort: Text | None = None
    reference: dict[str, dict[str, float]] | None = None
    monitor: Text | None = None
    state: dict[str, Any] | None = None
    verify_timeout: AboveZero = 5.0
    report_to: list[Text] | None = None
    trust_remote_code: bool = False


def run_job(path: str | Path, watch: str = "lines", recipe: str | None = None) -> TrainResult | OfflineResult:
    """Train as a config.json says; a run that exists already is continued or read back.

    Its keys are the arguments of `train`, with these differences. `design` is a name, or
    "package.module:Class", or what `designs.write_design` returned, or that of an offline method, whose
    `training` holds what `Point.training` may hold for it. `problems` and `monitor` are sources for
    `problems.load`, of which `problems` draws `n_problems` as the notebooks do (default: the recipe's, or
    else the profile's), or tables with ids. `profile` is a name (default "pocket") or a table of values.
    `recipe` is a kind or a table of fields, and `training` holds fields of `profiles.Training`.
    `trust_remote_code` is that of the profile. File names are relative to the directory of config.json,
    `run_dir` is relative to the working directory.

    Args:
        path: The config.json.
        watch: What is shown during the run, as in `train`.
        recipe: Kind of recipe in place of the file's; None: the file's.

    Raises:
        ConfigError: If the file, a key or a value is not legal.
        EffwbError: What `train` raises.
    """
    path = Path(path)
    config = _read_json(path)
    if "fine_tuning" in config:  # one of the processes of a training on stored rollouts
        return run_written(path.parent, config["fine_tuning"])
    job, folder = _checked(path, config), path.parent
    scale = _profile(job)
    design = _design(job)
    if isinstance(design, str) and is_offline(design):
        return _run_offline(job, scale, folder, watch, recipe)
    options: dict[str, Any] = {"recipe": recipe or job.recipe, "design_params": job.design_params}
    options |= {"max_tokens": job.max_tokens, "model": job.model}
    training = job.training or {}
    planned = run_settings(design, scale, **options, training=training)  # before the problems are loaded
    n = job.n_problems or planned.training.n_problems
    same = ("run_dir", "seed", "effort", "reference", "state", "verify_timeout")
    return train(
        design,
        _problems(job.problems, folder, n),
        monitor=None if job.monitor is None else _problems(job.monitor, folder, None),
        profile=scale,
        report_to=job.report_to or (),
        watch=watch,
        **options,
        **{name: getattr(job, name) for name in same},
        **training,
    )


def _read_json(path: Path) -> dict:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{path} must hold a JSON object with {', '.join(REQUIRED)}")
    return config


def _checked(path: Path, config: dict) -> Job:
    for key, value in config.items():
        if key in Training.model_fields and key not in Job.model_fields:
            setting = json.dumps({"training": {key: value}})
            raise ConfigError(f"{path}: {key} is a training setting; write {setting[1:-1]}")
        one_of(f"key in {path}", key, Job.model_fields)
    missing = [key for key in REQUIRED if key not in config]
    if missing:
        raise ConfigError(f"{path} lacks {', '.join(missing)}")
    try:
        return Job(**config)
    except ConfigError as error:
        message = str(error)
    raise ConfigError(f"{path}: {message}")


def _run_offline(job: Job, profile: Profile, folder: Path, watch: str, recipe: str | None) -> OfflineResult:
    """Train by an offline method."""
    for name in NOT_OFFLINE:
        if getattr(job, name) is not None:
            raise ConfigError(f"{name} is a setting of designs; {job.design} is an offline method")
    assert isinstance(job.design, str)
    point = Point(job.design, job.design_params or {}, job.max_tokens, job.training or {})
    options: dict[str, Any] = {"model": job.model, "recipe": recipe or job.recipe}
    offline_settings(point, profile, **options)  # before the problems are loaded
    n = job.n_problems or profile.training.n_problems
    where: dict[str, Any] = {"run_dir": job.run_dir, "profile": profile, "seed": job.seed, "watch": watch}
    problems = _problems(job.problems, folder, n)
    return train_offline(point, problems, **options, **where, report_to=job.report_to or ())


def _profile(job: Job) -> Profile:
    if isinstance(job.profile, str):
        return profiles.profile(job.profile).override(trust_remote_code=job.trust_remote_code)
    values = dict(job.profile)
    training = values.pop("training", None)
    if not isinstance(training, dict):
        raise ConfigError(f"the profile in a job needs a table training, got {training!r}")
    values.setdefault("trust_remote_code", job.trust_remote_code)
    return Profile(**values, training=Training(**training))


def _design(job: Job) -> str | Design:
    if isinstance(job.design, dict):
        return read_design(job.design)
    if job.design.endswith((".pkl", ".pickle")):
        raise ConfigError(
            f"design {job.design!r} is a pickle, which can run any code when it is read; write the design as "
            "its name or as 'package.module:Class', with design_params"
        )
    return job.design


def _problems(source: str, folder: Path, n: int | None) -> Dataset:
    file = folder / source
    if file.suffix == ".parquet" and file.is_file():
        from datasets import Dataset

        rows = Dataset.from_parquet(str(file), keep_in_memory=True)
        if "problem_id" in rows.column_names:
            return rows
    return load_train_problems(str(file) if file.is_file() else source, n)
