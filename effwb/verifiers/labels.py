r"""Part of step 4: does the left side of an equation only name the value on its right?

f(2) = 5        AB = 5         (x, y) = (1, 2)      the right side alone says the same
2x + z = 1      xy = 12        3x = 5               it does not
"""

import re

_FUNCTIONS = "sin|cos|tan|cot|sec|csc|ln|log|det|dim|deg|max|min|sup|arg|gcd|lcm|Pr|Re|Im|ker|rank|tr"
_MARKS = "angle|triangle|Delta|square|measuredangle"
_ACCENTS = "overline|underline|overrightarrow|overset|vec|hat|widehat|bar|tilde|dot|mathcal|mathbb|mathscr"
_SEGMENT = "[A-Z]+'*"  # AB, or one capital: a length, an area, a volume
_TEXT = r"\\text\{[^{}\d=]*[A-Za-z][^{}\d=]*\}"
_NAME = rf"(?:{_SEGMENT}|(?:d ?)?[A-Za-z]'*|\\[A-Za-z]+'*|[A-Za-z]{{4,}}|{_TEXT})"
_RATIOS = [  # of two lengths or areas, or of two differentials
    rf"{_SEGMENT}\s*[/:]\s*{_SEGMENT}",
    rf"\\frac\{{{_SEGMENT}\}}\{{{_SEGMENT}\}}",
    r"\\frac\{(?:d|\\partial )\s*\\?[A-Za-z]*\}\{(?:d|\\partial )\s*\\?[A-Za-z]+\}",
    r"d[A-Za-z]/d[A-Za-z]",
]
_TUPLE = rf"\(\s*{_NAME}(?:\s*,\s*{_NAME})+\s*\)"
_WORDS = r"[A-Za-z]+(?:[ -][A-Za-z]+)*"
_LABEL = re.compile("|".join((_NAME, *_RATIOS, _TUPLE)))
_PHRASE = re.compile(rf"(?=.*[A-Za-z]{{4}}){_WORDS}")
_ARRAYS = r"\\(?:begin|end)\{\w+\}(?:\{[lcr| ]+\})?"
_OPERATORS = "frac|sqrt|binom|cdot|times|bullet|div|pi|circ"
_OPERATIONS = re.compile(rf"{_ARRAYS}|\\(?:{_FUNCTIONS}|{_OPERATORS})(?![A-Za-z])")
_VARIABLE = re.compile(r"[A-Za-z]|\\[A-Za-z]+")
_CONSTANTS = {"e", r"\pi", r"\infty"}
_DROPPED = [  # what may stand around a name, in this order
    (re.compile(r"_\{[^{}]*\}"), ""),
    (re.compile(r"\^\{-1\}(?=\()|(?<=[A-Z])\^\{(?:-1|T)\}|\^\\ast(?![A-Za-z])|\^\{\(\d\)\}"), ""),
    (re.compile(r"(?<=[A-Za-z'])\s*\([^()]*\)"), ""),
    (re.compile(r"(?<=[A-Za-z'])\s*\([^()]*\)"), ""),  # f(g(2))
    (re.compile(rf"\\(?:{_ACCENTS})\s*\{{([^{{}}]*)\}}"), r"\1"),
    (re.compile(rf"(?:\bm\s*)?\\(?:{_MARKS})(?![A-Za-z])\s*(?=\S)"), ""),
    (re.compile(rf"\\(?:{_FUNCTIONS})(?![A-Za-z])\s*(?=\S)"), ""),
    (re.compile(r"\|([A-Z]+)\|"), r"\1"),
]


def is_label(side: str, value: str) -> bool:
    r"""Whether `side = value` only gives the value a name, so that the value alone is the same answer.

    True for one name such as `x`, `f(2)`, `AB` or `\text{area}`, for a tuple of names, and for a ratio of two
    lengths. False where two names or a number are put together: `2x + z`, `xy`, `3x`, `-x`; such an equation
    says more than its right side. False for `x = y` too: it is a line.

    Args:
        side: LaTeX of the left side.
        value: LaTeX of the right side.
    """
    name = side.strip()
    for pattern, replacement in _DROPPED:
        name = pattern.sub(replacement, name)
    name = name.strip()
    if name in _CONSTANTS or not (_LABEL.fullmatch(name) or _PHRASE.fullmatch(name)):
        return False
    return not (_VARIABLE.fullmatch(side.strip()) and _VARIABLE.fullmatch(value.strip()))


def is_computation(side: str) -> bool:
    r"""Whether a side of an equation has numbers and no names, such as `\log_2 8` or a product of matrices.

    Args:
        side: LaTeX of the side.
    """
    rest = _OPERATIONS.sub("", side)
    return re.search(r"\d", rest) is not None and re.search(r"[A-Za-z]", rest) is None


def is_named_quantity(side: str, value: str) -> bool:
    r"""Whether an answer `side = value` says which quantity it gives the value of, such as `x^2 + y^2 = 25`.

    A model may write so; it commits to the value. A gold that looks like this may be a curve, and its right
    side alone would be a reward for nothing.

    Args:
        side: LaTeX of the left side: names without numbers, exponents apart.
        value: LaTeX of the right side; 0 is no value, because `x + y = 0` is a line.
    """
    bare = re.sub(r"_\{[^{}]*\}", "", side)
    powers = re.search(r"\^\{\d+\}", bare) is not None
    bare = re.sub(r"\^\{-?\d+\}|(?<=[A-Za-z])\s*\([^()]*\)", "", bare).strip("() ")
    names = set(re.findall(r"\\?[A-Za-z]+", bare)) - {r"\frac", r"\sqrt", r"\cdot", r"\times", *_CONSTANTS}
    if not names or bare.startswith("-") or re.search(r"\d", bare) or value.strip() == "0":
        return False
    return len(names) > 1 or not powers
