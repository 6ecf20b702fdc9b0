r"""Is the answer right? Texts and golds in, a `Verdict` for each out, whatever a model writes.

    text -> extraction         the last \boxed{...} after the thinking     without one: "unparsed"
         -> latex              one spelling for equivalent LaTeX           same as the gold's: "correct"
         -> answers            number, tuple, set, interval, text ...      (helpers: numeric, units)
         -> compare            part by part, with exact fractions          most verdicts are made here
         -> pool               sends the rest to worker processes          stopped at the limit: "timeout"
         -> worker, symbolic   sympy at sample points; math-verify for sets and inequalities

`opinions` compares these verdicts with those of other verifiers; `grading` makes the columns of run tables.
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

STATUSES = ("correct", "wrong", "unparsed", "bad_gold", "timeout", "killed")  # explained in `verify`
VERSION = 3  # raise it with every change that can change a verdict
BATCH_SIZE = 50_000  # texts that `verify_each` holds in memory
CACHE_SIZE = 1_000_000  # verdicts that `verify_each` remembers


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


# Stored in the configuration of every run: verdicts of different verifiers are not comparable.
VERIFIER = {
    "name": "effwb",
    "version": VERSION,
    "math_verify": _installed("math-verify"),
    "latex2sympy2_extended": _installed("latex2sympy2_extended"),
    "sympy": _installed("sympy"),
}


@dataclass(frozen=True)
class Verdict:
    """What the verifier says about one text.

    Attributes:
        status: one of `STATUSES`, explained in `verify`.
        extracted: the content of the box (its first 2,000 characters), or `None` if there is no answer.
        seconds: the time that the comparison took.
    """

    status: str
    extracted: str | None
    seconds: float

    @property
    def correct(self) -> bool:
        """Whether the status is "correct", the only one that scores 1."""
        return self.status == "correct"


def verify(
    texts: Sequence[str], golds: Sequence[object], timeout: float = 5.0, workers: int | None = None
) -> list[Verdict]:
    r"""Judge whether the answer in each text is right.

    Safe to call from any thread, from notebooks, and from scripts without a main guard. Duplicates are
    compared once. The worker processes start at the first comparison that needs computer algebra, and stay
    for the next call.

    Args:
        texts: whole completions, with their thinking.
        golds: the reference answer of each: text (`$...$` and `\boxed{...}` are fine), a number or `None`.
        timeout: limit in seconds for one comparison, kept by killing the process that makes it.
        workers: the largest number of worker processes; `None` means the number of cores, at most 4.

    Returns:
        One verdict for each text, in order. Its status is

        - "correct": the answer equals the gold;
        - "wrong": the answer can be read and differs;
        - "unparsed": there is no complete box, or its content cannot be read;
        - "bad_gold": the gold is empty, or cannot be read and is not spelled like the answer;
        - "timeout": the comparison ran out of time or memory;
        - "killed": the process that made the comparison died, and a second try within the limit failed too.

    Raises:
        DataError: if there is not one gold for each text, or one of them has the wrong type.
        ConfigError: if `timeout` or `workers` is not positive.

    Example:
        >>> [v.status for v in verify([r"<think>2+2</think> \boxed{4}", "It is 4."], ["4.0", "4"])]
        ['correct', 'unparsed']
    """
    for name, values in (("texts", texts), ("golds", golds)):
        if not hasattr(values, "__len__"):
            raise DataError(f"{name} must be a sequence of strings, got {values!r}")
    if isinstance(texts, str) or isinstance(golds, str):
        raise DataError("texts and golds must be sequences of strings, got one string; pass [text], [gold]")
    if len(texts) != len(golds):
        raise DataError(f"{len(texts)} texts but {len(golds)} golds; verify needs one gold per text")
    return list(verify_each(zip(texts, golds, strict=True), timeout, workers))


def verify_each(
    pairs: Iterable[tuple[str, object]], timeout: float = 5.0, workers: int | None = None
) -> Iterator[Verdict]:
    r"""Judge pairs that need not fit in memory: read 50,000 of them, yield their verdicts, read on.

    Args:
        pairs: (text, gold), as for `verify`.
        timeout: limit in seconds for one comparison.
        workers: the largest number of worker processes; `None` means the number of cores, at most 4.

    Returns:
        An iterator with one verdict for each pair, in order.

    Raises:
        ConfigError: at once, if `timeout` or `workers` is not positive.
        DataError: while iterating, if a text or a gold has the wrong type.

    Example:
        >>> [v.status for v in verify_each((rf"\boxed{{{n}}}", 4) for n in (3, 4))]
        ['wrong', 'correct']
    """
    if not (isinstance(timeout, (int, float)) and 0 < timeout < math.inf):
        raise ConfigError(f"timeout={timeout!r} must be a positive number of seconds")
    if workers is not None and not (isinstance(workers, int) and workers >= 1):
        raise ConfigError(f"workers={workers!r} must be a positive integer or None")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return _verdicts(iter(pairs), float(timeout), workers or min(4, cores))


def _verdicts(pairs: Iterator[tuple[str, object]], timeout: float, workers: int) -> Iterator[Verdict]:
    cache: dict[tuple[str | None, str], Verdict] = {}
    position = 0
    while batch := list(islice(pairs, BATCH_SIZE)):
        boxes: dict[str, str | None] = {}
        answers = []
        for at, (text, gold) in enumerate(batch, position):
            if not isinstance(text, str):
                raise DataError(
                    f"texts[{at}] is {type(text).__name__}, not str; pass '' for a completion without text"
                )
            if not (gold is None or isinstance(gold, (str, numbers.Number))):
                raise DataError(f"golds[{at}] is {type(gold).__name__}; a gold is text, a number or None")
            if text not in boxes:
                boxes[text] = extract(text)
            missing = gold is None or (isinstance(gold, float) and math.isnan(gold))
            answers.append((boxes[text], "" if missing else str(gold)))
        position += len(batch)
        if len(cache) > CACHE_SIZE:
            cache.clear()
        cache |= _judge_all([pair for pair in dict.fromkeys(answers) if pair not in cache], timeout, workers)
        yield from map(cache.__getitem__, answers)


def _judge_all(pairs: list[tuple[str | None, str]], timeout: float, workers: int) -> dict:
    """The verdict of each (answer, gold): the cheap ones here, the others in the worker processes."""
    verdicts, expensive = {}, []
    for answer, gold in pairs:
        begin = time.perf_counter()
        if answer is None:
            status = "bad_gold" if usable(gold) is None else "unparsed"
        else:
            try:
                status = judge(gold, answer)
            except NeedsAlgebra:
                expensive.append((gold, answer))
                continue
        stored = None if answer is None else answer[:MAX_CHARS]  # tables need no megabyte from a box
        verdicts[answer, gold] = Verdict(status, stored, time.perf_counter() - begin)
    if expensive:
        results = POOL.run(expensive, timeout, workers)
        for (gold, answer), (status, seconds) in zip(expensive, results, strict=True):
            verdicts[answer, gold] = Verdict(status, answer, seconds)
    return verdicts
