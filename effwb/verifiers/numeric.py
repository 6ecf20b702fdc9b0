r"""Part of step 3: plain numbers as exact fractions, so that no floating-point number ever decides a verdict.

    "27.0"  = "27"       "\frac{6}{8}" = "3/4" = "0.75"       "1 1/2" = "1.5"       "3 \times 10^{2}" = "300"

A decimal that was rounded or cut stands for its fraction from six significant digits on: 0.333333 is 1/3,
0.333334 and 0.33 are not.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

MIN_DIGITS = 6  # significant digits from which a decimal may stand for a number without a finite decimal
_MAX_EXPONENT = 2000  # 10**exponent is built as an exact integer; larger ones go to the worker process

_N = r"(?:\d+\.?\d*|\.\d+)"
_SIGN = r"(?P<sign>[+-]?)"
_FORMS = [  # the named groups are the parts that `_build` puts together
    # -5   3.14   3e5   2.5\times 10^{3}
    re.compile(rf"{_SIGN}(?P<a>{_N})(?:(?:[eE]|(?:\\times|\\cdot)10\^)\{{?(?P<exp>[+-]?\d{{1,5}})\}}?)?"),
    # 10^{-3}
    re.compile(rf"{_SIGN}10\^\{{(?P<exp>[+-]?\d{{1,5}})\}}"),
    # 3/4   1/-2
    re.compile(rf"{_SIGN}(?P<a>{_N})/(?P<bsign>[+-]?)(?P<b>{_N})"),
    # \frac{3}{4}
    re.compile(rf"{_SIGN}\\frac\{{(?P<asign>[+-]?)(?P<a>{_N})\}}\{{(?P<bsign>[+-]?)(?P<b>{_N})\}}"),
    # 1\frac{1}{2}   1 1/2
    re.compile(rf"{_SIGN}(?P<whole>\d+)\\frac\{{(?P<a>\d+)\}}\{{(?P<b>\d+)\}}"),
    re.compile(rf"{_SIGN}(?P<whole>\d+)\s+(?P<a>\d+)/(?P<b>\d+)"),
    # 0.1\overline{6}
    re.compile(rf"{_SIGN}(?P<a>\d*\.\d*)\\(?:overline|bar)\{{(?P<repeat>\d+)\}}"),
]


@dataclass(frozen=True)
class Number:
    """An exact number, and how precisely it was written.

    Attributes:
        value: the exact value.
        ulp: the unit in the last place of a decimal (1/100 for 3.14); `None` for integers and fractions.
        digits: the significant digits of a decimal; 0 for integers and fractions.
    """

    value: Fraction
    ulp: Fraction | None = None
    digits: int = 0

    def same(self, other: "Number") -> bool:
        """Whether both are exactly equal, or one is a decimal that stands for the other."""
        return self.value == other.value or self.stands_for(other.value) or other.stands_for(self.value)

    def times(self, power_of_ten: Fraction) -> "Number":
        """Multiply by a power of ten; the number of significant digits does not change."""
        return Number(self.value * power_of_ten, self.ulp and self.ulp * power_of_ten, self.digits)

    def stands_for(self, value: Fraction) -> bool:
        """Whether this decimal approximates a `value` that has no finite decimal (1/3 has none, 1/4 has)."""
        denominator = value.denominator
        for prime in (2, 5):
            while denominator % prime == 0:
                denominator //= prime
        return denominator != 1 and self.approximates(value)

    def approximates(self, value: Fraction) -> bool:
        """Whether this decimal has at least `MIN_DIGITS` digits and is `value` rounded or cut."""
        if self.ulp is None or self.digits < MIN_DIGITS:
            return False
        excess = value - self.value if self.value > 0 else self.value - value
        return -self.ulp / 2 <= excess < self.ulp


def read_number(text: str) -> Number | None:
    r"""Read one plain number.

    Args:
        text: LaTeX from `latex.clean`, without a unit.

    Returns:
        The number, or `None` if `text` is anything else.

    Example:
        >>> read_number(r"1\frac{1}{2}").value
        Fraction(3, 2)
    """
    text = re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", text)  # "1 2" is not 12; "1 1/2" is a mixed number
    for form in _FORMS:
        match = form.fullmatch(text)
        if match:
            return _build({k: v for k, v in match.groupdict().items() if v is not None})
    return None


def _build(part: dict[str, str]) -> Number | None:
    """The number from the named groups of one of `_FORMS`."""
    exponent = int(part.get("exp", 0))
    denominator = Fraction(part.get("b", 1))
    proper = "whole" not in part or Fraction(part["a"]) < denominator
    if abs(exponent) > _MAX_EXPONENT or denominator == 0 or not proper or part.get("a") == ".":
        return None
    scale = Fraction(10) ** exponent
    mantissa = part.get("a", "1")
    places = len(mantissa.partition(".")[2])
    value = (Fraction(mantissa) / denominator + int(part.get("whole", 0))) * scale
    if "repeat" in part:
        value += Fraction(int(part["repeat"]), (10 ** len(part["repeat"]) - 1) * 10**places)
    if sum(part.get(sign) == "-" for sign in ("sign", "asign", "bsign")) % 2:
        value = -value
    if "b" in part or "repeat" in part or not ("." in part.get("a", "") or "exp" in part):
        return Number(value)
    return Number(value, scale / 10**places, len(mantissa.replace(".", "").lstrip("0")))
