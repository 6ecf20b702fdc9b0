"""One point of a sweep in a process of its own: `python -m effwb.sweep.child <directory of the point>`.

The point is locked while anything that works on it lives: the kernel inherits the lock. When the sweep dies,
its end of our standard input closes, and this process ends with its kernel; what the notebook keeps on disk
is whole, and the next sweep continues it.
"""

import argparse
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from effwb._internal.processes import end_with_parent
from effwb.errors import BusyError
from effwb.notebook import RESULTS
from effwb.sweep.plan import declared_in, unformatted
from effwb.sweep.point import BUSY, PATIENCE, SweepPoint, places

LAST_LINES = 12


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cores", type=int, nargs="*", help="cores to run on")
    asked = parser.parse_args(argv)
    logging.basicConfig(level="INFO", format="%(message)s")
    if asked.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, asked.cores)
    kernels: list[int] = []
    end_with_parent(lambda: _kill(kernels))
    try:
        return 0 if execute(asked.folder, kernels) else 1
    except BusyError as error:
        logging.error(error)
        return BUSY


def execute(folder: Path, kernels: list[int]) -> bool:
    """Run the point, unless it is done; whether it now is. `BusyError` where another process runs it.

    Process groups of kernels started are added to `kernels`.
    """
    from nbclient.exceptions import DeadKernelError
    from papermill import PapermillExecutionError

    point = SweepPoint(folder)
    with point.run.lock(PATIENCE) as lock:
        if point.is_done():
            return True
        point.begin()
        begun = time.monotonic()
        try:
            _papermill(point, lock.fileno(), kernels)
            point.finish(time.monotonic() - begun)
        except PapermillExecutionError as error:
            point.fail(f"{error.ename}: {error.evalue}", _lines(error.traceback), error.exec_count)
        except DeadKernelError:
            point.fail("the kernel died; was it out of memory?", point.log_end(LAST_LINES))
        except Exception as error:  # no such kernel, no space left ...
            point.fail(f"{type(error).__name__}: {error}", point.log_end(LAST_LINES))
        return point.is_done()


def _papermill(point: SweepPoint, lock: int, kernels: list[int]) -> None:
    import papermill
    from jupyter_client import AsyncKernelManager

    class Kernel(AsyncKernelManager):
        async def start_kernel(self, **options):
            await super().start_kernel(pass_fds=(lock,), **options)
            kernels.append(self.provisioner.pgid)

    declared, given = declared_in(point.snapshot), point.parameters
    os.environ[RESULTS] = str(point.results_file.resolve())
    papermill.execute_notebook(
        unformatted(point.snapshot),
        unformatted(point.executed()),
        {**given, **places(point.folder, declared, given)},
        log_output=True,
        progress_bar=False,
        kernel_manager_class=Kernel,
    )


def _lines(traceback: list[str]) -> list[str]:
    from papermill.exceptions import strip_color

    return strip_color("\n".join(traceback)).splitlines()[-LAST_LINES:]


def _kill(kernels: list[int]) -> None:
    for group in kernels:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
