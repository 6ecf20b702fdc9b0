"""Decide whether an answer equals its gold, part by part; scalars that need algebra are handed to `algebra`.

The ladder: the same spelling, exact fractions, the same structure with equal parts, and only then computer
algebra (in a worker process, see `symbolic`). Every rule is symmetric in gold and answer.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from .answers import Answer, is_label, read
from .latex import clean, key, nesting
from .units import same_unit

MAX_CHARS = 2000  # no benchmark answer has 400; longer ones are rambling or hostile
MAX_NESTING = 24
MAX_SEPARATORS = 128
_INTEGER = re.compile("-?[0-9]{1,300}")
_TIME = re.compile(r"\d{1,2}:[0-5]\d")
_HUNDREDTH = Fraction(1, 100)


class NeedsAlgebra(Exception):
    """The comparison cannot be decided by spelling and exact numbers."""


class Unreadable(Exception):
    """The computer algebra cannot read one of the two; `args[0]` is "gold" or "answer"."""


Algebra = Callable[[Answer, Answer], bool]  # gold, answer, both scalars or both equations


def needs_algebra(gold: Answer, answer: Answer) -> bool:
    raise NeedsAlgebra


def judge(gold: str, answer: str, algebra: Algebra = needs_algebra) -> str:
    """The status of an extracted `answer`, any but timeout; raises `NeedsAlgebra` unless given `algebra`."""
    if _INTEGER.fullmatch(gold) and _INTEGER.fullmatch(answer):
        return "correct" if int(gold) == int(answer) else "wrong"
    gold_text, answer_text = usable(gold), usable(answer)
    if gold_text is None or answer_text is None:
        return "bad_gold" if gold_text is None else "unparsed"
    if key(gold_text) == key(answer_text):
        return "correct"
    try:
        return "correct" if _any_reading(gold_text, answer_text, algebra) else "wrong"
    except Unreadable as problem:
        return "bad_gold" if problem.args[0] == "gold" else "unparsed"
    except RecursionError:
        return "unparsed"


def usable(raw: str) -> str | None:
    """`raw` cleaned; `None` if nothing can be read from it: empty, too long, too deep, unmatched braces."""
    if len(raw) > MAX_CHARS or raw.count(",") + raw.count(";") > MAX_SEPARATORS:
        return None
    return _cleaned(raw)


@lru_cache(maxsize=8192)
def _cleaned(raw: str) -> str | None:
    deepest = nesting(raw)
    if deepest is None or deepest > MAX_NESTING:
        return None
    text = clean(raw)
    return text if re.search(r"\w", text) else None


def _any_reading(gold: str, answer: str, algebra: Algebra) -> bool:
    """Whether any reading of the one equals any reading of the other; the certain ones are tried first."""
    undecided = None
    for one in read(gold):
        for other in read(answer):
            try:
                if equal(one, other, algebra):
                    return True
            except (NeedsAlgebra, Unreadable) as problem:
                undecided = problem
    if undecided is not None:
        raise undecided
    return False


def equal(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """Whether two readings are the same mathematics."""
    if gold.key and gold.key == answer.key and gold.unit == answer.unit:
        return True
    if not same_unit(gold.unit, answer.unit):
        return False
    rule = _RULES.get((gold.kind, answer.kind)) or _RULES.get((answer.kind, gold.kind))
    return rule is not None and rule(gold, answer, algebra)


def _swapped(algebra: Algebra) -> Algebra:
    return lambda one, other: algebra(other, one)


def _numbers(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """Exact values; a percentage equals its fraction and, from 1 on, its number (62.5%, 0.625 and 62.5).

    Below 1 the number would be read as a fraction: 0.5 is 50%, so it is not 0.5%.
    """
    same = gold.number.same(answer.number)
    if (gold.unit == "%") == (answer.unit == "%"):
        return same
    per_cent, other = (gold, answer) if gold.unit == "%" else (answer, gold)
    return (same and abs(other.number.value) >= 1) or per_cent.number.times(_HUNDREDTH).same(other.number)


def _texts(one: Answer, other: Answer, algebra: Algebra) -> bool:
    """The same words. A ratio is also its fraction; 1:20 and 2:40 may be times, so they are not compared."""
    if one.number is None or other.number is None or all(_TIME.fullmatch(x.key) for x in (one, other)):
        return one.words == other.words
    return one.number.same(other.number)


def _scalars(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    return algebra(gold, answer)


def _in_order(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    pairs = zip(gold.parts, answer.parts, strict=False)
    return len(gold.parts) == len(answer.parts) and all(equal(g, a, algebra) for g, a in pairs)


def _any_order(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """Equal as multisets: the same number of parts, each with a partner of its own."""
    left = list(answer.parts)
    if len(gold.parts) != len(left):
        return False
    for part in gold.parts:
        # the same spelling first: it needs no algebra
        left.sort(key=lambda other, part=part: other.key != part.key)
        partner = next((at for at, other in enumerate(left) if equal(part, other, algebra)), None)
        if partner is None:
            return False
        left.pop(partner)
    return True


def _same_sets(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """Each member has a partner in the other set; writing one twice changes nothing."""
    there = all(any(equal(g, a, algebra) for a in answer.parts) for g in gold.parts)
    return there and all(any(equal(g, a, algebra) for g in gold.parts) for a in answer.parts)


def _brackets(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """Two parts in brackets may be an interval, so the brackets count; three or more are a vector."""
    interval = len(gold.parts) == 2
    return (gold.brackets == answer.brackets or not interval) and _in_order(gold, answer, algebra)


def _intervals(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    return gold.name == answer.name and _brackets(gold, answer, algebra)


def _listed_tuple(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """`(3, 2)`, `[3, 2, 1]` and the same without brackets agree in the same order; an interval is no list."""
    brackets = gold.brackets + answer.brackets
    infinite = any(r"\infty" in part.source for part in (*gold.parts, *answer.parts))
    listed = brackets == "()" or (brackets == "[]" and len(gold.parts) != 2)
    return listed and not infinite and _in_order(gold, answer, algebra)


def _unions(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """The same pieces in any order, or the same set cut elsewhere: `(0,2)\\cup(1,3)` is `(0,3)`."""
    return _any_order(gold, answer, algebra) or algebra(gold, answer)


def _listed_union(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """`x < 1 or x > 2` is the union of its intervals; a list of pairs is not."""
    listed = gold if gold.kind == "list" else answer
    return all(part.kind == "interval" for part in listed.parts) and _any_order(gold, answer, algebra)


def _vector(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """A matrix of one column or one row against a tuple."""
    flat = [replace(x, parts=_entries(x)) if x.kind == "matrix" else x for x in (gold, answer)]
    return all(x.parts for x in flat) and _in_order(*flat, algebra)


def _entries(matrix: Answer) -> tuple[Answer, ...]:
    if len(matrix.parts) == 1:
        return matrix.parts[0].parts
    column = all(len(row.parts) == 1 for row in matrix.parts)
    return tuple(row.parts[0] for row in matrix.parts) if column else ()


def _singleton(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """`\\{5\\}` is the solution set of the answer 5."""
    opened = [x.parts if x.kind == "set" else (x,) for x in (gold, answer)]
    return len(opened[0]) == len(opened[1]) == 1 and equal(opened[0][0], opened[1][0], algebra)


def _equations(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """The same left side and equal right sides, either way round; otherwise the same curve, by algebra."""
    (left, right), (one, other) = (gold.parts[0], gold.parts[-1]), (answer.parts[0], answer.parts[-1])
    if left.key == one.key:
        return equal(right, other, algebra)
    if left.key == other.key:
        return equal(right, one, algebra)
    scalar = all(side.kind in ("number", "math") for side in (left, right, one, other))
    return scalar and algebra(gold, answer)


def _unwrapped(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """`x = 5` against 5. A left side that is no label must equal it too: `4 + 5 = 9` is 9, `3x = 5` not 5."""
    if gold.kind != "equation":
        return _unwrapped(answer, gold, _swapped(algebra))
    label, value = gold.parts[0], gold.parts[-1]
    if re.fullmatch("[A-Za-z]{2,}", value.source):  # MR = MC names no value
        return False
    if is_label(label.source, value.source):
        return equal(value, answer, algebra)
    return all(equal(side, answer, algebra) for side in gold.parts)


_SCALARS = ("number", "math")
_LISTS = ("set", "list")
_KINDS = (*_SCALARS, *_LISTS, "text", "tuple", "union", "matrix", "interval", "inequality")
_RULES = {
    **{("text", kind): _texts for kind in _KINDS},
    **{("equation", kind): _unwrapped for kind in _KINDS},
    **{("set", kind): _singleton for kind in _SCALARS},
    **{("math", kind): _scalars for kind in (*_SCALARS, "matrix", "inequality", "set", "union", "tuple")},
    **{("set", kind): _same_sets for kind in _LISTS},
    **{("union", kind): _scalars for kind in ("set", "tuple")},
    ("list", "list"): _any_order,
    ("number", "number"): _numbers,
    ("equation", "equation"): _equations,
    ("inequality", "inequality"): _scalars,
    ("tuple", "tuple"): _brackets,
    ("tuple", "interval"): _brackets,
    ("interval", "interval"): _intervals,
    ("tuple", "list"): _listed_tuple,
    ("union", "union"): _unions,
    ("union", "list"): _listed_union,
    ("matrix", "matrix"): _in_order,
    ("matrix", "tuple"): _vector,
}
