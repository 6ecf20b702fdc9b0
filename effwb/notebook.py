"""What every notebook needs in its first cells: parameters that are checked, and paths that do not depend on
where Jupyter was started."""

import ast
from pathlib import Path

from effwb.errors import one_of
from effwb.paths import repo_root


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
    directory."""
    full = repo_root() / Path(path).expanduser()
    full.mkdir(parents=True, exist_ok=True)
    return full


def files_written(*folders: str | Path):
    """A DataFrame of the files below some directories: path relative to the checkout, size in kB."""
    import pandas as pd

    root = repo_root()
    files = sorted(
        p for folder in folders for p in Path(folder).rglob("*") if p.is_file() and p.name[0] != "."
    )
    shown = [p.relative_to(root) if p.is_relative_to(root) else p for p in files]
    return pd.DataFrame({"file": map(str, shown), "kB": [round(p.stat().st_size / 1000, 1) for p in files]})
