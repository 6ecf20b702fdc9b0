r"""Step 3 of 4: decide whether an answer equals its gold, part by part.

From cheap to expensive: the same spelling, exact fractions, the same structure with equal parts. Scalars and
equations that are still undecided go to `algebra`, in a worker process (see `symbolic`).

    "x = 5" = "5"       "(1, 2)" = "(1.0, 4/2)"       "x < 1 or x > 2" = "(-\infty, 1) \cup (2, \infty)"

`_RULES` at the end says which rule compares which two kinds of answers.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from .answers import Answer, approximations, read
from .labels import is_computation, is_label, is_named_quantity
from .latex import clean, nesting, spelling
from .units import same_unit

MAX_CHARS = 2000  # no benchmark answer has 400; longer ones are rambling or hostile
MAX_NESTING = 24
MAX_SEPARATORS = 128
_INTEGER = re.compile("-?[0-9]{1,300}")
_FUNCTION_OF_X = re.compile(r"[A-Za-z]\(x\)")
_TIME = re.compile(r"\d{1,2}:[0-5]\d")


class NeedsAlgebra(Exception):
    """Spelling and exact numbers cannot decide the comparison."""


class Unreadable(Exception):
    """The computer algebra cannot read one of the two; `args[0]` is "gold" or "answer"."""


Algebra = Callable[[Answer, Answer], bool]  # (gold, answer), both scalars or both equations


def no_algebra(gold: Answer, answer: Answer) -> bool:
    """The `algebra` of the calling process, which has none: raise `NeedsAlgebra`."""
    raise NeedsAlgebra


def judge(gold: str, answer: str, algebra: Algebra = no_algebra) -> str:
    """Compare an extracted answer with its gold.

    Args:
        gold: the reference answer as it was written.
        answer: the content of the box.
        algebra: decides scalars and equations. Without it only cheap comparisons are made.

    Returns:
        One of `STATUSES` except "timeout" and "killed".

    Raises:
        NeedsAlgebra: if the verdict needs computer algebra and `algebra` was not given.
    """
    if _INTEGER.fullmatch(gold) and _INTEGER.fullmatch(answer):  # most golds of benchmarks: no parsing
        return "correct" if int(gold) == int(answer) else "wrong"
    gold_text, answer_text = usable(gold), usable(answer)
    if gold_text is None or answer_text is None:
        return "bad_gold" if gold_text is None else "unparsed"
    if spelling(gold_text) == spelling(answer_text):
        return "correct"
    try:
        return "correct" if _any_reading_equal(gold_text, answer_text, algebra) else "wrong"
    except Unreadable as problem:
        return "bad_gold" if problem.args[0] == "gold" else "unparsed"
    except RecursionError:
        return "unparsed"


def usable(raw: str) -> str | None:
    """Clean an answer, or return `None` if there is nothing to read in it.

    Args:
        raw: an answer or a gold as it was written.

    Returns:
        The text from `latex.clean`. `None` if it has no letter and no digit, if it is too long or nested too
        deep, or if its braces do not match.
    """
    if len(raw) > MAX_CHARS or raw.count(",") + raw.count(";") > MAX_SEPARATORS:
        return None
    return _cleaned(raw)


@lru_cache(maxsize=8192)  # behind the test of the length: long texts do not enter the cache
def _cleaned(raw: str) -> str | None:
    deepest = nesting(raw)
    if deepest is None or deepest > MAX_NESTING:
        return None
    text = clean(raw)
    return text if re.search(r"\w", text) else None


def _any_reading_equal(gold: str, answer: str, algebra: Algebra) -> bool:
    """Whether some reading of the gold equals some reading of the answer.

    A pair that cannot be decided counts only if no other pair is equal.
    """
    undecided = None
    for gold_reading in (*read(gold), *approximations(gold)):
        for answer_reading in read(answer):
            try:
                if equal(gold_reading, answer_reading, algebra):
                    return True
            except (NeedsAlgebra, Unreadable) as problem:
                undecided = problem
    if undecided is not None:
        raise undecided
    return False


def equal(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """Whether two readings are the same mathematics, by the rule for their kinds."""
    if gold.spelling and gold.spelling == answer.spelling and gold.unit == answer.unit:
        return True
    if not same_unit(gold.unit, answer.unit):
        return False
    rule = _RULES.get((gold.kind, answer.kind)) or _RULES.get((answer.kind, gold.kind))
    return rule is not None and rule(gold, answer, algebra)


def _by_algebra(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    return algebra(gold, answer)


def _same_numbers(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """Exact values; a percentage equals its fraction and, from 1 on, its number (62.5%, 0.625 and 62.5).

    Below 1 the number would be read as a fraction: 0.5 is 50%, so it is not 0.5%.
    """
    assert gold.number is not None
    assert answer.number is not None
    same = gold.number.same(answer.number)
    if (gold.unit == "%") == (answer.unit == "%"):
        return same
    per_cent, plain = (gold.number, answer.number) if gold.unit == "%" else (answer.number, gold.number)
    return (same and abs(plain.value) >= 1) or per_cent.times(Fraction(1, 100)).same(plain)


def _same_text(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """The same words; 6:8 is also 3:4 and 3/4, but 2:40 is not 1:20, because they may be times."""
    two_times = _TIME.fullmatch(gold.spelling) and _TIME.fullmatch(answer.spelling)
    if gold.number is None or answer.number is None or two_times:
        return gold.words == answer.words
    return gold.number.same(answer.number)


def _parts_in_order(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    pairs = zip(gold.parts, answer.parts, strict=False)
    return len(gold.parts) == len(answer.parts) and all(equal(g, a, algebra) for g, a in pairs)


def _parts_in_any_order(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """Equal as multisets: the same number of parts, each with a partner of its own."""
    unmatched = list(answer.parts)
    if len(gold.parts) != len(unmatched):
        return False
    for part in gold.parts:
        same_spelling = [other for other in unmatched if other.spelling == part.spelling]
        others = [other for other in unmatched if other.spelling != part.spelling]
        unmatched = same_spelling + others  # the same spelling first: it needs no algebra
        partner = next((at for at, other in enumerate(unmatched) if equal(part, other, algebra)), None)
        if partner is None:
            return False
        unmatched.pop(partner)
    return True


def _same_list(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """In any order; but `x = 1, y = 2` is not `2, 1`, and a tuple that is listed twice is one solution."""
    if _has_distinct_labels(gold) != _has_distinct_labels(answer):
        return _parts_in_order(gold, answer, algebra)
    if all(part.kind == "tuple" for part in (*gold.parts, *answer.parts)):
        return _same_set(gold, answer, algebra)
    return _parts_in_any_order(gold, answer, algebra)


def _has_distinct_labels(listed: Answer) -> bool:
    r"""Whether each part gives a value to another letter; `x_1` and `x_2` are two roots, in any order."""
    letters = [re.match(r"\\?[A-Za-z]+", x.parts[0].source) for x in listed.parts if x.kind == "equation"]
    return len(letters) == len(listed.parts) and len({m and m.group() for m in letters}) == len(letters)


def _same_set(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """Each member has a partner in the other set; writing one twice changes nothing."""
    if not all(any(equal(g, a, algebra) for a in answer.parts) for g in gold.parts):
        return False
    return all(any(equal(g, a, algebra) for g in gold.parts) for a in answer.parts)


def _set_of_one(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    r"""`\{5\}` is the solution set of the answer 5."""
    gold_members, answer_members = (x.parts if x.kind == "set" else (x,) for x in (gold, answer))
    single = len(gold_members) == len(answer_members) == 1
    return single and equal(gold_members[0], answer_members[0], algebra)


def _same_tuple(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """Two parts in brackets may be an interval, so the brackets count; three or more are a vector."""
    brackets_count = len(gold.parts) == 2
    if brackets_count and gold.brackets != answer.brackets:
        return False
    return _parts_in_order(gold, answer, algebra)


def _same_interval(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """The same variable, brackets and ends."""
    return gold.name == answer.name and _same_tuple(gold, answer, algebra)


def _tuple_as_list(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """`(3, 2)` or `[3, 2, 1]` and the same parts without brackets, in order; an interval is no list."""
    brackets = gold.brackets + answer.brackets
    infinite = any(r"\infty" in part.source for part in (*gold.parts, *answer.parts))
    may_be_list = brackets == "()" or (brackets == "[]" and len(gold.parts) != 2)
    return may_be_list and not infinite and _parts_in_order(gold, answer, algebra)


def _same_union(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    r"""The same pieces in any order, or the same set cut elsewhere: `(0,2)\cup(1,3)` is `(0,3)`."""
    return _parts_in_any_order(gold, answer, algebra) or algebra(gold, answer)


def _union_as_list(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """`x < 1 or x > 2` is the union of its intervals; a list of pairs is not."""
    listed = gold if gold.kind == "list" else answer
    intervals = all(part.kind == "interval" for part in listed.parts)
    return intervals and _parts_in_any_order(gold, answer, algebra)


def _matrix_as_vector(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """A matrix of one column or one row against a tuple."""
    gold, answer = (replace(x, parts=_entries(x)) if x.kind == "matrix" else x for x in (gold, answer))
    return bool(gold.parts and answer.parts) and _parts_in_order(gold, answer, algebra)


def _entries(matrix: Answer) -> tuple[Answer, ...]:
    """The entries of a row or a column; none for a larger matrix."""
    if len(matrix.parts) == 1:
        return matrix.parts[0].parts
    column = all(len(row.parts) == 1 for row in matrix.parts)
    return tuple(row.parts[0] for row in matrix.parts) if column else ()


def _same_equation(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    """The same left side and equal right sides, either way round; otherwise the same curve, by algebra.

    `y = 2x` also defines the function `f(x) = 2x`.
    """
    gold_sides, answer_sides = (gold.parts[0], gold.parts[-1]), (answer.parts[0], answer.parts[-1])
    for left, right in (answer_sides, answer_sides[::-1]):
        if gold_sides[0].spelling == left.spelling:
            return equal(gold_sides[1], right, algebra)
    heads = {gold_sides[0].spelling, answer_sides[0].spelling}
    if "y" in heads and any(_FUNCTION_OF_X.fullmatch(head) for head in heads):
        return equal(gold_sides[1], answer_sides[1], algebra)
    scalar = all(side.kind in _SCALARS for side in (*gold_sides, *answer_sides))
    return scalar and algebra(gold, answer)


def _equation_as_value(gold: Answer, answer: Answer, algebra: Algebra) -> bool:
    r"""`x = 5` is 5. A left side that is no label must equal it too: `4 + 5 = 9` is 9, `3x = 5` is not 5.

    An answer `x^2 + y^2 = 25` gives the value 25; a gold `x^2 + y^2 = 25` may be a circle, and 25 is not.
    Of a gold `\log_2 8 = 3` the left side is the question; repeating it is no answer.
    """
    equation = gold if gold.kind == "equation" else answer
    label, value = equation.parts[0].source, equation.parts[-1].source
    if re.fullmatch("[A-Za-z]{2,}", value):  # MR = MC gives no value
        return False
    named = is_label(label, value)
    if equation is gold:  # a gold is true, so that a product of matrices has its value on the right
        named = named or (r"\begin" in label and all(is_computation(side.source) for side in gold.parts))
    else:
        named = named or is_named_quantity(label, value)
    sides = equation.parts[-1:] if named else equation.parts[::-1]  # the right one first: mostly the simplest
    if equation is gold:
        question = answer.kind != "number" and answer.spelling in [side.spelling for side in gold.parts[:-1]]
        solved = gold.parts[-1].kind == "number"
        return not (question and solved) and all(equal(side, answer, algebra) for side in sides)
    return all(equal(gold, side, algebra) for side in sides)


_SCALARS = ("number", "math")
_LISTS = ("set", "list")
_ANY = (*_SCALARS, *_LISTS, "text", "tuple", "union", "matrix", "interval", "inequality")
# The kinds of gold and answer -> their rule; (answer, gold) is looked up where (gold, answer) has none. Later
# rows win over earlier ones. Kinds without a rule are never equal.
_RULES: dict[tuple[str, str], Callable[[Answer, Answer, Algebra], bool]] = {
    **{("text", kind): _same_text for kind in _ANY},
    **{("equation", kind): _equation_as_value for kind in _ANY},
    **{("set", kind): _set_of_one for kind in _SCALARS},
    **{("math", kind): _by_algebra for kind in (*_SCALARS, "matrix", "inequality", "set", "union", "tuple")},
    **{("set", kind): _same_set for kind in _LISTS},
    **{("union", kind): _by_algebra for kind in ("set", "tuple")},
    ("list", "list"): _same_list,
    ("number", "number"): _same_numbers,
    ("equation", "equation"): _same_equation,
    ("inequality", "inequality"): _by_algebra,
    ("tuple", "tuple"): _same_tuple,
    ("tuple", "interval"): _same_tuple,
    ("interval", "interval"): _same_interval,
    ("tuple", "list"): _tuple_as_list,
    ("union", "union"): _same_union,
    ("union", "list"): _union_as_list,
    ("matrix", "matrix"): _parts_in_order,
    ("matrix", "tuple"): _matrix_as_vector,
}
