"""What every notebook needs in its first and last cells.

Checked parameters, paths that do not depend on where Jupyter was started, and a file for its results.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb._internal.paths import repo_root
from effwb.errors import ConfigError, one_of

if TYPE_CHECKING:
    import pandas as pd

RESULTS = "EFFWB_RESULTS"  # environment variable: the file in which a sweep wants a notebook's results
RENAMED = {"practice_set": "train_source", "practice_samples": "train_samples"}  # old name -> new name


def check_parameters(shell: Any = None) -> list[str]:
    """Check the parameters that papermill injected against those the notebook declares.

    Call it right after the parameters cell. papermill itself only warns about an unknown parameter. Outside
    papermill there is nothing to check.

    Args:
        shell: The IPython shell; by default the running one.

    Returns:
        The declared names; empty outside papermill.

    Raises:
        ConfigError: For an injected parameter that the notebook does not declare.
    """
    if shell is None:
        from IPython import get_ipython

        shell = get_ipython()
    cells = list(shell.user_ns.get("In", [])) if shell else []
    injected = next((i for i, cell in enumerate(cells) if cell.lstrip().startswith("# Parameters")), 0)
    if injected == 0:
        return []
    declared = _assigned_names(cells[injected - 1])
    for name in _assigned_names(cells[injected]):
        check_parameter_name(name, declared)
    return declared


def check_parameter_name(name: str, declared: Collection[str]) -> None:
    """Raise `ConfigError` for a name that is not among the `declared` parameters of a notebook.

    The message has the new name of a parameter that was renamed, and the nearest name otherwise.
    """
    if name not in declared and RENAMED.get(name) in declared:
        raise ConfigError(f"notebook parameter {name!r} is now called {RENAMED[name]!r}")
    one_of("notebook parameter", name, declared)


def _assigned_names(source: str) -> list[str]:
    nodes = ast.parse(source).body
    return [t.id for n in nodes if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)]


def from_root(path: str | Path, *, create: bool = True) -> Path:
    """Return a path given relative to the root of the checkout; a directory is created.

    Args:
        path: Relative to the root of the checkout, not to the working directory; absolute paths and `~` are
            taken as they are.
        create: False for the path of a file: nothing is created.
    """
    full = repo_root() / Path(path).expanduser()
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
    root = repo_root()
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
