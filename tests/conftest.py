import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).parents[1]
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background; tests send this signal
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Let one worker run the tests of a file that share a fixture; others go where there is room."""
    shared = {path for path in {item.path for item in items} if 'scope="module"' in path.read_text()}
    for item in items:
        if item.path in shared:
            item.add_marker(pytest.mark.xdist_group(item.path.name))


@pytest.fixture(scope="session")
def pocket():
    """One sampler for the whole session; read only."""
    from effwb.samplers import open_sampler

    with open_sampler("pocket", batch_rows=64) as sampler:
        yield sampler


@pytest.fixture(scope="session")
def few():
    """Fourteen held-out pocket problems, two per level."""
    from effwb import problems

    return problems.load("pocket", n=14, seed=7)


@pytest.fixture(scope="session")
def finished(pocket, few, tmp_path_factory):
    """A directory with two finished evaluations, `free` and `low`: 14 problems x 2, cap 64; read only."""
    from effwb import evaluation, profiles

    root = tmp_path_factory.mktemp("finished")
    profile = profiles.profile("pocket", n_samples=2, max_tokens=64)
    for name, effort in (("free", None), ("low", "low")):
        evaluation.evaluate(few, pocket, profile, run_dir=root / name, effort=effort, progress=False)
    return root


@pytest.fixture(scope="session")
def messy(tmp_path_factory):
    """An ordinary run root with made-up runs of every kind (`tests.messy_root`); read only."""
    from tests.messy_root import write_messy_root

    return write_messy_root(tmp_path_factory.mktemp("messy"))


@pytest.fixture
def copy_read_only(tmp_path):
    """A function that copies a directory to a disk that cannot be written, without its locks."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(disk)]
    if not sys.platform.startswith("linux") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a file system needs Linux and root")

    def copy(folder: Path) -> Path:
        shutil.copytree(folder, disk / "runs", ignore=shutil.ignore_patterns(".lock"))
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        return disk / "runs"

    yield copy
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.fixture
def run_until_killed(tmp_path):
    """Run a Python snippet in a child and SIGKILL it once `when()` is true; returns whether that happened."""

    def run(code: str, when, timeout: float = 120) -> bool:
        import time

        child = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, start_new_session=True)
        end = time.monotonic() + timeout
        while child.poll() is None and not when() and time.monotonic() < end:
            time.sleep(0.005)
        reached, running = when(), child.poll() is None
        if running:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return reached and running

    return run
