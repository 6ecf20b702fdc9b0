"""What the benchmarks share: their command line, a description of the machine, the files of their results."""

import argparse
import json
import os
import platform
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


def save(path: Path, results: dict[str, Any]) -> None:
    """Write results as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, (json.dumps(results, indent=1) + "\n").encode())
