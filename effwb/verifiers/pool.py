"""Step 4 of 4, in the calling process: worker processes with hard limits, for comparisons that need algebra.

The workers are plain `subprocess` children, not `multiprocessing` ones: they never import the user's
`__main__`, so scripts need no main guard, notebooks work, and any thread can use them. A comparison that runs
out of time costs its worker a SIGKILL; nothing else reliably ends a tower of powers. For Linux and macOS.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from ..errors import EngineError

START_LIMIT = 120.0  # seconds for a worker to import sympy; takes 2 s on a quiet machine
PATIENCE = 0.5  # seconds of work left before a second worker is worth starting

_MAIN = "import sys; sys.path.append(sys.argv.pop(1)); from effwb.verifiers.worker import main; main()"
_ROOT = str(Path(__file__).resolve().parents[2])


class Worker:
    """One worker process: started at its first comparison, and again after it had to be killed.

    Attributes:
        process: the running process, or `None`.
        connection: the pipe to it, or `None`.
        busy_since: `time.perf_counter()` at the start of the comparison in progress, or `None`.
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None
        self.connection: Connection | None = None
        self.busy_since: float | None = None

    def judge(self, gold: str, answer: str, timeout: float) -> tuple[str, float]:
        """Compare one pair in the worker process.

        Args:
            gold: the reference answer.
            answer: the content of the box.
            timeout: limit in seconds.

        Returns:
            (status, seconds). The status is "timeout" if the comparison ran out of time or memory, and
            "killed" if its process died and the second try died too or had too little time left.

        Raises:
            EngineError: if the process cannot be started.
        """
        begin = self._ready()
        status = self._reply(gold, answer, timeout)
        left = begin + timeout - time.perf_counter()
        if status == "killed" and left > 0:  # mostly the machine ran out of memory, not the pair
            self._ready()
            status = self._reply(gold, answer, left)
            status = "killed" if status == "timeout" else status
        return status, time.perf_counter() - begin

    def _ready(self) -> float:
        """Start the process if it does not run; return the time."""
        if self.connection is None or self.process is None or self.process.poll() is not None:
            self.connection = self.start()
        return time.perf_counter()

    def _reply(self, gold: str, answer: str, timeout: float) -> str:
        """The status that the process sends, "timeout", or "killed" if the process is gone."""
        assert self.connection is not None
        assert self.process is not None
        process, status = self.process, None
        self.busy_since = time.perf_counter()
        try:
            self.connection.send_bytes(json.dumps([gold, answer, timeout]).encode())
            status = json.loads(self.connection.recv_bytes()) if self.connection.poll(timeout) else "timeout"
        except (EOFError, OSError):
            self.kill()
            status = "timeout" if process.returncode == -signal.SIGALRM else "killed"
        finally:
            # Also after an interruption, perhaps with the reply still in the pipe for the next request.
            self.busy_since = None
            if status in (None, "timeout", "killed"):
                self.kill()
        return status

    def start(self) -> Connection:
        """Start the process, wait until it is ready, and return the pipe to it."""
        self.kill()
        connection, child_end = Pipe()
        self.connection = connection
        command = [sys.executable, "-P", "-c", _MAIN, _ROOT, str(child_end.fileno()), str(os.getpid())]
        null = subprocess.DEVNULL
        self.process = subprocess.Popen(
            command,
            pass_fds=[child_end.fileno()],
            stdin=null,
            stdout=null,
            stderr=null,
            start_new_session=True,
        )
        child_end.close()
        try:
            greeting = json.loads(connection.recv_bytes()) if connection.poll(START_LIMIT) else "no answer"
        except (EOFError, OSError):
            greeting = f"exit code {self.process.wait()}"
        except BaseException:
            self.kill()
            raise
        if greeting != "ready":
            self.kill()
            raise EngineError(f"the verifier's worker did not start ({greeting}); is math-verify installed?")
        return connection

    def kill(self) -> None:
        """End the process, if there is one."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        if self.connection is not None:
            self.connection.close()
        self.process = self.connection = None


class Pool:
    """Warm workers that all threads share, at most as many as the largest `workers` of any call."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start over without touching the processes: after a fork they belong to the parent."""
        self.idle: list[Worker] = []
        self.workers: list[Worker] = []
        self.limit = 1
        self.changed = threading.Condition()

    def run(self, pairs: list[tuple[str, str]], timeout: float, workers: int) -> list[tuple[str, float]]:
        """Compare all pairs.

        The calling thread uses one worker. Helper threads join it with more workers if the pool has idle ones
        or the job takes longer than `PATIENCE`.

        Args:
            pairs: (gold, answer).
            timeout: limit in seconds for each pair.
            workers: the largest number of processes.

        Returns:
            (status, seconds) of each pair, in order.

        Raises:
            EngineError: if a worker cannot be started.
        """
        job = _Job(pairs, timeout)
        with self.changed:
            self.limit = max(self.limit, workers)
        helpers = [
            threading.Thread(target=self._help, args=(job,), daemon=True)
            for _ in range(min(workers, len(pairs)) - 1)
        ]
        for helper in helpers:
            helper.start()
        try:
            self._serve(job)
        finally:
            job.todo.clear()
            job.nothing_left.set()
            for helper in helpers:
                helper.join()
        if job.failure is not None:
            raise job.failure
        return job.results

    def _help(self, job: "_Job") -> None:
        if self.idle or not job.nothing_left.wait(PATIENCE):
            try:
                self._serve(job)
            except BaseException as problem:  # raised again in the thread that called `run`
                job.failure = problem
                job.todo.clear()

    def _serve(self, job: "_Job") -> None:
        """Take a worker and give it pairs of the job until none is left."""
        with self.changed:
            while not self.idle and len(self.workers) >= self.limit:
                self.changed.wait()
            if not self.idle:
                self.workers.append(Worker())
                self.idle.append(self.workers[-1])
            worker = self.idle.pop()
        try:
            while job.todo:
                try:
                    at = job.todo.popleft()
                except IndexError:  # another thread took the last one
                    break
                job.results[at] = worker.judge(*job.pairs[at], job.timeout)
        finally:
            with self.changed:
                self.idle.append(worker)
                self.changed.notify()

    def close(self) -> None:
        """End every worker process; the next call starts new ones."""
        for worker in self.workers:
            worker.kill()


class _Job:
    """The pairs of one call of `run`, their results, and what is still to do."""

    def __init__(self, pairs: list[tuple[str, str]], timeout: float) -> None:
        self.pairs, self.timeout = pairs, timeout
        self.todo = deque(range(len(pairs)))
        self.results: list = [None] * len(pairs)
        self.nothing_left = threading.Event()
        self.failure: BaseException | None = None


POOL = Pool()
atexit.register(POOL.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.forget)
