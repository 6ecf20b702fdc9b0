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
from effwb.study import run_points
from effwb.sweep import estimate
from effwb.training import Point, load_train_and_eval

OUT = Path(__file__).parent / "results" / "plan_error.json"
STEPS = 40
DESIGNS = ("vanilla", "lead")  # one that keeps its length, one that loses half of it


def main() -> None:
    profile = profiles.profile("pocket")
    profile = profile.override(training=profile.training.override(steps=STEPS))
    rates = estimate.calibrate(profile)
    train_problems, eval_problems = load_train_and_eval(profile)
    ratios = {}
    for design in DESIGNS:
        planned = estimate.work({"trainings": 1, "evaluations": 1}, profile, rates.length)
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            (run,) = run_points(
                [Point(design)],
                train_problems,
                eval_problems,
                profile,
                run_root=folder,
                base=False,
                watch="none",
            )
            seconds = time.perf_counter() - start
            sampled = run.metrics["tokens"].sum() + run.rollouts["length"].sum()
            answers = len(run.probes)
        informed = estimate.work({"trainings": 1, "evaluations": 1}, profile, sampled / _rollouts(profile))
        ratios[design] = {
            "seconds": _seconds(planned, rates) / seconds,
            "tokens sampled": planned.sampled / sampled,
            "forced answers": planned.answers / answers,
            "seconds, with the true mean length": _seconds(informed, rates) / seconds,
        }
        for name, ratio in ratios[design].items():
            print(f"{design:8} {name:36} {ratio:.2f} times the truth")
    OUT.write_text(json.dumps({"steps": STEPS, "estimate / truth": ratios}, indent=1) + "\n")


def _seconds(work, rates) -> float:
    return estimate.hours(work, rates)["hours"].iloc[-1] * 3600


def _rollouts(profile) -> int:
    s = profile.training
    return STEPS * s.problems_per_round * s.group_size + profile.n_problems * profile.n_samples


if __name__ == "__main__":
    main()
