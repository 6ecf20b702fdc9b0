"""Ctrl-C during training: stop where nothing is lost, and save a checkpoint there."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import TrainerCallback

from effwb._internal.progress import write_line
from effwb.training.checkpoints import STATE
from effwb.training.trl_config import world_size

if TYPE_CHECKING:
    from effwb.training.trainer import GroupTrainer

WAIT = "stopping after the updates of this round, with a checkpoint; interrupt again to stop at once"


class Interrupts(TrainerCallback):
    """Ends a training on Ctrl-C.

    While a round is sampled, nothing has changed since the round before: the training ends at once, and the
    state after that round is saved. During the updates of a round it ends after them. A second Ctrl-C ends
    it at once wherever it is, without a checkpoint. So does the first on several processes.

    Args:
        trainer: The trainer.
    """

    def __init__(self, trainer: GroupTrainer):
        self.trainer = trainer
        self._requested = False
        self._generators: tuple | None = None  # states at the end of the last round; None within a round

    def begin_sampling(self) -> None:
        """Note that no update of the round has begun, and the state of the random generators.

        Raises:
            KeyboardInterrupt: Ctrl-C came before this moment.
        """
        self._generators = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
        if self._requested:
            raise KeyboardInterrupt

    def end_sampling(self) -> None:
        """Note that the design or the weights change from here on."""
        self._generators = None

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle Ctrl-C inside.

        Raises:
            KeyboardInterrupt: The training was interrupted; what could be saved is saved.
        """
        previous = signal.getsignal(signal.SIGINT)
        is_ours = previous is signal.default_int_handler  # else the program around us handles or ignores it
        in_main_thread = threading.current_thread() is threading.main_thread()
        if world_size() > 1 or not (is_ours and in_main_thread):
            yield
            return
        signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, previous)  # another Ctrl-C ends the saving
            self._save()
            raise
        finally:
            signal.signal(signal.SIGINT, previous)
        if self._requested:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: Any) -> None:
        if self._requested or self._generators is not None:
            raise KeyboardInterrupt
        self._requested = True
        write_line(WAIT)

    def on_step_end(self, args, state, control, **_) -> None:
        """End the training with a checkpoint if it was interrupted and the round has no more updates."""
        if self._requested and state.global_step % self.trainer.updates == 0:
            control.should_save = control.should_training_stop = True

    def _save(self) -> None:
        """Save a checkpoint unless a round is under way, or the checkpoint is there already."""
        step, folder = self.trainer.state.global_step, Path(self.trainer.args.output_dir)
        if self._generators is None or not step or (folder / f"checkpoint-{step}" / STATE).exists():
            return
        python, numpy, pytorch = self._generators
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(pytorch)
        self.trainer._save_checkpoint(self.trainer.model, None)
