"""Compares the results of this checkout with those of another, after a change that must not change any.

    python -m benchmarks.same_results OTHER [--keep DIR]

OTHER is the root directory of the other checkout. Both run the same small experiments on the pocket model,
each in its own process: two evaluations, and three training steps of several designs. The identities in
config.json, every column of the tables and of metrics.jsonl except the seconds, and the trained weights must
be the same, bit for bit. This checkout must also be able to read the runs of the other one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
DESIGNS = ("vanilla", "kimi", "lead", "laser_d", "reo_rl", "mrt", "brpo", "l1_exact", "hgpo")
RUN = """
import hashlib, json, sys
from pathlib import Path
import effwb
from effwb import problems, profiles
from effwb.evaluation import evaluate
from effwb.samplers import open_sampler
from effwb.training import train

root, designs, n = Path(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3])
profile = profiles.profile("pocket", n_problems=n, n_samples=2, max_tokens=160)
eval_problems = problems.load("pocket", n)
with open_sampler("pocket", "transformers") as sampler:
    for name, effort in (("free", None), ("low", "low")):
        evaluate(eval_problems, sampler, profile, run_dir=root / name, effort=effort, progress=False)
train_problems = problems.load("pocket", 24, split="train")
for design in designs:
    small = dict(steps=3, problems_per_round=6, group_size=4, save_every=3, micro_batch=24)
    train(design, train_problems, run_dir=root / design, profile=profile, watch="none", **small)
print("checkout:", Path(effwb.__file__).parents[1])
"""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.same_results",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("other", type=Path, help="root directory of the other checkout")
    parser.add_argument("--keep", type=Path, help="directory for the runs; default: a temporary one")
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS), help="designs to train")
    parser.add_argument("--n-problems", type=int, default=21, help="evaluation problems")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        root = args.keep or Path(folder)
        size = {"designs": args.designs, "n_problems": args.n_problems}
        run(args.other.resolve(), root / "other", **size)
        run(HERE, root / "here", **size)
        rows = compare(root / "other", root / "here", args.designs)
        times = {path: path.stat().st_mtime_ns for path in root.rglob("*.parquet")}
        run(HERE, root / "other", **size)  # reads the runs of the other checkout
        untouched = all(path.stat().st_mtime_ns == time for path, time in times.items())
    for name, result in rows.items():
        print(f"{name:40} {result}")
    print(f"{'runs of the other checkout':40} {'read back' if untouched else 'NOT READ: made again'}")
    different = [name for name, result in rows.items() if result != "same"]
    sys.exit(f"{len(different)} differ: {', '.join(different)}" if different or not untouched else 0)


def run(checkout: Path, root: Path, designs: Sequence[str], n_problems: int) -> None:
    """Run the experiments with the code of a checkout.

    Args:
        checkout: Root directory of the checkout.
        root: Directory of the runs.
        designs: Designs to train.
        n_problems: Evaluation problems.
    """
    env = {**os.environ, "PYTHONPATH": str(checkout), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", RUN, str(root), ",".join(designs), str(n_problems)]
    subprocess.run(command, cwd=checkout, env=env, check=True)


def compare(other: Path, here: Path, designs: Sequence[str]) -> dict[str, str]:
    """Compare the runs of two checkouts.

    Args:
        other: Runs of the other checkout.
        here: Runs of this checkout.
        designs: The designs that were trained.

    Returns:
        "same" or the difference, for each part of each run.
    """
    rows = {}
    for name in ("free", "low"):
        for part in ("rollouts", "probes"):
            rows[f"{name}: {part}"] = tables(other / name / part, here / name / part)
        rows[f"{name}: identity"] = identities(other / name, here / name)
    for name in designs:
        rows[f"{name}: identity"] = identities(other / name, here / name)
        rows[f"{name}: metrics"] = metrics(other / name, here / name)
        rows[f"{name}: weights"] = weights(other / name, here / name)
    return rows


def identities(a: Path, b: Path) -> str:
    """Compare the identities of two runs."""

    def read(folder: Path) -> dict:
        config = json.loads((folder / "config.json").read_text())
        return {key: part["identity"] for key, part in config.items() if isinstance(part, dict)}

    return "same" if read(a) == read(b) else "DIFFERENT"


def tables(a: Path, b: Path) -> str:
    """Compare two tables column by column, without the seconds of the verifier."""
    import pandas as pd

    frames = [pd.concat(map(pd.read_parquet, sorted(path.glob("*.parquet")))) for path in (a, b)]
    columns = [c for c in frames[0] if c != "verify_ms"]
    if set(frames[0]) != set(frames[1]):
        return f"DIFFERENT columns: {sorted(set(frames[0]) ^ set(frames[1]))}"
    different = [c for c in columns if list(map(str, frames[0][c])) != list(map(str, frames[1][c]))]
    return f"DIFFERENT: {', '.join(different)}" if different else "same"


def metrics(a: Path, b: Path) -> str:
    """Compare the training metrics of two runs, without everything that is a time."""
    rows = [
        [json.loads(line) for line in (path / "train" / "metrics.jsonl").read_text().splitlines()]
        for path in (a, b)
    ]
    times = ("time", "seconds", "runtime", "_per_second")
    plain = [
        [{k: v for k, v in row.items() if not any(t in k for t in times)} for row in part] for part in rows
    ]
    if plain[0] == plain[1]:
        return "same"
    different = {k for x, y in zip(*plain, strict=True) for k in x.keys() | y.keys() if x.get(k) != y.get(k)}
    return f"DIFFERENT: {', '.join(sorted(different))}"


def weights(a: Path, b: Path) -> str:
    """Compare the trained weights of two runs."""
    from safetensors.numpy import load_file

    left, right = (load_file(path / "model" / "model.safetensors") for path in (a, b))
    if left.keys() != right.keys():
        return "DIFFERENT names"
    largest = max(float(abs(left[key] - right[key]).max()) for key in left)
    return "same" if largest == 0 else f"DIFFERENT by up to {largest:.3g}"


if __name__ == "__main__":
    main()
