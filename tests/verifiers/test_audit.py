"""Audit of the verifier on whole benchmarks: every gold equals itself, however spelled, and no other gold.

Runs where the benchmarks are: a directory of .jsonl files (question, answer, level) named by
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


def report(exceptions: list, of: int) -> None:
    """List every exception, and fail beyond the allowed share."""
    for exception in exceptions:
        warnings.warn(f"benchmark audit: {exception}", stacklevel=2)
    assert of > 0
    assert len(exceptions) <= ALLOWED * of, f"{len(exceptions)} of {of}: {exceptions[:20]}"


def test_every_gold_verifies_against_itself():
    table = rows()
    verdicts = verify([box(gold) for *_, gold in table], [gold for *_, gold in table])
    failed = [
        (row, verdict.status) for row, verdict in zip(table, verdicts, strict=True) if not verdict.correct
    ]
    assert failed == []


def spelled_otherwise(gold: str) -> str | None:
    """The same scalar in a spelling that takes algebra; `None` where "0 + ..." has no meaning."""
    bare = gold.strip().strip("$").strip()
    relation = r",|=|<|>|\\(in|leq?|geq?|geqslant|leqslant|cup)|\d_|\]$"
    no_scalar = relation + r"|\\(text|mbox|pm|begin|\$)|%|circ|^[A-Za-z]{3,}$|\$"
    return None if re.search(no_scalar, bare) else rf"0+\left({bare}\right)"


def test_every_scalar_gold_verifies_against_a_sum():
    spelled = [(row, spelled_otherwise(row[2])) for row in rows()]
    table = [(row, other) for row, other in spelled if other and (row[1] % 20 == 0 or not row[2].isdigit())]
    verdicts = verify([box(other) for _, other in table], [row[2] for row, _ in table], timeout=20)
    failed = [(row, v.status) for (row, _), v in zip(table, verdicts, strict=True) if not v.correct]
    report(failed, len(table))


def plain(gold: str):
    """The value of a plain number, else the text: an oracle that shares no code with the verifier."""
    bare = re.sub(r"\s", "", gold).strip("$")
    bare = re.sub(r"^(-?)\\frac\{(\d+)\}\{(\d+)\}$", r"\1\2/\3", bare)
    try:
        return Fraction(bare)
    except ValueError:
        return bare


def test_no_gold_verifies_against_its_neighbour():
    """Both ways round; equal values (27.0 and 27) must verify, any other verdict but wrong is listed."""
    table = rows()
    pairs = [(one, two) for one, two in pairwise(table) if one[0] == two[0]]
    pairs += [(two, one) for one, two in pairs]
    verdicts = verify(
        [box(answer) for *_, answer in (p[1] for p in pairs)], [p[0][2] for p in pairs], timeout=20
    )
    exceptions = [
        (*gold, other[2], verdict.status)
        for (gold, other), verdict in zip(pairs, verdicts, strict=True)
        if verdict.status != ("correct" if plain(gold[2]) == plain(other[2]) else "wrong")
    ]
    report(exceptions, len(pairs))
