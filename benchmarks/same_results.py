"""Does this checkout give the results of another one? Run after a change that must not change any.

    python -m benchmarks.same_results OTHER [--keep DIR]

OTHER is the root of the other checkout. Both run the same small experiments on the pocket model, each in a
process of its own: two evaluations, and three steps of training under several designs. Compared are the
identities in config.json, every column of the tables and of metrics.jsonl but the seconds, and the trained
weights, bit for bit. This checkout must also read back the runs of the other one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
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

root, designs = Path(sys.argv[1]), sys.argv[2].split(",")
profile = profiles.profile("pocket", n_problems=21, n_samples=2, max_tokens=160)
eval_problems = problems.load("pocket", 21)
with open_sampler("pocket", "transformers") as sampler:
    for name, effort in (("free", None), ("low", "low")):
        evaluate(eval_problems, sampler, profile, run_dir=root / name, effort=effort, progress=False)
train_problems = problems.load("pocket", 24, split="train")
for design in designs:
    small = dict(steps=3, problems_per_round=6, group_size=4, save_every=3, micro_batch=24)
    train(design, train_problems, run_dir=root / design, profile=profile, watch="none", **small)
print("made by", Path(effwb.__file__).parents[1])
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("other", type=Path)
    parser.add_argument("--keep", type=Path, help="directory for the runs; default: a temporary one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = args.keep or Path(folder)
        run(args.other.resolve(), root / "other")
        run(HERE, root / "here")
        rows = compare(root / "other", root / "here")
        stamps = {path: path.stat().st_mtime_ns for path in root.rglob("*.parquet")}
        run(HERE, root / "other")  # reads back what the other checkout has made
        untouched = all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    for name, verdict in rows.items():
        print(f"{name:40} {verdict}")
    print(f"{'runs of the other checkout':40} {'read back' if untouched else 'MADE ANEW'}")
    different = [name for name, verdict in rows.items() if verdict != "same"]
    sys.exit(f"{len(different)} differ: {', '.join(different)}" if different or not untouched else 0)


def run(checkout: Path, root: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(checkout), "HF_HUB_OFFLINE": "1"}
    subprocess.run(
        [sys.executable, "-c", RUN, str(root), ",".join(DESIGNS)], cwd=checkout, env=env, check=True
    )


def compare(other: Path, here: Path) -> dict[str, str]:
    """What is the same and what is not, by run and part."""
    rows = {}
    for name in ("free", "low"):
        for part in ("rollouts", "probes"):
            rows[f"{name}: {part}"] = tables(other / name / part, here / name / part)
        rows[f"{name}: identity"] = verdict(identity(other / name), identity(here / name))
    for name in DESIGNS:
        rows[f"{name}: identity"] = verdict(identity(other / name), identity(here / name))
        rows[f"{name}: metrics"] = metrics(other / name, here / name)
        rows[f"{name}: weights"] = weights(other / name, here / name)
    return rows


def verdict(a, b) -> str:
    return "same" if a == b else "DIFFERENT"


def identity(folder: Path) -> dict:
    config = json.loads((folder / "config.json").read_text())
    return {key: part["identity"] for key, part in config.items() if isinstance(part, dict)}


def tables(a: Path, b: Path) -> str:
    import pandas as pd

    frames = [pd.concat(map(pd.read_parquet, sorted(path.glob("*.parquet")))) for path in (a, b)]
    columns = [c for c in frames[0] if c != "verify_ms"]
    if set(frames[0]) != set(frames[1]):
        return f"DIFFERENT columns: {sorted(set(frames[0]) ^ set(frames[1]))}"
    odd = [c for c in columns if list(map(str, frames[0][c])) != list(map(str, frames[1][c]))]
    return f"DIFFERENT: {', '.join(odd)}" if odd else "same"


def metrics(a: Path, b: Path) -> str:
    rows = [
        [json.loads(line) for line in (path / "train" / "metrics.jsonl").read_text().splitlines()]
        for path in (a, b)
    ]
    timed = ("time", "seconds", "runtime", "_per_second")
    plain = [
        [{k: v for k, v in row.items() if not any(t in k for t in timed)} for row in part] for part in rows
    ]
    if plain[0] == plain[1]:
        return "same"
    odd = {k for x, y in zip(*plain, strict=True) for k in x.keys() | y.keys() if x.get(k) != y.get(k)}
    return f"DIFFERENT: {', '.join(sorted(odd))}"


def weights(a: Path, b: Path) -> str:
    from safetensors.numpy import load_file

    left, right = (load_file(path / "model" / "model.safetensors") for path in (a, b))
    if left.keys() != right.keys():
        return "DIFFERENT names"
    largest = max(float(abs(left[key] - right[key]).max()) for key in left)
    return "same" if largest == 0 else f"DIFFERENT by up to {largest:.3g}"


if __name__ == "__main__":
    main()
