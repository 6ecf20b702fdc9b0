"""math-verify disagrees with us only in the kinds of cases that the golden table has judged.

math-verify judges one pair at a time. A golden row names its `kind` and, if math-verify disagrees, the
verdict of math-verify in `math_verify`.
"""

import re
from collections import Counter
from importlib.metadata import version
from random import Random

import pytest

from benchmarks.verify import Pair, by_math_verify, disagreements, forced, redrawn, templates
from effwb._internal.paths import data_dir
from effwb.verifiers import verify

pytestmark = pytest.mark.skipif(
    not version("math-verify").startswith("0.9."), reason="the golden table was judged with math-verify 0.9"
)


def statuses(pairs: list[Pair]) -> list[str]:
    return [v.status for v in verify([pair.text for pair in pairs], [pair.gold for pair in pairs])]


@pytest.mark.long
def test_golden_table_records_the_verdicts_of_math_verify():
    rows = templates()
    pairs = [Pair(forced(row["answer"]), row["gold"]) for row in rows]
    differing = []
    for row, pair, status in zip(rows, pairs, statuses(pairs), strict=True):
        accepted = by_math_verify(pair)
        verdict = None if accepted == (status == "correct") else "correct" if accepted else "wrong"
        if verdict != row.get("math_verify"):
            differing.append((row["gold"], row["answer"], status, verdict))
    assert differing == []


@pytest.mark.long
def test_every_disagreement_is_of_a_judged_kind():
    """Golden rows with new numbers: the same new ones in gold and answer, and new ones in the answer only."""
    rng, pairs = Random(0), []
    for row in rng.sample(templates(), 200):
        answer, gold = redrawn([row["answer"], row["gold"]], rng)
        for text in (answer, *redrawn([answer], rng)):
            pairs.append(Pair(forced(text), gold, row.get("kind", "")))
    result = disagreements(pairs, statuses(pairs), list(map(by_math_verify, pairs)))
    assert result["not judged"] == []
    assert sum(result["judged"].values()) > 20


def test_disagreements_of_unjudged_kinds_are_listed():
    pairs = [Pair("a", "b", "bases"), Pair("a", "b", "bases"), Pair("a", "b", ""), Pair("a", "b", "new")]
    result = disagreements(pairs, ["wrong", "correct", "wrong", "wrong"], [True, False, True, False])
    assert result["judged"] == {"bases": 1}  # the judged verdict for bases: math-verify accepts
    assert [case["ours"] for case in result["not judged"]] == ["correct", "wrong"]


def test_readme_lists_every_kind_with_its_number_of_rows():
    listed = dict(
        re.findall(r"^\| ([a-z ]+) \| (\d+) \|", (data_dir("golden") / "README.md").read_text(), re.M)
    )
    assert listed == {
        kind: str(n) for kind, n in Counter(r["kind"] for r in templates() if "kind" in r).items()
    }
