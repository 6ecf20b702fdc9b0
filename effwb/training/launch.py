"""Training on several GPUs of this machine: `effwb train` under `accelerate launch`, in a child process.

An accelerate config says how the processes share the work (DDP, FSDP, DeepSpeed): the one in
`Training.accelerate_config`, or the user's own (`accelerate config`). Without either it is DDP.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from effwb.designs import write_design
from effwb.errors import ConfigError, TrainingError
from effwb.profiles import Training
from effwb.runs import write_atomic
from effwb.training.record import Record

if TYPE_CHECKING:
    from effwb.training.run import TrainingRun

POLL = 0.5  # seconds between two readings of metrics.jsonl
PATIENCE = 30  # seconds that the processes have to end by themselves
LAST_LINES = 15


def launch(
    run: TrainingRun, record: Record, listeners: Sequence[Callable[[dict], None]], report_to: list[str]
) -> None:
    """Train on `settings.processes` processes, which end with this one.

    Args:
        run: The run.
        record: Its metrics.
        listeners: Functions that are called with the metrics of every step.
        report_to: Names of Transformers' reporting integrations.

    Raises:
        ConfigError: If the design or the accelerate config cannot be used by other processes.
        TrainingError: If the processes fail; the message has the end of their output.
    """
    launch_job(_write_job(run, run.run_dir / "train" / "job", report_to), run.settings, record, listeners)


def launch_job(
    job: Path, settings: Training, record: Record, listeners: Sequence[Callable[[dict], None]]
) -> None:
    """Start `settings.processes` processes on a config.json, and wait for them; as `launch`.

    Args:
        job: The config.json, for `training.job`; the output of the processes goes beside it.
        settings: The training settings; `processes` and `accelerate_config` are used.
        record: The metrics that the processes write.
        listeners: Functions that are called with the metrics of every step.
    """
    import torch

    # without CUDA, the processes talk through gloo
    device = {} if torch.cuda.is_available() else {"ACCELERATE_USE_CPU": "true"}
    argv, log = command(job, settings), job.parent / "launch.log"
    with open(log, "w") as output:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**os.environ, **device, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,
        )
        try:
            _follow(child, record, listeners)
        finally:
            assert child.stdin is not None
            child.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                child.wait(PATIENCE)
            child.kill()
    if child.returncode:
        raise TrainingError(
            f"training on {settings.processes} processes ended with exit status {child.returncode}; "
            f"finished checkpoints are kept, and the same call continues. Full output: {log}. Its end:\n"
            f"{_end(log)}"
        )


def _write_job(run: TrainingRun, folder: Path, report_to: list[str]) -> Path:
    """Write the run as config.json for `training.job`, with its design and problems in files beside it."""
    design = write_design(run.design)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "design": design,
        "state": run.design.state(),
        "problems": _write_table(run.problems, folder / "problems.parquet"),
        "monitor": None if run.monitor is None else _write_table(run.monitor, folder / "monitor.parquet"),
        "run_dir": str(run.run_dir.resolve()),
        "profile": run.profile.as_dict(),
        "training": run.settings.as_dict(),
        "model": run.model,
        "max_tokens": run.max_tokens,
        "seed": run.seed,
        "effort": run.effort,
        "reference": None if run.reference is None else dict(run.reference),
        "verify_timeout": run.verify_timeout,
        "report_to": report_to,
    }
    write_atomic(folder / "config.json", json.dumps(config, indent=1).encode())
    return folder / "config.json"


def _write_table(rows, path: Path) -> str:
    rows.to_parquet(path)
    return path.name


def command(job: Path, settings: Training) -> list[str]:
    """The command line of the child process.

    Args:
        job: The config.json of the run.
        settings: The training settings; `processes` and `accelerate_config` are used.

    Raises:
        ConfigError: If `accelerate_config` is not a file.
    """
    from accelerate.commands.config.config_args import default_config_file

    config = settings.accelerate_config
    if config and not Path(config).is_file():
        raise ConfigError(
            f"accelerate_config={config!r} is no file; accelerate config --config_file makes one"
        )
    if config:
        options = ["--config_file", config]
    elif Path(default_config_file).is_file():
        options = []
    else:
        options = ["--multi_gpu", "--num_machines", "1", "--main_process_port", "0"]
    options += ["--num_processes", str(settings.processes)]
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", *options]
    return [*accelerate, "--module", "effwb.cli", "train", str(job), "--child"]


def _end(log: Path) -> str:
    """The last lines of the output before the report of torch's launcher; without an error there, all."""
    lines = log.read_text(errors="replace").splitlines()
    own_lines = list(takewhile(lambda line: "torch.distributed.elastic" not in line, lines))
    has_error = any("Error" in line for line in own_lines)
    return "\n".join((own_lines if has_error else lines)[-LAST_LINES:])


def _follow(child: subprocess.Popen, record: Record, listeners: Sequence[Callable[[dict], None]]) -> None:
    """Pass new steps on to the listeners until the child has ended."""
    count = len(record.rows())
    while True:
        ended = child.poll() is not None
        rows = record.rows()
        count = min(count, len(rows))  # a resumed run measures its last steps again
        for row in rows[count:]:
            for listener in listeners:
                listener(row)
        count = len(rows)
        if ended:
            return
        time.sleep(POLL)
