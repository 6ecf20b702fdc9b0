"""A few worker processes with hard limits for comparisons that need computer algebra.

Plain `subprocess` children instead of `multiprocessing`: they never import the user's `__main__`, so scripts
need no guard and notebooks work, and they can be used from any thread. A comparison that runs out of time
costs its worker a SIGKILL; nothing else ends a power tower reliably. For Linux and macOS.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from multiprocessing.connection import Pipe
from pathlib import Path

from ..errors import EngineError

START_LIMIT = 120.0  # seconds for a worker to import sympy; takes 2 s on a quiet machine
PATIENCE = 0.5  # seconds of work left before a second worker is worth starting

_MAIN = "import sys; sys.path.append(sys.argv.pop(1)); from effwb.verifiers.worker import main; main()"
_ROOT = str(Path(__file__).resolve().parents[2])


class Worker:
    """One process, started at its first question and again after it had to be killed."""

    def __init__(self):
        self.process = self.connection = None
        self.busy_since: float | None = None

    def ask(self, gold: str, answer: str, timeout: float) -> tuple[str, float]:
        """(status, seconds) for one pair; `timeout` when the limit passed or the process died over it."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        begin = self.busy_since = time.perf_counter()
        try:
            self.connection.send_bytes(json.dumps([gold, answer, timeout]).encode())
            status = json.loads(self.connection.recv_bytes()) if self.connection.poll(timeout) else None
        except (EOFError, OSError):
            status = None
        except BaseException:  # interrupted between question and answer: the pipe is out of step
            self.kill()
            raise
        finally:
            self.busy_since = None
        seconds = time.perf_counter() - begin
        if status is None:
            self.kill()
        return status or "timeout", seconds

    def start(self) -> None:
        self.kill()
        self.connection, theirs = Pipe()
        command = [sys.executable, "-P", "-c", _MAIN, _ROOT, str(theirs.fileno()), str(os.getpid())]
        null = subprocess.DEVNULL
        self.process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=null, stdout=null, stderr=null, start_new_session=True
        )
        theirs.close()
        try:
            heard = self.connection.poll(START_LIMIT)
            greeting = json.loads(self.connection.recv_bytes()) if heard else "no answer"
        except (EOFError, OSError):
            greeting = f"exit code {self.process.wait()}"
        except BaseException:
            self.kill()
            raise
        if greeting != "ready":
            self.kill()
            raise EngineError(f"the verifier's worker did not start ({greeting}); is math-verify installed?")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.connection.close()
        self.process = self.connection = None


class Pool:
    """Warm workers shared by all threads, at most as many as the largest `workers` asked for."""

    def __init__(self):
        self.forget()

    def forget(self) -> None:
        """Start over without touching the processes: after a fork they belong to the parent."""
        self.free, self.all, self.limit = [], [], 1
        self.changed = threading.Condition()

    def run(self, pairs: list[tuple[str, str]], timeout: float, workers: int) -> list[tuple[str, float]]:
        """(status, seconds) of each (gold, answer), in order."""
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
        if self.free or not job.nothing_left.wait(PATIENCE):
            try:
                self._serve(job)
            except BaseException as problem:
                job.failure = problem
                job.todo.clear()

    def _serve(self, job: "_Job") -> None:
        worker = self._take()
        try:
            while job.todo:
                try:
                    at = job.todo.popleft()
                except IndexError:
                    break
                job.results[at] = worker.ask(*job.pairs[at], job.timeout)
        finally:
            self._give(worker)

    def _take(self) -> Worker:
        with self.changed:
            while not self.free and len(self.all) >= self.limit:
                self.changed.wait()
            if not self.free:
                self.all.append(Worker())
                return self.all[-1]
            return self.free.pop()

    def _give(self, worker: Worker) -> None:
        with self.changed:
            self.free.append(worker)
            self.changed.notify()

    def close(self) -> None:
        """End every worker process; the next call starts new ones."""
        for worker in self.all:
            worker.kill()


class _Job:
    def __init__(self, pairs: list[tuple[str, str]], timeout: float):
        self.pairs, self.timeout = pairs, timeout
        self.todo = deque(range(len(pairs)))
        self.results: list = [None] * len(pairs)
        self.nothing_left = threading.Event()
        self.failure: BaseException | None = None


POOL = Pool()
atexit.register(POOL.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.forget)
