"""Locks of run directories on disks without flock, and where nothing can be written."""

import errno
import fcntl
import os
import socket
import subprocess
import sys

import pytest

from effwb._internal.locks import locked
from effwb.errors import BusyError, ConfigError


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def no_flock(request, monkeypatch):
    """A file system that has no flock."""

    def refuse(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_file_holds_the_directory_where_flock_is_missing(tmp_path, no_flock, caplog):
    with locked(tmp_path, 0):
        process, host = (tmp_path / ".lock-holder").read_text().split("\n")[:2]
        assert (process, host) == (str(os.getpid()), socket.gethostname())
        refusal = rf"by process {process} on {host}.* delete .*\.lock-holder"
        with pytest.raises(BusyError, match=refusal), locked(tmp_path, 0):
            pass
    assert not (tmp_path / ".lock-holder").exists()
    assert "has no flock" in caplog.text
    with locked(tmp_path, 0):
        pass


def test_the_file_of_a_dead_process_is_taken_over(tmp_path, no_flock):
    code = f"""
import fcntl, os
def refuse(*_):
    raise OSError({errno.ENOLCK}, "none")
fcntl.flock = refuse
from pathlib import Path
from effwb._internal.locks import locked
with locked(Path({str(tmp_path)!r}), 0):
    os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / ".lock-holder").exists()
    with locked(tmp_path, 0):
        assert (tmp_path / ".lock-holder").read_text().startswith(f"{os.getpid()}\n")


def test_the_file_of_another_host_is_not_taken_over(tmp_path, no_flock):
    (tmp_path / ".lock-holder").write_text("1\nanother-host\n")
    with pytest.raises(BusyError, match="by process 1 on another-host"), locked(tmp_path, 0):
        pass


def test_a_directory_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        refusal = f"{path} is or lies in a file; give a directory"
        with pytest.raises(ConfigError, match=refusal), locked(path, 0):
            pass


@pytest.mark.parametrize("reason", [errno.EROFS, errno.EACCES])
def test_where_nothing_can_be_written_nothing_is_locked(tmp_path, monkeypatch, reason):
    write = open

    def refuse(path, *args, **options):
        if str(path).endswith(".lock"):
            raise OSError(reason, os.strerror(reason))
        return write(path, *args, **options)

    monkeypatch.setattr("builtins.open", refuse)
    with locked(tmp_path, 0), locked(tmp_path, 0):
        pass
