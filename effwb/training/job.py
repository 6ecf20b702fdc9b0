"""A training run as a file: what `effwb train` runs, and what a run on several GPUs gives its processes.

config.json holds the arguments of `train`, with `training` for the training settings. An example:

    {"design": "lead", "design_params": {"b_min": 1000}, "profile": "r1-qwen-1.5b", "problems": "deepscaler",
     "run_dir": "data/runs/lead", "training": {"steps": 100, "processes": 4}}
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb import profiles
from effwb.errors import ConfigError, one_of
from effwb.profiles import Profile, Training
from effwb.training.points import load_train_problems
from effwb.training.run import TrainResult, train
from effwb.training.settings import run_settings

if TYPE_CHECKING:
    from datasets import Dataset

REQUIRED = ("design", "problems", "run_dir")
KEYS = (
    *REQUIRED,
    "profile",
    "recipe",
    "design_params",
    "training",
    "model",
    "n_problems",
    "max_tokens",
    "seed",
    "effort",
    "reference",
    "monitor",
    "state",
    "verify_timeout",
    "report_to",
)


def run_job(path: str | Path, watch: str = "lines", recipe: str | None = None) -> TrainResult:
    """Train as a config.json says; a run that exists already is continued or read back.

    Its keys are the arguments of `train`, with these differences. `design` is a name, or the file of a
    pickled design. `problems` and `monitor` are sources for `problems.load`, of which `problems` draws
    `n_problems` as the notebooks do (default: the recipe's, or else the profile's), or tables with ids.
    `profile` is a name (default "pocket") or a table of values. `recipe` is a kind or a table of fields, and
    `training` holds fields of `profiles.Training`. File names are relative to the directory of
    config.json, `run_dir` is relative to the working directory.

    Args:
        path: The config.json.
        watch: What is shown during the run, as in `train`.
        recipe: Kind of recipe in place of the file's; None: the file's.

    Raises:
        ConfigError: If the file, a key or a value is not legal.
        EffwbError: What `train` raises.
    """
    path = Path(path)
    config, folder = _read(path), path.parent
    scale = config.pop("profile", "pocket")
    if isinstance(scale, str):
        scale = profiles.profile(scale)
    else:
        scale = Profile(**{**scale, "training": Training(**scale["training"])})
    settings, n = config.pop("training", {}), config.pop("n_problems", None)
    if recipe is not None:
        config["recipe"] = recipe
    if config["design"].endswith(".pkl"):
        config["design"] = pickle.loads((folder / config["design"]).read_bytes())
    elif n is None:
        n = _planned(config, scale, settings).n_problems
    config["problems"] = _problems(config["problems"], folder, n)
    if config.get("monitor") is not None:
        config["monitor"] = _problems(config["monitor"], folder, None)
    return train(**config, profile=scale, watch=watch, **settings)


def _planned(config: Mapping[str, Any], profile: Profile, training: Mapping[str, Any]) -> Training:
    """The training settings of a job, before its problems are loaded."""
    names = ("recipe", "design_params", "max_tokens", "model")
    options = {name: config[name] for name in names if name in config}
    return run_settings(config["design"], profile, **options, training=training).training


def _read(path: Path) -> dict:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{path} must hold a JSON object with {', '.join(REQUIRED)}")
    for key in config:
        one_of(f"key in {path}", key, KEYS)
    missing = [key for key in REQUIRED if key not in config]
    if missing:
        raise ConfigError(f"{path} lacks {', '.join(missing)}")
    return config


def _problems(source: str, folder: Path, n: int | None) -> Dataset:
    file = folder / source
    if file.suffix == ".parquet" and file.is_file():
        from datasets import Dataset

        rows = Dataset.from_parquet(str(file), keep_in_memory=True)
        if "problem_id" in rows.column_names:
            return rows
    return load_train_problems(str(file) if file.is_file() else source, n)
