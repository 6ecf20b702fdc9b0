"""What the benchmarks share: their command line, a description of the machine, the files of their results."""

import argparse
import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from effwb.runs import write_atomic

RESULTS = Path(__file__).parent / "results"


def parser_of(name: str, doc: str) -> argparse.ArgumentParser:
    """Return a parser whose help is the docstring of a benchmark and which has the option `--output`."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_output(parser, name)
    return parser


def add_output(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the option that names the file of the results."""
    default = RESULTS / f"{name}.json"
    text = f"file for the results (default: benchmarks/results/{name}.json)"
    parser.add_argument("--output", type=Path, default=default, metavar="FILE", help=text)


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of a command by name, without the file of its results."""
    return {name: value for name, value in vars(args).items() if name != "output"}


def machine(*packages: str) -> dict[str, Any]:
    """Describe the machine: its cores, its load averages, and the versions of Python and of packages."""
    return {
        "cores": os.cpu_count(),
        "load": [round(x, 2) for x in os.getloadavg()],
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def commit() -> str:
    """Return the commit that is checked out, with "+" where benchmarks/ has other changes; else "unknown"."""
    git = ["git", "-C", str(RESULTS.parent)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    if head.returncode:
        return "unknown"
    changes = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "."]).returncode
    return head.stdout.strip() + ("+" if changes else "")


def save(path: Path, results: dict[str, Any]) -> None:
    """Write results as JSON; an object or a list without others inside is one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, (_json(results) + "\n").encode())


def _json(value: Any, indent: str = "") -> str:
    """JSON with a line per innermost object or list, so that a row of a table is a line of the file."""
    inside = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(inside, list) or not any(isinstance(item, dict | list) for item in inside):
        return json.dumps(value)
    deeper = indent + " "
    items = [_json(item, deeper) for item in inside]
    if isinstance(value, dict):
        items = [f"{json.dumps(str(key))}: {item}" for key, item in zip(value, items, strict=True)]
    brackets = "{}" if isinstance(value, dict) else "[]"
    return f"{brackets[0]}\n" + ",\n".join(deeper + item for item in items) + f"\n{indent}{brackets[1]}"
