"""Every error that effwb raises on purpose.

All have one base class, and each is also the standard type it stands for, so `except ValueError` works too.
"""

from collections.abc import Iterable


class EffwbError(Exception):
    """Base class of all errors that effwb raises on purpose. Catch it to catch them all."""


class ConfigError(EffwbError, ValueError):
    """A parameter, a name or a combination of settings is not legal.

    The message names the value and the legal values, for example
    `unknown engine 'vlm'; legal: transformers, vllm, server. Did you mean 'vllm'?`
    """


class BusyError(ConfigError):
    """Another process is writing to the run directory.

    For example `runs/a is being written by another process; wait for it or stop it`.
    """


class DataError(EffwbError, ValueError):
    """The input data cannot be used: a table is empty, columns are missing, grids differ, a file is corrupt.

    The message names the first offending rows, for example
    `no probe for (problem_id, sample, budget) (gsm8k-4, 0, 64); probe these, or leave the budget out`.
    """


class IdentityError(EffwbError, ValueError):
    """The run directory holds a run with other settings, so its results cannot be continued or reused.

    The message names the settings that differ and both values, for example
    `runs/a belongs to another run (temperature: 1.0 on disk, 0.6 asked). Use another directory; ...`
    """


class EngineError(EffwbError, RuntimeError):
    """A program that effwb relies on is missing, has the wrong version or cannot serve the request.

    Sampling engines, Ray and the image writer raise it, for example
    `engine 'vllm' needs version 0.31.0, found vllm 0.29.1. ...`
    """


class TrainingError(EffwbError, RuntimeError):
    """A training run cannot continue.

    Either the loss or a gradient is not finite (the message names the step, the problems and the last saved
    state), or a training process failed (the message ends with the last lines of its output).
    """


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or the stop button of Jupyter, told in one sentence: where the work stopped and continues.

    It is a KeyboardInterrupt, so `except Exception` does not swallow it. A notebook shows the sentence alone.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [str(self)]


def one_of(name: str, value: object, legal: Iterable[object]) -> None:
    """Check that a value is one of the legal ones.

    Args:
        name: What the value is, for the message: "method", "engine", ...
        value: The value to check. It is compared as text.
        legal: The legal values.

    Raises:
        ConfigError: `value` is not legal. The message lists the legal values and the one spelled most alike.
    """
    import difflib

    names = [str(x) for x in legal]
    if str(value) in names:
        return
    similar = difflib.get_close_matches(str(value), names, n=1)
    hint = f" Did you mean {similar[0]!r}?" if similar else ""
    raise ConfigError(f"unknown {name} {value!r}; legal: {', '.join(names)}.{hint}")
