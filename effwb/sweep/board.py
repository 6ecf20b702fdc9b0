"""The progress of a sweep: how many points are done, and how far those have come that run now."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from effwb._internal.progress import NotebookLine, open_line, write_line
from effwb.errors import ConfigError, DataError
from effwb.runs import RunDir
from effwb.sweep import local
from effwb.sweep.estimate import counts
from effwb.sweep.parameters import declared_parameters
from effwb.sweep.point import STATES, SweepPoint
from effwb.training.record import planned_steps

REFRESH = 20.0  # seconds between two tables, if nothing happens
HEADING = "time      done running  failed   to do    left"


class PointProgress(NamedTuple):
    """How far a point has come, from the files that its trainings write.

    Attributes:
        finished: Trainings that are finished.
        step: Steps of the training that runs now.
        steps: Steps that it will have.
        accuracy: Accuracy of its rollouts in the last step; None for a training without rollouts.
    """

    finished: int
    step: int
    steps: int
    accuracy: float | None

    @property
    def trained(self) -> float:
        """Trainings that are done, the one that runs as a share."""
        return self.finished + (self.step / self.steps if self.step < self.steps else 0.0)


def point_progress(folder: Path) -> PointProgress | None:
    """Read how far a point has come; None before its first step.

    Args:
        folder: Directory of the point.
    """
    records = sorted(folder.rglob("train/metrics.jsonl"), key=lambda file: file.stat().st_mtime)
    if not records:
        return None
    finished = sum((file.parent / "DONE").exists() for file in records)
    with suppress(DataError, KeyError, IndexError, ValueError, OSError):  # a file that is just being written
        row = json.loads(records[-1].read_bytes().splitlines()[-1])
        settings = RunDir(records[-1].parents[1]).identity("train")["settings"]
        steps = planned_steps(records[-1].parent, settings)
        return PointProgress(finished, row["step"], steps, row.get("accuracy"))
    return None


class ProgressBoard:
    """The progress of a sweep, on stderr or in the line of a notebook.

    Args:
        points: All points of the sweep.
        visible: Whether to show it.
    """

    def __init__(self, points: list[SweepPoint], visible: bool):
        self.states = {point.name: point.status() for point in points}
        self.points = {point.name: point for point in points}
        self.visible = visible
        self.line: NotebookLine | None = open_line()
        self.start = self.last_table = time.monotonic()
        self.point_starts: dict[str, float] = {}  # of the points that run now
        self.trained_before: dict[str, float] = {}  # trainings of theirs that an earlier attempt has done
        self.trainings: dict[str, int] = {}  # that each of them has to do
        self.max_running = 1  # points at a time, so far
        self.durations = [p.marker()["seconds"] for p in points if self.states[p.name] == "done"]
        self.failed = [point for point in points if self.states[point.name] == "failed"]
        self._print(HEADING)
        self._print_row("")

    def update(self, event: local.Event) -> None:
        """Take an event of an executor into account."""
        point, now = event.point, time.monotonic()
        if event.kind == "started":
            self.states[point.name], self.point_starts[point.name] = "running", now
            progress = point_progress(point.folder)
            self.trained_before[point.name] = progress.trained if progress else 0.0
            self.trainings[point.name] = _trainings_of(point)
            self.max_running = max(self.max_running, len(self.point_starts))
            self.failed = [other for other in self.failed if other.name != point.name]
            self._print_row(f"started {point.name}")
            return
        self.states[point.name] = point.status() if event.kind == "ended" else "running"
        seconds = now - self.point_starts.pop(point.name)
        if event.kind == "busy":
            self._print_row(f"run by another sweep: {point.name}")
        elif self.states[point.name] == "done":
            self.durations.append(seconds)
            self._print_row(f"{point.name} ({clock(seconds)})")
        else:
            self.failed.append(point)
            self._print_row(f"FAILED {point.name}: {point.failure()['error'].splitlines()[0]}")

    def refresh(self) -> None:
        """Show the table and the points that run now, if it was not shown for `REFRESH` seconds."""
        if time.monotonic() - self.last_table >= REFRESH:
            self._print_row("", with_points=True)

    def close(self) -> None:
        """Print why each failed point failed; in a notebook below the table."""
        print_text = self._print if self.line is None or not self.visible else print
        for point in self.failed:
            failure = point.failure()
            cell = f" in cell [{failure['cell']}]" if failure.get("cell") else ""
            print_text(f"\n{point.name} failed{cell}; the whole output is in {point.log}")
            print_text("\n".join(f"    {line}" for line in failure.get("lines", [])))
        if self.failed:
            print_text("\nTo run the failed points again, pass retry=True (command line: --retry).")

    def _print_row(self, text: str, with_points: bool = False) -> None:
        self.last_table = time.monotonic()
        numbers = "".join(f"{list(self.states.values()).count(state):>8}" for state in STATES)
        left = {name: self._point_left(name) for name in self.point_starts}
        row = f"{clock(self.last_table - self.start):>6}{numbers}{self._time_left(left):>8}  {text}".rstrip()
        points = [f"{'':8}{name}: {self._point_text(name, left[name])}" for name in left]
        if self.line is None:
            self._print("\n".join([row, *(points if with_points else [])]))
        elif self.visible:
            self.line.show("\n".join([HEADING, row, *points]))

    def _point_text(self, name: str, left: float | None) -> str:
        progress = point_progress(self.points[name].folder)
        spent = clock(time.monotonic() - self.point_starts[name])
        if progress is None:
            return f"no step yet after {spent}"
        text = f"step {progress.step} of {progress.steps}"
        if progress.accuracy is not None:
            text += f", accuracy {progress.accuracy:.3f}"
        return f"{text}, {clock(left)} left" if left is not None else f"{text}, after {spent}"

    def _point_left(self, name: str) -> float | None:
        """Seconds that a running point still needs if it goes on as fast; None before its first step."""
        point, spent = self.points[name], time.monotonic() - self.point_starts[name]
        progress = point_progress(point.folder)
        if progress is None or progress.trained <= self.trained_before[name]:
            return None
        rate = (progress.trained - self.trained_before[name]) / spent
        return max(0.0, self.trainings[name] - progress.trained) / rate

    def _time_left(self, left: dict[str, float | None]) -> str:
        """The time left, if the other points take as long as those that are done, or that run now."""
        spent = {name: time.monotonic() - self.point_starts[name] for name in left}
        waiting = list(self.states.values()).count("to do")
        if not (waiting or left):
            return "-"
        durations = self.durations or [spent[name] + more for name, more in left.items() if more is not None]
        if not durations:
            return "?"
        mean = sum(durations) / len(durations)
        running = sum(max(mean - spent[name], 0.0) if more is None else more for name, more in left.items())
        return clock((waiting * mean + running) / self.max_running)

    def _print(self, text: str) -> None:
        if self.visible and self.line is None:
            write_line(text.rstrip())


def _trainings_of(point: SweepPoint) -> int:
    """How many trainings a point does; 1 where the metadata of its notebook do not say it."""
    with suppress(ConfigError):
        parameters = {**declared_parameters(point.snapshot), **point.parameters}
        return max(1, counts(point.snapshot, parameters)["trainings"])
    return 1


def clock(seconds: float) -> str:
    """Return `m:ss`, or `h:mm:ss` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
