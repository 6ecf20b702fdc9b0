"""Looks at the run root now and then, so that runs under way go on in the page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from effwb.errors import EffwbError

PAUSE = 15.0  # seconds between two looks at the run root
SHARE = 0.02  # of the time is spent on looking, at most: a large run root is looked at less often


class Watch:
    """Calls a function again and again while a page is shown.

    Args:
        look: The function; what it raises on purpose ends nothing.
    """

    def __init__(self, look: Callable[[], None]):
        self._look = look
        self._task: asyncio.Task | None = None

    def start(self) -> None:
        """Begin, if a loop runs here and it has not begun yet."""
        with suppress(RuntimeError):  # outside Jupyter no loop runs
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._repeat())

    def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()

    async def _repeat(self) -> None:
        seconds = 0.0
        while True:
            await asyncio.sleep(max(PAUSE, seconds / SHARE))
            start = time.monotonic()
            with suppress(EffwbError, OSError):
                self._look()
            seconds = time.monotonic() - start
