"""The pocket world: chained additions, and the habits of a model that thinks about them.

A problem is `12+7+45=?` with 2 to 8 terms (the level) of one to three digits and a sum of at most 999.
A trace is a list of *passes* over the chain. A pass is compact (`12+7=19+45=64.`) or by digits
(`12+7:2+7=9,1+0=1;19+45:9+5=14,1+4+1=6;64.`), may contain slips, and is followed by `</think>` or by
`Wait, check: ` and another pass. Slips happen at random in every pass and later steps carry them on, so a
re-check has value. When two passes agree, a habit of checking again remains; it costs tokens and gains
nothing. That is what a length-aware training design has to work with.

Everything here is plain Python on a `random.Random`: the same seed gives the same trace.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass

LEVELS = tuple(range(2, 9))
MAX_SUM = 999
DIGIT_SHARES = {1: 0.45, 2: 0.5, 3: 0.05}

# Habits. The numbers were chosen by simulating traces (see LOG.md), not fitted to a result.
SLIP = {"compact": 0.10, "digits": 0.03}  # probability per step of a first pass
CHECK_SLIP = 0.5  # a re-check is more careful: its slips are rarer by this factor
P_DIGITS = 0.33  # probability that a pass goes digit by digit
P_STOP_FIRST = 0.30  # stop after the first pass, unchecked
P_STOP_AGREED = {level: 0.1 + 0.6 * (level - 2) / 6 for level in LEVELS}  # easy ones are over-checked most
P_STOP_DISAGREED = 0.10
P_GIVE_UP = 0.50  # stop from the fifth pass on, whether passes agree or not
MAX_PASSES = 6
MAX_HINTED_PASSES = 16
CHECK = "Wait, check: "


@dataclass(frozen=True)
class Pass:
    """One pass over the chain of additions.

    Attributes:
        text: What the model writes.
        result: The sum it arrives at, right or wrong.
    """

    text: str
    result: int


def question_text(terms: list[int]) -> str:
    """Return the question for the terms: [12, 7] -> "12+7=?"."""
    return "+".join(map(str, terms)) + "=?"


def parse_question(question: str) -> list[int]:
    """Return the terms of a question, the inverse of `question_text`."""
    return [int(t) for t in question.removesuffix("=?").split("+")]


def is_held_out(question: str) -> bool:
    """Return whether a question belongs to the test split.

    A hash of its text decides, one in ten, so the splits cannot overlap.
    """
    return int(hashlib.sha256(f"split|{question}".encode()).hexdigest()[:8], 16) % 10 == 0


def sample_terms(level: int, rng: random.Random, held_out: bool) -> list[int]:
    """Draw the terms of a problem.

    Args:
        level: Number of terms.
        rng: Random stream.
        held_out: Draw from the test split (True) or from the train split.

    Returns:
        `level` terms whose sum is at most `MAX_SUM`.
    """
    while True:
        digits = rng.choices(list(DIGIT_SHARES), list(DIGIT_SHARES.values()), k=level)
        terms = [rng.randrange(10 ** (d - 1), 10**d) for d in digits]
        if sum(terms) <= MAX_SUM and is_held_out(question_text(terms)) == held_out:
            return terms


def compact_pass(terms: list[int], rng: random.Random, slip: float) -> Pass:
    """Write a pass with one step per term; a slip is off by 1 or 10.

    Args:
        terms: The terms of the problem.
        rng: Random stream.
        slip: Probability of a slip per step.
    """
    total, text = terms[0], str(terms[0])
    for term in terms[1:]:
        result = total + term
        if rng.random() < slip:
            result = max(0, result + rng.choice((-10, -1, 1, 10)))
        text += f"+{term}={result}"
        total = result
    return Pass(text + ".\n", total)


def digits_pass(terms: list[int], rng: random.Random, slip: float) -> Pass:
    """Write a pass column by column, units first; a slip forgets a carry or miscounts one column.

    Args:
        terms: The terms of the problem.
        rng: Random stream.
        slip: Probability of a slip per step.
    """
    total, text = terms[0], f"By digits: {terms[0]}"
    for term in terms[1:]:
        columns, result = _columns(total, term, rng, slip)
        text += f"+{term}:{','.join(columns)};{result}"
        total = result
    return Pass(text + ".\n", total)


def _columns(a: int, b: int, rng: random.Random, slip: float) -> tuple[list[str], int]:
    """The columns of a + b as text, units first, and the result; every column is written."""
    width = max(len(str(a)), len(str(b)))
    slip_at = rng.randrange(width) if rng.random() < slip else -1
    columns, digits, carry = [], [], 0
    for i in range(width):
        x, y = a // 10**i % 10, b // 10**i % 10
        added_carry = 0 if i == slip_at else carry
        total = x + y + added_carry
        if i == slip_at and not carry:
            total = max(0, total + rng.choice((-1, 1)))
        columns.append(f"{x}+{y}{'+1' if added_carry else ''}={total}")
        digits.append(total % 10)
        carry = total // 10
    return columns, sum(d * 10**i for i, d in enumerate([*digits, carry]))


def one_pass(terms: list[int], rng: random.Random, first: bool, p_digits: float = P_DIGITS) -> Pass:
    """Write a pass in a random style.

    Args:
        terms: The terms of the problem.
        rng: Random stream.
        first: Slip as often as first passes do, not as rarely as re-checks.
        p_digits: Probability that the pass goes digit by digit.
    """
    care = 1.0 if first else CHECK_SLIP
    if rng.random() < p_digits:
        return digits_pass(terms, rng, care * SLIP["digits"])
    return compact_pass(terms, rng, care * SLIP["compact"])


def free_passes(terms: list[int], rng: random.Random) -> list[Pass]:
    """Write the passes of the spontaneous habit: check until two passes agree, then often check again."""
    level, passes = len(terms), [one_pass(terms, rng, first=True)]
    while len(passes) < MAX_PASSES:
        earlier = [p.result for p in passes[:-1]]
        if not earlier:
            stop = P_STOP_FIRST
        else:
            stop = P_STOP_AGREED[level] if passes[-1].result in earlier else P_STOP_DISAGREED
        if len(passes) >= 5:
            stop = max(stop, P_GIVE_UP)
        if rng.random() < stop:
            break
        passes.append(one_pass(terms, rng, first=False))
    return passes


def effort_passes(terms: list[int], rng: random.Random, effort: str) -> list[Pass]:
    """Write the passes for an effort level: "low", "medium" or "high"."""
    n, p_digits = {
        "low": (1, 0.05),
        "medium": (rng.choice((1, 2, 2)), 0.3),
        "high": (rng.choice((3, 3, 4)), 0.6),
    }[effort]
    return [one_pass(terms, rng, i == 0, p_digits) for i in range(n)]


def passes_near(terms: list[int], target: int, rng: random.Random, count: Callable[[str], int]) -> list[Pass]:
    """Write passes until their total length is as near to a target as whole passes allow.

    Args:
        terms: The terms of the problem.
        target: The wanted length in tokens.
        rng: Random stream.
        count: Function from a text to its number of tokens.

    Returns:
        At least one pass.
    """
    passes: list[Pass] = []
    used = 0
    while len(passes) < MAX_HINTED_PASSES:
        options = [one_pass(terms, rng, not passes, p) for p in (0.0, 1.0)]
        rng.shuffle(options)
        sizes = [count(CHECK * bool(passes) + p.text) for p in options]
        fitting = [(s, p) for s, p in zip(sizes, options, strict=True) if used + s <= target + s // 2]
        if not fitting:
            break
        size, chosen = fitting[0]
        passes.append(chosen)
        used += size
    return passes or [one_pass(terms, rng, first=True, p_digits=0.0)]


def join(passes: list[Pass]) -> str:
    """Return the thinking as text, without its tags."""
    return CHECK.join(p.text for p in passes)
