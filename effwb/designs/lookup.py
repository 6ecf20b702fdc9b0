"""Designs by name: those of `DESIGNS`, and a user's own by NAME or as "package.module:Class".

A design travels to other processes as its name and its parameters, never as a pickle.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from effwb._internal.paths import work_root
from effwb.curves import Curve
from effwb.designs.base import Design
from effwb.designs.decorator import OWN, how_to_subclass, is_design
from effwb.errors import ConfigError, one_of

OTHER_PROCESSES = (
    "A design of your own goes by its NAME once its cell has run; other processes, such as those of a sweep, "
    "find it as 'module:Class'"
)
CURVE = (
    "curve"  # key under which a curve or frontier is written: {"curve": {"budgets": [..], "accuracy": [..]}}
)


def design_class(name: str, designs: Mapping[str, type[Design]]) -> type[Design]:
    """Return a class of designs by its name.

    Args:
        name: A name in `designs`, the NAME of a class under `@design` in this process, or
            "package.module:Class". The module is looked for on the Python path, in the working directory,
            in the project one works in (`work_root`) and in its notebooks/.
        designs: The classes by name.

    Raises:
        ConfigError: There is no such name, module or class, or the class is no `Design`.
    """
    module_name, colon, class_name = name.partition(":")
    if not colon:
        if name in OWN:
            return OWN[name]
        try:
            one_of("design", name, designs)
        except ConfigError as error:
            raise ConfigError(f"{error} {OTHER_PROCESSES}") from None
        return designs[name]
    sys.path += [folder for folder in _folders() if folder not in sys.path]
    try:
        cls = attrgetter(class_name)(import_module(module_name))
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"design {name!r} cannot be imported ({error}); it must be 'package.module:Class' of a module on "
            f"the Python path or in one of these folders: {', '.join(_folders())}"
        ) from None
    if not is_design(cls):
        raise ConfigError(
            f"design {name!r} is no subclass of effwb.designs.Design; {how_to_subclass(class_name)}"
        )
    return cls


def _folders() -> list[str]:
    """Where modules of designs are looked for besides the Python path, which lacks them in a command."""
    root = work_root()
    return [str(folder) for folder in dict.fromkeys((Path.cwd(), root, root / "notebooks"))]


def short_name(value: Any, designs: Mapping[str, type[Design]]) -> str | Design:
    """Return the name of a class of designs in this process; a name or a `Design` is returned as it is.

    Args:
        value: A name, a `Design`, or a class of designs.
        designs: The classes by name.

    Raises:
        ConfigError: The class is no design, lacks the decorator `@design`, or was replaced by another one
            with its NAME.
    """
    cls: Any = value
    if not isinstance(value, type):
        cls = type(value)
    if cls.__module__ == "builtins" or isinstance(value, Design):
        return value
    if not is_design(cls):
        raise ConfigError(
            f"{cls.__name__} is a plain class, no subclass of Design; {how_to_subclass(cls.__name__)}"
        )
    name = cls.NAME
    if OWN.get(name, designs.get(name)) is not cls:
        raise ConfigError(
            f"the design {name!r} is another class than this {cls.__name__}; put `@design` above the "
            "class and give it a NAME of its own, or use its latest version"
        )
    return name


def check_travels(name: str, designs: Mapping[str, type[Design]]) -> None:
    """Refuse a name under which only this process finds a design.

    Raises:
        ConfigError: Other processes do not know the name; the message says what to write instead.
    """
    cls = design_class(name, designs)
    if ":" not in name and not cls.__module__.startswith("effwb."):
        path = name_of(cls, designs)  # raises for the class of a notebook's cell
        raise ConfigError(f"only this process knows design {name!r} by its short name; write design={path!r}")


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
        f"from my_designs import {cls.__name__}; commands and sweeps know it as 'my_designs:{cls.__name__}'"
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
