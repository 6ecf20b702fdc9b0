"""What lies below a run root: finished evaluations, trainings, and runs that are under way or damaged."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from effwb.analysis.finished import EVALUATION, RunInfo, run_info, run_name_below
from effwb.errors import ConfigError, DataError, EffwbError
from effwb.runs import RunDir, flat

if TYPE_CHECKING:
    import pandas as pd

_Run = TypeVar("_Run")
INSIDE = {"rollouts", "probes", "model", "train", "warm_start"}  # folders that belong to the run above them
POOLS = {"think", "empty"}  # what a warm start learned from


class TrainingRun(NamedTuple):
    """A training, finished or under way.

    Attributes:
        name: Its path below the run root.
        folder: Its directory.
        info: What the run is: method, seed, design, parameters.
        finished: Whether it came to its end.
    """

    name: str
    folder: Path
    info: RunInfo
    finished: bool

    def metrics(self) -> pd.DataFrame:
        """The metrics, a row per step that is done; empty before the first.

        Raises:
            DataError: The file is damaged.
        """
        from effwb.training.record import read_metrics

        return read_metrics(self.folder / "train" / "metrics.jsonl")


class RunRoot(NamedTuple):
    """Everything below a run root, by name.

    Attributes:
        finished: Finished evaluations.
        trainings: Trainings, finished or under way.
        unfinished: Everything that cannot be compared yet, with the reason in words.
    """

    finished: dict[str, RunDir]
    trainings: dict[str, TrainingRun]
    unfinished: dict[str, str]


def survey(root: str | Path) -> RunRoot:
    """List everything below a run root; no table is read.

    Args:
        root: The directory.

    Raises:
        ConfigError: There is no such directory.
    """
    root = Path(root)
    if not root.is_dir():
        raise ConfigError(f"no directory {root}")
    runs = RunRoot({}, {}, {})
    for path, below, files in os.walk(root):
        folder, children = Path(path), set(below)
        below[:] = folders_of_runs(below)
        name = run_name_below(root, folder)
        try:
            if "rollouts" in children and "config.json" in files:
                _add_evaluation(runs, name, RunDir(folder))
            if "train" in children and "config.json" in files:
                info = run_info(folder)
                finished = (folder / "train" / "DONE").exists()
                runs.trainings[name] = TrainingRun(name, folder, info, finished)
        except EffwbError as error:
            runs.unfinished[name] = str(error)
        except (KeyError, TypeError) as error:  # a section without what each has
            runs.unfinished[name] = f"config.json is damaged: {error!r}"
    for name in runs.trainings.keys() - runs.finished.keys() - runs.unfinished.keys():
        finished = runs.trainings[name].finished
        runs.unfinished[name] = "trained, not evaluated" if finished else "training, not finished"
    return RunRoot(_by_name(runs.finished), _by_name(runs.trainings), _by_name(runs.unfinished))


def folders_of_runs(folders: Iterable[str]) -> list[str]:
    """Return those of the folders in a directory that may hold further runs, sorted.

    Args:
        folders: The names of all folders in the directory.
    """
    names = set(folders)
    return sorted(names - INSIDE - (POOLS if "warm_start" in names else set()))


def _by_name(table: dict[str, _Run]) -> dict[str, _Run]:
    return dict(sorted(table.items()))


def _add_evaluation(runs: RunRoot, name: str, run: RunDir) -> None:
    tables = ("rollouts", "probes")
    if all(run.is_done(table) for table in tables):
        runs.finished[name] = run
    elif any(run.is_marked(table) and not run.is_done(table) for table in tables):
        runs.unfinished[name] = "has lost files; `effwb check` names them"
    elif run.identity("probes"):
        shards = " and ".join(f"{len(run.shards(table))} of {table}" for table in tables)
        runs.unfinished[name] = f"not finished: shards so far {shards}"
    else:
        runs.unfinished[name] = "rollouts without forced answers"


def base_model(folder: str | Path) -> str:
    """Return the model that a run starts from, through all trainings before it.

    Args:
        folder: Directory of an evaluation, or of a training.

    Raises:
        DataError: A config.json is damaged, or says nothing of a model.
    """
    folder = Path(folder)
    config = RunDir(folder).config
    trained = RunDir(folder.parent).config if folder.name == EVALUATION else config
    section = "train" if "train" in trained else "rollouts"
    model = (trained if section == "train" else config).get(section, {}).get("identity", {}).get("model")
    if not isinstance(model, str):
        raise DataError(f"{folder / 'config.json'} does not name the model of the run")
    place = folder.parent if folder.name == EVALUATION else folder
    before = place.parent / model  # the run beside this one that left its model
    if before != place and (before / "train").is_dir():
        return base_model(before)
    return model


def settings_of(folder: str | Path, info: RunInfo) -> dict[str, Any]:
    """Return everything by which a run can be chosen, by name.

    Args:
        folder: Directory of an evaluation, or of a training.
        info: What the run is.

    Returns:
        `method`, `design`, `seed`, `base` (the model that the run starts from), the parameters of the design,
        the training's settings and the evaluation's. Of a name that occurs in several, the first counts.
    """
    config = RunDir(folder).config
    training = {} if info.training_dir is None else RunDir(info.training_dir).config
    sections: list[Mapping] = [
        {"method": info.method, "design": info.design, "seed": info.seed, "base": base_model(folder)},
        info.params,
        training.get("train", {}).get("identity", {}),
        *(config.get(table, {}).get("identity", {}) for table in ("rollouts", "probes")),
    ]
    settings: dict[str, Any] = {}
    for section in sections:
        for key, value in flat(dict(section)).items():
            settings.setdefault(key, value)
            settings.setdefault(key.rpartition(".")[2], value)
    return settings
