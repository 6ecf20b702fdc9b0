"""Plain numbers as exact fractions: integers, decimals, a/b, mixed numbers, scientific notation."""

import re
from dataclasses import dataclass
from fractions import Fraction

MIN_DIGITS = 6  # a decimal stands for a number without a finite decimal from this many significant digits on
_MAX_EXPONENT = 2000  # 10**exponent is built as an exact integer; larger ones go to the worker process

_N = r"(?:\d+\.?\d*|\.\d+)"
_SIGN = r"(?P<sign>[+-]?)"
_FORMS = [
    re.compile(rf"{_SIGN}(?P<a>{_N})(?:(?:[eE]|(?:\\times|\\cdot)10\^)\{{?(?P<exp>[+-]?\d{{1,5}})\}}?)?"),
    re.compile(rf"{_SIGN}10\^\{{(?P<exp>[+-]?\d{{1,5}})\}}"),
    re.compile(rf"{_SIGN}(?P<a>{_N})/(?P<bsign>[+-]?)(?P<b>{_N})"),
    re.compile(rf"{_SIGN}\\frac\{{(?P<asign>[+-]?)(?P<a>{_N})\}}\{{(?P<bsign>[+-]?)(?P<b>{_N})\}}"),
    re.compile(rf"{_SIGN}(?P<whole>\d+)\\frac\{{(?P<a>\d+)\}}\{{(?P<b>\d+)\}}"),
    re.compile(rf"{_SIGN}(?P<whole>\d+)\s+(?P<a>\d+)/(?P<b>\d+)"),
    re.compile(rf"{_SIGN}(?P<a>\d*\.\d*)\\(?:overline|bar)\{{(?P<repeat>\d+)\}}"),
]


@dataclass(frozen=True)
class Number:
    """An exact value; `ulp` is the unit in the last place of a decimal, `None` for integers and fractions."""

    value: Fraction
    ulp: Fraction | None = None
    digits: int = 0

    def same(self, other: "Number") -> bool:
        """Exactly equal, or one is the decimal of the other, right in all of at least `MIN_DIGITS` digits."""
        return self.value == other.value or self.stands_for(other.value) or other.stands_for(self.value)

    def times(self, factor: Fraction) -> "Number":
        """The number moved by a power of ten; its digits stay as they are."""
        return Number(self.value * factor, self.ulp and self.ulp * factor, self.digits)

    def stands_for(self, value: Fraction) -> bool:
        """Whether this decimal is `value` rounded or cut, for a `value` without a finite decimal (1/3, not
        1/4).
        """
        return self.approximates(value) and not _is_finite_decimal(value)

    def approximates(self, value: Fraction) -> bool:
        """Whether this decimal has enough digits and is `value` rounded or cut: 0.333334 is not 1/3."""
        if self.ulp is None or self.digits < MIN_DIGITS:
            return False
        above = value - self.value if self.value > 0 else self.value - value
        return -self.ulp / 2 <= above < self.ulp


def read_number(text: str) -> Number | None:
    """The number written in `text` (cleaned LaTeX), or `None` if it is anything but one plain number."""
    text = re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", text)  # "1 2" is not 12; "1 1/2" is a mixed number
    for form in _FORMS:
        match = form.fullmatch(text)
        if match:
            return _build({k: v for k, v in match.groupdict().items() if v is not None})
    return None


def _build(part: dict[str, str]) -> Number | None:
    exponent = int(part.get("exp", 0))
    below = Fraction(part.get("b", 1))
    proper = "whole" not in part or Fraction(part["a"]) < below
    if abs(exponent) > _MAX_EXPONENT or below == 0 or not proper or part.get("a") == ".":
        return None
    scale = Fraction(10) ** exponent
    value = (Fraction(part.get("a", 1)) / below + int(part.get("whole", 0))) * scale
    if "repeat" in part:
        value += _repeating(part)
    minus = sum(part.get(sign) == "-" for sign in ("sign", "asign", "bsign"))
    value = -value if minus % 2 else value
    return Number(value, *_precision(part, scale)) if _is_decimal(part) else Number(value)


def _is_decimal(part: dict[str, str]) -> bool:
    return "b" not in part and "repeat" not in part and ("." in part.get("a", "") or "exp" in part)


def _precision(part: dict[str, str], scale: Fraction) -> tuple[Fraction, int]:
    mantissa = part.get("a", "1")
    places = len(mantissa.partition(".")[2])
    return scale / 10**places, len(mantissa.replace(".", "").lstrip("0"))


def _repeating(part: dict[str, str]) -> Fraction:
    places = len(part["a"].partition(".")[2])
    return Fraction(int(part["repeat"]), (10 ** len(part["repeat"]) - 1) * 10**places)


def _is_finite_decimal(value: Fraction) -> bool:
    below = value.denominator
    for prime in (2, 5):
        while below % prime == 0:
            below //= prime
    return below == 1
