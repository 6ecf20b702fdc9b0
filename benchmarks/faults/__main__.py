"""Injects faults into small runs of the pocket model and judges what effwb makes of each.

    python -m benchmarks.faults run [--count 1000 --seed 0 --only files,kills --jobs 2]
    python -m benchmarks.faults table

`run` appends a line per fault to data/runs/faults/<seed>.jsonl and continues after a kill; `table` counts the
verdicts by kind of fault and writes benchmarks/results/faults.json.

The verdicts:

- right: the result is that of a run without the fault.
- named: an error of effwb, or a full disk's own, that names the file, the directory or the parameter.
- silently wrong: another result without an error, or a wrong value that was accepted.
- raw: any other exception, a crash, or no end within the time limit.

Faults of programs that are not installed (vLLM, Ray), or that need root, are "not tried" and in no count; run
the bench again where they are, with the same seed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.faults.bench import KINDS, LOST, VERDICTS, draw, execute, read_lines
from benchmarks.faults.judge import NOT_TRIED
from benchmarks.report import add_output, machine, save
from effwb._internal.paths import work_root

ROOT = work_root() / "data/runs/faults"


def table(lines: list[dict]) -> str:
    """The verdicts by kind of fault, as Markdown."""
    rows = ["| fault | number | " + " | ".join(VERDICTS) + " |", "|---|" + "---|" * (len(VERDICTS) + 1)]
    kinds = [kind for kind in KINDS if any(line["kind"] == kind for line in lines)]
    for kind in [*kinds, "all"]:
        verdicts = [line["verdict"] for line in lines if kind in (line["kind"], "all")]
        cells = [str(len(verdicts)), *(str(verdicts.count(verdict)) for verdict in VERDICTS)]
        rows.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_output(parser, "faults")
    parser.add_argument("action", choices=["run", "table"])
    parser.add_argument("--count", type=int, default=1000, help="faults in all (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="decides every fault (default: 0)")
    parser.add_argument("--only", default="", metavar="KIND,KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--jobs", type=int, default=2, help="faults at a time (default: 2)")
    parser.add_argument("--root", type=Path, default=ROOT, metavar="DIR", help="where the runs go")
    options = parser.parse_args(args)
    file = options.root / f"{options.seed}.jsonl"
    if options.action == "run":
        only = [kind for kind in options.only.split(",") if kind]
        execute(draw(options.count, options.seed, only), file, options.jobs)
    lines = read_lines(file)
    for line in [line for line in lines if line["verdict"] == NOT_TRIED]:
        print(f"not tried: {line['kind']} {line['number']}: {line['detail']}")
    lines = [line for line in lines if line["verdict"] != NOT_TRIED]
    print(table(lines))
    lost = [line for line in lines if line["verdict"] in LOST]
    for line in lost:
        print(f"{line['verdict']}: {line['kind']} {line['number']}: {line['fault']}: {line['detail']}")
    counts = {
        kind: {v: sum(line["kind"] == kind and line["verdict"] == v for line in lines) for v in VERDICTS}
        for kind in dict.fromkeys(line["kind"] for line in lines)
    }
    results = {"seed": options.seed, "faults": len(lines), "verdicts": counts, "lost": lost}
    save(options.output, json.loads(json.dumps({"machine": machine("torch", "trl"), **results})))


if __name__ == "__main__":
    main()
