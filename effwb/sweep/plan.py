"""What a sweep is asked for: axes and fixed values, checked against the notebook before anything runs."""

import ast
import itertools
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import ClassVar

from effwb.errors import ConfigError, one_of
from effwb.runs import digest

SPEC = ("notebook", "axes", "out", "fixed", "jobs", "gpus", "ray", "retry")  # of a sweep in YAML
UNKNOWN = object()  # the default is not a literal, so nothing is known of its type
LONGEST = 180  # characters of a directory's name; file systems take 255 bytes
SCALARS = (  # tag, pattern, first characters
    ("bool", "true|True|false|False", list("tTfF")),
    ("null", "null|None|~|", ["n", "N", "~", ""]),
    ("int", "[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?", list("-+.0123456789")),
)


def plan(declared: Mapping, axes: Mapping, fixed: Mapping | None = None) -> dict[str, dict]:
    """The parameters of every point by its directory's name, the first axis slowest.

    `declared` is what `declared_in` says of the notebook. `ConfigError` names the legal parameters where one
    is unknown, and the axis where a value has another type than the default or occurs twice.
    """
    fixed = dict(fixed or {})
    if not axes:
        raise ConfigError("a sweep needs at least one axis; for a single run use papermill")
    for name, values in axes.items():
        if not isinstance(values, list | tuple | range):
            raise ConfigError(f"axis {name!r} must be a list, got {values!r}. Did you mean [{values!r}]?")
        if not values:
            raise ConfigError(f"axis {name!r} has no values")
        if name in fixed:
            raise ConfigError(f"{name!r} is an axis and fixed to {fixed[name]!r}; leave one of them out")
    for name, value in [*((n, v) for n, values in axes.items() for v in values), *fixed.items()]:
        one_of("notebook parameter", name, declared)
        _check_value(name, value, declared[name])
    points = {}
    for values in itertools.product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        if point_name(point) in points:
            raise ConfigError(f"the point {point_name(point)} occurs twice; an axis repeats a value")
        points[point_name(point)] = {**point, **fixed}
    return points


def declared_in(notebook: str | Path) -> dict[str, object]:
    """The notebook's parameters and their defaults, as papermill's inspection sees them.

    Raises `ConfigError` where there is no notebook, or none that declares parameters.
    """
    import papermill

    if not Path(notebook).is_file():
        raise ConfigError(f"no notebook {notebook}")
    found = papermill.inspect_notebook(unformatted(notebook))
    if not found:
        raise ConfigError(
            f"{notebook} declares no parameters; tag its first code cell `parameters` and give each a default"
        )
    return {name: _literal(p["default"]) for name, p in found.items()}


def unformatted(path: str | Path) -> str:
    """A path as papermill must get it: it replaces what stands in braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _literal(text: str):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return UNKNOWN


def _check_value(name: str, value, default) -> None:
    """The value has the type of the default (None: any type) and is plain enough for config.json."""
    wanted = type(default)
    fits = type(value) is wanted or (wanted is float and type(value) is int)
    if default is not None and default is not UNKNOWN and not fits:
        hint = f" Did you mean [{value!r}]?" if wanted is list else ""
        raise ConfigError(
            f"{name} must be {wanted.__name__} like its default {default!r}, got {type(value).__name__} "
            f"{value!r}.{hint}"
        )
    try:
        same = json.loads(json.dumps(value)) == value
    except (TypeError, ValueError):
        same = False
    if not same:
        raise ConfigError(
            f"{name}={value!r} is not plain: use numbers, strings, None, lists and dicts with string keys"
        )


def point_name(parameters: Mapping) -> str:
    """The directory of a point: `key=value,...`, keys in alphabetical order.

    What is not safe in a file name on every system (upper case too) is replaced, and a digest of the value
    keeps two values apart.

    >>> point_name({"seed": 0, "design": "lead"})
    'design=lead,seed=0'
    """
    name = ",".join(f"{key}={_value_text(parameters[key])}" for key in sorted(parameters))
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 20]}-{digest(dict(parameters))}"


def _value_text(value) -> str:
    itself = isinstance(value, str) and _reads_as_itself(value)
    text = value if itself else json.dumps(value, sort_keys=True, ensure_ascii=False)
    safe = re.sub(r"[^A-Za-z0-9._+-]+", "-", text)
    return text if safe == text == text.lower() else f"{safe[:40].strip('-')}-{digest(value)}"


def _reads_as_itself(text: str) -> bool:
    """Not so for the string "1", which must not be called like the number."""
    try:
        return read_values(text) == [text]
    except ConfigError:
        return False


def read_values(text: str) -> list:
    """The values in a text as on the command line: `vanilla,lead`, `0,1,2`, `[16, 64],[32]`, `{kl: 0.001}`.

    YAML without its surprises: `6e-4` is a number, `yes`, `on` and dates are strings, `None` is None too. A
    comma or bracket that belongs to a string needs quotes around it. Raises `ConfigError` for what cannot be
    read.
    """
    return _load(f"[{text}]", f"the value {text!r}")


def read_file(path: str | Path) -> dict:
    """The arguments of `run` from a YAML file: `notebook, axes, out` and, as needed, `fixed, jobs, gpus, ray,
    retry`.

    Raises `ConfigError` for another key or for what is not YAML. Paths are taken from the working directory.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the sweep {path}: {error.strerror}") from None
    spec = _load(text, str(path))
    if not isinstance(spec, dict):
        raise ConfigError(f"{path} must hold the keys {', '.join(SPEC)}")
    for key in spec:
        one_of(f"key in {path}", key, SPEC)
    return spec


def _load(text: str, what: str):
    import yaml

    try:
        return yaml.load(text, _loader())
    except yaml.YAMLError as error:
        raise ConfigError(f"cannot read {what}: {' '.join(str(error).split())}") from None


@cache
def _loader():
    """A YAML loader that knows null, true and false, whole and floating-point numbers; all else is text."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers: ClassVar[dict] = {}

    for tag, pattern, first in SCALARS:
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"({pattern})$"), first)
    return Loader
