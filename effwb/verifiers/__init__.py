"""Is the answer right? Text and gold in, a `Verdict` out, whatever a model writes.

    >>> verify([r"<think>2+2, easy</think> \\boxed{4}"], ["4.0"])[0].status
    'correct'

Extraction (`extraction`) is strict. The comparison (`compare`) climbs from spelling over exact fractions and
structure to computer algebra, and only the last rung leaves the process (`pool`, `worker`, `symbolic`). What
is there twice is compared once.
"""

import math
import numbers
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import islice

from ..errors import ConfigError, DataError
from .compare import MAX_CHARS, NeedsAlgebra, judge, usable
from .extraction import extract
from .pool import POOL

__all__ = ["STATUSES", "VERIFIER", "Verdict", "extract", "verify", "verify_each"]

STATUSES = ("correct", "wrong", "unparsed", "bad_gold", "timeout")
VERSION = 2  # raise it with every change that can change a verdict
AT_ONCE = 50_000  # texts that `verify_each` holds
REMEMBERED = 1_000_000  # comparisons whose verdict is kept for the next of the same


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


# Stored in the configuration of every run: verdicts of different identities are not comparable.
VERIFIER = {
    "name": "effwb",
    "version": VERSION,
    "math_verify": _installed("math-verify"),
    "latex2sympy2_extended": _installed("latex2sympy2_extended"),
    "sympy": _installed("sympy"),
}


@dataclass(frozen=True)
class Verdict:
    """`status` (one of `STATUSES`), the boxed answer (`None` without one), seconds the comparison took."""

    status: str
    extracted: str | None
    seconds: float

    @property
    def correct(self) -> bool:
        """The only status that scores 1."""
        return self.status == "correct"


def verify(
    texts: Sequence[str], golds: Sequence, timeout: float = 5.0, workers: int | None = None
) -> list[Verdict]:
    """One verdict per text, in order.

    `texts` are whole completions, `golds` the raw reference answers (text or numbers; `$...$` and `\\boxed{}`
    are fine). `timeout` is the limit in seconds for one comparison, kept by killing the process that makes
    it. `workers` is the largest number of processes (default: the cores, at most 4); they start at the first
    comparison that needs algebra and stay. Safe to call from any thread, from notebooks and from scripts
    without a main guard.

    `correct` needs equality; `wrong` is a readable answer that differs; `unparsed` no complete box, or one
    that cannot be read; `bad_gold` a reference that is empty, or that cannot be read and is not spelled like
    the answer; `timeout` a comparison that ran out of time or memory. Raises `DataError` where lengths or
    types do not fit and `ConfigError` for an impossible `timeout` or `workers`.
    """
    if isinstance(texts, str) or isinstance(golds, str):
        raise DataError("texts and golds must be sequences of strings, got one string; pass [text], [gold]")
    if len(texts) != len(golds):
        raise DataError(f"{len(texts)} texts but {len(golds)} golds; verify needs one gold per text")
    return list(verify_each(zip(texts, golds, strict=True), timeout, workers))


def verify_each(
    pairs: Iterable[tuple[str, object]], timeout: float = 5.0, workers: int | None = None
) -> Iterator[Verdict]:
    """As `verify`, for (text, gold) pairs that need not fit in memory: `AT_ONCE` are read, and their verdicts
    given, at a time.

    Raises `ConfigError` for an impossible `timeout` or `workers` at once, `DataError` for a pair that is no
    text and gold when it is read.
    """
    _check_limits(timeout, workers)
    return _each(iter(pairs), float(timeout), workers or _default_workers())


def _each(pairs: Iterator[tuple[str, object]], timeout: float, workers: int) -> Iterator[Verdict]:
    known: dict[tuple[str | None, str], Verdict] = {}
    seen = 0
    while part := list(islice(pairs, AT_ONCE)):
        _check_types(part, seen)
        seen += len(part)
        boxes = {text: extract(text) for text in {text for text, _ in part}}
        asked = [(boxes[text], _gold(gold)) for text, gold in part]
        if len(known) > REMEMBERED:
            known.clear()
        known |= _compared([pair for pair in dict.fromkeys(asked) if pair not in known], timeout, workers)
        yield from map(known.__getitem__, asked)


def _compared(pairs: list[tuple[str | None, str]], timeout: float, workers: int) -> dict:
    """The verdict of each (answer, gold)."""
    verdicts = {pair: _cheap(*pair) for pair in pairs}
    dear = [pair for pair, verdict in verdicts.items() if verdict is None]
    if dear:
        answers = POOL.run([(gold, answer) for answer, gold in dear], timeout, workers)
        verdicts |= {
            pair: Verdict(status, pair[0], seconds)
            for pair, (status, seconds) in zip(dear, answers, strict=True)
        }
    return verdicts


def _cheap(answer: str | None, gold: str) -> Verdict | None:
    """The verdict where spelling and exact numbers decide; `None` where computer algebra is needed."""
    begin = time.perf_counter()
    if answer is None:
        status = "bad_gold" if usable(gold) is None else "unparsed"
    else:
        try:
            status = judge(gold, answer)
        except NeedsAlgebra:
            return None
    kept = (
        None if answer is None else answer[:MAX_CHARS]
    )  # a megabyte in a box is no answer worth a table cell
    return Verdict(status, kept, time.perf_counter() - begin)


def _gold(gold) -> str:
    missing = gold is None or (isinstance(gold, float) and math.isnan(gold))
    return "" if missing else str(gold)


def _default_workers() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(4, cores)


def _check_types(pairs: list[tuple[str, object]], first: int) -> None:
    for at, (text, gold) in enumerate(pairs, first):
        if not isinstance(text, str):
            raise DataError(
                f"texts[{at}] is {type(text).__name__}, not str; pass '' for a completion without text"
            )
        if not (gold is None or isinstance(gold, (str, numbers.Number))):
            raise DataError(f"golds[{at}] is {type(gold).__name__}; a gold is text, a number or None")


def _check_limits(timeout, workers) -> None:
    if not (isinstance(timeout, (int, float)) and 0 < timeout < math.inf):
        raise ConfigError(f"timeout={timeout!r} must be a positive number of seconds")
    if workers is not None and not (isinstance(workers, int) and workers >= 1):
        raise ConfigError(f"workers={workers!r} must be a positive integer or None")
