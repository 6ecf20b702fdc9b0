"""One point of a sweep: a directory that says what was asked, how it stands, and what came out.

design=lead,seed=0/
  config.json         what identifies the point: the notebook's code, the parameters, the effwb version
  <notebook>.ipynb    the executed notebook, as far as it came
  log.txt             what it printed, every attempt below the last
  results.json        the rows it handed over (`effwb.notebook.results`)
  FAILED.json         the failing cell and the end of its output
  DONE                written last, with digests of config and results
"""

import json
import time
from pathlib import Path

from effwb.errors import BusyError, DataError
from effwb.runs import SCHEMA, RunDir, check_identity, digest, write_atomic

BUSY = 75  # exit status of a process that found the point run by another
PATIENCE = 5.0  # seconds; the kernel of a process that was killed notices within one
GLANCE = 0.3  # seconds; somebody may be looking how the point stands
STATES = ("done", "running", "failed", "to do")
PLACES = {"run_root": "runs", "work_dir": "work", "out_dir": "out", "figures_dir": "figures"}


class SweepPoint:
    """A point by its directory. Reading never changes anything."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.run = RunDir(folder)
        self.results_file = self.folder / "results.json"
        self.log = self.folder / "log.txt"
        self._done, self._failed = self.folder / "DONE", self.folder / "FAILED.json"

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def identity(self) -> dict:
        """What the point is; `DataError` where config.json is missing, broken, or not that of a point."""
        return self._declared()["identity"]

    @property
    def parameters(self) -> dict:
        return self.identity["parameters"]

    @property
    def snapshot(self) -> Path:
        """The copy of the notebook that the sweep runs, whatever happens to the original meanwhile."""
        return self.folder.parent / self._declared()["environment"]["snapshot"]

    def _declared(self) -> dict:
        try:
            return self.run.config["point"]
        except KeyError:
            why = "give the sweep a directory of its own"
            raise DataError(f"{self.folder} is no point of a sweep; {why}") from None

    def executed(self) -> Path:
        return self.folder / self.identity["notebook"]

    def status(self) -> str:
        """One of `STATES`; raises like `is_done`."""
        if self.is_done():
            return "done"
        if self.is_locked():
            return "running"
        return "failed" if self._failed.exists() else "to do"

    def is_done(self) -> bool:
        """Whether the point is finished; `DataError` where it was changed by hand afterwards."""
        if not self._done.exists():
            return False
        marked = self.marker()
        for what, have in (("config.json", digest(self.identity)), ("results.json", self._results_digest())):
            if marked.get(what) != have:
                raise DataError(
                    f"{self.folder / what} is not what the point finished with; delete {self._done} to run "
                    "the point again"
                )
        return True

    def _results_digest(self) -> str | None:
        return digest(self.results_file.read_text()) if self.results_file.exists() else None

    def is_locked(self) -> bool:
        """Whether a process works on it."""
        if not (self.folder / ".lock").exists():
            return False
        try:
            with self.run.lock():
                return False
        except BusyError:
            return True

    def marker(self) -> dict:
        """What the done marker says: `seconds`, and digests."""
        return _read(self._done)

    def failure(self) -> dict:
        """`cell, error, lines` of the last attempt; {} where it did not fail."""
        return _read(self._failed) if self._failed.exists() else {}

    def results(self) -> list[dict]:
        """The rows the notebook handed over; [] where there are none."""
        return _read(self.results_file) if self.results_file.exists() else []

    def check(self, identity: dict) -> None:
        """`IdentityError` where the directory holds another point that is finished."""
        if self._done.exists():
            check_identity(self.identity, identity, self.folder)

    def declare(self, identity: dict, recorded: dict) -> None:
        """Write config.json, unless it is there; nothing was finished under one that differs.

        `recorded` identifies nothing, but names the `snapshot`. `BusyError` where another process runs the
        point.
        """
        with self.run.lock(GLANCE):
            self.check(identity)
            if self.run.config.get("point", {}).get("identity") != identity:
                told = {"identity": identity, "environment": recorded}
                config = json.dumps({"schema": SCHEMA, "point": told}, indent=1)
                write_atomic(self.folder / "config.json", config.encode())
                self._failed.unlink(missing_ok=True)

    def begin(self) -> None:
        """Forget the last attempt; its log stays."""
        for file in (self._failed, self.results_file):
            file.unlink(missing_ok=True)

    def finish(self, seconds: float) -> None:
        marker = {"config.json": digest(self.identity), "results.json": self._results_digest()}
        write_atomic(self._done, json.dumps({**marker, "seconds": round(seconds, 1)}).encode())

    def fail(self, error: str, lines: list[str], cell: int | None = None) -> None:
        told = {"cell": cell, "error": error, "lines": lines, "at": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        write_atomic(self._failed, json.dumps(told, indent=1).encode())

    def log_end(self, lines: int = 12) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()[-lines:] if self.log.exists() else []


def _read(file: Path):
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise DataError(f"{file} is not valid JSON ({error}); delete it to run the point again") from None


def places(folder: Path, declared, given) -> dict[str, str]:
    """Directories inside the point for what the notebook writes, where nothing else is asked for.

    Two points at once must not write into one run directory. They identify nothing.
    """
    inside = {key: str((folder / name).resolve()) for key, name in PLACES.items()}
    return {key: path for key, path in inside.items() if key in declared and key not in given}
