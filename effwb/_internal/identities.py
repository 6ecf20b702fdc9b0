"""What two identities of a run differ in, in words: a digest says nothing to a reader."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

DIGEST = re.compile(r"[0-9a-f]{12,64}")
MEANINGS = {  # by the last part of a key whose value is a digest
    "problems": "not the same problems (their number, questions, golds or hints)",
    "monitor": "not the same problems to watch",
    "weights": "not the same weights of the model",
    "tokenizer": "not the same tokenizer",
    "design_state": "the design starts from another state",
    "reference": "not the same reference lengths",
    "rollouts": "made from other rollouts",
    "code": "the code of the notebook was changed",
}
SHOWN = 60  # characters of a value


def differences_in_words(
    stored: Mapping[str, Any], requested: Mapping[str, Any], words: Mapping[str, tuple[str, str]]
) -> list[str]:
    """Say for each key in which two flat identities differ what is on disk and what is asked for.

    Args:
        stored: The values on disk by key, see `runs.flat`.
        requested: The values that are asked for.
        words: What a digest stands for on disk and here, by key, where that is known.

    Returns:
        A phrase per key, in alphabetical order.
    """
    keys = [key for key in sorted({*stored, *requested}) if stored.get(key) != requested.get(key)]
    return [f"{key}: {_difference(key, stored.get(key), requested.get(key), words.get(key))}" for key in keys]


def _difference(key: str, stored: Any, requested: Any, words: tuple[str, str] | None) -> str:
    if not (_is_digest(stored) or _is_digest(requested)):
        return f"{_shown(stored)} on disk, {_shown(requested)} asked for"
    if words is not None and words[0] != words[1]:
        return f"{words[0]} on disk, {words[1]} asked for"
    if None in (stored, requested):
        return "none on disk, some asked for" if stored is None else "some on disk, none asked for"
    return MEANINGS.get(key.rpartition(".")[2], "another value than on disk")


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and DIGEST.fullmatch(value) is not None


def _shown(value: Any) -> str:
    text = repr(value)
    if isinstance(value, list) and len(text) > SHOWN:
        return f"{len(value)} values from {value[0]!r} to {value[-1]!r}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."


def problems_in_words(questions: Sequence[str]) -> str:
    """Describe problems by their number and the first question, for messages.

    >>> problems_in_words(["What is 3 + 4?", "What is 5 + 6?"])
    "2 problems (first: 'What is 3 + 4?')"
    """
    plural = "" if len(questions) == 1 else "s"
    return f"{len(questions)} problem{plural} (first: {questions[0][:40]!r})"
