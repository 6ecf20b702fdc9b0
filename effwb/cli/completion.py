"""Shell completion, by argcomplete: the shell asks effwb, which answers from its parser and its names."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from typing import Any

SHELLS = ("bash", "zsh", "fish")
NAMED = ("design", "profile", "recipe", "engine", "eval_engine")  # notebook parameters whose values are names

Completer = Callable[..., Iterable[str]]


def completed_by(action: argparse.Action, names: Completer) -> None:
    """Let the values of an argument be completed by what a function returns."""
    action.completer = names  # type: ignore[attr-defined]  # where argcomplete looks for it


def answer_shell(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and exit, if it is a shell that asks; costs nothing otherwise."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser, always_complete_options="long")


def script(shell: str) -> str:
    """Return the script that a shell reads to complete effwb.

    Args:
        shell: One of `SHELLS`.
    """
    import argcomplete

    return argcomplete.shellcode(["effwb"], shell=shell).strip()


def designs(**_: Any) -> list[str]:
    """The names of the designs and of the offline methods."""
    from effwb.designs import DESIGNS
    from effwb.training.offline_methods import OFFLINE_METHODS

    return [*DESIGNS, *OFFLINE_METHODS]


def profiles(**_: Any) -> list[str]:
    """The names of the profiles."""
    from effwb.profiles import PROFILES

    return list(PROFILES)


def engines(**_: Any) -> list[str]:
    """The engines of an evaluation."""
    from effwb.samplers import SAMPLERS

    return list(SAMPLERS)


def recipes(**_: Any) -> list[str]:
    """What a recipe may be called: its kinds, and the designs."""
    from effwb.designs import DESIGNS

    return ["paper", "pocket", *DESIGNS]


def frontiers(prefix: str = "", **_: Any) -> list[str]:
    """The published frontiers, and saved ones."""
    from glob import glob

    from effwb.frontier import MODELS

    return [*MODELS, *glob(f"{prefix}*.json"), *(f"{folder}" for folder in glob(f"{prefix}*/"))]


def gpus(**_: Any) -> list[str]:
    """The GPUs that `effwb plan` knows."""
    from effwb.sweep.estimate import GPUS

    return list(GPUS)


def table_names(**_: Any) -> list[str]:
    """The tables that `effwb columns` describes."""
    from effwb.analysis.catalogue import COLUMNS

    return list(COLUMNS)


def parameters(prefix: str = "", **_: Any) -> list[str]:
    """`design=lead` and the like, for -a and -p; of several values the last one is completed."""
    name, equals, values = prefix.partition("=")
    lists = {"design": designs, "profile": profiles, "recipe": recipes}
    if not equals:
        return [f"{name}=" for name in NAMED]
    before, comma, _last = values.rpartition(",")
    return [
        f"{name}={before}{comma}{value}" for value in lists.get(name, engines if name in NAMED else list)()
    ]
