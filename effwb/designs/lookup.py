"""Designs by name: those of `DESIGNS`, and those of a user's own module as "package.module:Class".

A design travels to other processes as its name and its parameters, never as a pickle.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from operator import attrgetter
from typing import Any

import numpy as np

from effwb.curves import Curve
from effwb.designs.base import Design
from effwb.errors import ConfigError, one_of

CURVE = (
    "curve"  # key under which a curve or frontier is written: {"curve": {"budgets": [..], "accuracy": [..]}}
)


def design_class(name: str, designs: Mapping[str, type[Design]]) -> type[Design]:
    """Return a class of designs by its name.

    Args:
        name: A name in `designs`, or "package.module:Class" of a module that can be imported.
        designs: The classes by name.

    Raises:
        ConfigError: There is no such name, module or class, or the class is no `Design`.
    """
    module_name, colon, class_name = name.partition(":")
    if not colon:
        one_of("design", name, designs)
        return designs[name]
    try:
        cls = attrgetter(class_name)(import_module(module_name))
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"design {name!r} cannot be imported ({error}); it must be 'package.module:Class' of a module on "
            "the Python path"
        ) from None
    if not (isinstance(cls, type) and issubclass(cls, Design)):
        raise ConfigError(f"design {name!r} is no subclass of effwb.designs.Design")
    return cls


def name_of(cls: type[Design], designs: Mapping[str, type[Design]]) -> str:
    """Return the name under which other processes find a class of designs; see `design_class`.

    Raises:
        ConfigError: Other processes cannot import the class.
    """
    path = f"{cls.__module__}:{cls.__qualname__}"
    if cls.__module__.startswith("effwb."):  # an entry that a notebook made is in no other process
        return next((name for name, known in designs.items() if known is cls), path)
    advice = (
        f"{cls.__name__} is defined in this notebook or script, where other processes cannot import it; put "
        f"it into a file, such as my_designs.py beside your notebook, and import it from there: "
        f"from my_designs import {cls.__name__}"
    )
    if cls.__module__ == "__main__" or "<locals>" in path:
        raise ConfigError(advice)
    if design_class(path, designs) is not cls:
        raise ConfigError(f"{path} is another class than this {cls.__name__} now; {advice}")
    return path


def as_plain(value: Any) -> Any:
    """Return a parameter of a design as JSON can hold it; `from_plain` reads it back.

    Raises:
        ConfigError: It is neither a number, a text, a list, a table nor a curve.
    """
    if isinstance(value, Curve):
        return {CURVE: {"budgets": value.budgets.tolist(), "accuracy": value.accuracy.tolist()}}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConfigError(
        f"the parameter {value!r} of a design cannot be sent to other processes: it must be a number, a "
        "text, a list, a table with text as keys, or a curve"
    )


def from_plain(value: Any) -> Any:
    """Return what `as_plain` was given; a tuple comes back as a list, an array too."""
    if isinstance(value, dict) and set(value) == {CURVE}:
        return Curve(**value[CURVE])
    return {key: from_plain(item) for key, item in value.items()} if isinstance(value, dict) else value
