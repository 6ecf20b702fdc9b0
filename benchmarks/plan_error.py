"""How far off is `effwb plan`? Its estimate for two trainings of the pocket model against what they took.

    python -m benchmarks.plan_error

Prints ratios, estimate to truth, and writes benchmarks/results/plan_error.json. Needs about eight minutes and
a machine that does nothing else.
"""

import json
import tempfile
import time
from pathlib import Path

from effwb import profiles
from effwb.sweep import estimate
from effwb.training import Point, load_train_and_eval, run_points

OUT = Path(__file__).parent / "results" / "plan_error.json"
STEPS = 40
DESIGNS = ("vanilla", "lead")  # one that keeps its length, one that loses half of it


def main() -> None:
    scale = profiles.profile("pocket")
    scale = scale.override(training=scale.training.override(steps=STEPS))
    rates = estimate.calibrate(scale)
    practice, asked = load_train_and_eval(scale)
    found = {}
    for design in DESIGNS:
        told = estimate.work({"trainings": 1, "evaluations": 1}, scale, rates.length)
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            done = run_points(
                [Point(design)], practice, asked, scale, run_root=folder, base=False, watch="none"
            )[0]
            spent = time.perf_counter() - begun
            trained = done.training.metrics["tokens"].sum()
        sampled = trained + done.evaluation.rollouts["length"].sum()
        answers = len(done.evaluation.probes)
        again = estimate.work({"trainings": 1, "evaluations": 1}, scale, sampled / _rollouts(scale))
        found[design] = {
            "seconds": estimate.hours(told, rates)["hours"].iloc[-1] * 3600 / spent,
            "tokens sampled": told.sampled / sampled,
            "forced answers": told.answers / answers,
            "seconds, with the true mean length": estimate.hours(again, rates)["hours"].iloc[-1]
            * 3600
            / spent,
        }
        for name, ratio in found[design].items():
            print(f"{design:8} {name:36} {ratio:.2f} times the truth")
    OUT.write_text(json.dumps({"steps": STEPS, "estimate / truth": found}, indent=1) + "\n")


def _rollouts(scale) -> int:
    s = scale.training
    return STEPS * s.problems_per_round * s.group_size + scale.n_problems * scale.n_samples


if __name__ == "__main__":
    main()
