"""Ctrl-C as one sentence: what was interrupted, and where the next run continues."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from effwb._internal.progress import with_label
from effwb.errors import Interrupted


@contextmanager
def brief_interrupts(message: Callable[[], str]) -> Iterator[None]:
    """Raise `Interrupted` in place of a KeyboardInterrupt inside; an `Interrupted` from further in stays.

    Args:
        message: Says what was interrupted; it is called only then.
    """
    try:
        yield
        return
    except Interrupted:
        raise
    except KeyboardInterrupt:
        pass
    raise Interrupted(with_label(message()))  # here, so that it has no other exception as its context


def resumable() -> str:
    """The message of what is stored piece by piece."""
    return "interrupted; what is finished is stored, and the next run continues there"
