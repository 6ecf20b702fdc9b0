"""Compares the time of `import effwb` with that of `import trl`.

    python -m benchmarks.imports [--repeats 9]

Each statement runs in a fresh process; the start of Python is not counted. Also timed are the modules of
effwb that a session uses first, and TRL's trainer, because `import trl` loads it only when it is used. All
statements run in turns, and the best of the repeats counts. Results: benchmarks/results/imports.json.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version

from benchmarks.report import machine, parser_of, save

STATEMENTS = {
    "effwb": "import effwb",
    "effwb, to sample and measure": "from effwb import problems, profiles, evaluation, frontier, samplers",
    "effwb, to train": "from effwb import training",
    "trl": "import trl",
    "trl, to train": "from trl import GRPOTrainer",
}
TIMED = "import time; begin = time.perf_counter(); {}; print(time.perf_counter() - begin)"


def seconds(statement: str) -> float:
    """Run an import statement in a fresh process and return its seconds."""
    command = [sys.executable, "-c", TIMED.format(statement)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of("imports", __doc__)
    parser.add_argument("--repeats", type=int, default=9, help="times that each statement runs")
    args = parser.parse_args(argv)
    runs = [{name: seconds(text) for name, text in STATEMENTS.items()} for _ in range(args.repeats)]
    best = {name: min(run[name] for run in runs) for name in STATEMENTS}
    results = {
        "machine": machine(),
        "python": sys.version.split()[0],
        "trl": version("trl"),
        "repeats": args.repeats,
        "seconds": best,
        "trl / effwb": best["trl"] / best["effwb"],
        "to train: trl / effwb": best["trl, to train"] / best["effwb, to train"],
    }
    print(json.dumps(results, indent=1))
    save(args.output, results)


if __name__ == "__main__":
    main()
