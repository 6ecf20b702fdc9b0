"""What one sees while a run goes on: metrics.jsonl, lines of text, and in Jupyter a figure that is
redrawn.
"""

import sys
import time

from transformers import TrainerCallback

from effwb.training.record import Record

FROM_TRL = {
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
    """Writes a row per step, and tells `listeners` (each called with the row) about it."""

    def __init__(self, record: Record, listeners=()):
        self.record, self.listeners, self.trainer, self._last = record, list(listeners), None, None

    def on_train_begin(self, args, state, control, **_):
        self._last = time.perf_counter()

    def on_log(self, args, state, control, logs=None, **_):
        if not state.is_world_process_zero or "loss" not in logs:
            return
        now = time.perf_counter()
        spent = {f"time/{k}": v for k, v in self.trainer.collector.clock.items()}
        whole = now - self._last
        self.trainer.collector.clock.clear()
        self._last = now
        row = {
            "step": state.global_step,
            **self.trainer.measured,
            **{ours: logs[theirs] for theirs, ours in FROM_TRL.items() if logs.get(theirs) is not None},
            **spent,
            "time/train": whole - sum(spent.values()),
            "time/step": whole,
        }
        self.trainer.measured = {}  # a round's numbers belong to its first step
        self.record.add(row)
        for listen in self.listeners:
            listen(row)


class Lines:
    """A line of text every `seconds`, and at the last step: what papermill's log and a terminal show."""

    def __init__(self, steps: int, seconds: float = 15.0):
        self.steps, self.seconds, self._shown, self._times, self._known = steps, seconds, 0.0, [], {}

    def __call__(self, row: dict) -> None:
        self._times.append(row["time/step"])
        self._known.update(row)
        now = time.monotonic()
        if now - self._shown < self.seconds and row["step"] < self.steps:
            return
        self._shown = now
        recent = self._times[-20:]
        left = (self.steps - row["step"]) * sum(recent) / len(recent)
        known = self._known
        sys.stdout.write(
            f"step {row['step']}/{self.steps}  accuracy {known['accuracy']:.3f}  length "
            f"{known['length/mean']:.1f}  reward {known['reward/total']:.3f}  no spread "
            f"{known['zero_variance']:.0%}  {recent[-1]:.1f} s/step  {left / 60:.1f} min left\n"
        )
        sys.stdout.flush()


class Live:
    """The training figure, redrawn in place every `seconds`; it stays in the notebook when it is saved."""

    def __init__(self, record: Record, steps: int, title: str, seconds: float = 5.0):
        self.record, self.steps, self.title, self.seconds = record, steps, title, seconds
        self._shown = 0.0

    def __call__(self, row: dict) -> None:
        now = time.monotonic()
        if now - self._shown < self.seconds and row["step"] < self.steps:
            return
        from IPython.display import clear_output, display

        from effwb.plots import training_figure
        from effwb.training.record import read_metrics

        figure = training_figure(read_metrics(self.record.path), title=self.title)
        clear_output(wait=True)  # papermill would keep every state of a display that is updated
        display(figure)
        self._shown = time.monotonic()


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel, papermill's included."""
    shell = sys.modules.get("IPython")
    return shell is not None and getattr(shell.get_ipython(), "kernel", None) is not None


def listeners(how: str, record: Record, steps: int, title: str) -> list:
    """ "auto": lines, and a live figure in a notebook; "lines"; "none"."""
    live = [Live(record, steps, title)] if how == "auto" and in_notebook() else []
    return live + ([Lines(steps)] if how != "none" else [])
