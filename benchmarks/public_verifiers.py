"""effwb and math-verify side by side on the test tables of public verifiers.

    python -m benchmarks.public_verifiers            # the counts
    python -m benchmarks.public_verifiers --list     # and every disagreement of either

Both judge the same boxed pair, so that the extraction of the answer makes no difference. The rows, their
sources and the reasons of effwb's disagreements are described in data/golden/README.md.
"""

import json
from collections.abc import Sequence
from importlib.metadata import version

from benchmarks.report import parser_of, save
from effwb._internal.paths import data_dir
from effwb.verifiers.opinions import opinions


def rows() -> list[dict]:
    """Return the rows: gold, answer, expected ("correct" or "wrong"), source, reason where effwb differs."""
    text = (data_dir("golden") / "public_verifiers.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def score(table: Sequence[dict], accepted: Sequence[bool]) -> tuple[int, int, int]:
    """Count agreements, false negatives and false positives.

    Args:
        table: Rows with `expected`.
        accepted: Whether the verifier calls each row correct.
    """
    expected = [row["expected"] == "correct" for row in table]
    pairs = list(zip(expected, accepted, strict=True))
    return sum(e == a for e, a in pairs), pairs.count((True, False)), pairs.count((False, True))


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of("public_verifiers", __doc__)
    parser.add_argument("--list", action="store_true", help="print every disagreement")
    args = parser.parse_args(argv)
    table = rows()
    judged = opinions([row["answer"] for row in table], [row["gold"] for row in table], timeout=20)
    results = {}
    print(f"{len(table)} rows      agree   false negatives   false positives")
    for name in ("effwb", "math-verify"):
        accepted = (judged[name] == "correct").tolist()
        agree, negatives, positives = score(table, accepted)
        results[name] = {"agree": agree, "false negatives": negatives, "false positives": positives}
        print(f"{name:<14}{agree:>7}{negatives:>18}{positives:>18}")
        for row, accepts in zip(table, accepted, strict=True):
            if args.list and accepts != (row["expected"] == "correct"):
                verb = "accepts" if accepts else "rejects"
                print(f"  {verb} {row['answer']!r} for {row['gold']!r} ({row['source']})")
    save(args.output, {"rows": len(table), "math-verify": version("math-verify"), "results": results})


if __name__ == "__main__":
    main()
