"""One point of a sweep: a directory that holds its parameters, its state and its results.

design=lead,seed=0/
  config.json         what identifies the point: the notebook's code, the parameters, the effwb version
  <notebook>.ipynb    the executed notebook, as far as it came
  log.txt             what it printed; every attempt is appended
  results.json        its rows of results (`effwb.notebook.results`)
  FAILED.json         the failing cell and the end of its output
  DONE                written last, with digests of config and results
"""

import json
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from effwb.designs.identity import same_source
from effwb.errors import BusyError, DataError, IdentityError
from effwb.runs import SCHEMA, RunDir, check_identity, digest, read_json, write_atomic
from effwb.sweep.parameters import point_name

BUSY_EXIT = 75  # exit status of a process that finds its point locked by another process
LOCK_WAIT = 5.0  # seconds; the kernel of a process that was killed ends within one second
SHORT_LOCK_WAIT = 0.3  # seconds; `is_locked` of another process holds the lock for a moment
RUN_AGAIN = "delete it to run the point again"
STATES = ("done", "running", "failed", "to do")
DIRECTORIES = {"run_root": "runs", "work_dir": "work", "out_dir": "out", "figures_dir": "figures"}


class SweepPoint:
    """A point of a sweep on disk. Reading it never changes anything.

    Args:
        folder: Directory of the point.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.run_dir = RunDir(folder)
        self.results_file = self.folder / "results.json"
        self.log = self.folder / "log.txt"
        self._done_file, self._failure_file = self.folder / "DONE", self.folder / "FAILED.json"

    @property
    def name(self) -> str:
        """Name of the directory: `key=value,...`."""
        return self.folder.name

    @property
    def identity(self) -> dict[str, Any]:
        """What identifies the point; `DataError` if config.json is missing, broken or not that of a point."""
        return self._config("identity")

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the notebook at this point."""
        return self._config("identity", "parameters")

    @property
    def snapshot(self) -> Path:
        """The copy of the notebook that the sweep runs, whatever happens to the original meanwhile."""
        return self.folder.parent / self._config("environment", "snapshot")

    @property
    def executed_notebook(self) -> Path:
        """The notebook with its outputs."""
        return self.folder / self._config("identity", "notebook")

    def _config(self, *keys: str) -> Any:
        value: Any = self.run_dir.config
        for key in ("point", *keys):
            if not isinstance(value, dict) or key not in value:
                advice = "give the sweep a directory of its own"
                raise DataError(f"{self.folder} is not a point of a sweep; {advice}")
            value = value[key]
        return value

    def status(self) -> str:
        """Return one of `STATES`; raises like `is_done`."""
        if self.is_done():
            return "done"
        if self.is_locked():
            return "running"
        return "failed" if self._failure_file.exists() else "to do"

    def is_done(self) -> bool:
        """Return whether the point is finished; `DataError` if its files were changed afterwards."""
        if not self._done_file.exists():
            return False
        marker = self.marker()
        for file, current in self._digests().items():
            if marker.get(file) != current:
                raise DataError(
                    f"{self.folder / file} is not what the point finished with; delete {self._done_file} to "
                    "run the point again"
                )
        return True

    def _digests(self) -> dict[str, str | None]:
        results = digest(self.results_file.read_text()) if self.results_file.exists() else None
        return {"config.json": digest(self.identity), "results.json": results}

    def is_locked(self) -> bool:
        """Return whether a process works on the point."""
        if not (self.folder / ".lock").exists():
            return False
        try:
            with self.run_dir.lock(wait=0):
                return False
        except BusyError:
            return True

    def marker(self) -> dict[str, Any]:
        """Return the done marker: `seconds`, and digests by file."""
        return read_json(self._done_file, RUN_AGAIN)

    def failure(self) -> dict[str, Any]:
        """Return `cell`, `error` and `lines` of the last attempt; {} if it did not fail."""
        return read_json(self._failure_file, RUN_AGAIN) if self._failure_file.exists() else {}

    def results(self) -> list[dict[str, Any]]:
        """Return the rows that the notebook wrote with `notebook.results`; [] if there are none."""
        if not self.results_file.exists():
            return []
        try:
            return json.loads(self.results_file.read_text())
        except ValueError as error:
            raise DataError(f"{self.results_file} is not valid JSON ({error}); {RUN_AGAIN}") from None

    def check(self, identity: dict[str, Any]) -> dict[str, Any]:
        """Raise `IdentityError` if the directory holds a finished point with another identity.

        Returns:
            The identity; for a finished point of an older effwb, as that effwb wrote it.
        """
        if self._done_file.exists():
            name = str(identity["parameters"].get("design"))
            identity = same_source(self.identity, identity, name, self.folder)
            check_identity(self.identity, identity, self.folder)
        return identity

    def write_config(self, identity: dict[str, Any], environment: dict[str, Any]) -> None:
        """Write config.json, unless the same one is there already.

        Args:
            identity: What identifies the point.
            environment: Recorded beside it; it identifies nothing but names the `snapshot`.

        Raises:
            BusyError: If another process runs the point.
            IdentityError: If the directory holds a finished point with another identity.
        """
        with self.run_dir.lock(SHORT_LOCK_WAIT):
            identity = self.check(identity)
            if self.run_dir.config.get("point", {}).get("identity") != identity:
                point = {"identity": identity, "environment": environment}
                config = json.dumps({"schema": SCHEMA, "point": point}, indent=1)
                write_atomic(self.folder / "config.json", config.encode())
                self._failure_file.unlink(missing_ok=True)

    def begin(self) -> None:
        """Delete what the last attempt left, except its log."""
        for file in (self._failure_file, self.results_file):
            file.unlink(missing_ok=True)

    def finish(self, seconds: float) -> None:
        """Write the done marker; `seconds` is how long the notebook took."""
        marker = {**self._digests(), "seconds": round(seconds, 1)}
        write_atomic(self._done_file, json.dumps(marker).encode())

    def fail(self, error: str, lines: list[str], cell: int | None = None) -> None:
        """Record a failure.

        Args:
            error: The error in one line.
            lines: The end of the output.
            cell: Number of the failing cell, if one failed.
        """
        failure = {"cell": cell, "error": error, "lines": lines, "at": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        write_atomic(self._failure_file, json.dumps(failure, indent=1).encode())

    def log_end(self, lines: int = 12) -> list[str]:
        """Return the last lines of the log."""
        return self.log.read_text(errors="replace").splitlines()[-lines:] if self.log.exists() else []


def directory_parameters(
    folder: Path, declared: Container[str], parameters: Container[str]
) -> dict[str, str]:
    """Return the parameters that make a notebook write inside the directory of its point.

    Two points at once must not write into one run directory. These parameters identify nothing.

    Args:
        folder: Directory of the point.
        declared: Parameters that the notebook declares.
        parameters: Parameters that the sweep sets; they are left alone.
    """
    inside = {key: str((folder / name).resolve()) for key, name in DIRECTORIES.items()}
    return {key: path for key, path in inside.items() if key in declared and key not in parameters}


def check_same_grid(
    points: Iterable[SweepPoint],
    parameters: Mapping[str, Mapping[str, Any]],
    shared: Mapping[str, Any],
    axes: Sequence[str],
) -> None:
    """Raise `IdentityError` if a directory holds points of another grid; a grid may have got other values.

    The points of one grid have the same axes, the same fixed parameters, and are of one notebook and version.

    Args:
        points: The points in the directory.
        parameters: The parameters of each point of the grid, by name.
        shared: What all points of the grid have in their identity besides `parameters`.
        axes: The names of the axes.
    """
    example = next(iter(parameters.values()))
    fixed = {name: value for name, value in example.items() if name not in axes}
    for point in points:
        if point.name in parameters:  # compared with its own parameters by `SweepPoint.check`
            continue
        own = point.parameters
        own_fixed = {name: value for name, value in own.items() if name not in axes}
        if not set(axes) <= set(own) or point_name({axis: own[axis] for axis in axes}) != point.name:
            raise IdentityError(
                f"{point.folder.parent} holds the point {point.name} of another grid: the axes here are "
                f"{', '.join(axes)}. Use another directory, or delete that point; nothing was changed"
            )
        identity = {name: value for name, value in point.identity.items() if name != "parameters"}
        check_identity({**identity, "fixed": own_fixed}, {**shared, "fixed": fixed}, point.folder)
