"""Types of command-line options, and messages that speak of options instead of Python's parameters."""

import argparse
import math
import os
import re
from pathlib import Path


def count(text: str) -> int:
    """A whole number from 1."""
    if not re.fullmatch(r"[0-9]+", text.strip()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return int(text)


def seed(text: str) -> int:
    """A whole number from 0."""
    if not re.fullmatch(r"[0-9]+", text.strip()):
        raise argparse.ArgumentTypeError(f"must be a whole number from 0, got {text!r}")
    return int(text)


def positive(text: str) -> float:
    """A finite number above 0."""
    return _number(text, "above 0", lambda number: number > 0)


def not_negative(text: str) -> float:
    """A finite number of at least 0."""
    return _number(text, "of at least 0", lambda number: number >= 0)


def _number(text: str, legal: str, is_legal) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and is_legal(number)):
        raise argparse.ArgumentTypeError(f"must be a number {legal}, got {text!r}")
    return number


def directory(text: str) -> Path:
    """A directory to write to, which need not exist yet."""
    place = any_path(text)
    if place.exists() and not place.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a file, not a directory")
    return place if place.is_dir() else _writable(place)  # a finished run may lie on a read-only disk


def file_to_write(text: str) -> Path:
    """A file to write, in a directory that exists."""
    place = any_path(text)
    if not place.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r}: there is no directory {str(place.parent)!r}")
    return new_file(text)


def new_file(text: str) -> Path:
    """A file to write; directories above it are made."""
    place = any_path(text)
    if place.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a directory; name a file in it")
    return _writable(place)


def _writable(place: Path) -> Path:
    """A place that may be written to, as far as can be seen without writing."""
    existing = next((part for part in (place, *place.absolute().parents) if part.exists()), Path("/"))
    if existing != place and not existing.is_dir():
        raise argparse.ArgumentTypeError(f"{str(place)!r} is or lies in a file: {str(existing)!r} is one")
    if not os.access(existing, os.W_OK):
        raise argparse.ArgumentTypeError(f"{str(place)!r} cannot be written: {str(existing)!r} is read-only")
    return place


def cannot_write(error: OSError, args: argparse.Namespace) -> str:
    """A sentence for an error of the file system: what failed, and the option that named the place."""
    reason = error.strerror or str(error)
    out = getattr(args, "out", None)
    if out is not None and error.filename and _is_around(Path(error.filename), Path(out)):
        return f"-o {out} cannot be written ({error.filename}: {reason}); choose another place"
    return f"{error.filename}: {reason}" if error.filename else reason


def _is_around(a: Path, b: Path) -> bool:
    return a.absolute().is_relative_to(b.absolute()) or b.absolute().is_relative_to(a.absolute())


def any_path(text: str) -> Path:
    """A path; the empty one is refused."""
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"must name a path, got {text!r}")
    return Path(text)


IN_PYTHON = {  # what messages of the library advise, and what it is on the command line
    "RunSet.largest() takes": "--largest takes",
    "pass trust_remote_code=True to the profile or to open_sampler if": "pass --trust-remote-code if",
    "pass retry=True (command line: --retry)": "pass --retry",
}
NO_OPTIONS = (
    "command",
    "function",
    "notebook",
    "config",
    "run",
    "runs",
    "files",
    "root",
    "a",
    "b",
    "name",
    "table",
)


def in_terms_of_options(message: str, args: argparse.Namespace) -> str:
    """Return a message of the library with `--n-samples` where it has the parameter `n_samples`.

    Args:
        message: A message with a parameter and its value, or that begins with its name or with "unknown".
        args: The arguments of the command; only their names are used.

    >>> in_terms_of_options("n_samples=0 must be at least 1", argparse.Namespace(n_samples=0))
    '--n-samples 0 must be at least 1'
    """
    advice = IN_PYTHON if hasattr(args, "largest") else {**IN_PYTHON, "RunSet.largest() takes": "name"}
    for words, option in advice.items():
        message = message.replace(words, option)
    for name in vars(args):
        if name in NO_OPTIONS:
            continue
        option = "-o" if name == "out" else f"--{name.replace('_', '-')}"
        name = re.escape(name)
        message = re.sub(rf"^(unknown )?(?:profile )?{name}(?:=| (?='|must\b))", rf"\1{option} ", message)
        message = re.sub(rf"(?<![\w.'{{-]){name}=(?=[\w'\"-])", f"{option} ", message)
    return message
