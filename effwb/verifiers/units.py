r"""Part of step 3: the unit after a value (or, for money, before it).

A missing unit is forgiven, a different one is not:

    "4 \text{ cm}" = "4"         "\$18" = "18 \text{ dollars}"         "4 \text{ m}" is not "4 \text{ cm}"

Nouns count as units: "10 hens" is not "10 ducks". No list of measures is complete, and a pair of counts
("10 hens and 9 ducks") must not match with the nouns exchanged. The price is that "5 ways" and "5
arrangements" differ.
"""

import re
from functools import lru_cache

_SYMBOLS = (
    "mm|cm|km|kg|mg|ft|in|lb|oz|ml|mL|Hz|kHz|eV|keV|MeV|GeV|erg|mph|m/s|km/h|cm/s|AU|pc|kpc|Mpc"
    "|sec|min|hrs?|nm|mol|dollars?|cents?|seconds?|minutes?|hours?|days?|weeks?|months?|years?|degrees?"
    "|meters?|miles?|feet|inch(?:es)?|units?|pct|percent"
)
_POWER = r"(?P<power>(?:\^\{-?\d\})?)"
_FORMS = [  # (prefix of the unit, pattern), tried in this order
    (  # 30^\circ   20^\circ C, but not \sin 30^\circ
        "degree",
        re.compile(
            r"(?P<value>(?!.*\\(?:sin|cos|tan|cot)).*?)\s*\^\\circ\s*(?:\\text\{\s*)?(?P<unit>[CF]?)\}?"
        ),
    ),
    # \$18.00
    ("dollar", re.compile(r"(?P<value>-?)\\\$\s*(?P<rest>.*)")),
    # 62.5%
    ("", re.compile(r"(?P<value>.*?)\s*(?P<unit>%)")),
    # 5 \text{ square cm}   5 \text{cm}^{2}
    ("", re.compile(rf"(?P<value>.*?[^\s,(])\s*\\text\{{(?P<unit>[^{{}}]*)\}}{_POWER}")),
    # 5 cm^{2}   5cm
    ("", re.compile(rf"(?P<value>.*?[\d}})])\s*(?P<unit>{_SYMBOLS}){_POWER}")),
    # 10 hens
    ("", re.compile(rf"(?P<value>.*?[\d}})])\s+(?P<unit>[A-Za-z]{{3,}}(?: [A-Za-z]+)*){_POWER}")),
]
_SYNONYMS = {  # after the plural "s" was cut off, hence "inche"
    "centimeter": "cm", "centimetre": "cm", "millimeter": "mm", "meter": "m", "metre": "m", "kilometer": "km",
    "kilometre": "km", "inche": "inch", "in": "inch", "foot": "ft", "feet": "ft", "second": "s", "sec": "s",
    "minute": "min", "hour": "h", "hr": "h", "gram": "g", "kilogram": "kg", "percent": "%", "pct": "%",
    "percentage": "%", "/cent": "%", "deg": "degree",
    "usd": "dollar", "unit": "", "per": "/", "a.m": "am", "p.m": "pm",
}  # fmt: skip
_JOINED = re.compile(r"\b(?:and|or|nor|not|but|except|unless)\b")  # "5 \text{ or anything}" has no unit


@lru_cache(maxsize=4096)
def split_unit(source: str) -> tuple[str, str]:
    r"""Split an answer into its value and its unit.

    Args:
        source: LaTeX from `latex.clean`.

    Returns:
        (value, unit). The unit is in one spelling ("cm^{2}" for square centimetres, "dollar" for money,
        "degree" for angles), and "" if there is none.

    Example:
        >>> split_unit(r"5 \text{ meters per second}")
        ('5', 'm/s')
    """
    source = source.strip()
    for prefix, form in _FORMS:
        match = form.fullmatch(source)
        if match is None:
            continue
        groups = match.groupdict(default="")
        value = (groups["value"] + groups.get("rest", "")).strip()
        if value and not _JOINED.search(groups.get("unit", "")):
            return value, prefix + _one_spelling(groups.get("unit", "")) + groups.get("power", "")
    return source, ""


def same_unit(unit: str, other: str) -> bool:
    """Whether two units are the same, or one of them was left out."""
    return unit == other or not unit or not other


def _one_spelling(unit: str) -> str:
    """Short, singular, powers as exponents: "square meters" is "m^{2}"."""
    unit = unit.replace("~", " ").replace("/", " / ").lower()
    power = "^{2}" if re.search(r"\bsq(uare)?\b", unit) else "^{3}" if "cubic" in unit else ""
    words = [word.rstrip(".") for word in unit.split() if word.rstrip(".") not in ("square", "sq", "cubic")]
    singular = [word.removesuffix("s") or word for word in words]
    name = "".join(_SYNONYMS.get(word, word) for word in singular)
    return _SYNONYMS.get(name, name) + power
