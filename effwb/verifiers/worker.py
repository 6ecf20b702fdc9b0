"""Step 4 of 4, in the worker process: read (gold, answer) pairs from a pipe and send back their statuses."""

import json
import logging
import os
import resource
import signal
import sys
from multiprocessing.connection import Connection

# Bytes of address space: a million digits or a tower of powers fails instead of filling the machine's memory.
MEMORY_LIMIT = 2 * 1024**3
OUT_OF_MEMORY = b'"timeout"'  # the pair needs more than its limits, as one that takes too long


def main() -> None:
    """Serve requests until the parent closes the pipe or dies.

    The command line holds the file descriptor of the pipe and the process id of the parent. The first message
    is "ready", or the reason why the worker cannot start.
    """
    connection = Connection(int(sys.argv[1]))
    parent = int(sys.argv[2])
    try:
        logging.disable(logging.CRITICAL)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        from .compare import judge
        from .symbolic import algebra
    except BaseException as problem:
        connection.send_bytes(json.dumps(f"{type(problem).__name__}: {problem}").encode())
        return
    connection.send_bytes(b'"ready"')
    while True:
        while not connection.poll(10):
            if os.getppid() != parent:  # the parent is gone; a fork of it may still hold the pipe open
                return
        try:
            gold, answer, timeout = json.loads(connection.recv_bytes())
        except EOFError:
            return
        # The default action of the alarm ends the process, so that an orphan with a hostile answer dies too.
        signal.setitimer(signal.ITIMER_REAL, timeout + 1)
        try:
            status = judge(gold, answer, algebra)
        except MemoryError:  # a process at its memory limit is not worth keeping
            connection.send_bytes(OUT_OF_MEMORY)
            return
        except Exception:
            status = "unparsed"  # sympy fails with any exception on objects it cannot order or evaluate
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send_bytes(json.dumps(status).encode())
