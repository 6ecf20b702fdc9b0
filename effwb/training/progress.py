"""What a user sees during a run: rows of metrics.jsonl, a line of text, and in Jupyter a live figure."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from transformers import TrainerCallback

from effwb._internal.progress import SECONDS, NotebookLine, duration, open_line, print_lines, with_label
from effwb.training.record import Record

Listener = Callable[[dict], None]

TRL_NAMES = {  # TRL's names of metrics, and ours
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "entropy": "entropy",
    "kl": "kl",
    "clip_ratio/region_mean": "clip_ratio",
    "sampling/importance_sampling_ratio/mean": "sampling/ratio",
    "sampling/sampling_logp_difference/mean": "sampling/difference",
}


class Metrics(TrainerCallback):
    """Writes a row per step and passes it on.

    `trainer` must be set before training begins.

    Args:
        record: The file to write to.
        listeners: Functions that are called with each row.
    """

    def __init__(self, record: Record, listeners: Sequence[Listener] = ()):
        self.record, self.listeners = record, list(listeners)
        self.trainer: Any = None
        self._last = 0.0

    def on_train_begin(self, args, state, control, **_) -> None:
        """Start the clock."""
        self._last = time.perf_counter()

    def on_log(self, args, state, control, logs=None, **_) -> None:
        """Write the row of a step; the numbers of a round belong to its first step."""
        if not state.is_world_process_zero or "loss" not in logs:
            return
        now = time.perf_counter()
        phases = {f"time/{name}": seconds for name, seconds in self.trainer.clock.items()}
        step_time, self._last = now - self._last, now
        row = {
            "step": state.global_step,
            **self.trainer.round_metrics,
            **{ours: logs[name] for name, ours in TRL_NAMES.items() if logs.get(name) is not None},
            **phases,
            "time/train": step_time - sum(phases.values()),
            "time/step": step_time,
        }
        self.trainer.clock.clear()
        self.trainer.round_metrics = {}
        self.record.add(row)
        for listener in self.listeners:
            listener(row)


class Lines:
    """Prints a line of text at intervals and at the last step, for terminals and logs.

    Args:
        steps: Steps of the whole run.
        seconds: Least time between two lines.
        notes: Lines that are printed once, before the first.
    """

    def __init__(self, steps: int, seconds: float = SECONDS, notes: Sequence[str] = ()):
        self.steps, self.seconds, self._last_print = steps, seconds, 0.0
        self._state = _State(steps)
        print_lines(notes)

    def __call__(self, row: dict) -> None:
        """Print the row if it is time."""
        self._state.add(row)
        now = time.monotonic()
        if now - self._last_print < self.seconds and row["step"] < self.steps:
            return
        self._last_print = now
        print_lines([with_label(self._state.text())])


class Live:
    """Renews the line of the notebook at every step, with the training figure below it.

    When the run ends, the line alone is left.

    Args:
        record: The metrics to draw.
        steps: Steps of the whole run.
        line: The line of the notebook.
        seconds: Least time between two drawings.
        notes: Lines that are printed once.
        figure: False: the line without a figure.
    """

    def __init__(
        self,
        record: Record,
        steps: int,
        line: NotebookLine,
        seconds: float = 5.0,
        notes: Sequence[str] = (),
        figure: bool = True,
    ):
        self.record, self.steps, self.line, self.seconds, self.figure = record, steps, line, seconds, figure
        self._state, self._last_drawing = _State(steps), 0.0
        line.show(with_label(f"loading the model, {steps} steps"))
        line.print_once(notes)

    def __call__(self, row: dict) -> None:
        """Renew the line, and the figure if it is time."""
        self._state.add(row)
        text, is_last = with_label(self._state.text()), row["step"] == self.steps
        if is_last or not self.figure:
            self.line.show(text, now=is_last)
        elif time.monotonic() - self._last_drawing >= self.seconds:
            from effwb.plots.training import live_figure
            from effwb.training.record import read_metrics

            title = "<br>step ".join(text.rsplit("step ", 1))
            figure = live_figure(read_metrics(self.record.path), title=title)
            self.line.show(text, json.loads(figure.to_json()))
            self._last_drawing = time.monotonic()


class _State:
    """Where a run is, from the rows of its steps."""

    def __init__(self, steps: int):
        self.steps = steps
        self.times: list[float] = []
        self.latest: dict[str, float] = {}  # a step without a new round has fewer numbers

    def add(self, row: dict) -> None:
        self.times.append(row["time/step"])
        self.latest.update(row)

    def text(self) -> str:
        step, recent, latest = self.latest["step"], self.times[-20:], self.latest
        left = (self.steps - step) * sum(recent) / len(recent)
        end = f"{duration(left)} left" if left else f"{duration(sum(self.times))} in all"
        return (
            f"step {step} of {self.steps}, accuracy {latest['accuracy']:.3f}, length "
            f"{latest['length/mean']:.1f}, reward {latest['reward/total']:.3f}, no spread "
            f"{latest['zero_variance']:.0%}, {recent[-1]:.1f} s/step, {end}"
        )


def listeners(watch: str, record: Record, steps: int, notes: Sequence[str] = ()) -> list[Listener]:
    """What shows the progress of a run.

    Args:
        watch: "auto" for a line, in a notebook with a live figure; "lines" for the line alone; or "none".
        record: The metrics of the run.
        steps: Steps of the whole run.
        notes: Lines that are shown first.
    """
    if watch == "none":
        return []
    line = open_line()
    if line is None:
        return [Lines(steps, notes=notes)]
    return [Live(record, steps, line, notes=notes, figure=watch == "auto")]
