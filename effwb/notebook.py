"""What every notebook needs in its first cells: parameters that are checked, and paths that do not depend on
where Jupyter was started.
"""

import ast
import json
import os
from pathlib import Path

from effwb._internal.paths import repo_root
from effwb.errors import ConfigError, one_of

RESULTS = "EFFWB_RESULTS"  # environment variable: the file in which a sweep wants a notebook's results


def check_parameters(shell=None) -> list[str]:
    """Raise `ConfigError` for an injected parameter the notebook does not declare; papermill itself only
    warns.

    Call it right after the parameters cell. Outside papermill there is nothing to check. Returns the declared
    names.
    """
    if shell is None:
        from IPython import get_ipython

        shell = get_ipython()
    cells = list(shell.user_ns.get("In", [])) if shell else []
    at = next((i for i, cell in enumerate(cells) if cell.lstrip().startswith("# Parameters")), None)
    if at is None or at == 0:
        return []
    declared = _assigned(cells[at - 1])
    for name in _assigned(cells[at]):
        one_of("notebook parameter", name, declared)
    return declared


def _assigned(source: str) -> list[str]:
    nodes = ast.parse(source).body
    return [t.id for n in nodes if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)]


def from_root(path: str | Path) -> Path:
    """A relative path taken from the root of the checkout, not from the working directory; made a
    directory.
    """
    full = repo_root() / Path(path).expanduser()
    full.mkdir(parents=True, exist_ok=True)
    return full


def files_written(*paths: str | Path):
    """A DataFrame of what was written: a row per file given, and per directory below a directory given."""
    import pandas as pd

    found: dict[Path, list[Path]] = {}
    for path in map(Path, paths):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.name[0] != ".":
                found.setdefault(file.parent if path.is_dir() else file, []).append(file)
    root = repo_root()
    shown = [p.relative_to(root) if p.is_relative_to(root) else p for p in found]
    sizes = [round(sum(f.stat().st_size for f in files) / 1000, 1) for files in found.values()]
    return pd.DataFrame({"path": map(str, shown), "files": map(len, found.values()), "kB": sizes})


def results(rows, path: str | Path) -> Path:
    """Hand over what the notebook found: write `rows` (a DataFrame, or a dict for a single one) to `path` as
    JSON.

    `path` is the same with and without a sweep; a sweep collects a copy (`effwb.sweep.table`). Called again,
    it replaces. Raises `ConfigError` for what is not a table of numbers and text.
    """
    from effwb.runs import write_atomic

    records = rows.to_dict("records") if hasattr(rows, "to_dict") else [dict(rows)]
    try:
        data = json.dumps(records, indent=1, default=_plain).encode()
    except TypeError as error:
        raise ConfigError(f"results must be a table of numbers and text: {error}") from None
    for file in (path, os.environ.get(RESULTS)):
        if file:
            write_atomic(Path(file), data)
    return Path(path)


def _plain(value):
    """A numpy number as one of Python."""
    if not hasattr(value, "item"):
        raise TypeError(f"{value!r} is neither")
    return value.item()
