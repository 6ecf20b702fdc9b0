"""The command `effwb init`: lay the notebooks out in a folder of one's own."""

from __future__ import annotations

import argparse
import hashlib
import shlex
from pathlib import Path
from typing import Any

from effwb import __version__
from effwb._internal.paths import MARKER, checkout, shipped
from effwb.cli.commands import add_command
from effwb.cli.options import directory
from effwb.errors import ConfigError
from effwb.runs import read_json, write_atomic, write_json

START = "00_quickstart.ipynb"
INIT_EXAMPLES = """\
examples:
  effwb init my-experiments
  effwb init .                          the folder you are in

Run the same command again after an update of effwb: it brings new and corrected notebooks. A notebook that
you have changed or run stays as it is.
"""


def add_init(subparsers: Any) -> None:
    """Add the command `effwb init`."""
    summary = "lay the notebooks out in a folder, in which runs and figures are kept as well"
    add = add_command(subparsers, run_init, summary, INIT_EXAMPLES).add_argument
    add("folder", type=directory, help="a new folder, or one that exists")


def run_init(args: argparse.Namespace) -> int:
    """Lay the notebooks out and say which to open."""
    folder = args.folder
    states = lay_out(folder)
    new = sum(state in ("new", "updated") for state in states.values())
    changed = [name for name, state in states.items() if state == "changed"]
    print(f"{new} of {len(states)} notebooks written to {folder / 'notebooks'}")
    if changed:
        print(f"left as they are, because they were changed: {', '.join(changed)}")
        print("(delete or rename one of these and run this command again to get effwb's)")
    print(f"Runs go to {folder / 'data' / 'runs'}, figures to {folder / 'figures'}. Begin with:\n")
    if folder.resolve() != Path.cwd():
        print(f"  cd {shlex.quote(str(folder))}")
    print(f"  jupyter lab notebooks/{START}")
    return 0


def lay_out(folder: Path) -> dict[str, str]:
    """Write the notebooks that ship with effwb into `folder/notebooks`, and the marker of a project.

    The marker holds a digest of every notebook as it was written, so that a later call can tell which ones
    were changed. A changed notebook is never overwritten.

    Args:
        folder: The folder of the project; it is created.

    Returns:
        By name of the notebook: "new", "updated" (it was as an older effwb wrote it), "current" or "changed".

    Raises:
        ConfigError: The folder lies in the checkout that effwb runs from.
        DataError: The marker is damaged.
    """
    root = checkout()
    if root is not None and folder.resolve().is_relative_to(root):
        raise ConfigError(
            f"folder={str(folder)!r} lies in the checkout {root}, which has the notebooks already"
        )
    marker = folder / MARKER
    written = read_json(marker, "delete it and run again").get("notebooks", {}) if marker.exists() else {}
    states: dict[str, str] = {}
    (folder / "notebooks").mkdir(parents=True, exist_ok=True)
    for source in sorted(shipped("notebooks").glob("*.ipynb")):
        name, target = source.name, folder / "notebooks" / source.name
        states[name] = _state(source, target, written.get(name))
        if states[name] in ("new", "updated"):
            write_atomic(target, source.read_bytes())
        if states[name] != "changed":
            written[name] = _digest(source)
    write_json(marker, {"effwb": __version__, "notebooks": written})
    return states


def _state(source: Path, target: Path, written: str | None) -> str:
    if not target.exists():
        return "new"
    if _digest(target) == _digest(source):
        return "current"
    return "updated" if _digest(target) == written else "changed"


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
