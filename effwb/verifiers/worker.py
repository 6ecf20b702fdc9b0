"""The worker process: reads (gold, answer) pairs from a pipe and sends back a status. Started by `pool`."""

import json
import os
import resource
import signal
import sys
from multiprocessing.connection import Connection

MEMORY_LIMIT = (
    2 * 1024**3
)  # bytes of address space; a million digits or a power tower fails instead of filling the machine


def main() -> None:
    """Serve requests until the parent closes the pipe or dies."""
    connection = Connection(int(sys.argv[1]))
    parent = int(sys.argv[2])
    try:
        judge = _load()
    except BaseException as problem:
        connection.send_bytes(json.dumps(f"{type(problem).__name__}: {problem}").encode())
        return
    connection.send_bytes(b'"ready"')
    while _wait(connection, parent):
        try:
            gold, answer, timeout = json.loads(connection.recv_bytes())
        except EOFError:
            return
        # The default action of the alarm ends the process: an orphan with a hostile answer dies as well.
        signal.setitimer(signal.ITIMER_REAL, timeout + 1)
        try:
            status = judge(gold, answer)
        except MemoryError:
            return  # the pair counts as timed out; a process at its memory limit is not worth keeping
        except Exception:
            status = "unparsed"  # sympy fails with any exception on objects it cannot order or evaluate
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send_bytes(json.dumps(status).encode())


def _load():
    import logging
    from functools import partial

    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from .compare import judge
    from .symbolic import algebra

    return partial(judge, algebra=algebra)


def _wait(connection: Connection, parent: int) -> bool:
    """Wait for a request; False when the parent is gone (a fork of it may still hold the pipe open)."""
    while not connection.poll(10):
        if os.getppid() != parent:
            return False
    return True
