"""What a user sees of a training on stored rollouts: rows of metrics.jsonl and lines of text."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from transformers import TrainerCallback

from effwb.training.record import Record

Listener = Callable[[dict], None]
NAMES = {  # the trainers' names of metrics, and ours
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "epoch": "epoch",
    "entropy": "entropy",
    "mean_token_accuracy": "token_accuracy",
    "rewards/accuracies": "pairs/right",
    "rewards/margins": "pairs/margin",
    "logps/chosen": "pairs/logp_chosen",
    "logps/rejected": "pairs/logp_rejected",
    "ratio": "ratio",
    "clip_ratio": "clip_ratio",
}


class Rows(TrainerCallback):
    """Writes a row per step and passes it on.

    Args:
        record: The file to write to.
        listeners: Functions that are called with each row.
    """

    def __init__(self, record: Record, listeners: Sequence[Listener] = ()):
        self.record, self.listeners, self._last = record, list(listeners), 0.0

    def on_train_begin(self, args, state, control, **_) -> None:
        """Start the clock."""
        self._last = time.perf_counter()

    def on_log(self, args, state, control, logs=None, **_) -> None:
        """Write the row of a step."""
        if not state.is_world_process_zero or "loss" not in logs:
            return
        now = time.perf_counter()
        row = {"step": state.global_step}
        row |= {ours: logs[name] for name, ours in NAMES.items() if logs.get(name) is not None}
        row["time/step"], self._last = now - self._last, now
        self.record.add(row)
        for listener in self.listeners:
            listener(row)


class LossLines:
    """Prints a line of text at intervals and at the last step, for terminals and papermill's log.

    Args:
        steps: Steps of the whole run.
        seconds: Least time between two lines.
    """

    def __init__(self, steps: int, seconds: float = 15.0):
        self.steps, self.seconds, self._last_print = steps, seconds, 0.0

    def __call__(self, row: dict) -> None:
        """Print the row if it is time."""
        now = time.monotonic()
        if now - self._last_print < self.seconds and row["step"] < self.steps:
            return
        self._last_print = now
        margin = f"  margin {row['pairs/margin']:+.3f}" if "pairs/margin" in row else ""
        left = (self.steps - row["step"]) * row["time/step"] / 60
        sys.stdout.write(
            f"step {row['step']}/{self.steps}  loss {row['loss']:.4f}{margin}  "
            f"{row['time/step']:.1f} s/step  {left:.1f} min left\n"
        )
        sys.stdout.flush()


def listeners(watch: str, steps: int, note: str) -> list[Listener]:
    """What shows the progress of a run; the note is printed at once.

    Args:
        watch: "auto" or "lines" for lines of text; "none".
        steps: Steps of the whole run.
        note: What the run learns from; "" for none.
    """
    if watch == "none":
        return []
    if note:
        sys.stdout.write(f"{note}\n")
        sys.stdout.flush()
    return [LossLines(steps)]
