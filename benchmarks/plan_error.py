"""Compares the estimate of `effwb plan` for two trainings of the pocket model with what they really took.

    python -m benchmarks.plan_error

The estimate comes from a short run on this machine, as `effwb plan` makes it. Prints the ratios of estimate
to truth. Takes about eight minutes and needs a machine without other work. Results:
benchmarks/results/plan_error.json.
"""

import tempfile
import time
from collections.abc import Sequence

from datasets import Dataset

from benchmarks.report import parser_of, save
from effwb import profiles
from effwb.profiles import Profile
from effwb.study import run_points
from effwb.sweep import estimate
from effwb.training import Point, load_train_and_eval

DESIGNS = ("vanilla", "lead")  # one that keeps its length, one that loses half of it
COUNT = {"trainings": 1, "evaluations": 1}


def measure(
    design: str, train_problems: Dataset, eval_problems: Dataset, profile: Profile
) -> dict[str, float]:
    """Train and evaluate a design, and return its seconds, sampled tokens and forced answers."""
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
        tokens = run.metrics["tokens"].sum() + run.rollouts["length"].sum()
        return {"seconds": seconds, "tokens": tokens, "answers": len(run.probes)}


def ratios_to_truth(truth: dict[str, float], profile: Profile, rates: estimate.Rates) -> dict[str, float]:
    """Divide the estimates by the measured values."""
    training = profile.training
    rollouts = training.steps * training.problems_per_round * training.group_size
    rollouts += profile.n_problems * profile.n_samples
    plan = estimate.work(COUNT, profile, rates.length)
    informed_plan = estimate.work(COUNT, profile, truth["tokens"] / rollouts)
    return {
        "seconds": estimated_seconds(plan, rates) / truth["seconds"],
        "tokens sampled": plan.sampled / truth["tokens"],
        "forced answers": plan.answers / truth["answers"],
        "seconds, with the true mean length": estimated_seconds(informed_plan, rates) / truth["seconds"],
    }


def estimated_seconds(work: estimate.Work, rates: estimate.Rates) -> float:
    return estimate.hours(work, rates)["hours"].iloc[-1] * 3600


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of("plan_error", __doc__)
    parser.add_argument("--steps", type=int, default=40, help="training steps of each design")
    parser.add_argument("--problems-per-round", type=int, help="default: the profile's")
    parser.add_argument("--n-problems", type=int, help="evaluation problems; default: the profile's")
    parser.add_argument(
        "--n-samples", type=int, help="rollouts per evaluation problem; default: the profile's"
    )
    parser.add_argument("--max-tokens", type=int, help="cap of a rollout; default: the profile's")
    args = parser.parse_args(argv)
    profile = profiles.profile(
        "pocket", n_problems=args.n_problems, n_samples=args.n_samples, max_tokens=args.max_tokens
    )
    training = profile.training.override(steps=args.steps, problems_per_round=args.problems_per_round)
    profile = profile.override(training=training)
    rates = estimate.calibrate(profile)
    train_problems, eval_problems = load_train_and_eval(profile)
    ratios = {}
    for design in DESIGNS:
        truth = measure(design, train_problems, eval_problems, profile)
        ratios[design] = ratios_to_truth(truth, profile, rates)
        for name, ratio in ratios[design].items():
            print(f"{design:8} {name:36} {ratio:.2f} times the truth")
    save(args.output, {"steps": args.steps, "estimate / truth": ratios})


if __name__ == "__main__":
    main()
