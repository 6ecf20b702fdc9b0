"""What a user sees during a run: rows of metrics.jsonl, lines of text, and in Jupyter a live figure."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from transformers import TrainerCallback

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
    """Prints a line of text at intervals and at the last step, for terminals and papermill's log.

    Args:
        steps: Steps of the whole run.
        seconds: Least time between two lines.
        notes: Lines that are printed once, before the first.
    """

    def __init__(self, steps: int, seconds: float = 15.0, notes: Sequence[str] = ()):
        self.steps, self.seconds, self._last_print = steps, seconds, 0.0
        _print_lines(notes)
        self._times: list[float] = []
        self._latest: dict[str, float] = {}  # a step without a new round has fewer numbers

    def __call__(self, row: dict) -> None:
        """Print the row if it is time."""
        self._times.append(row["time/step"])
        self._latest.update(row)
        now = time.monotonic()
        if now - self._last_print < self.seconds and row["step"] < self.steps:
            return
        self._last_print = now
        recent, latest = self._times[-20:], self._latest
        left = (self.steps - row["step"]) * sum(recent) / len(recent)
        sys.stdout.write(
            f"step {row['step']}/{self.steps}  accuracy {latest['accuracy']:.3f}  length "
            f"{latest['length/mean']:.1f}  reward {latest['reward/total']:.3f}  no spread "
            f"{latest['zero_variance']:.0%}  {recent[-1]:.1f} s/step  {left / 60:.1f} min left\n"
        )
        sys.stdout.flush()


class Live:
    """Redraws the training figure in place; it stays in the notebook when that is saved.

    Args:
        record: The metrics to draw.
        steps: Steps of the whole run.
        title: Title of the figure.
        seconds: Least time between two drawings.
        notes: Lines above the figure.
    """

    def __init__(
        self, record: Record, steps: int, title: str, seconds: float = 5.0, notes: Sequence[str] = ()
    ):
        self.record, self.steps, self.title, self.seconds = record, steps, title, seconds
        self.notes = notes
        self._last_drawing = 0.0

    def __call__(self, row: dict) -> None:
        """Redraw if it is time."""
        if time.monotonic() - self._last_drawing < self.seconds and row["step"] < self.steps:
            return
        from IPython.display import clear_output, display

        from effwb.plots import training_figure
        from effwb.training.record import read_metrics

        figure = training_figure(read_metrics(self.record.path), title=self.title)
        clear_output(wait=True)  # with update_display, papermill would save every version of the figure
        _print_lines(self.notes)  # the output that was cleared held them
        display(figure)
        self._last_drawing = time.monotonic()


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel, papermill's included."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def listeners(
    watch: str, record: Record, steps: int, title: str, notes: Sequence[str] = ()
) -> list[Listener]:
    """What shows the progress of a run.

    Args:
        watch: "auto" for lines, and a live figure in a notebook; "lines"; or "none".
        record: The metrics of the run.
        steps: Steps of the whole run.
        title: Title of the figure.
        notes: Lines that are shown first.
    """
    is_live = watch == "auto" and in_notebook()
    live: list[Listener] = [Live(record, steps, title, notes=notes)] if is_live else []
    return live + ([Lines(steps, notes=notes)] if watch != "none" else [])


def _print_lines(lines: Sequence[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()
