"""Files that are whole or absent when they are written, and verified when they are read."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from effwb._internal import checksums
from effwb._internal.locks import READ_ONLY
from effwb.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_REMEDY = "delete it and run again to restore it"


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file that is either whole or absent, whenever the process is killed.

    Raises:
        ConfigError: The disk or the directory is read-only.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        advice = "a finished run can be read there, but nothing can be written; copy it to another disk"
        raise ConfigError(f"cannot write {path} ({error.strerror}): {advice}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, with a digest of itself."""
    plain = json.loads(json.dumps(value))
    write_atomic(path, json.dumps({**plain, "digest": _digest(plain)}, indent=1).encode())


def read_json(path: Path, remedy: str) -> dict:
    """Read a JSON object from a file; its digest, if it has one, is compared and left out.

    Args:
        path: The file.
        remedy: What to do about a damaged file, for the error message.

    Raises:
        DataError: The file cannot be read, holds no JSON object, or was changed after it was written.
    """
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not valid JSON ({error}); {remedy}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} is not valid JSON: it holds {type(value).__name__}, no object; {remedy}")
    if value.pop("digest", None) not in (None, _digest(value)):
        raise DataError(
            f"{path} was changed after it was written; {remedy}, or delete its entry 'digest' if you meant it"
        )
    return value


def _digest(value: dict) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Write a DataFrame as parquet, atomically, and its checksums into `checksums.jsonl` beside it."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, write_page_checksum=True)
    checksums.record_parquet(path, buffer.getvalue())
    write_atomic(path, buffer.getvalue())


def verify_parquet(path: Path, columns: Sequence[str] | None = None) -> None:
    """Compare a parquet file with its checksums, if it has any.

    Args:
        path: The file.
        columns: The columns to verify; default: all.

    Raises:
        DataError: The file is missing or was changed; the message names it and the remedy.
    """
    try:
        checksums.verify_parquet(path, columns)
    except checksums.Damaged as error:
        raise DataError(f"{path} cannot be read: it {error}; {_REMEDY}") from error
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; run again to restore it") from error
    except Exception as error:  # pyarrow raises several types for a damaged file
        raise DataError(f"{path} cannot be read ({error}); {_REMEDY}") from error


def read_parquet(
    path: Path, columns: list[str] | None = None, filters: list[tuple] | None = None
) -> pd.DataFrame:
    """Read a parquet file as a DataFrame.

    Args:
        path: The file.
        columns: The columns to read; default: all.
        filters: Conditions that rows must meet, as pyarrow takes them; default: all rows.

    Raises:
        DataError: The file cannot be read; the message names it and the remedy.
    """
    return read_arrow(path, columns, filters).to_pandas()


def read_arrow(
    path: Path,
    columns: list[str] | None = None,
    filters: list[tuple] | None = None,
    categories: Sequence[str] = (),
) -> pa.Table:
    """Read a parquet file as an Arrow table; `read_parquet` with columns to be read as `categories`."""
    import pyarrow.parquet as pq

    verify_parquet(path, columns and [*columns, *(name for name, *_ in filters or ())])
    options: dict[str, Any] = {"page_checksum_verification": True}
    try:
        if filters:  # slower to start, but skips row groups that cannot hold such a row
            return pq.read_table(path, columns=columns, filters=filters, partitioning=None, **options)
        table = pq.ParquetFile(path, read_dictionary=list(categories), **options).read(columns)
    except Exception as error:  # pyarrow raises several types for a damaged file
        raise DataError(f"{path} cannot be read ({error}); {_REMEDY}") from error
    missing = [name for name in columns or () if name not in table.column_names]
    if missing:
        raise DataError(f"{path} lacks the columns {missing}; {_REMEDY}")
    return table
