"""What a user sees of a training on stored rollouts: rows of metrics.jsonl and lines of text."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import TrainerCallback

from effwb._internal.progress import SECONDS, NotebookLine, duration, open_line, print_lines, with_label
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
    """Shows where a training is: in the line of the notebook, elsewhere as a line now and then.

    Args:
        steps: Steps of the whole run.
        line: The line of the notebook; None: lines of text, for terminals and logs.
        seconds: Least time between two lines of text.
    """

    def __init__(self, steps: int, line: NotebookLine | None = None, seconds: float = SECONDS):
        self.steps, self.line, self.seconds, self._last = steps, line, seconds, 0.0
        self._times: list[float] = []

    def __call__(self, row: dict) -> None:
        """Show the row if it is time."""
        self._times.append(row["time/step"])
        text, is_last = with_label(self._text(row)), row["step"] == self.steps
        if self.line is not None:
            self.line.show(text, now=is_last)
        elif is_last or time.monotonic() - self._last >= self.seconds:
            self._last = time.monotonic()
            print_lines([text])

    def _text(self, row: dict) -> str:
        recent = self._times[-20:]
        left = (self.steps - row["step"]) * sum(recent) / len(recent)
        margin = f", margin {row['pairs/margin']:+.3f}" if "pairs/margin" in row else ""
        end = f"{duration(left)} left" if left else f"{duration(sum(self._times))} in all"
        return (
            f"step {row['step']} of {self.steps}, loss {row['loss']:.4f}{margin}, {recent[-1]:.1f} s/step, "
            f"{end}"
        )


def listeners(watch: str, steps: int, notes: Sequence[str] = ()) -> list[Listener]:
    """What shows the progress of a run; the notes are printed at once.

    Args:
        watch: "auto" or "lines" for a line of text; "none".
        steps: Steps of the whole run.
        notes: What the run learns from, and how it differs from the paper's.
    """
    if watch == "none":
        return []
    line = open_line()
    if line is None:
        print_lines(notes)
    else:
        line.print_once(notes)
    return [LossLines(steps, line)]


def recipe_lines(recipe: Mapping[str, Any]) -> list[str]:
    """What a training says about its recipe when it begins; on the pocket model that is one line.

    Args:
        recipe: What `offline.recipe_record` gives; {} for a training without a recipe.
    """
    differences = recipe.get("differences", {})
    if not differences:
        return []
    if recipe["kind"] == "pocket":
        return [f"recipe 'pocket'; not as in {recipe['paper']}: {', '.join(differences)}"]
    left_open = ", ".join(recipe["open"]) or "nothing"
    lines = [f"recipe {recipe['kind']!r} of {recipe['paper']}; left open by the paper: {left_open}"]
    return lines + [f"  not as in {recipe['paper']}: {text}" for text in differences.values()]
