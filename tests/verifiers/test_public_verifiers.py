"""The test tables of public verifiers (data/golden/public_verifiers.jsonl): disagreements have reasons."""

import re
from collections import Counter

import pytest

from benchmarks.public_verifiers import rows, score
from effwb._internal.paths import data_dir
from effwb.verifiers import VERIFIER, verify

ROWS = rows()
README = (data_dir("golden") / "README.md").read_text()


@pytest.fixture(scope="module")
def accepted() -> list[bool]:
    texts = [f"\\boxed{{{row['answer']}}}" for row in ROWS]
    return [verdict.correct for verdict in verify(texts, [row["gold"] for row in ROWS], timeout=20)]


def test_rows_disagree_only_where_a_reason_is_given(accepted):
    wrong = [
        row
        for row, is_right in zip(ROWS, accepted, strict=True)
        if is_right != (row["expected"] == "correct")
    ]
    assert [row for row in wrong if "reason" not in row] == []
    assert [row for row in ROWS if "reason" in row and row not in wrong] == [], "agrees now, drop the reason"


def test_false_positives_are_conventions_of_the_source(accepted):
    """effwb accepts nothing that differs in value: the sources compare spellings, order or notation."""
    reasons = {
        row["reason"]
        for row, is_right in zip(ROWS, accepted, strict=True)
        if is_right and row["expected"] == "wrong"
    }
    assert reasons <= {"lowest terms", "order", "conditions", "units"}


def test_agreement_is_what_the_readme_says(accepted):
    agree, false_negatives, false_positives = score(ROWS, accepted)
    row = f"| effwb, verifier {VERIFIER['version']} | {agree} | {false_negatives} | {false_positives} |"
    assert row in README
    listed = dict(re.findall(r"^\| ([a-z ]+) \| [^|]+ \| (\d+) \|$", README, re.M))
    reasons = Counter(row["reason"] for row in ROWS if "reason" in row)
    assert listed == {reason: str(n) for reason, n in reasons.items()}


def test_readme_names_every_source():
    assert [source for source in {row["source"].split()[0] for row in ROWS} if source not in README] == []


def test_score_counts_both_kinds_of_errors():
    table = [{"expected": "correct"}, {"expected": "correct"}, {"expected": "wrong"}, {"expected": "wrong"}]
    assert score(table, [True, False, True, False]) == (2, 1, 1)
