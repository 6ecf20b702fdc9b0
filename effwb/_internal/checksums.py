"""SHA-256 of files, recorded in checksums.jsonl beside them and verified when they are read.

Of a parquet file every column has its own, so that whoever reads some columns verifies these alone. A file
without a record, such as one of an older version, is not verified. What was verified is not verified again in
this process while size and time of the file stay the same.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from effwb._internal.jsonl import append_line, read_lines

FILE = "checksums.jsonl"
Stamp = tuple[int, int] | None  # time and size of a file; None where there is none


class Damaged(Exception):
    """A file is not the one that was recorded; the text goes after its name."""


# -------------------------------------------------------------------------------------- whole files
def record_file(path: Path) -> None:
    """Record the checksum of a file as it is now."""
    append_line(path.with_name(FILE), {"file": path.name, "sha256": sha256_of(path)})


def verify_file(path: Path) -> None:
    """Raise `Damaged` if the file is missing or another one than was recorded; no record is no error."""
    expected = _records(path.parent).get(path.name, {}).get("sha256")
    if expected is None:
        return
    if not path.is_file():
        raise Damaged("is missing")
    if sha256_of(path) != expected:
        raise Damaged(f"was changed after it was written: {FILE} beside it has another checksum")


def recorded_files(folder: Path) -> list[Path]:
    """Return the files of a directory that have a record, whether they exist or not."""
    return [folder / name for name in _records(folder)]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in 64 hex digits."""
    return _sha256_of(path, _stamp(path))


@lru_cache(maxsize=4096)
def _sha256_of(path: Path, stamp: Stamp) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ------------------------------------------------------------------------------------------ parquet
def record_parquet(path: Path, data: bytes) -> None:
    """Record the checksums of a parquet file that is about to be written.

    A kill in between leaves a record of a missing file, which is made again together with its record.
    """
    file = io.BytesIO(data)
    sums = {"footer": _sha256(_footer(file)), "columns": _columns(file)}
    append_line(path.with_name(FILE), {"file": path.name, **sums})


def verify_parquet(path: Path, columns: Iterable[str] | None = None) -> None:
    """Verify the footer of a parquet file and some of its columns.

    Args:
        path: The file.
        columns: The columns to verify; default: all.

    Raises:
        Damaged: The file is another one than was recorded.
        OSError: The file cannot be read.
    """
    names = None if columns is None else tuple(columns)
    _verify_parquet(path, names, _stamp(path), _stamp(path.with_name(FILE)))


@lru_cache(maxsize=8192)
def _verify_parquet(path: Path, names: tuple[str, ...] | None, stamp: Stamp, records_stamp: Stamp) -> None:
    recorded = _records(path.parent).get(path.name)
    if recorded is None:
        return
    changed = f"was changed after it was written: {FILE} beside it has another checksum of its"
    with open(path, "rb") as file:
        if _sha256(_footer(file)) != recorded.get("footer"):  # before anything parses it
            raise Damaged(f"{changed} footer")
        for column, current in _columns(file, names).items():
            if current != recorded.get("columns", {}).get(column):
                raise Damaged(f"{changed} column {column}")


def _footer(file: BinaryIO) -> bytes:
    """The footer of a parquet file with its length and mark; what is there where they are damaged."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    length = int.from_bytes(file.read(4), "little") + 8
    file.seek(max(0, size - length))
    return file.read()


def _columns(file: BinaryIO, names: tuple[str, ...] | None = None) -> dict[str, str]:
    """The SHA-256 of each column of a parquet file, over the bytes of all its row groups."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(file)
    sums: dict[str, Any] = {}
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for chunk in map(group.column, range(group.num_columns)):
            column = chunk.path_in_schema.partition(".")[0]
            if names is None or column in names:
                start = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
                file.seek(start)
                sums.setdefault(column, hashlib.sha256()).update(file.read(chunk.total_compressed_size))
    return {column: total.hexdigest() for column, total in sums.items()}


# ------------------------------------------------------------------------------------------ records
def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _records(folder: Path) -> dict[str, dict]:
    """The last record of each file."""
    return _read_records(folder / FILE, _stamp(folder / FILE))


@lru_cache(maxsize=256)
def _read_records(path: Path, stamp: Stamp) -> dict[str, dict]:
    remedy = "delete this file to read the others without their checksums"
    return {str(row.get("file")): row for row in read_lines(path, remedy)}
