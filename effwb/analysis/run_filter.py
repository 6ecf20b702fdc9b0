"""Choose runs by words of their names and by their settings: "lead seed=0,1 alpha>0.1"."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from effwb.errors import ConfigError, one_of

CONDITION = re.compile(r"([A-Za-z_][\w.]*)(!=|<=|>=|=|<|>)(.+)")
SPACED = re.compile(r"\s*(!=|<=|>=|=|<|>)\s*")
WORD = re.compile(r"[\w.,:/@+=-]*\w[\w.,:/@+=-]*")
ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
EXAMPLE = "lead seed=0,1 alpha>0.1"


class Condition(NamedTuple):
    """A setting, how it is compared, and the values it is compared with."""

    setting: str
    comparison: str
    values: list[str]

    def holds(self, settings: Mapping[str, Any]) -> bool:
        """Whether a run with these settings meets the condition; one without the setting does not."""
        if self.setting not in settings:
            return False
        value = settings[self.setting]
        if self.comparison in ORDERS:
            number = _number(value)
            limit = _number(self.values[0])
            return number is not None and limit is not None and ORDERS[self.comparison](number, limit)
        return any(_equal(value, text) for text in self.values) == (self.comparison == "=")


def matching_runs(text: str, names: Iterable[str], settings: Callable[[str], Mapping[str, Any]]) -> list[str]:
    """Return the runs that a filter describes.

    Args:
        text: Words of a run's name, and conditions on its settings such as `design=lead`, `seed=0,1` (one of
            them), `alpha>0.1` or `engine!=vllm`, with spaces between them. All must hold; "" holds for all.
        names: The names of the runs.
        settings: The settings of a run by its name (`run_root.settings_of`); read only where there is a
            condition.

    Raises:
        ConfigError: A part is neither a word nor a condition, or no run has the setting.

    >>> runs = {"kimi-seed0": {"seed": 0}, "kimi-seed1": {"seed": 1}}
    >>> matching_runs("kimi seed>0", runs, runs.__getitem__)
    ['kimi-seed1']
    """
    names = list(names)
    words, conditions = [], []
    for part in SPACED.sub(r"\1", text).split():
        condition = CONDITION.fullmatch(part)
        if any(part in name for name in names) and not condition:
            words.append(part)
        elif condition:
            conditions.append(part)
        elif WORD.fullmatch(part) and not any(sign in part for sign in "=<>"):
            words.append(part)
        else:
            raise ConfigError(
                f"filter {text!r}: {part!r} is neither a word of a run's name nor a condition on a setting; "
                f"write, for example, {EXAMPLE!r}"
            )
    if not conditions:
        return [name for name in names if all(word in name for word in words)]
    known = {name: settings(name) for name in names}
    tests = [_test(part, known) for part in conditions]
    return [
        name
        for name in names
        if all(word in name for word in words) and all(test(name, known[name]) for test in tests)
    ]


def _test(part: str, known: Mapping[str, Mapping[str, Any]]) -> Callable[[str, Mapping[str, Any]], bool]:
    """Whether a run meets a condition; a part of a name that looks like one, as "x_weight=0.5", is a word."""
    match = CONDITION.fullmatch(part)
    assert match is not None
    setting, comparison, value = match.groups()
    legal = {key for settings in known.values() for key in settings}
    if setting not in legal and any(part in name for name in known):
        return lambda name, _settings: part in name
    if setting not in legal:
        one_of("setting", setting, sorted(key for key in legal if "." not in key))
    if comparison in ORDERS and _number(value) is None:
        raise ConfigError(f"filter {part!r}: {comparison} compares numbers, and {value!r} is none")
    condition = Condition(setting, comparison, value.split(","))
    return lambda _name, settings: condition.holds(settings)


def _number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _equal(value: object, text: str) -> bool:
    number, other = _number(value), _number(text)
    if number is not None and other is not None and not isinstance(value, bool):
        return number == other
    return str(value).lower() == text.lower()
