"""Audit on whole benchmarks: every gold equals itself, however it is spelled, and equals no other gold.

The tests are skipped without benchmarks: a directory of .jsonl files (question, answer, level) named by
EFFWB_BENCHMARKS, or `shared/benchmarks` beside the checkout. None of their rows are part of this repository.
"""

import json
import os
import re
import warnings
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from effwb.verifiers import verify

FOLDER = Path(
    os.environ.get("EFFWB_BENCHMARKS") or Path(__file__).resolve().parents[3] / "shared" / "benchmarks"
)
FILES = sorted(FOLDER.glob("*.jsonl"))
ALLOWED = 0.005  # share of exceptions

pytestmark = pytest.mark.skipif(not FILES, reason=f"no .jsonl files in {FOLDER.name}; set EFFWB_BENCHMARKS")

Row = tuple[str, int, str]  # file, row (from 0), gold


def rows() -> list[Row]:
    return [
        (file.name, at, str(json.loads(line)["answer"]))
        for file in FILES
        for at, line in enumerate(file.read_text().splitlines())
    ]


def box(gold: str) -> str:
    return rf"\boxed{{{gold}}}"


def report(exceptions: list, n: int) -> None:
    """Warn of every exception, and fail if they exceed the allowed share."""
    for exception in exceptions:
        warnings.warn(f"benchmark audit: {exception}", stacklevel=2)
    assert n > 0
    assert len(exceptions) <= ALLOWED * n, f"{len(exceptions)} of {n}: {exceptions[:20]}"


def test_every_gold_equals_itself():
    table = rows()
    verdicts = verify([box(gold) for *_, gold in table], [gold for *_, gold in table])
    failed = [
        (row, verdict.status) for row, verdict in zip(table, verdicts, strict=True) if not verdict.correct
    ]
    assert failed == []


def as_sum(gold: str) -> str | None:
    """The same scalar as "0 + ...", which needs algebra; `None` for lists, text, units and the like."""
    bare = gold.strip().strip("$").strip()
    relation = r",|=|<|>|\\(in|leq?|geq?|geqslant|leqslant|cup)|\d_|\]$"
    not_scalar = relation + r"|\\(text|mbox|pm|begin|\$)|%|circ|^[A-Za-z]{3,}$|\$"
    return None if re.search(not_scalar, bare) else rf"0+\left({bare}\right)"


def test_every_scalar_gold_equals_zero_plus_itself():
    sums = [(row, as_sum(row[2])) for row in rows()]
    table = [(row, other) for row, other in sums if other and (row[1] % 20 == 0 or not row[2].isdigit())]
    verdicts = verify([box(other) for _, other in table], [row[2] for row, _ in table], timeout=20)
    failed = [(row, v.status) for (row, _), v in zip(table, verdicts, strict=True) if not v.correct]
    report(failed, len(table))


def plain_value(gold: str):
    """The value of a plain number, otherwise the text: an oracle that shares no code with the verifier."""
    bare = re.sub(r"\s", "", gold).strip("$")
    bare = re.sub(r"^(-?)\\frac\{(\d+)\}\{(\d+)\}$", r"\1\2/\3", bare)
    try:
        return Fraction(bare)
    except ValueError:
        return bare


def test_no_gold_equals_the_next_gold():
    """In both orders. Equal values (27.0 and 27) must be correct; verdicts other than wrong are reported."""
    table = rows()
    pairs = [(row, following) for row, following in pairwise(table) if row[0] == following[0]]
    pairs += [(following, row) for row, following in pairs]
    verdicts = verify(
        [box(answer) for *_, answer in (p[1] for p in pairs)], [p[0][2] for p in pairs], timeout=20
    )
    exceptions = [
        (*gold, other[2], verdict.status)
        for (gold, other), verdict in zip(pairs, verdicts, strict=True)
        if verdict.status != ("correct" if plain_value(gold[2]) == plain_value(other[2]) else "wrong")
    ]
    report(exceptions, len(pairs))
