"""Values that come from outside, checked by pydantic and refused as `ConfigError` under their own names.

A parameter means the same wherever it occurs, so `VALUES` has one type and range for each name.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache, reduce, wraps
from operator import or_
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NoReturn,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import Field, InstanceOf, TypeAdapter, ValidationError

from effwb.errors import ConfigError, one_of

Positive = Annotated[int, Field(ge=1)]
AtLeastTwo = Annotated[int, Field(ge=2)]  # samples per problem: a frontier without bias needs two halves
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
TopP = Annotated[float, Field(ge=1e-6, le=1)]
Seed = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(min_length=1)]
PathText = Text | Path

VALUES: dict[str, Any] = {
    **dict.fromkeys(("n", "n_problems", "n_samples", "max_tokens", "snap", "epochs", "batch_size"), Positive),
    **dict.fromkeys(("run_dir", "run_root", "figures_dir", "out", "notebook", "model"), PathText),
    **dict.fromkeys(("effort", "train_source", "split", "folder"), Text),
    **dict.fromkeys(("timeout", "verify_timeout", "l_max"), AboveZero),
    **dict.fromkeys(("progress", "base", "retry"), bool),
    "seed": Seed,
    "seeds": Annotated[Sequence[Seed], Field(min_length=1)],
    "learning_rate": NotNegative,
    "temperature": NotNegative,
    "top_p": TopP,
    "threshold": Share,
    "report_to": Sequence[Text],
    "design_params": Mapping[str, Any],
    "training": Mapping[str, Any],
    "watch": Literal["auto", "lines", "none"],
    "name": str,
    "prefix": str,
}
SHOWN = 120  # characters of a wrong value in a message
RANGES = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")


def check_value(name: str, value: Any, kind: Any) -> None:
    """Raise `ConfigError` unless a value has a type and lies in its range.

    Args:
        name: The name of the parameter, for the message.
        value: The value. A number of numpy counts as one of Python's, an array and a range as a list.
        kind: The type: a class, a union, a `Literal`, or an `Annotated` type with bounds. Types are strict:
            "60" and True are not integers; a whole number is a float.
    """
    try:
        _adapter(kind).validate_python(_plain(value), strict=True)
        return
    except ValidationError as error:
        problems = error.errors(include_url=False)
    # outside the except block: a traceback without pydantic's part
    refuse_value(name, value, kind, problems)


def refuse_value(name: str, value: Any, kind: Any, problems: Sequence[Mapping[str, Any]]) -> NoReturn:
    """Raise what pydantic found wrong with a value, as a `ConfigError` that names what is legal.

    Args:
        name: The name of the parameter, for the message.
        value: The value.
        kind: Its type.
        problems: The errors that pydantic lists; those of a union are one per member.
    """
    for problem in problems:
        error = problem.get("ctx", {}).get("error")
        if isinstance(error, ConfigError) and not isinstance(value, Mapping):
            raise error
    kinds, shown = {problem["type"] for problem in problems}, _shown(value)
    if "finite_number" in kinds:
        legal = _bounds(kind) if value != value else "be finite"
        raise ConfigError(f"{name}={shown} must {legal}")
    if kinds & set(RANGES):
        raise ConfigError(f"{name}={shown} must {_bounds(kind)}")
    if kinds & {"string_too_short", "too_short"}:
        raise ConfigError(f"{name} must not be empty, got {shown}")
    if literals := _literals(kind):
        one_of(name, value, literals)
    raise ConfigError(f"{name} must be {words(kind)}, got {shown}")


def check_fields(values: Any) -> None:
    """Check every field of a dataclass against its annotation.

    Raises:
        ConfigError: As `check_value` does.
    """
    cls: Any = type(values)
    for name, kind in _field_kinds(cls).items():
        check_value(name, getattr(values, name), kind)


def checked_arguments(
    **kinds: Any,
) -> Callable[[Callable[_Params, _Result]], Callable[_Params, _Result]]:
    """Decorate a function so that wrong arguments are refused by name before it does anything.

    An unknown keyword is refused with the nearest name. Arguments whose names are in `VALUES` are checked.
    None passes where it is the default. The function keeps its signature.

    Args:
        **kinds: Types of further arguments, or in place of those in `VALUES`.

    Example:
        >>> @checked_arguments()
        ... def sample(*, seed=0): ...
        >>> sample(sed=1)
        Traceback (most recent call last):
        effwb.errors.ConfigError: unknown argument of sample() 'sed'; legal: seed. Did you mean 'seed'?
    """
    known = {**VALUES, **kinds}

    def decorate(function: Callable[_Params, _Result]) -> Callable[_Params, _Result]:
        parameters = inspect.signature(function).parameters
        legal = [name for name in parameters if name not in ("self", "cls")]
        takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())

        @wraps(function)
        def call(*args: _Params.args, **keywords: _Params.kwargs) -> _Result:
            for name in keywords:
                if not takes_any and name not in parameters:
                    one_of(f"argument of {function.__qualname__}()", name, legal)
            for name, value in [*zip(parameters, args, strict=False), *keywords.items()]:
                optional = name in parameters and parameters[name].default is None
                if name in known and name in parameters and not (optional and value is None):
                    check_value(name, value, known[name])
            return function(*args, **keywords)

        return call

    return decorate


def words(kind: Any) -> str:
    """A type in words, such as "int or None"."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return words(args[0])
    if origin in (Union, UnionType):
        *first, last = dict.fromkeys(map(words, args))
        return f"{', '.join(first)} or {last}" if first else last
    if origin is Literal:
        return " or ".join(map(repr, args))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a dict"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"a list of {words(args[0])}" if args else "a list"
    return "None" if kind is NoneType else str(getattr(kind, "__name__", kind))


def _bounds(kind: Any) -> str:
    """The range of a type, to follow "must"."""
    limits = _limits(kind)
    low, high = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
    if low is not None and high is not None:
        return f"lie in {'(' if 'gt' in limits else '['}{low:g}, {high:g}{')' if 'lt' in limits else ']'}"
    if low is not None:
        return f"be above {low:g}" if "gt" in limits else f"be at least {low:g}"
    return "be finite" if high is None else f"be at most {high:g}"


def _limits(kind: Any) -> dict[str, Any]:
    """The bounds by name (ge, gt, le, lt) anywhere in a type."""
    limits: dict[str, Any] = {}
    if get_origin(kind) is Literal:
        return limits
    for part in get_args(kind):
        for limit in getattr(part, "metadata", ()):
            limits |= {b: getattr(limit, b) for b in ("ge", "gt", "le", "lt") if hasattr(limit, b)}
        limits |= _limits(part)
    return limits


def _literals(kind: Any) -> list[Any]:
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [value for part in get_args(kind) for value in _literals(part)]


def _plain(value: Any) -> Any:
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    return list(value) if isinstance(value, range) else value


def _shown(value: Any) -> str:
    text = repr(_plain(value))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."


@cache
def _adapter(kind: Any) -> TypeAdapter:
    return TypeAdapter(_by_instance(kind))


def _by_instance(kind: Any) -> Any:
    """A type in which effwb's own classes stand for their instances, whose fields are not looked at again."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is None:
        is_own = isinstance(kind, type) and kind.__module__.partition(".")[0] == "effwb"
        return InstanceOf[kind] if is_own else kind  # type: ignore[misc]
    if origin is Literal:
        return kind
    if origin is Annotated:
        return Annotated[_by_instance(args[0]), *args[1:]]
    parts = tuple(map(_by_instance, args))
    return reduce(or_, parts) if origin is UnionType else origin[parts]


@cache
def _field_kinds(cls: Any) -> dict[str, Any]:
    import dataclasses

    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}
