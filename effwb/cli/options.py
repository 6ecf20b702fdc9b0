"""Types of command-line options, and messages that speak of options instead of Python's parameters."""

import argparse
import math
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
    return place


def file_to_write(text: str) -> Path:
    """A file to write, in a directory that exists."""
    place = any_path(text)
    if place.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a directory; name a file in it")
    if not place.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r}: there is no directory {str(place.parent)!r}")
    return place


def any_path(text: str) -> Path:
    """A path; the empty one is refused."""
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"must name a path, got {text!r}")
    return Path(text)


def in_terms_of_options(message: str, args: argparse.Namespace) -> str:
    """Return a message of the library with `--n-samples` where it begins with `n_samples`.

    Args:
        message: A message that begins with the name of a parameter, or has "unknown" before it.
        args: The arguments of the command; only their names are used.

    >>> in_terms_of_options("n_samples=0 must be at least 1", argparse.Namespace(n_samples=0))
    '--n-samples 0 must be at least 1'
    """
    for name in vars(args):
        if name in ("command", "function", "notebook", "config", "run", "runs", "files"):  # no options
            continue
        option = f"--{name.replace('_', '-')}"
        message = re.sub(
            rf"^(unknown )?(?:profile )?{re.escape(name)}(?:=| (?='|must\b))", rf"\1{option} ", message
        )
    return message
