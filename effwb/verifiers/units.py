"""Units after (or, for money, before) a value. A missing unit is forgiven, a different one is not."""

import re
from functools import lru_cache

_SYMBOLS = (
    "mm|cm|km|kg|mg|ft|in|lb|oz|ml|mL|Hz|kHz|eV|keV|MeV|GeV|erg|mph|m/s|km/h|cm/s|AU|pc|kpc|Mpc"
    "|sec|min|hrs?|nm|mol|dollars?"
)
_POWER = r"(?P<power>(?:\^\{-?\d\})?)"
_FORMS = [
    (
        "degree",
        re.compile(
            r"(?P<value>(?!.*\\(?:sin|cos|tan|cot)).*?)\s*\^\\circ\s*(?:\\text\{\s*)?(?P<unit>[CF]?)\}?"
        ),
    ),
    ("dollar", re.compile(r"(?P<value>-?)\\\$\s*(?P<rest>.*)")),
    ("", re.compile(r"(?P<value>.*?)\s*(?P<unit>%)")),
    ("", re.compile(rf"(?P<value>.*?[^\s,(])\s*\\text\{{(?P<unit>[^{{}}]*)\}}{_POWER}")),
    ("", re.compile(rf"(?P<value>.*?[\d}})])\s*(?P<unit>{_SYMBOLS}){_POWER}")),
    ("", re.compile(rf"(?P<value>.*?[\d}})])\s+(?P<unit>[A-Za-z]{{3,}}(?: [A-Za-z]+)*){_POWER}")),
]
_SAME = {
    "centimeter": "cm", "centimetre": "cm", "millimeter": "mm", "meter": "m", "metre": "m", "kilometer": "km",
    "kilometre": "km", "inche": "inch", "in": "inch", "foot": "ft", "feet": "ft", "second": "s", "sec": "s",
    "minute": "min", "hour": "h", "hr": "h", "gram": "g", "kilogram": "kg", "percent": "%", "deg": "degree",
    "usd": "dollar", "unit": "", "per": "/", "a.m": "am", "p.m": "pm",
}  # fmt: skip


@lru_cache(maxsize=4096)
def split_unit(source: str) -> tuple[str, str]:
    """A cleaned answer as (value, unit), unit "" if there is none; money is "dollar", angles are "degree"."""
    source = source.strip()
    for name, form in _FORMS:
        match = form.fullmatch(source)
        if match is None:
            continue
        found = match.groupdict(default="")
        value = (found["value"] + found.get("rest", "")).strip()
        if value:
            return value, name + _normal(found.get("unit", "")) + found.get("power", "")
    return source, ""


def same_unit(one: str, other: str) -> bool:
    """Units agree when they are the same or one of them was left out."""
    return one == other or not one or not other


def _normal(words: str) -> str:
    words = words.replace("~", " ").replace("/", " / ").lower()
    power = "^{2}" if re.search(r"\bsq(uare)?\b", words) else "^{3}" if "cubic" in words else ""
    names = [word.rstrip(".") for word in words.split() if word.rstrip(".") not in ("square", "sq", "cubic")]
    singular = [name.removesuffix("s") or name for name in names]
    return "".join(_SAME.get(name, name) for name in singular) + power
