"""Where math-verify, asked one pair at a time, says otherwise: only in the kinds the golden table judges.

A golden row names its `kind` and, where math-verify says otherwise, its `math_verify` verdict.
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


def test_the_table_records_what_math_verify_says():
    rows = templates()
    pairs = [Pair(forced(row["answer"]), row["gold"]) for row in rows]
    differing = []
    for row, pair, status in zip(rows, pairs, statuses(pairs), strict=True):
        right = by_math_verify(pair)
        said = None if right == (status == "correct") else "correct" if right else "wrong"
        if said != row.get("math_verify"):
            differing.append((row["gold"], row["answer"], status, said))
    assert differing == []


def test_every_disagreement_is_of_a_judged_kind():
    """Golden rows with other numbers: the same ones in gold and answer, and other ones in the answer."""
    rng, pairs = Random(0), []
    for row in rng.sample(templates(), 200):
        answer, gold = redrawn([row["answer"], row["gold"]], rng)
        for said in (answer, *redrawn([answer], rng)):
            pairs.append(Pair(forced(said), gold, row.get("kind", "")))
    found = disagreements(pairs, statuses(pairs), list(map(by_math_verify, pairs)))
    assert found["not judged"] == []
    assert sum(found["judged"].values()) > 20


def test_a_disagreement_of_no_judged_kind_is_listed():
    pairs = [Pair("a", "b", "bases"), Pair("a", "b", "bases"), Pair("a", "b", ""), Pair("a", "b", "new")]
    found = disagreements(pairs, ["wrong", "correct", "wrong", "wrong"], [True, False, True, False])
    assert found["judged"] == {"bases": 1}  # in bases it is math-verify that accepts
    assert [other["ours"] for other in found["not judged"]] == ["correct", "wrong"]


def test_the_readme_lists_every_kind_with_its_rows():
    listed = dict(
        re.findall(r"^\| ([a-z ]+) \| (\d+) \|", (data_dir("golden") / "README.md").read_text(), re.M)
    )
    assert listed == {
        kind: str(n) for kind, n in Counter(r["kind"] for r in templates() if "kind" in r).items()
    }
