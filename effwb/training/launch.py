"""Training on several GPUs of this machine: `effwb train` under `accelerate launch`, as a child.

How the processes share the work (DDP, FSDP, DeepSpeed) is said by an accelerate config: the one in
`Training.accelerate_config`, or the user's own (`accelerate config`); without one it is DDP.
"""

import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from effwb.errors import ConfigError, TrainingError
from effwb.profiles import Training
from effwb.runs import write_atomic
from effwb.training.record import Record

POLL = 0.5  # seconds between two looks at metrics.jsonl
PATIENCE = 30  # seconds for the processes to end by themselves
LAST_LINES = 15


def launch(plan, record: Record, listeners: list[Callable[[dict], None]], report_to: list[str]) -> None:
    """Execute a `training.run.Plan` on `processes` processes and tell `listeners` of every step.

    The processes end with this one. Raises `TrainingError` with the end of their output where they fail.
    """
    folder, settings = plan.run_dir / "train" / "job", plan.settings
    argv, log = command(_write_job(plan, folder, report_to), settings), folder / "launch.log"
    with open(log, "w") as output:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**os.environ, **_device()},
            start_new_session=True,
        )
        try:
            _follow(child, record, listeners)
        finally:
            child.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                child.wait(PATIENCE)
            child.kill()
    if child.returncode:
        raise TrainingError(
            f"training on {settings.processes} processes ended with exit status {child.returncode}; finished "
            f"checkpoints are kept, and the same call continues. All output: {log}. Its end:\n{_end(log)}"
        )


def _write_job(plan, folder: Path, report_to: list[str]) -> Path:
    """The plan as config.json for `training.job`, with its design and problems in files beside it."""
    if type(plan.design).__module__ == "__main__":
        raise ConfigError(
            f"{type(plan.design).__name__} is defined in this notebook or script, where other processes "
            "cannot find it; put it in a module to train it on several"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "design.pkl", pickle.dumps(plan.design))
    told = {
        "design": "design.pkl",
        "problems": _write_table(plan.problems, folder / "problems.parquet"),
        "monitor": None if plan.monitor is None else _write_table(plan.monitor, folder / "monitor.parquet"),
        "run_dir": str(plan.run_dir.resolve()),
        "profile": plan.profile.as_dict(),
        "training": plan.settings.as_dict(),
        "model": plan.model,
        "max_tokens": plan.cap,
        "seed": plan.seed,
        "effort": plan.effort,
        "reference": None if plan.reference is None else dict(plan.reference),
        "verify_timeout": plan.timeout,
        "report_to": report_to,
    }
    write_atomic(folder / "config.json", json.dumps(told, indent=1).encode())
    return folder / "config.json"


def _write_table(rows, path: Path) -> str:
    rows.to_parquet(path)
    return path.name


def command(job: Path, settings: Training) -> list[str]:
    """The command line of the child."""
    from accelerate.commands.config.config_args import default_config_file

    config = settings.accelerate_config
    if config and not Path(config).is_file():
        raise ConfigError(
            f"accelerate_config={config!r} is no file; accelerate config --config_file makes one"
        )
    if config:
        how = ["--config_file", config]
    elif Path(default_config_file).is_file():
        how = []
    else:
        how = ["--multi_gpu", "--num_machines", "1", "--main_process_port", "0"]
    how += ["--num_processes", str(settings.processes)]
    accelerate = [sys.executable, "-m", "accelerate.commands.launch", *how]
    return [*accelerate, "--module", "effwb.cli", "train", str(job), "--child"]


def _end(log: Path) -> str:
    """The last lines of what the processes said; the report of torch's launcher where they said nothing."""
    lines = log.read_text(errors="replace").splitlines()
    theirs = list(takewhile(lambda line: "torch.distributed.elastic" not in line, lines))
    told = any("Error" in line for line in theirs)
    return "\n".join((theirs if told else lines)[-LAST_LINES:])


def _device() -> dict[str, str]:
    """Without CUDA the processes talk through gloo."""
    import torch

    return {} if torch.cuda.is_available() else {"ACCELERATE_USE_CPU": "true"}


def _follow(child: subprocess.Popen, record: Record, listeners: list[Callable[[dict], None]]) -> None:
    """Tell of the steps measured from now on, until the child has ended."""
    seen = len(record.rows())
    while True:
        ended = child.poll() is not None
        rows = record.rows()
        seen = min(seen, len(rows))  # a resumed run measures its last steps again
        for row in rows[seen:]:
            for listen in listeners:
                listen(row)
        seen = len(rows)
        if ended:
            return
        time.sleep(POLL)
