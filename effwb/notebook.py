"""What every notebook needs in its first and last cells.

Checked parameters, paths that do not depend on where Jupyter was started, and a file for its results.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb import profiles
from effwb._internal.checked import VALUES, AtLeastTwo, Text, check_value
from effwb._internal.paths import work_root
from effwb.designs import fit_design
from effwb.errors import ConfigError, one_of
from effwb.profiles import Profile
from effwb.samplers import SAMPLERS
from effwb.training.offline import is_offline
from effwb.training.settings import run_settings

if TYPE_CHECKING:
    import pandas as pd

RESULTS = "EFFWB_RESULTS"  # environment variable: the file in which a sweep wants a notebook's results
SHARED: dict[str, Any] = {  # types of the parameters that notebooks share
    **{name: VALUES[name] for name in ("seeds", "training", "design_params", "report_to")},
    **{name: VALUES[name] for name in ("run_root", "figures_dir")},
    **dict.fromkeys(("profile", "design"), Text),
    **{name: VALUES[name] | None for name in ("seed", "n_problems", "max_tokens", "train_source")},
    **dict.fromkeys(("engine", "eval_engine"), Text | None),
    "n_samples": AtLeastTwo | None,
}
RENAMED = {"practice_set": "train_source", "practice_samples": "train_samples"}  # old name -> new name


def check_parameters(shell: Any = None) -> list[str]:
    """Check the parameters of the notebook that is running, before anything is loaded.

    Call it right after the parameters cell. Under papermill every injected parameter must be declared and
    have the type of its default. Everywhere, types and ranges of the parameters that the notebooks of effwb
    share are checked, and so are the profile, the training settings and the design that they name.

    Args:
        shell: The IPython shell; by default the running one.

    Returns:
        The declared names; empty outside papermill.

    Raises:
        ConfigError: A parameter is unknown, or has a wrong type or an illegal value.
    """
    if shell is None:
        from IPython import get_ipython

        shell = get_ipython()
    cells = list(shell.user_ns.get("In", [])) if shell else []
    injected = next((i for i, cell in enumerate(cells) if cell.lstrip().startswith("# Parameters")), 0)
    if injected == 0:
        check_settings(_edited_parameters(cells[:-1]))
        return []
    declared, defaults = _assigned_names(cells[injected - 1]), _literals(cells[injected - 1])
    values = _literals(cells[injected])
    for name in _assigned_names(cells[injected]):
        check_parameter_name(name, declared)
    for name in values.keys() & defaults.keys():
        check_parameter_value(name, values[name], defaults[name])
    check_settings({**defaults, **values})
    return declared


def check_parameter_value(name: str, value: Any, default: Any) -> None:
    """Raise `ConfigError` unless a value has the type of the parameter's default; None: any type."""
    wanted = type(default)
    fits = type(value) is wanted or (wanted is float and type(value) is int)
    if default is not None and not fits:
        hint = f" Did you mean [{value!r}]?" if wanted is list else ""
        raise ConfigError(
            f"{name} must be {wanted.__name__} like its default {default!r}, got {type(value).__name__} "
            f"{value!r}.{hint}"
        )


def check_settings(parameters: Mapping[str, Any]) -> None:
    """Check the parameters that notebooks share: their types, the profile, its training and the design.

    Args:
        parameters: Values by name, defaults included. Other parameters than the shared ones may be among
            them, and some may be missing.

    Raises:
        ConfigError: A value is not legal.
    """
    for name, value in parameters.items():
        if name in SHARED:
            check_value(name, value, SHARED[name])
    if "profile" not in parameters:
        return
    scale = profile_of(parameters)
    if parameters.get("eval_engine") is not None:
        one_of("eval_engine", parameters["eval_engine"], SAMPLERS)
    if isinstance(parameters.get("design"), str):
        if is_offline(parameters["design"]):
            raise ConfigError(
                f"design={parameters['design']!r} is an offline method; notebooks/40_offline_baselines.ipynb "
                "trains these (parameter methods)"
            )
        fit_design(parameters["design"], scale.max_tokens, **parameters.get("design_params", {}))


def profile_of(parameters: Mapping[str, Any]) -> Profile:
    """Return the profile that a notebook runs at, with the fields that its parameters replace.

    Args:
        parameters: The parameters of a notebook, by the names that the notebooks of effwb use. The training
            is that of `design`, or of `vanilla` where there are several.

    Raises:
        ConfigError: The profile is unknown, or a value is not legal.
    """
    fields = {name: parameters.get(name) for name in ("n_problems", "n_samples", "max_tokens")}
    scale = profiles.profile(parameters.get("profile", "pocket"), **fields)
    own = {name: parameters.get(name) for name in ("steps", "learning_rate", "group_size")}
    if "training" in parameters:  # in other notebooks engine is that of sampling
        own["engine"] = parameters.get("engine")
    elif parameters.get("engine") is not None:
        scale = scale.override(engine=parameters["engine"])
    settings = training_settings(parameters.get("training", {}), **own)
    design, recipe = parameters.get("design", "vanilla"), parameters.get("recipe")
    run = run_settings(design, scale, recipe, max_tokens=scale.max_tokens, training=settings)
    return scale.override(training=run.training)


def training_settings(training: Mapping[str, Any], **settings: Any) -> dict[str, Any]:
    """Return fields of `profiles.Training` from a table of them and from parameters of their own.

    Args:
        training: Fields of `Training`.
        **settings: More of them; None counts as not given.

    Raises:
        ConfigError: A field is given twice, or `training` is no table.

    >>> training_settings({"kl": 0.001}, steps=20, engine=None)
    {'kl': 0.001, 'steps': 20}
    """
    check_value("training", training, Mapping[str, Any])
    values = {name: value for name, value in settings.items() if value is not None}
    if twice := [name for name in values if training.get(name) is not None]:
        name = twice[0]
        raise ConfigError(
            f"{name}={values[name]!r} and training={{{name!r}: {training[name]!r}}} are both given; give one "
            "of them"
        )
    return {**training, **values}


def check_parameter_name(name: str, declared: Collection[str]) -> None:
    """Raise `ConfigError` for a name that is not among the `declared` parameters of a notebook.

    The message has the new name of a parameter that was renamed, and the nearest name otherwise.
    """
    if name not in declared and RENAMED.get(name) in declared:
        raise ConfigError(f"notebook parameter {name!r} is now called {RENAMED[name]!r}")
    one_of("notebook parameter", name, declared)


def _edited_parameters(cells: Sequence[str]) -> dict[str, Any]:
    """The parameters cell as it was run last, without papermill; {} in a notebook that is not like effwb's.

    It is the last cell of literals that has the parameter which all notebooks of effwb have.
    """
    for cell in reversed(cells):
        with suppress(SyntaxError):  # a cell with magics
            if "figures_dir" in cell and "figures_dir" in (table := _literals(cell)):
                return table
    return {}


def _literals(source: str) -> dict[str, Any]:
    """What a cell assigns to names, where that is a literal."""
    values: dict[str, Any] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            with suppress(ValueError):
                literal = ast.literal_eval(node.value)
                values |= {target.id: literal for target in node.targets if isinstance(target, ast.Name)}
    return values


def _assigned_names(source: str) -> list[str]:
    nodes = ast.parse(source).body
    return [t.id for n in nodes if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)]


def from_root(path: str | Path, *, create: bool = True) -> Path:
    """Return a path given relative to the project one works in; a directory is created.

    Args:
        path: Relative to the nearest folder at or above the working directory that is the checkout or was
            made by `effwb init`, or else to the working directory; absolute paths and `~` are taken as they
            are.
        create: False for the path of a file: nothing is created.
    """
    full = work_root() / Path(path).expanduser()
    if create:
        full.mkdir(parents=True, exist_ok=True)
    return full


def files_written(*paths: str | Path) -> pd.DataFrame:
    """List the files in some places, to end a notebook with.

    Args:
        *paths: Files and directories.

    Returns:
        A DataFrame with path, files (a count) and kB: a row per file given, and per directory below a
        directory given.
    """
    import pandas as pd

    files_by_place: dict[Path, list[Path]] = {}
    for path in map(Path, paths):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.name[0] != ".":
                files_by_place.setdefault(file.parent if path.is_dir() else file, []).append(file)
    root = work_root()
    places = [p.relative_to(root) if p.is_relative_to(root) else p for p in files_by_place]
    counts = [len(files) for files in files_by_place.values()]
    sizes = [round(sum(f.stat().st_size for f in files) / 1000, 1) for files in files_by_place.values()]
    return pd.DataFrame({"path": [str(place) for place in places], "files": counts, "kB": sizes})


def results(rows: pd.DataFrame | Mapping[str, Any], path: str | Path) -> Path:
    """Write the results of a notebook to a JSON file, and hand a copy to the sweep that runs it, if any.

    Calling it again replaces the file. A sweep collects the rows of all its points (`effwb.sweep.table`).

    Args:
        rows: A DataFrame, or a dict for a single row.
        path: The file, with or without a sweep.

    Returns:
        `path`.

    Raises:
        ConfigError: For values that are neither numbers nor text.
    """
    from effwb.runs import write_atomic

    records = [dict(rows)] if isinstance(rows, Mapping) else rows.to_dict("records")
    try:
        data = json.dumps(records, indent=1, default=_plain_number).encode()
    except TypeError as error:
        raise ConfigError(f"results must be a table of numbers and text: {error}") from None
    for file in (path, os.environ.get(RESULTS)):
        if file:
            write_atomic(Path(file), data)
    return Path(path)


def _plain_number(value: Any) -> Any:
    """A numpy number as one of Python's."""
    if not hasattr(value, "item"):
        raise TypeError(f"{value!r} is neither a number nor text")
    return value.item()
