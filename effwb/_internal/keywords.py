"""Tell callers where a keyword argument went."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from effwb.errors import ConfigError

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")


def moved_keywords(**places: str) -> Callable[[Callable[_Params, _Result]], Callable[_Params, _Result]]:
    """Decorate a function so that a keyword it no longer has raises an error that names the new place.

    The function keeps its own signature, so completion and Shift-Tab show only what it takes today.

    Args:
        **places: For each former keyword, what to write today, such as "Sampling(max_tokens=...)".

    Example:
        >>> @moved_keywords(max_tokens="Sampling(max_tokens=...)")
        ... def sample(problems): ...
        >>> sample([], max_tokens=64)
        Traceback (most recent call last):
        effwb.errors.ConfigError: sample(): max_tokens is now Sampling(max_tokens=...)
    """

    def decorate(function: Callable[_Params, _Result]) -> Callable[_Params, _Result]:
        @wraps(function)
        def call(*args: _Params.args, **keywords: _Params.kwargs) -> _Result:
            moved = [f"{name} is now {places[name]}" for name in keywords if name in places]
            if moved:
                raise ConfigError(f"{function.__name__}(): {'; '.join(moved)}")
            return function(*args, **keywords)

        return call

    return decorate
