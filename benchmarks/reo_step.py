"""Compares a REO-RL training step (five budgets) with a vanilla step on the same rollouts.

    python -m benchmarks.reo_step [--steps 4 --repeats 2]

The learning rate is 0, so both designs train on the same rollouts at every step. REO-RL samples and probes in
one call: its `time/sample` includes the forced answers, and its `time/probe` only their grading. The forced
answers alone are also compared with the naive way, which generates anew from each cut text. Both ways must
give the same tokens, or nothing is measured. Results: benchmarks/results/reo_step.json.
"""

import json
import tempfile
import time
from collections.abc import Sequence

import torch
from datasets import Dataset

from benchmarks.report import commit, machine, parser_of, save, settings_of
from effwb import problems, profiles, prompts
from effwb.probes import Prober, ProbeTarget, cuts_of
from effwb.profiles import Profile
from effwb.samplers import SamplingParams, open_sampler
from effwb.training import train

BUDGETS = 5
PHASES = ("time/sample", "time/grade", "time/probe", "time/train", "time/step")


def time_steps(
    design: str, steps: int, problems_per_round: int, profile: Profile, train_problems: Dataset, seed: int
) -> dict[str, float]:
    """Return the mean seconds of a step by phase, and the tokens of all steps; the first step is left out."""
    params = {"n": BUDGETS} if design == "reo_rl" else {}
    with tempfile.TemporaryDirectory() as folder:
        metrics = train(
            design, train_problems, run_dir=folder, profile=profile, design_params=params, seed=seed,
            watch="none", steps=steps + 1, save_every=steps + 1, learning_rate=0.0,
            problems_per_round=problems_per_round,
        ).metrics.iloc[1:]  # fmt: skip
    seconds = {phase: float(metrics[phase].mean()) for phase in PHASES if phase in metrics}
    return {**seconds, "tokens": int(metrics["tokens"].sum())}


def time_probing(profile: Profile, train_problems: Dataset, seed: int) -> dict:
    """Time the forced answers of one round, as a tree and naively; the tokens must be the same.

    Args:
        profile: Names the model and its prompts.
        train_problems: The problems of the round, eight rollouts each.
        seed: Seed of the first rollout.

    Returns:
        The number of forced answers, the seconds of both ways, and their ratio.
    """
    with open_sampler(profile.model) as sampler:
        template = prompts.template(profile.template)
        prompt_ids = [
            prompts.render(sampler.tokenizer, question, template)[1]
            for question in train_problems["question"]
        ]
        params = SamplingParams(profile.max_tokens, n=8)
        seeds = [[seed + 8 * p + g for g in range(8)] for p in range(len(prompt_ids))]
        rollouts = sampler.generate(prompt_ids, params, seeds)
        budgets = [16, 32, 64, 128, 256]
        targets = [
            ProbeTarget(ids, c.token_ids, True, cuts_of(len(c.token_ids), c.finish_reason, budgets))
            for ids, row in zip(prompt_ids, rollouts, strict=True)
            for c in row
        ]
        prober = Prober(sampler.tokenizer, prompts.forced_suffix(template), profile.answer_tokens)
        seconds, tokens = {}, {}
        for way in ("tree", "naive", "tree", "naive"):
            sampler._uses_trees = (lambda: True) if way == "tree" else (lambda: False)
            start = time.perf_counter()
            answers = prober.answers(sampler, targets)
            seconds[way] = time.perf_counter() - start  # the second of each is warm
            tokens[way] = [answer.completion.token_ids for row in answers for answer in row]
    if tokens["tree"] != tokens["naive"]:
        raise SystemExit("the two ways of probing give different tokens; nothing was measured")
    ratio = seconds["naive"] / seconds["tree"]
    return {"probes": len(tokens["tree"]), "seconds": seconds, "naive / tree": ratio}


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of("reo_step", __doc__)
    parser.add_argument("--steps", type=int, default=4, help="timed steps of each training")
    parser.add_argument(
        "--repeats", type=int, default=2, help="trainings of each design, each with a new seed"
    )
    parser.add_argument("--problems", type=int, default=16, help="problems in a round")
    parser.add_argument("--max-tokens", type=int, help="cap of a rollout; default: the profile's")
    args = parser.parse_args(argv)
    profile = profiles.profile("pocket", max_tokens=args.max_tokens)
    train_problems = problems.load("pocket", 128, split="train")
    rows: dict[str, list[dict[str, float]]] = {"vanilla": [], "reo_rl": []}
    for seed in range(args.repeats):
        for design, measured in rows.items():
            measured.append(time_steps(design, args.steps, args.problems, profile, train_problems, seed))
    if [row["tokens"] for row in rows["vanilla"]] != [row["tokens"] for row in rows["reo_rl"]]:
        raise SystemExit("the two designs did not train on the same rollouts; nothing was measured")
    means = {
        design: {key: sum(row[key] for row in part) / len(part) for key in part[0]}
        for design, part in rows.items()
    }
    results = {
        "commit": commit(),
        "settings": {**settings_of(args), "threads": torch.get_num_threads()},
        "machine": machine("torch", "trl"),
        "seconds per step": means,
        "ratio": means["reo_rl"]["time/step"] / means["vanilla"]["time/step"],
        "probing one round": time_probing(profile, train_problems.select(range(args.problems)), 0),
    }
    print(json.dumps(results, indent=1))
    save(args.output, results)


if __name__ == "__main__":
    main()
