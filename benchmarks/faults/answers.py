"""Hostile answers: none is worth a reward, none costs more than its time limit."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults.judge import Result, announce, judge

LIMIT = 2.0  # seconds for an answer
START = 30.0  # seconds that starting workers may take besides, on a busy machine
GOLDS = ["42", r"\frac{3}{7}", "x^2+1", "(1, 2)", r"\sqrt{2}", "[0, 1)", "1, 2, 3", "A", r"2\pi", "10^{100}"]


def _boxed(text: str) -> str:
    return rf"so the answer is \boxed{{{text}}}"


# each takes (rng, a size, the gold) and returns a whole text that deserves nothing
SHAPES: dict[str, Callable[[random.Random, int, str], str]] = {
    "tower of powers": lambda rng, n, gold: _boxed("9^{" * min(n, 60) + "9" + "}" * min(n, 60)),
    "factorials": lambda rng, n, gold: _boxed("(" * n + "9" + "!)" * n),
    "nested fractions": lambda rng, n, gold: _boxed(r"\frac{1}{" * n + "2" + "}" * n),
    "nested roots": lambda rng, n, gold: _boxed(r"\sqrt{" * n + "3" + "}" * n),
    "open braces": lambda rng, n, gold: _boxed("{" * n),
    "many boxes": lambda rng, n, gold: r"\boxed{" * n + gold,
    "digits": lambda rng, n, gold: _boxed("7" * n * 100),
    "decimal digits": lambda rng, n, gold: _boxed("0." + "3" * n * 100),
    "long sum": lambda rng, n, gold: _boxed("+".join(f"x_{{{i}}}" for i in range(n))),
    "big exponent": lambda rng, n, gold: _boxed(f"(x+1)^{{{10**9 + n}}}"),
    "big number": lambda rng, n, gold: _boxed(f"10^{{{10 ** min(n, 12)}}}"),
    "sum over a billion": lambda rng, n, gold: _boxed(rf"\sum_{{k=1}}^{{{10**9 + n}}} k^{{k}}"),
    "integral": lambda rng, n, gold: _boxed(r"\int_0^{\infty} \sin(x^x) dx" + "+1" * n),
    "code": lambda rng, n, gold: _boxed("__import__('os').system('touch hostile')"),
    "code in text": lambda rng, n, gold: _boxed(r"\text{exec('1/0')}" + "." * n),
    "null bytes": lambda rng, n, gold: _boxed("\0" * n + "wrong"),
    "surrogates": lambda rng, n, gold: _boxed("\ud800" * min(n, 50)),
    "right-to-left": lambda rng, n, gold: _boxed("\u202e" + "24" * min(n, 9) + "\u202c"),
    "every candidate": lambda rng, n, gold: _boxed(", ".join(map(str, range(n)))),
    "or everything": lambda rng, n, gold: _boxed(rf"{gold} \text{{ or }} {n + 1000}"),
    "gold beside another": lambda rng, n, gold: _boxed(f"{gold}, {n + 1000}"),
    "gold outside the box": lambda rng, n, gold: f"{gold} is the answer, {gold}. " + _boxed("0.123456"),
    "gold in an earlier box": lambda rng, n, gold: _boxed(gold) + " no, wait: " + _boxed("0.123456"),
    "empty box": lambda rng, n, gold: _boxed(" " * n),
    "words about the answer": lambda rng, n, gold: _boxed(r"\text{the correct answer}" + "!" * n),
    "infinity": lambda rng, n, gold: _boxed(r"\infty" * min(n, 20)),
    "zero over zero": lambda rng, n, gold: _boxed(r"\frac{0}{0}" + "+0" * min(n, 20)),
    "open interval": lambda rng, n, gold: _boxed(r"(-\infty, \infty)" + " " * n),
    "random letters": lambda rng, n, gold: _boxed("".join(chr(rng.randrange(33, 0x3000)) for _ in range(n))),
    "commands": lambda rng, n, gold: _boxed(
        "".join(
            rng.choice(["\\frac", "{", "}", "^", "_", "\\left", "(", "\\right", "1", "x"]) for _ in range(n)
        )
    ),
}


def hostile_answer(rng: random.Random, folder: Path, stock: Path, number: int) -> Result:
    """Grade three hostile answers against a gold; all must be worth nothing, within the time limit."""
    from effwb.verifiers import verify

    gold = rng.choice(GOLDS)
    shapes = [rng.choice(list(SHAPES)) for _ in range(3)]
    sizes = [rng.choice([1, 3, 17, 200, 3000]) for _ in shapes]
    texts = [SHAPES[shape](rng, size, gold) for shape, size in zip(shapes, sizes, strict=True)]
    pairs = ", ".join(f"{shape} x {size}" for shape, size in zip(shapes, sizes, strict=True))
    fault = announce(folder, f"{pairs} against {gold}")
    start = time.monotonic()

    def grade() -> tuple[list[str], bool]:
        statuses = [verdict.status for verdict in verify(texts, [gold] * len(texts), timeout=LIMIT)]
        return statuses, time.monotonic() - start < LIMIT * len(texts) + START

    return judge(fault, grade, lambda result: "correct" not in result[0] and result[1])
