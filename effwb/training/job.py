"""A training run as a file: what `effwb train` runs, and what one on several GPUs hands to its processes.

config.json holds the arguments of `train`, with `training` for its settings. What a user writes by hand:

    {"design": "lead", "design_params": {"b_min": 1000}, "profile": "r1-qwen-1.5b", "problems": "deepscaler",
     "run_dir": "data/runs/lead", "training": {"steps": 100, "processes": 4}}
"""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path

from effwb import profiles
from effwb.errors import ConfigError, one_of
from effwb.profiles import Profile, Training
from effwb.training.points import load_train_problems
from effwb.training.run import TrainResult, train

KEYS = (
    "design",
    "problems",
    "run_dir",
    "profile",
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
NEEDED = ("design", "problems", "run_dir")


def run_job(path: str | Path, watch: str = "lines") -> TrainResult:
    """Train what config.json asks for; a run that is there already is continued or read back.

    `design` is a name, or the file of a pickled one; `problems` and `monitor` are sources (`problems.load`;
    of the first, `n_problems` are drawn as in the notebooks) or tables with ids that a run left; `profile` is
    a name (default "pocket") or a table of values. Files are taken from the directory of config.json,
    `run_dir` from the working directory. Raises `ConfigError` for a key or value that is not legal, and what
    `train` raises.
    """
    path = Path(path)
    told = _read(path)
    here, scale = path.parent, _profile(told.pop("profile", "pocket"))
    n = told.pop("n_problems", None) or scale.training.n_problems
    settings = told.pop("training", {})
    told["design"] = _design(told["design"], here)
    told["problems"] = _problems(told["problems"], here, n)
    if told.get("monitor") is not None:
        told["monitor"] = _problems(told["monitor"], here, None)
    return train(**told, profile=scale, watch=watch, **settings)


def _read(path: Path) -> dict:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(told, dict):
        raise ConfigError(f"{path} must hold a table with {', '.join(NEEDED)}")
    for key in told:
        one_of(f"key in {path}", key, KEYS)
    missing = [key for key in NEEDED if key not in told]
    if missing:
        raise ConfigError(f"{path} does not say {', '.join(missing)}")
    return told


def _profile(told: str | Mapping) -> Profile:
    if isinstance(told, str):
        return profiles.profile(told)
    return Profile(**{**told, "training": Training(**told["training"])})


def _design(told: str, here: Path):
    if not told.endswith(".pkl"):
        return told
    return pickle.loads((here / told).read_bytes())


def _problems(told: str, here: Path, n: int | None):
    file = here / told
    if file.suffix == ".parquet" and file.is_file():
        from datasets import Dataset

        rows = Dataset.from_parquet(str(file), keep_in_memory=True)
        if "problem_id" in rows.column_names:
            return rows
    return load_train_problems(str(file) if file.is_file() else told, n)
