"""Verdicts in bulk: ours beside math-verify one by one and in a bare process pool.

    python -m benchmarks.verify [--pairs 1000000 --distinct 20000 --sample 1000]
    python -m benchmarks.verify --judge 5000       # only where the verdicts differ, on so many distinct pairs

Two inputs, made from the golden table (hostile rows left out) with its numbers drawn anew. *Repeated*: 1,000
problems and their forced answers, which repeat as those of the pocket model do (10.6 distinct answers in 154
on a problem; a Chinese restaurant process with THETA gives that). *Distinct*: no pair and no gold twice. In
both, three golds in four are plain integers, as in seven public benchmarks (0.74 of 2,866 golds; AIME, AMC,
GSM8K, MATH-500, Minerva, Olympiad). math-verify runs on a sample, half of it before and half after ours, and
is scaled; its verdicts are those of `parse` and `verify` with their defaults. All processes are warm. CPU
time is that of all processes; on a busy machine its ratio says more than that of wall-clock time. Results go
to benchmarks/results/verify.json.

A disagreement is judged if the golden row its pair was drawn from names its kind, and a row of that kind
records the same verdict of math-verify (data/golden/README.md); all others are listed.
"""

import argparse
import json
import os
import re
import time
from collections import Counter
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import NamedTuple

import psutil

from effwb import prompts
from effwb._internal.paths import data_dir
from effwb.runs import write_atomic
from effwb.verifiers import verify

RESULTS = Path(__file__).parent / "results" / "verify.json"
PROBLEMS, INTEGERS, THETA = 1000, 0.74, 3.2
TOWER = re.compile(r"\^\{[0-9]+\^")
SUFFIX = prompts.forced_suffix(prompts.TEMPLATES["boxed_dynasor"])
CORES = len(os.sched_getaffinity(0))


class Pair(NamedTuple):
    """A completion and its gold; `kind` is that of the golden row they were drawn from, if it has one."""

    text: str
    gold: str
    kind: str = ""


def templates() -> list[dict]:
    """Every golden row with an answer but those that are about time limits: repetitions and towers."""
    rows = map(json.loads, (data_dir("golden") / "verifier.jsonl").read_text().splitlines())
    plain = (r for r in rows if "answer" in r and not r.get("times") and "timeout" not in r["expected"])
    return [r for r in plain if not TOWER.search(f"{r['gold']} {r['answer']}")]


def redrawn(texts: list[str], rng: Random) -> list[str]:
    """The texts with every integer that is no exponent replaced by another of as many digits, the same one in
    all of them."""
    new: dict[str, str] = {}

    def draw(match) -> str:
        low = 10 ** (len(match[0]) - 1)
        return new.setdefault(match[0], str(rng.randrange(low, 10 * low)))

    return [re.sub(r"(?<![0-9^])(?<!\^\{)[0-9]+", draw, text) for text in texts]


def problem(rows: list[dict], rng: Random) -> tuple[str, str, str]:
    """An answer, a gold and their kind."""
    if rng.random() < INTEGERS:
        return str(rng.randrange(10**4)), str(rng.randrange(10**4)), ""
    row = rng.choice(rows)
    answer, gold = redrawn([row["answer"], row["gold"]], rng)
    return answer, gold, row.get("kind", "")


def forced(answer: str) -> str:
    return f"{SUFFIX}{answer}}}"


def repeated(n: int, rng: Random) -> list[Pair]:
    """Forced answers to `PROBLEMS` problems, a uniform share of them right, the wrong ones as they come."""
    rows, pairs = templates(), []
    for _ in range(PROBLEMS):
        answer, gold, kind = problem(rows, rng)
        skill, wrong = rng.random(), []
        for _ in range(n // PROBLEMS):
            if rng.random() < skill:
                said = gold
            elif rng.random() < THETA / (THETA + len(wrong)):
                said = redrawn([answer], rng)[0]
                wrong.append(said)
            else:
                said = rng.choice(wrong)
                wrong.append(said)
            pairs.append(Pair(forced(said), gold, kind))
    rng.shuffle(pairs)
    return pairs


def distinct(n: int, rng: Random) -> list[Pair]:
    """Pairs of which no two share a gold; half of the integers are right."""
    rows, found, golds = templates(), [], set()
    while len(found) < n:
        answer, gold, kind = problem(rows, rng)
        if gold.isdigit():
            gold = str(rng.randrange(10**9))
            answer = rng.choice((gold, answer))
        if gold not in golds:
            golds.add(gold)
            found.append(Pair(forced(answer), gold, kind))
    return found


def by_math_verify(pair: Pair) -> bool:
    from math_verify import parse, verify

    try:
        return verify(parse(rf"\boxed{{{pair.gold}}}"), parse(pair.text))
    except Exception:  # it lets some errors of sympy through
        return False


def disagreements(pairs: list[Pair], statuses: list[str], theirs: list[bool]) -> dict:
    """How often math-verify says otherwise, by judged kind, and every case that is of no judged kind."""
    judged = {(row["kind"], row["math_verify"]) for row in templates() if "math_verify" in row}
    kinds, others = Counter(), []
    for pair, status, right in zip(pairs, statuses, theirs, strict=True):
        if (status == "correct") == right:
            continue
        said = "correct" if right else "wrong"
        if (pair.kind, said) in judged:
            kinds[pair.kind] += 1
        else:
            others.append({"text": pair.text, "gold": pair.gold, "ours": status, "math-verify": said})
    return {"judged": dict(kinds.most_common()), "not judged": others}


def cpu() -> float:
    """Seconds of CPU time that this process and its children have used so far."""
    me = psutil.Process()
    return sum(sum(one.cpu_times()[:4]) for one in (me, *me.children(recursive=True)))


def timed(call, n: int) -> tuple[list, dict]:
    """What the call returns, and its cost per pair of `n`."""
    begin, used = time.perf_counter(), cpu()
    found = call()
    return found, {"wall": 1000 * (time.perf_counter() - begin) / n, "cpu": 1000 * (cpu() - used) / n}


def measure(pairs: list[Pair], sample: list[Pair], pool) -> dict:
    """Milliseconds per pair of each way, and whether they agree."""
    texts, golds, _ = map(list, zip(*pairs, strict=True))
    half = len(sample) // 2
    first, before = timed(lambda: list(map(by_math_verify, sample[:half])), half)
    verdicts, ours = timed(lambda: verify(texts, golds), len(pairs))
    second, after = timed(lambda: list(map(by_math_verify, sample[half:])), len(sample) - half)
    _, pooled = timed(lambda: pool.map(by_math_verify, sample, chunksize=16), len(sample))
    theirs = first + second
    singly = [verify([text], [gold])[0].status for text, gold, _ in sample]
    status = {pair: v.status for pair, v in zip(pairs, verdicts, strict=True)}
    assert singly == [status[pair] for pair in sample], "bulk and one by one differ"
    single = {kind: (before[kind] + after[kind]) / 2 for kind in ours}
    return {
        "pairs": len(pairs),
        "distinct": len({pair[:2] for pair in pairs}),
        "golds": len(set(golds)),
        "sample": len(sample),
        "seconds, ours": ours["wall"] * len(pairs) / 1000,
        "ms per pair": {"ours": ours, "math-verify": single, "math-verify, bare pool": pooled},
        "math-verify / ours": {kind: single[kind] / ours[kind] for kind in ours},
        "bare pool / ours": {kind: pooled[kind] / ours[kind] for kind in ours},
        "agree with math-verify": sum(
            (status[p] == "correct") == t for p, t in zip(sample, theirs, strict=True)
        )
        / len(sample),
        "disagreements": disagreements(sample, singly, theirs),
        "verdicts": Counter(v.status for v in verdicts),
    }


def judge(n: int) -> dict:
    """The disagreements on `n` distinct pairs; takes math-verify's time."""
    pairs = distinct(n, Random(1))
    texts, golds, _ = map(list, zip(*pairs, strict=True))
    statuses = [verdict.status for verdict in verify(texts, golds)]
    return {"pairs": n, **disagreements(pairs, statuses, list(map(by_math_verify, pairs)))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--distinct", type=int, default=20_000)
    parser.add_argument("--sample", type=int, default=1000)
    parser.add_argument("--judge", type=int, metavar="N")
    given = parser.parse_args()
    if given.judge:
        print(json.dumps(judge(given.judge), indent=1))
        return
    inputs = {"repeated": repeated(given.pairs, Random(0)), "distinct": distinct(given.distinct, Random(1))}
    warm = distinct(200, Random(2))
    list(map(by_math_verify, warm))
    verify([pair.text for pair in warm], [pair.gold for pair in warm])
    with get_context("fork").Pool(CORES) as pool:
        pool.map(by_math_verify, warm, chunksize=4)
        found = {
            name: measure(pairs, Random(3).sample(pairs, given.sample), pool)
            for name, pairs in inputs.items()
        }
    machine = {"cores": CORES, "load": [round(x, 2) for x in os.getloadavg()]}
    made = {"machine": machine, "math-verify": version("math-verify"), "inputs": found}
    print(json.dumps(made, indent=1))
    write_atomic(RESULTS, json.dumps(made, indent=1).encode())


if __name__ == "__main__":
    main()
