r"""Step 3 of 4: read an answer into parts, so that `compare` can compare like with like.

"62.5\%"                    -> number 62.5 with the unit %
"(1, \frac{1}{2})"          -> tuple of two numbers
"x > 2"                     -> interval (2, \infty) of x
"-1 \text{ or } 3"          -> list of two numbers
"\sqrt{2} + n"              -> math, left to the computer algebra
"""

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from .latex import clean, spelling, split_top
from .numeric import Number, read_number
from .units import split_unit


@dataclass(frozen=True)
class Answer:
    """An answer, or a part of one, with what kind of mathematics it is.

    Attributes:
        kind: number, text, math (a scalar for the computer algebra), tuple, set, list, union, matrix,
            interval, equation or inequality.
        source: its LaTeX from `latex.clean`.
        parts: the members of a tuple, set, list, union or matrix (rows); the ends of an interval; the sides
            of an equation.
        brackets: the pair around a tuple or an interval, such as "(]".
        number: the value of a number, and of a text that is a ratio.
        unit: the unit from `units.split_unit`, "" without one.
        name: the variable of an interval that was written as a condition.
    """

    kind: str
    source: str
    parts: tuple["Answer", ...] = ()
    brackets: str = ""
    number: Number | None = None
    unit: str = ""
    name: str = ""

    @cached_property
    def spelling(self) -> str:
        """`source` without the blanks that mean nothing."""
        return spelling(self.source)

    @property
    def words(self) -> str:
        """The letters by which texts are compared; capitals count only where there is mathematics in it."""
        letters = re.sub(r"\s+", "", re.sub(r"\\text\{([^{}]*)\}", r"\1", self.source))
        return letters if re.search(r"[\\\d=^]", letters) else letters.strip("().!\"'`").casefold()


_AND = re.compile(  # separates the parts of "2 and 3", "x=1 \text{ or } x=2", "2; 3"
    r"\s*,?\s*\\text\{\s*,?\s*(?:and|or)\s*\}\s*,?|\s*,?\s(?:and|or)\s|;|\\(?:land|lor|vee)(?![A-Za-z])"
    r"|(?<=[\d)\]}])\s*(?:and|or)\s*(?=[\d(\[A-Z\\-])"  # "(11,7)or(7,11)"
)
_COMMA = re.compile(r",|\\text\{\s*,\s*\}")
_COMMA_OR_SEMICOLON = re.compile("[,;]")
_CUP = re.compile(r"\\cup(?![A-Za-z])|U(?=\s*[(\[])")  # models also write "(0,1)U(2,3)"
_RELATION = re.compile(r":=|\\(?:le|ge|ne|in|approx)(?![A-Za-z])|[=<>]")
_APPROX = re.compile(r"\\approx(?![A-Za-z])")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:[, ]\d{3})+(?:\.\d+)?")  # "0,245" is a list
_BRACKETED = re.compile(r"(\(|\[|\\\{|\\langle)(.*)(\)|\]|\\\}|\\rangle)", re.DOTALL)
_SET_BUILDER = re.compile(r"\s*\w+\s*(?:\\in[^|:]*)?[|:](.*)", re.DOTALL)  # inside \{x \in A | x > 2\}
_MATRIX = re.compile(
    r"[\[(]?\s*\\begin\{(?:[pbB]?matrix|smallmatrix|array)\}(?:\s*\{[lcr| ]+\})?(.*)\\end\{\w+\}\s*[\])]?",
    re.DOTALL,
)
_CHOICE = re.compile(r"\\text\{\s*\(([A-J])\)\s*\}\s*(.+)", re.DOTALL)  # \text{(B)} 5
_PM = re.compile(r"\\pm(?![A-Za-z])")
_MP = re.compile(r"\\mp(?![A-Za-z])")
_BASE = re.compile(r"-?\d\w*_\{[^{}]*\}")  # 52_8 is an octal number; the algebra would read it as 52
_PROSE = re.compile(  # what the algebra cannot read: compared by its words
    r"\\text\{|:|\\(?:equiv|pmod|to|mapsto|implies|sim|begin(?!\{[pbBv]?matrix)|ldots)(?![A-Za-z])"
)
_COLON = re.compile(r"\d+\s*:\s*\d+")
_COMMAND = re.compile(r"\\(?:begin|end)\{[pbBv]?matrix\}|\\[A-Za-z]+|_\{[^{}]*\}")
_NAME = re.compile(r"\\?[A-Za-z]+'*(?:_\{[^{}]*\})?(?:\^\{\\prime\})?(?:\([^()]*\))?")  # x, x', x_{1}, f(2)


@lru_cache(maxsize=8192)
def read(source: str) -> tuple[Answer, ...]:
    r"""Read an answer; return every reading that makes sense.

    Args:
        source: LaTeX from `latex.clean`.

    Returns:
        The readings, most likely first. Most answers have one. "1,234" is a number and also a list of two;
        "\text{(B)} 5" is the choice B and also its value.

    Example:
        >>> [answer.kind for answer in read("1,234")]
        ['number', 'list']
    """
    choice = _CHOICE.fullmatch(source)
    if choice:
        return Answer("text", choice[1]), *read(choice[2])
    number = _as_number(source)
    if number is None:
        return (_read_list(source),)
    may_be_list = "," in source and not re.search(r",0\d", source)  # no list has the member 000 or 050
    return (number, _read_list(source)) if may_be_list else (number,)


def approximations(source: str) -> tuple[Answer, ...]:
    r"""The decimal of a gold such as `P = 2000e^{0.0075} \approx 2015.06`; nothing without one.

    An answer is read by its exact value only: of two values one may be a guess.

    Args:
        source: LaTeX from `latex.clean`.
    """
    *exact, last = split_top(source, _APPROX)
    one_value = all(len(split_top(piece, cut)) == 1 for piece in exact for cut in (_COMMA, _AND))
    decimal = _as_number(last.strip()) if exact and one_value else None
    return () if decimal is None else (decimal,)


def _read_list(source: str) -> Answer:
    """A list where the source has several parts on its top level, otherwise its only part."""
    source = source.strip()
    items = split_top(source, _AND)
    solutions = _solutions(items)
    if solutions:
        return Answer("list", source, solutions)
    pieces = []
    for item in items:  # "1,000 and 2,000" has two parts, "1, 2 and 3" three
        pieces += [item] if len(items) > 1 and _as_number(item) else split_top(item, _COMMA)
    if len(pieces) == 1:
        return _read_part(source)
    members = [member for piece in pieces if piece.strip() for member in _members(_read_part(piece.strip()))]
    return Answer("list", source, tuple(members))


def _solutions(items: list[str]) -> tuple[Answer, ...]:
    """Tuples from "p=5, q=2; p=7, q=2": every item gives values to the same names. Otherwise nothing."""
    if len(items) < 2 or "=" not in items[0] or "," not in items[0]:
        return ()
    rows = [[_read_part(piece.strip()) for piece in split_top(item, _COMMA)] for item in items]
    if any(part.kind != "equation" or len(part.parts) != 2 for row in rows for part in row):
        return ()
    names = [[part.parts[0].spelling for part in row] for row in rows]
    same = len(set(names[0])) == len(names[0]) > 1 and all(row == names[0] for row in names)
    return tuple(_expand_tuple([part.parts[1] for part in row], "()") for row in rows) if same else ()


def _members(answer: Answer) -> tuple[Answer, ...]:
    r"""A part such as `\pm 3` is a list itself; its members join the list around it."""
    return answer.parts if answer.kind == "list" else (answer,)


def _read_part(source: str) -> Answer:
    """A part without commas of its own: the first reader that accepts it."""
    for reader in _READERS:
        answer = reader(source)
        if answer is not None:
            return answer
    value, unit = split_unit(source)  # anything else with a unit: "\sqrt{2} \text{ cm}"
    return replace(_read_part(value), unit=unit) if unit else Answer("math", source)


def _as_number(source: str) -> Answer | None:
    r"""A plain number, with or without a unit: "27.0", "\$18.00", "62.5%", "5.4 \text{ cents}", "1,234"."""
    value, unit = split_unit(source)
    text = re.sub("[, ]", "", value) if _THOUSANDS.fullmatch(value) else value
    number = read_number(text)
    return None if number is None else Answer("number", value, number=number, unit=unit)


def _as_relation(source: str) -> Answer | None:
    r"""An equation, an interval or an inequality; of "x \in A" and "1/3 \approx 0.33" only the answer."""
    pieces = split_top(source, _RELATION)
    sides = [piece.strip() for piece in pieces]
    if len(sides) < 2 or not all(sides):
        return None
    operators, at = [], 0
    for piece in pieces[:-1]:
        match = _RELATION.match(source, at + len(piece))
        assert match is not None  # split_top cut there
        operators.append(match.group())
        at = match.end()
    if operators == [r"\in"]:
        return _read_part(sides[1])
    approx = _APPROX.search(source)
    if approx and r"\approx" in operators[0 if not _NAME.fullmatch(sides[0]) else 1 :]:
        return _read_part(source[: approx.start()].strip())  # the exact value, not its decimal
    if all(operator in ("=", ":=", r"\approx") for operator in operators):
        return Answer("equation", source, tuple(_read_part(side) for side in sides))
    return _as_interval(source, sides, operators) or Answer("inequality", source)


_SIGNED = re.compile(rf"-\s*(?P<negative>{_NAME.pattern})|\|\s*(?P<size>{_NAME.pattern})\s*\|")  # -x, |x|
_FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}


def _as_interval(source: str, sides: list[str], operators: list[str]) -> Answer | None:
    r"""The intervals of x in `x > 2`, `2 < x`, `-1 \le x < 3`, `-x > -1` and `1 < |x| < 2`."""
    if any(operator not in _FLIPPED for operator in operators):
        return None
    if operators[0] in (">", r"\ge"):
        sides, operators = sides[::-1], [_FLIPPED[operator] for operator in operators[::-1]]
    named = [_NAME.fullmatch(side) is not None for side in sides]
    if len(sides) == 2 and (named[0] or (not named[1] and _SIGNED.fullmatch(sides[0]))):
        sides, operators = [r"-\infty", *sides], ["<", *operators]
    elif len(sides) == 2:
        sides, operators = [*sides, r"\infty"], [*operators, "<"]
    if len(sides) != 3 or not set(operators) <= {"<", r"\le"}:
        return None
    low, middle, high = sides
    if _NAME.fullmatch(middle):
        return _interval(source, low, operators, high, middle)
    signed = _SIGNED.fullmatch(middle)
    if signed is None:
        return None
    if signed["negative"]:  # -x > -1
        return _interval(source, _negative(high), operators[::-1], _negative(low), signed["negative"])
    return _both_signs(source, low, operators, high, signed["size"])


def _both_signs(source: str, low: str, operators: list[str], high: str, name: str) -> Answer | None:
    """The real x with `low < |x| < high`: one interval without a `low`, two for a positive number."""
    if low == r"-\infty":
        return _interval(source, _negative(high), operators[1:] * 2, high, name)
    positive = _interval(source, low, operators, high, name)
    start = positive.parts[0].number
    if start is None or start.value < 0:
        return None
    negative = _interval(source, _negative(high), operators[::-1], _negative(low), name)
    return Answer("union", source, (negative, positive))


def _interval(source: str, low: str, operators: list[str], high: str, name: str) -> Answer:
    brackets = ("(" if operators[0] == "<" else "[") + (")" if operators[1] == "<" else "]")
    return Answer("interval", source, (_read_part(low), _read_part(high)), brackets, name=spelling(name))


def _negative(end: str) -> str:
    """Minus an end of an interval, in the spelling that people use."""
    if re.fullmatch(r"-[^+-]+", end):
        return end[1:].strip()
    return f"-{end}" if not re.search(r"[+-]", end) else f"-({end})"


def _as_union(source: str) -> Answer | None:
    pieces = split_top(source, _CUP)
    if len(pieces) == 1:
        return None
    return Answer("union", r"\cup ".join(pieces), tuple(_read_part(piece.strip()) for piece in pieces))


def _as_bracketed(source: str) -> Answer | None:
    r"""A tuple (perhaps an interval), a set, or the part inside `(...)`."""
    match = _BRACKETED.fullmatch(source)
    if match is None or not _closes_at_end(match.group(2)):
        return None
    left, inside, right = match.groups()
    parts = [_read_part(part.strip()) for part in split_top(inside, _COMMA_OR_SEMICOLON)]
    if left == r"\{":
        builder = _SET_BUILDER.fullmatch(inside)
        members = tuple(member for part in parts for member in _members(part))
        return _read_list(builder.group(1)) if builder else Answer("set", source, members)
    if len(parts) == 1:
        return parts[0] if (left, right) == ("(", ")") else None
    brackets = ("(" if left == r"\langle" else left) + (")" if right == r"\rangle" else right)
    if sum(part.kind == "list" for part in parts) > 4:  # 2^4 tuples, see _expand_tuple
        return None
    return _expand_tuple(parts, brackets)


def _closes_at_end(inside: str) -> bool:
    """Whether the outer bracket closes at the very end: `(a)(b)` is a product, not a bracketed answer."""
    depth = 0
    for char in _COMMAND.sub("", inside):
        depth += (char in "([{") - (char in ")]}")
        if depth < 0:
            return False
    return depth == 0


def _expand_tuple(parts: list[Answer], brackets: str) -> Answer:
    r"""A tuple; a part with \pm stands for two values, so `(\pm 3, 2)` is a list of two tuples."""
    for at, part in enumerate(parts):
        if part.kind == "list":
            tuples = [_expand_tuple([*parts[:at], x, *parts[at + 1 :]], brackets) for x in part.parts]
            return Answer("list", "", tuple(member for answer in tuples for member in _members(answer)))
    inside = ",".join(part.source + (part.unit and rf"\text{{{part.unit}}}") for part in parts)
    return Answer("tuple", f"{brackets[0]}{inside}{brackets[1]}", tuple(parts), brackets)


def _as_matrix(source: str) -> Answer | None:
    match = _MATRIX.fullmatch(source)
    if match is None or r"\begin" in match.group(1):
        return None
    rows = [row.split("&") for row in re.split(r"\\\\(?:\[[^\]]*\])?", match.group(1)) if row.strip()]
    parts = [
        Answer("tuple", "&".join(row), tuple(_read_part(clean(cell)) for cell in row), "()") for row in rows
    ]
    return Answer("matrix", source, tuple(parts)) if parts else None


def _as_text(source: str) -> Answer | None:
    """Words, a number in another base, a ratio, a time, a congruence: equal only if spelled the same."""
    whole = re.fullmatch(r"\\text\{([^{}]*)\}", source)
    if whole and re.search(r"\d", whole.group(1)):  # \text{5 cm}
        return _read_list(clean(whole.group(1)))
    if whole or _BASE.fullmatch(source):
        return Answer("text", source)
    value, unit = split_unit(source)
    if _COLON.fullmatch(value):
        ratio = re.fullmatch(r"([1-9]\d*)\s*:\s*([1-9]\d*)", value)  # 3:4, not a time such as 9:05 or 12:00
        number = read_number(f"{ratio[1]}/{ratio[2]}") if ratio else None
        return Answer("text", value, number=number, unit=unit)
    prose = (
        _PROSE.search(re.sub(r"_\{[^{}]*\}", "", value))
        or re.search("[A-Za-z]{4,}", _COMMAND.sub(" ", value))
        or (unit and split_unit(value)[1])  # two units: "9 hens 10 ducks"
    )
    return Answer("text", source) if prose else None


def _as_plus_minus(source: str) -> Answer | None:
    r"""The list of the two values of "1 \pm \sqrt{2}"."""
    if not (_PM.search(source) or _MP.search(source)):
        return None
    values = [_PM.sub(plus, _MP.sub(minus, source)) for plus, minus in ("+-", "-+")]
    parts = tuple(_read_part(value.strip().removeprefix("+").strip()) for value in values)
    return Answer("list", source, parts)


# tried in this order
_READERS = (_as_number, _as_relation, _as_union, _as_bracketed, _as_matrix, _as_text, _as_plus_minus)
