"""Compares the speed of effwb's verdicts with math-verify one by one, and with math-verify in a process pool.

    python -m benchmarks.verify [--pairs 1000000 --distinct 20000 --sample 1000]
    python -m benchmarks.verify --judge 5000    # only list the disagreements, on 5,000 distinct pairs

There are two inputs. Both come from the golden table (without its hostile rows), with new random numbers.

- *Repeated*: forced answers to 1,000 problems. Answers repeat as often as those of the pocket model do (154
  answers to a problem have 10.6 distinct values; a Chinese restaurant process with THETA gives that).
- *Distinct*: no pair and no gold occurs twice.

In both, three golds in four are plain integers, as in seven public benchmarks (0.74 of 2,866 golds: AIME,
AMC, GSM8K, MATH-500, Minerva, Olympiad). math-verify judges a sample, half of it before and half after effwb,
and its time is scaled up; it uses `parse` and `verify` with their defaults. All processes are warm. CPU time
is that of all processes together; on a busy machine its ratio is more reliable than that of wall-clock time.
Results: benchmarks/results/verify.json.

A disagreement counts as judged if the golden row of its pair names a kind, and some row of that kind records
the same verdict of math-verify (data/golden/README.md). All others are listed.
"""

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from multiprocessing import get_context
from random import Random
from typing import NamedTuple, TypeVar

import psutil

from benchmarks.report import machine, parser_of, save
from effwb import prompts
from effwb._internal.paths import data_dir
from effwb.verifiers import verify

PROBLEMS, INTEGERS, THETA = 1000, 0.74, 3.2
TOWER = re.compile(r"\^\{[0-9]+\^")
SUFFIX = prompts.forced_suffix(prompts.TEMPLATES["boxed_dynasor"])
CORES = len(os.sched_getaffinity(0))
T = TypeVar("T")


class Pair(NamedTuple):
    """A completion and its gold.

    Attributes:
        text: The completion.
        gold: The reference answer.
        kind: The kind of the golden row that both were drawn from; "" without one.
    """

    text: str
    gold: str
    kind: str = ""


def templates() -> list[dict]:
    """Return the golden rows with an answer, without those that test time limits (repetitions and towers)."""
    rows = map(json.loads, (data_dir("golden") / "verifier.jsonl").read_text().splitlines())
    plain = (r for r in rows if "answer" in r and not r.get("times") and "timeout" not in r["expected"])
    return [r for r in plain if not TOWER.search(f"{r['gold']} {r['answer']}")]


def redrawn(texts: list[str], rng: Random) -> list[str]:
    """Replace every integer that is not an exponent by a random one with as many digits.

    The same integer is replaced by the same new one in all texts.
    """
    replacements: dict[str, str] = {}

    def draw(match) -> str:
        low = 10 ** (len(match[0]) - 1)
        return replacements.setdefault(match[0], str(rng.randrange(low, 10 * low)))

    return [re.sub(r"(?<![0-9^])(?<!\^\{)[0-9]+", draw, text) for text in texts]


def problem(rows: list[dict], rng: Random) -> tuple[str, str, str]:
    """Draw an answer, a gold and their kind."""
    if rng.random() < INTEGERS:
        return str(rng.randrange(10**4)), str(rng.randrange(10**4)), ""
    row = rng.choice(rows)
    answer, gold = redrawn([row["answer"], row["gold"]], rng)
    return answer, gold, row.get("kind", "")


def forced(answer: str) -> str:
    """Return the completion of a forced answer."""
    return f"{SUFFIX}{answer}}}"


def repeated(n: int, rng: Random) -> list[Pair]:
    """Make `n` forced answers to `PROBLEMS` problems; the share of right answers is uniform in [0, 1]."""
    rows, pairs = templates(), []
    for _ in range(PROBLEMS):
        answer, gold, kind = problem(rows, rng)
        skill = rng.random()
        wrong: list[str] = []
        for _ in range(n // PROBLEMS):
            if rng.random() < skill:
                text = gold
            else:
                new = rng.random() < THETA / (THETA + len(wrong))
                text = redrawn([answer], rng)[0] if new else rng.choice(wrong)
                wrong.append(text)
            pairs.append(Pair(forced(text), gold, kind))
    rng.shuffle(pairs)
    return pairs


def distinct(n: int, rng: Random) -> list[Pair]:
    """Make `n` pairs with different golds; half of the integer answers are right."""
    rows, pairs, golds = templates(), [], set()
    while len(pairs) < n:
        answer, gold, kind = problem(rows, rng)
        if gold.isdigit():
            gold = str(rng.randrange(10**9))
            answer = rng.choice((gold, answer))
        if gold not in golds:
            golds.add(gold)
            pairs.append(Pair(forced(answer), gold, kind))
    return pairs


def by_math_verify(pair: Pair) -> bool:
    """Return whether math-verify calls a pair correct."""
    from math_verify import parse, verify

    try:
        return verify(parse(rf"\boxed{{{pair.gold}}}"), parse(pair.text))
    except Exception:  # math-verify lets some errors of sympy through
        return False


def disagreements(pairs: list[Pair], statuses: list[str], accepted: list[bool]) -> dict:
    """Count the disagreements with math-verify by judged kind, and list those of no judged kind.

    Args:
        pairs: The pairs.
        statuses: effwb's verdicts.
        accepted: Which pairs math-verify calls correct.
    """
    judged = {(row["kind"], row["math_verify"]) for row in templates() if "math_verify" in row}
    counts, unjudged = Counter(), []
    for pair, status, accepts in zip(pairs, statuses, accepted, strict=True):
        if (status == "correct") == accepts:
            continue
        verdict = "correct" if accepts else "wrong"
        if (pair.kind, verdict) in judged:
            counts[pair.kind] += 1
        else:
            unjudged.append({"text": pair.text, "gold": pair.gold, "ours": status, "math-verify": verdict})
    return {"judged": dict(counts.most_common()), "not judged": unjudged}


def cpu_seconds() -> float:
    """Return the CPU time that this process and its children have used so far."""
    this = psutil.Process()
    return sum(sum(process.cpu_times()[:4]) for process in (this, *this.children(recursive=True)))


def timed(call: Callable[[], T], n: int) -> tuple[T, dict[str, float]]:
    """Return the result of a call that judges `n` pairs, and its milliseconds per pair."""
    start, cpu_start = time.perf_counter(), cpu_seconds()
    result = call()
    wall, cpu = time.perf_counter() - start, cpu_seconds() - cpu_start
    return result, {"wall": 1000 * wall / n, "cpu": 1000 * cpu / n}


def measure(pairs: list[Pair], sample: list[Pair], pool) -> dict:
    """Measure effwb and math-verify.

    Args:
        pairs: What effwb judges.
        sample: The part of them that math-verify judges.
        pool: The process pool for math-verify.

    Returns:
        Milliseconds per pair, their ratios, and how often both agree.
    """
    texts, golds, _ = map(list, zip(*pairs, strict=True))
    half = len(sample) // 2
    first_half, before = timed(lambda: list(map(by_math_verify, sample[:half])), half)
    verdicts, ours = timed(lambda: verify(texts, golds), len(pairs))
    second_half, after = timed(lambda: list(map(by_math_verify, sample[half:])), len(sample) - half)
    _, pooled = timed(lambda: pool.map(by_math_verify, sample, chunksize=16), len(sample))
    accepted = first_half + second_half
    singly = [verify([text], [gold])[0].status for text, gold, _ in sample]
    status = {pair: v.status for pair, v in zip(pairs, verdicts, strict=True)}
    assert singly == [status[pair] for pair in sample], "verdicts in bulk and one by one differ"
    agree = sum(
        (status[pair] == "correct") == accepts for pair, accepts in zip(sample, accepted, strict=True)
    )
    single = {clock: (before[clock] + after[clock]) / 2 for clock in ours}
    return {
        "pairs": len(pairs),
        "distinct": len({pair[:2] for pair in pairs}),
        "golds": len(set(golds)),
        "sample": len(sample),
        "seconds, ours": ours["wall"] * len(pairs) / 1000,
        "ms per pair": {"ours": ours, "math-verify": single, "math-verify, bare pool": pooled},
        "math-verify / ours": {clock: single[clock] / ours[clock] for clock in ours},
        "bare pool / ours": {clock: pooled[clock] / ours[clock] for clock in ours},
        "agree with math-verify": agree / len(sample),
        "disagreements": disagreements(sample, singly, accepted),
        "verdicts": Counter(v.status for v in verdicts),
    }


def judge(n: int) -> dict:
    """Return the disagreements on `n` distinct pairs; slow, because math-verify judges all of them."""
    pairs = distinct(n, Random(1))
    texts, golds, _ = map(list, zip(*pairs, strict=True))
    statuses = [verdict.status for verdict in verify(texts, golds)]
    return {"pairs": n, **disagreements(pairs, statuses, list(map(by_math_verify, pairs)))}


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of("verify", __doc__)
    parser.add_argument("--pairs", type=int, default=1_000_000, help="repeated pairs")
    parser.add_argument("--distinct", type=int, default=20_000, help="distinct pairs")
    parser.add_argument("--sample", type=int, default=1000, help="pairs that math-verify judges")
    parser.add_argument("--judge", type=int, metavar="N", help="only list the disagreements on N pairs")
    args = parser.parse_args(argv)
    if args.judge:
        print(json.dumps(judge(args.judge), indent=1))
        return
    inputs = {"repeated": repeated(args.pairs, Random(0)), "distinct": distinct(args.distinct, Random(1))}
    warm = distinct(200, Random(2))
    list(map(by_math_verify, warm))
    verify([pair.text for pair in warm], [pair.gold for pair in warm])
    with get_context("fork").Pool(CORES) as pool:
        pool.map(by_math_verify, warm, chunksize=4)
        results = {
            name: measure(pairs, Random(3).sample(pairs, args.sample), pool) for name, pairs in inputs.items()
        }
    computer = {**machine(), "cores": CORES}
    output = {"machine": computer, "math-verify": version("math-verify"), "inputs": results}
    print(json.dumps(output, indent=1))
    save(args.output, output)


if __name__ == "__main__":
    main()
