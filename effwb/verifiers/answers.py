"""Read an answer into parts: numbers, words, tuples, intervals, sets, lists, matrices, equations."""

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from .latex import clean, key, split_top
from .numeric import Number, read_number
from .units import split_unit


@dataclass(frozen=True)
class Answer:
    """One readable piece of mathematics.

    `kind` is one of number, text, math (a scalar for the computer algebra), tuple, set, list, union, matrix,
    interval, equation, inequality. `parts` are its members (the sides of an equation), `brackets` the pair
    around a tuple, `name` the variable of an interval.
    """

    kind: str
    source: str
    parts: tuple["Answer", ...] = ()
    brackets: str = ""
    number: Number | None = None
    unit: str = ""
    name: str = ""

    @cached_property
    def key(self) -> str:
        return key(self.source)

    @property
    def words(self) -> str:
        """The letters to compare texts by; capitals count where there is mathematics among the words."""
        bare = re.sub(r"\s+", "", re.sub(r"\\text\{([^{}]*)\}", r"\1", self.source))
        return bare if re.search(r"[\\\d=^]", bare) else bare.strip("().!\"'`").casefold()


_AND = re.compile(
    r"\s*,?\s*\\text\{\s*,?\s*(?:and|or)\s*\}\s*,?|\s*,?\s(?:and|or)\s|;|\\(?:land|lor|vee)(?![A-Za-z])"
)
_COMMA = re.compile(r",|\\text\{\s*,\s*\}")
_COMMA_OR_SEMICOLON = re.compile("[,;]")
_CUP = re.compile(r"\\cup(?![A-Za-z])|U(?=\s*[(\[])")
_RELATION = re.compile(r":=|\\(?:le|ge|ne|in|approx)(?![A-Za-z])|[=<>]")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:[, ]\d{3})+(?:\.\d+)?")
_BRACKETED = re.compile(r"(\(|\[|\\\{|\\langle)(.*)(\)|\]|\\\}|\\rangle)", re.DOTALL)
_SET_BUILDER = re.compile(r"\s*\w+\s*(?:\\in[^|:]*)?[|:](.*)", re.DOTALL)
_MATRIX = re.compile(
    r"[\[(]?\s*\\begin\{(?:[pbB]?matrix|smallmatrix|array)\}(?:\s*\{[lcr| ]+\})?(.*)\\end\{\w+\}\s*[\])]?",
    re.DOTALL,
)
_CHOICE = re.compile(r"\\text\{\s*\(([A-J])\)\s*\}\s*(.+)", re.DOTALL)
_PLUS_MINUS = re.compile(r"\\(?:pm|mp)(?![A-Za-z])")
_BASE = re.compile(r"\d\w*_\{[^{}]*\}")  # 52_8 is an octal spelling; the algebra would read it as 52
_PROSE = re.compile(
    r"\\text\{|:|\\(?:equiv|pmod|bmod|to|mapsto|implies|sim|begin(?!\{[pbB]?matrix)|ldots)(?![A-Za-z])"
)
_COLON = re.compile(r"\d+\s*:\s*\d+")
_COMMAND = re.compile(r"\\(?:begin|end)\{[pbB]?matrix\}|\\[A-Za-z]+|_\{[^{}]*\}")
_NAME = re.compile(r"\\?[A-Za-z]+'*(?:_\{[^{}]*\})?(?:\^\{\\prime\})?(?:\([^()]*\))?")


@lru_cache(maxsize=8192)
def read(source: str) -> tuple[Answer, ...]:
    """The readings of a cleaned answer, most likely first: "1,234" is a number, and also a list of two.

    "\\text{(B)} 5" is the choice and its value.
    """
    choice = _CHOICE.fullmatch(source)
    if choice:
        return Answer("text", choice[1]), *read(choice[2])
    scalar = _number(source)
    if scalar is None:
        return (_structure(source),)
    listed = "," in source and not re.search(r",0\d", source)  # no list has the member 000 or 050
    return (scalar, _structure(source)) if listed else (scalar,)


def is_label(side: str, value: str) -> bool:
    """Whether `side = value` merely names the value, as `x`, `f(2)`, `AB`, `x^2 + y^2` do and `3x`, `-x`,
    `x^2` do not.
    """
    bare = re.sub(r"_\{[^{}]*\}|\^\{-1\}(?=\()", "", side)
    bare = re.sub(r"(?<=[A-Za-z])\s*\([^()]*\)", "", bare).strip("() ")
    names = set(re.findall(r"\\?[A-Za-z]+", bare)) - {r"\frac", r"\sqrt", r"\cdot", r"\times", "e", r"\pi"}
    changed = re.search(r"\d", bare) is not None or bare.startswith("-")
    return bool(names) and (not changed or (len(names) > 1 and value.strip() != "0"))


def _structure(source: str) -> Answer:
    source = source.strip()
    items = split_top(source, _AND)
    # "1,000 and 2,000" has two parts, "1, 2 and 3" three
    pieces = [
        p for item in items for p in ([item] if len(items) > 1 and _number(item) else split_top(item, _COMMA))
    ]
    if len(pieces) == 1:
        return _single(source)
    members = [member for piece in pieces if piece.strip() for member in _members(_single(piece.strip()))]
    return Answer("list", source, tuple(members))


def _members(answer: Answer) -> tuple[Answer, ...]:
    return answer.parts if answer.kind == "list" else (answer,)


def _single(source: str) -> Answer:
    """A part without commas of its own: the first reader that knows it."""
    for reader in (_number, _relation, _union, _bracketed, _matrix, _text, _plus_minus, _measured):
        answer = reader(source)
        if answer is not None:
            return answer
    return Answer("math", source)


def _number(source: str) -> Answer | None:
    """A plain number, with or without a unit: "27.0", "\\$18.00", "62.5%", "5.4 \\text{ cents}", "1,234"."""
    value, unit = split_unit(source)
    text = re.sub("[, ]", "", value) if _THOUSANDS.fullmatch(value) else value
    number = read_number(text)
    return None if number is None else Answer("number", value, number=number, unit=unit)


def _relation(source: str) -> Answer | None:
    sides = [side.strip() for side in split_top(source, _RELATION)]
    if len(sides) < 2 or not all(sides):
        return None
    operators = _operators(source)
    if operators == [r"\in"]:
        return _single(sides[1])
    if r"\approx" in operators and not _NAME.fullmatch(
        sides[0]
    ):  # "1/3 \approx 0.33": the exact value is the answer
        return _single(source[: re.search(r"\\approx(?![A-Za-z])", source).start()].strip())
    if all(operator in ("=", ":=", r"\approx") for operator in operators):
        return Answer("equation", source, tuple(_single(side) for side in sides))
    return _interval(source, sides, operators) or Answer("inequality", source)


def _operators(source: str) -> list[str]:
    found, at = [], 0
    for side in split_top(source, _RELATION)[:-1]:
        found.append(_RELATION.match(source, at + len(side)).group())
        at += len(side) + len(found[-1])
    return found


_FLIP = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}


def _interval(source: str, sides: list[str], operators: list[str]) -> Answer | None:
    """`x > 2`, `2 < x` and `-1 \\le x < 3` as intervals of x."""
    if any(operator not in _FLIP for operator in operators):
        return None
    if operators[0] in (">", r"\ge"):
        sides, operators = sides[::-1], [_FLIP[operator] for operator in operators[::-1]]
    if len(sides) == 2 and _NAME.fullmatch(sides[0]):
        sides, operators = [r"-\infty", *sides], ["<", *operators]
    elif len(sides) == 2:
        sides, operators = [*sides, r"\infty"], [*operators, "<"]
    if len(sides) != 3 or not set(operators) <= {"<", r"\le"} or not _NAME.fullmatch(sides[1]):
        return None
    brackets = ("(" if operators[0] == "<" else "[") + (")" if operators[1] == "<" else "]")
    return Answer("interval", source, (_single(sides[0]), _single(sides[2])), brackets, name=key(sides[1]))


def _union(source: str) -> Answer | None:
    pieces = split_top(source, _CUP)
    if len(pieces) == 1:
        return None
    return Answer("union", r"\cup ".join(pieces), tuple(_single(piece.strip()) for piece in pieces))


def _bracketed(source: str) -> Answer | None:
    match = _BRACKETED.fullmatch(source)
    if match is None or not _closes_at_end(match.group(2)):
        return None
    left, inside, right = match.groups()
    parts = [_single(part.strip()) for part in split_top(inside, _COMMA_OR_SEMICOLON)]
    if left == r"\{":
        builder = _SET_BUILDER.fullmatch(inside)
        members = tuple(member for part in parts for member in _members(part))
        return _structure(builder.group(1)) if builder else Answer("set", source, members)
    if len(parts) == 1:
        return parts[0] if (left, right) == ("(", ")") else None
    pair = ("(" if left == r"\langle" else left) + (")" if right == r"\rangle" else right)
    return _tuple(parts, pair)


def _closes_at_end(inside: str) -> bool:
    """Whether the outer bracket closes at the very end: `(a)(b)` is a product, not a bracketed answer."""
    depth = 0
    for char in _COMMAND.sub("", inside):
        depth += (char in "([{") - (char in ")]}")
        if depth < 0:
            return False
    return depth == 0


def _tuple(parts: list[Answer], pair: str) -> Answer | None:
    """A tuple; a part with \\pm stands for two tuples, so `(\\pm 3, 2)` is a list of two."""
    signed = [at for at, part in enumerate(parts) if part.kind == "list"]
    if len(signed) > 4:
        return None
    if signed:
        at = signed[0]
        rows = [_tuple([*parts[:at], one, *parts[at + 1 :]], pair) for one in parts[at].parts]
        return Answer("list", "", tuple(member for row in rows for member in _members(row)))
    inside = ",".join(part.source + (part.unit and rf"\text{{{part.unit}}}") for part in parts)
    return Answer("tuple", f"{pair[0]}{inside}{pair[1]}", tuple(parts), pair)


def _matrix(source: str) -> Answer | None:
    match = _MATRIX.fullmatch(source)
    if match is None or r"\begin" in match.group(1):
        return None
    rows = [row.split("&") for row in re.split(r"\\\\(?:\[[^\]]*\])?", match.group(1)) if row.strip()]
    parts = [
        Answer("tuple", "&".join(row), tuple(_single(clean(cell)) for cell in row), "()") for row in rows
    ]
    return Answer("matrix", source, tuple(parts)) if parts else None


def _text(source: str) -> Answer | None:
    """Words, a number in another base, a ratio, a time, a congruence: equal only if spelled the same."""
    whole = re.fullmatch(r"\\text\{([^{}]*)\}", source)
    if whole and re.search(r"\d", whole.group(1)):
        return _structure(clean(whole.group(1)))
    if whole or _BASE.fullmatch(source):
        return Answer("text", source)
    value, unit = split_unit(source)
    if _COLON.fullmatch(value):
        return Answer("text", value, number=_ratio(value), unit=unit)
    prose = (
        _PROSE.search(re.sub(r"_\{[^{}]*\}", "", value))
        or re.search("[A-Za-z]{4,}", _COMMAND.sub(" ", value))
        or (unit and split_unit(value)[1])
    )
    return Answer("text", source) if prose else None


def _ratio(source: str) -> Number | None:
    """The value of "3:4"; `None` for a time such as 9:05 or 12:00."""
    match = re.fullmatch(r"([1-9]\d*)\s*:\s*([1-9]\d*)", source)
    return match and read_number(f"{match[1]}/{match[2]}")


def _plus_minus(source: str) -> Answer | None:
    if not _PLUS_MINUS.search(source):
        return None
    both = [
        _PLUS_MINUS.sub(lambda m, s=s: s if m.group() == r"\pm" else "-+"[s == "-"], source) for s in "+-"
    ]
    return Answer("list", source, tuple(_single(part.strip().removeprefix("+").strip()) for part in both))


def _measured(source: str) -> Answer | None:
    value, unit = split_unit(source)
    return replace(_single(value), unit=unit) if unit else None
