"""One process at a time writes into a directory."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from effwb.errors import BusyError, ConfigError

NO_FLOCK = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # some network and FUSE file systems
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
POLL = 0.1  # seconds
TAKEOVER = 0.5  # seconds in which the file of a dead process is removed and a new one written


@contextmanager
def locked(folder: Path, wait: float) -> Iterator[IO[str]]:
    """Hold a directory for writing.

    The kernel frees the lock (flock) when the process ends. On a file system without flock, a file with host
    and process id stands for it. Where nothing can be written there is nothing to lock.

    Args:
        folder: The directory; it is created.
        wait: How many seconds to wait for another process to release it.

    Yields:
        The open lock file. A child process that inherits it holds the directory too, until it ends; this does
        not hold without flock.

    Raises:
        BusyError: Another process still holds the directory.
        ConfigError: The directory is a file, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "a+")  # noqa: SIM115
    except (FileExistsError, NotADirectoryError):
        raise ConfigError(f"the run directory {folder} is or lies in a file; give a directory") from None
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        if not folder.is_dir():
            raise ConfigError(f"cannot make the run directory {folder}: {error.strerror}") from error
        file = open(os.devnull)  # noqa: SIM115
    with file:
        if file.name == os.devnull or _flock(file, folder, wait):
            yield file
        else:
            with _held_by_file(folder, wait):
                yield file


def _flock(file: IO[str], folder: Path, wait: float) -> bool:
    """Lock an open file; False where the file system has no flock."""
    end = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                raise BusyError(
                    f"{folder} is being written by another process; wait for it or stop it"
                ) from None
        except OSError as error:
            if error.errno in NO_FLOCK:
                return False
            raise
        time.sleep(POLL)


@cache
def _note(text: str) -> None:
    """Say something once."""
    logging.getLogger(__name__).warning(text)


@contextmanager
def _held_by_file(folder: Path, wait: float) -> Iterator[None]:
    """Hold a directory by a file with host and process id; that of a dead process here is taken over."""
    from filelock import SoftFileLock, Timeout

    path = folder / ".lock-holder"
    lock = SoftFileLock(path, timeout=max(wait, TAKEOVER), poll_interval=POLL)
    try:
        lock.acquire()
    except Timeout:
        process, host = [*path.read_text().splitlines(), "?", "?"][:2] if path.exists() else ("?", "?")
        raise BusyError(
            f"{folder} is being written by process {process} on {host}; wait for it or stop it. "
            f"If it is gone, delete {path}: this file system has no flock, which would free the directory"
        ) from None
    _note(f"the file system of {folder} has no flock; the file {path} holds the directory instead")
    try:
        yield
    finally:
        lock.release()


def is_held(folder: Path) -> bool:
    """Tell whether a process writes into a directory now; nothing is changed, and nothing is created.

    The lock is tried for an instant, shared, so that two readers do not see each other.
    """
    if (folder / ".lock-holder").exists():
        return True
    try:
        with open(folder / ".lock") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no lock yet, or a file system without flock
        return False
    return False
