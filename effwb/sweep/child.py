"""One point of a sweep in its own process: `python -m effwb.sweep.child <directory of the point>`.

The point stays locked as long as this process or its kernel lives, because the kernel inherits the lock. When
the sweep dies, its end of our standard input closes, and this process ends together with its kernel. What the
notebook has written to disk stays valid, and the next sweep continues from it.
"""

import argparse
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from effwb._internal.processes import end_with_parent
from effwb.errors import BusyError
from effwb.notebook import RESULTS
from effwb.sweep.parameters import declared_parameters, escape_braces
from effwb.sweep.point import BUSY_EXIT, LOCK_WAIT, SweepPoint, directory_parameters
from effwb.sweep.snapshot import check_snapshot

LAST_LINES = 12


def main(argv: list[str] | None = None) -> int:
    """Run the point named on the command line and return the exit status: 0 if it is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cores", type=int, nargs="*", help="cores to run on")
    args = parser.parse_args(argv)
    logging.basicConfig(level="INFO", format="%(message)s")
    if args.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, args.cores)
    kernel_groups: list[int] = []
    end_with_parent(lambda: _kill(kernel_groups))
    try:
        return 0 if execute(args.folder, kernel_groups) else 1
    except BusyError as error:
        logging.error(error)
        return BUSY_EXIT


def execute(folder: Path, kernel_groups: list[int]) -> bool:
    """Run a point, unless it is done already.

    Args:
        folder: Directory of the point.
        kernel_groups: Receives the process groups of the kernels that are started.

    Returns:
        Whether the point is done now.

    Raises:
        BusyError: If another process runs the point.
    """
    from nbclient.exceptions import DeadKernelError
    from papermill import PapermillExecutionError
    from papermill.exceptions import strip_color

    point = SweepPoint(folder)
    with point.run_dir.lock(LOCK_WAIT) as lock:
        if point.is_done():
            return True
        point.begin()
        start = time.monotonic()
        try:
            _run_notebook(point, lock.fileno(), kernel_groups)
            point.finish(time.monotonic() - start)
        except PapermillExecutionError as error:
            traceback = strip_color("\n".join(error.traceback)).splitlines()[-LAST_LINES:]
            point.fail(f"{error.ename}: {error.evalue}", traceback, error.exec_count)
        except DeadKernelError:
            point.fail("the kernel died; was it out of memory?", point.log_end(LAST_LINES))
        except Exception as error:  # no such kernel, no space left ...
            point.fail(f"{type(error).__name__}: {error}", point.log_end(LAST_LINES))
        return point.is_done()


def _run_notebook(point: SweepPoint, lock: int, kernel_groups: list[int]) -> None:
    import papermill
    from jupyter_client import AsyncKernelManager

    class Kernel(AsyncKernelManager):
        async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]  # typed as if sync
            await super().start_kernel(pass_fds=(lock,), **options)
            provisioner: Any = self.provisioner
            kernel_groups.append(provisioner.pgid)

    check_snapshot(point.snapshot, point.identity["code"])
    directories = directory_parameters(point.folder, declared_parameters(point.snapshot), point.parameters)
    os.environ[RESULTS] = str(point.results_file.resolve())
    papermill.execute_notebook(
        escape_braces(point.snapshot),
        escape_braces(point.executed_notebook),
        {**point.parameters, **directories},
        log_output=True,
        progress_bar=False,
        kernel_manager_class=Kernel,
    )


def _kill(groups: list[int]) -> None:
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
