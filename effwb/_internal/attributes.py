"""Replacing an attribute for a while."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def replaced_attribute(owner: object, name: str, value: object) -> Iterator[None]:
    """Set `owner.name` to `value` for the duration of the context, then put the old value back.

    Args:
        owner: A module, class or object that has the attribute.
        name: The attribute's name.
        value: Its value inside the context.
    """
    old = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, old)
