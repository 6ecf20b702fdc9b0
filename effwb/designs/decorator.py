"""The decorator `@design`: makes a class a frozen dataclass, and a user's own class known by its NAME."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import sys
from typing import Any, TypeVar, dataclass_transform

from effwb.designs.source import remember_source
from effwb.errors import ConfigError, one_of

T = TypeVar("T")
OWN: dict[str, type] = {}  # designs that were written outside effwb, by NAME; the latest class of a name
EFFWB_NAMES: set[str] = set()  # of the designs of effwb; `effwb.designs` fills it


@dataclass_transform(kw_only_default=True, frozen_default=True)
def design(cls: type[T]) -> type[T]:
    """Class decorator for designs: a frozen dataclass with keyword parameters that refuses unknown names.

    A class that is written outside effwb is then found by its NAME in this process. A class with the same
    NAME, as from a cell that is run again, takes its place.

    Args:
        cls: A subclass of `Design` whose annotated attributes are its parameters.

    Returns:
        The class as a dataclass. Its constructor raises ConfigError for positional arguments and for
        parameters that the design does not have.

    Raises:
        ConfigError: The class is no subclass of `Design`, or its NAME is one of effwb's.
    """
    is_own = not cls.__module__.startswith("effwb.")
    if is_own:
        _check_class(cls)
        _name(cls)
    built: Any = dataclasses.dataclass(frozen=True, kw_only=True, eq=False)(cls)
    dataclass_init = built.__init__
    legal = [f.name for f in dataclasses.fields(built)]

    @functools.wraps(dataclass_init)  # keeps the signature, so Jupyter completes the parameters
    def __init__(self, *args, **params):
        _refuse_undecorated(type(self), legal)
        if args:
            raise ConfigError(f"{built.NAME} takes keyword arguments only ({', '.join(legal)}), got {args!r}")
        for name in params:
            one_of(f"parameter of {built.NAME}", name, legal)
        dataclass_init(self, **params)

    built.__init__ = __init__
    if is_own:
        caller = sys._getframe(1)  # the class statement
        remember_source(built, caller.f_code.co_filename, caller.f_lineno)
        OWN[built.NAME] = built
    return built


def is_design(cls: Any) -> bool:
    """Whether something is a subclass of `Design`."""
    return isinstance(cls, type) and any(c.__module__ == "effwb.designs.base" for c in cls.__mro__)


def how_to_subclass(name: str) -> str:
    """What to write so that a class becomes a design.

    Args:
        name: The name of the class.
    """
    return (
        f"write `from effwb.designs import Design, design`, put `@design` above `class {name}(Design):`, and "
        "give it a method `components(self, group)` that returns the named parts of the reward"
    )


def _check_class(cls: type) -> None:
    if not is_design(cls):
        raise ConfigError(
            f"{cls.__name__} is a plain class, no subclass of Design; {how_to_subclass(cls.__name__)}"
        )


def _name(cls: Any) -> None:
    """Give a class its NAME if it has none of its own, and refuse a name that cannot be its."""
    if "NAME" not in vars(cls):
        cls.NAME = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
    if not re.fullmatch(r"[\w.-]+", cls.NAME):
        raise ConfigError(
            f"{cls.__name__}: NAME={cls.NAME!r} must consist of letters, digits, '_', '-' and '.'"
        )
    if cls.NAME in EFFWB_NAMES:
        raise ConfigError(
            f"{cls.__name__}: NAME={cls.NAME!r} is that of a design of effwb; write another one into the "
            f'class, such as NAME = "my_{cls.NAME}"'
        )


def _refuse_undecorated(cls: type, legal: list[str]) -> None:
    """Refuse a subclass that declares parameters but has no `@design`: they would not be parameters."""
    declared = [n for n, kind in inspect.get_annotations(cls).items() if "ClassVar" not in str(kind)]
    if missing := [name for name in declared if name not in legal]:
        raise ConfigError(
            f"{cls.__name__} declares {', '.join(missing)}, but lacks the decorator that makes parameters of "
            f"it; put `@design` above `class {cls.__name__}`"
        )
