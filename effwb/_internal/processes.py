"""Child processes that end when their parent ends, however it ended."""

import os
import threading
from collections.abc import Callable


def end_with_parent(cleanup: Callable[[], None] = lambda: None) -> None:
    """End this process as soon as its parent has ended.

    The parent holds the other end of standard input, a pipe. When the pipe closes, `cleanup` is called and
    the process exits.
    """

    def watch() -> None:
        while os.read(0, 1):
            pass
        cleanup()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
