"""Files with a JSON object per line, which grow while a program runs and survive its kill."""

from __future__ import annotations

import json
from pathlib import Path

from effwb.errors import DataError


def append_line(path: Path, row: dict) -> None:
    """Append an object; the rest of a line that a kill left half written is cut off first."""
    with open(path, "ab+") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 1))
        if file.read(1) not in (b"\n", b""):
            file.truncate(path.read_bytes().rfind(b"\n") + 1)
        file.write(json.dumps(row).encode() + b"\n")


def read_lines(path: Path, remedy: str) -> list[dict]:
    """Read all objects, in order; [] if there is no file.

    A last line without a line break, which a kill left half written, is skipped.

    Args:
        path: The file.
        remedy: What to do about a damaged line, for the error message.

    Raises:
        DataError: A line holds no JSON object; the message names it.
    """
    if not path.exists():
        return []
    *lines, tail = path.read_bytes().split(b"\n")
    rows = [_object(line) for line in lines]
    if None in rows:
        raise DataError(f"line {rows.index(None) + 1} of {path} is damaged; {remedy}")
    return [row for row in (*rows, _object(tail)) if row is not None]


def _object(line: bytes) -> dict | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
