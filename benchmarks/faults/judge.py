"""How the outcome of a fault is judged."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from effwb.errors import EffwbError

NOT_TRIED = "not tried"  # the verdict of a fault that this machine cannot have
DISK = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)


class Result(NamedTuple):
    """A fault, its verdict and what was seen."""

    fault: str
    verdict: str
    detail: str = ""


def announce(folder: Path, fault: str) -> str:
    """Write down what is about to be done, for a process that does not come back; returns the same text."""
    (folder / "fault.txt").write_text(fault)
    return fault


def judge(
    fault: str, action: Callable[[], Any], is_right: Callable[[Any], bool], names: Sequence[str] = ()
) -> Result:
    """Run what a user would run after a fault, and judge the outcome.

    Args:
        fault: The fault in words.
        action: What the user runs.
        is_right: Whether its result is that of a run without the fault.
        names: An error must have one of these in its message; empty: any message will do.
    """
    try:
        result = action()
    except EffwbError as error:
        message = str(error)
        if names and not any(name in message for name in names):
            return Result(fault, "raw", f"the message names none of {list(names)}: {message[:300]}")
        return Result(fault, "named", f"{type(error).__name__}: {message[:300]}")
    except OSError as error:
        if error.errno in DISK:
            return Result(fault, "named", str(error)[:300])
        return Result(fault, "raw", _last_lines(error))
    except (Exception, KeyboardInterrupt) as error:
        return Result(fault, "raw", _last_lines(error))
    if is_right(result):
        return Result(fault, "right")
    return Result(fault, "silently wrong", f"the result is {str(result)[:200]}")


def _last_lines(error: BaseException) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error)[:200]} ({Path(where.filename).name}:{where.lineno})"
