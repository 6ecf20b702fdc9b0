"""The parameters of a sweep: axes and fixed values, checked against the notebook before anything runs."""

import ast
import itertools
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from effwb._internal.checked import Positive, Text, check_value
from effwb.designs import refuse_unshared
from effwb.errors import ConfigError, one_of
from effwb.notebook import check_parameter_name, check_parameter_value, check_settings
from effwb.runs import digest

FILE_KEYS: dict[str, Any] = {  # of a sweep in YAML
    **dict.fromkeys(("notebook", "out"), Text),
    **dict.fromkeys(("axes", "fixed"), Mapping[str, Any] | None),
    **dict.fromkeys(("jobs", "gpus"), Positive | None),
    "ray": bool | Text,
    "retry": bool,
}
UNKNOWN = object()  # stands for a default that is not a literal: its type is not known
MAX_NAME = 180  # characters of a directory's name; file systems take 255 bytes
SCALARS = (  # what YAML text is read as a value: tag, pattern, first characters
    ("bool", "true|True|false|False", list("tTfF")),
    ("null", "null|None|~|", ["n", "N", "~", ""]),
    ("int", "[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?", list("-+.0123456789")),
)


def grid_points(
    declared: Mapping[str, object], axes: Mapping[str, Any], fixed: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """List the points of a grid, checked against the parameters of the notebook.

    Args:
        declared: Default by parameter, from `declared_parameters`.
        axes: List of values by parameter.
        fixed: Value by parameter, the same at every point.

    Returns:
        The parameters of each point by the name of its directory; the first axis varies slowest.

    Raises:
        ConfigError: For an unknown parameter (the message has the legal ones), a value of another type than
            the default, a value that the library refuses, or a value that occurs twice.
    """
    fixed = dict(fixed or {})
    if not isinstance(axes, Mapping):
        raise ConfigError(f"axes must be a dict of lists by parameter, got {axes!r}")
    if not axes:
        raise ConfigError("a sweep needs at least one axis; for a single run use papermill")
    for name, values in axes.items():
        if not isinstance(values, list | tuple | range):
            raise ConfigError(f"axis {name!r} must be a list, got {values!r}. Did you mean [{values!r}]?")
        if not values:
            raise ConfigError(f"axis {name!r} has no values")
        if name in fixed:
            raise ConfigError(f"{name!r} is an axis and fixed to {fixed[name]!r}; leave one of them out")
    for name, values in [*axes.items(), *((name, [value]) for name, value in fixed.items())]:
        check_parameter_name(name, declared)
        for value in values:
            _check_value(name, value, declared[name])
    points: dict[str, dict[str, Any]] = {}
    for combination in itertools.product(*axes.values()):
        coordinates = dict(zip(axes, combination, strict=True))
        name = point_name(coordinates)
        if name in points:
            raise ConfigError(f"the point {name} occurs twice; an axis repeats a value")
        points[name] = {**coordinates, **fixed}
        known = {key: value for key, value in declared.items() if value is not UNKNOWN}
        try:
            check_settings({**known, **points[name]})
            if design := design_of(declared, points[name]):
                refuse_unshared(design)
        except ConfigError as error:
            raise ConfigError(f"point {name}: {error}") from None
    return points


def design_of(declared: Mapping[str, object], parameters: Mapping[str, Any]) -> str | None:
    """Return the name of the design that a point trains with; None in a notebook that trains none.

    Args:
        declared: Default by parameter of the notebook.
        parameters: The parameters of the point.
    """
    design = {**declared, **parameters}.get("design")
    return design if isinstance(design, str) and "profile" in declared else None


def declared_parameters(notebook: str | Path) -> dict[str, object]:
    """Return the parameters of a notebook and their defaults, as papermill sees them.

    Raises:
        ConfigError: If there is no such notebook, or it declares no parameters.
    """
    import papermill
    from nbformat.reader import NotJSONError

    if not Path(notebook).is_file():
        raise ConfigError(f"no notebook {notebook}")
    try:
        parameters = papermill.inspect_notebook(escape_braces(notebook))
    except NotJSONError:
        raise ConfigError(f"{notebook} is not a notebook") from None
    if not parameters:
        raise ConfigError(
            f"{notebook} declares no parameters; tag its first code cell `parameters` and give each a default"
        )
    defaults: dict[str, object] = {}
    for name, parameter in parameters.items():
        try:
            defaults[name] = ast.literal_eval(parameter["default"])
        except (ValueError, SyntaxError):
            defaults[name] = UNKNOWN
    return defaults


def escape_braces(path: str | Path) -> str:
    """Return a path as papermill needs it, because papermill replaces what stands in braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _check_value(name: str, value: Any, default: object) -> None:
    """Check that a value has the type of the default (None: any type) and can be stored as JSON."""
    if default is not UNKNOWN:
        check_parameter_value(name, value, default)
    try:
        is_plain = json.loads(json.dumps(value)) == value
    except (TypeError, ValueError):
        is_plain = False
    if not is_plain:
        raise ConfigError(
            f"{name}={value!r} is not plain data: use numbers, strings, None, lists, and dicts with "
            "string keys"
        )


def point_name(parameters: Mapping[str, Any]) -> str:
    """Return the directory name of a point: `key=value,...`, keys in alphabetical order.

    Characters that are not safe in a file name on every system (upper case too) are replaced, and a digest
    of the value keeps two values apart.

    >>> point_name({"seed": 0, "design": "lead"})
    'design=lead,seed=0'
    """
    name = ",".join(f"{key}={_value_text(parameters[key])}" for key in sorted(parameters))
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 20]}-{digest(dict(parameters))}"


def _value_text(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    if isinstance(value, str):
        with suppress(
            ConfigError
        ):  # the string "1" keeps its quotes: its directory is not that of the number
            text = value if read_values(value) == [value] else text
    safe = re.sub(r"[^A-Za-z0-9._+-]+", "-", text)
    return text if safe == text == text.lower() else f"{safe[:40].strip('-')}-{digest(value)}"


def read_values(text: str) -> list[Any]:
    """Read the values of a command-line option: `vanilla,lead`, `0,1,2`, `[16, 64],[32]`, `{kl: 0.001}`.

    This is YAML without its surprises: `6e-4` is a number; `yes`, `on` and dates are strings; `None` is None.
    A comma or bracket that belongs to a string needs quotes.

    Raises:
        ConfigError: For text that cannot be read.
    """
    return _load(f"[{text}]", f"the value {text!r}")


def read_file(path: str | Path) -> dict[str, Any]:
    """Read the arguments of `effwb.sweep.run` from a YAML file.

    Args:
        path: A file with the keys notebook, axes, out and, as needed, fixed, jobs, gpus, ray, retry. Paths in
            it are relative to the working directory.

    Raises:
        ConfigError: For a file that cannot be read, is not YAML, or has another key.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the sweep {path}: {getattr(error, 'strerror', error)}") from None
    arguments = _load(text, str(path))
    if not isinstance(arguments, dict):
        raise ConfigError(f"{path} must hold the keys {', '.join(FILE_KEYS)}")
    for key, value in arguments.items():
        one_of(f"key in {path}", key, FILE_KEYS)
        if key in ("axes", "fixed") and not isinstance(value, dict | None):
            raise ConfigError(f"{key} in {path} must be a table of parameters, got {value!r}")
        check_value(f"{key} in {path}", value, FILE_KEYS[key])
    return arguments


def _load(text: str, source: str) -> Any:
    import yaml

    try:
        return yaml.load(text, _loader())
    except yaml.YAMLError as error:
        raise ConfigError(f"cannot read {source}: {' '.join(str(error).split())}") from None


@cache
def _loader() -> type:
    """A YAML loader that reads null, true, false and numbers as such, and everything else as text."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers: ClassVar[dict] = {}

    for tag, pattern, first_characters in SCALARS:
        Loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{tag}", re.compile(f"({pattern})$"), first_characters
        )
    return Loader
