"""Children that end when the process that started them does, however it ended."""

import os
import threading
from collections.abc import Callable


def end_with_parent(before: Callable[[], None] = lambda: None) -> None:
    """Watch standard input, a pipe from the parent: when it closes, call `before` and end this process."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        before()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
