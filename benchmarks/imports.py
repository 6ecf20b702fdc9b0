"""What `import effwb` costs beside `import trl`: seconds in a fresh process, the start of Python left out.

    python -m benchmarks.imports [--repeats 9]

Also the modules of effwb that a session begins with, and TRL's trainer: `import trl` alone loads it only when
it is used. Best of the repeats, taken in turns. Results go to benchmarks/results/imports.json.
"""

import argparse
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from effwb.runs import write_atomic

RESULTS = Path(__file__).parent / "results" / "imports.json"
STATEMENTS = {
    "effwb": "import effwb",
    "effwb, to sample and measure": "from effwb import problems, profiles, evaluation, frontier, samplers",
    "effwb, to train": "from effwb import training",
    "trl": "import trl",
    "trl, to train": "from trl import GRPOTrainer",
}
TIMED = "import time; begin = time.perf_counter(); {}; print(time.perf_counter() - begin)"


def seconds(statement: str) -> float:
    """In a process of its own."""
    command = [sys.executable, "-c", TIMED.format(statement)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    given = parser.parse_args()
    runs = [{name: seconds(text) for name, text in STATEMENTS.items()} for _ in range(given.repeats)]
    best = {name: min(run[name] for run in runs) for name in STATEMENTS}
    found = {
        "machine": {"cores": os.cpu_count(), "load": [round(x, 2) for x in os.getloadavg()]},
        "python": sys.version.split()[0],
        "trl": version("trl"),
        "repeats": given.repeats,
        "seconds": best,
        "trl / effwb": best["trl"] / best["effwb"],
        "to train: trl / effwb": best["trl, to train"] / best["effwb, to train"],
    }
    print(json.dumps(found, indent=1))
    write_atomic(RESULTS, json.dumps(found, indent=1).encode())


if __name__ == "__main__":
    main()
