"""What forced answers cost in training: a REO-RL step (five budgets) beside a vanilla step, same rollouts.

    python -m benchmarks.reo_step [--steps 4 --repeats 2]

The learning rate is 0, so both designs train on the same rollouts at every step. REO-RL samples and probes in
one call, so its `time/sample` includes the forced answers and its `time/probe` only their grading. Beside it,
forced answers alone are compared with the naive way (truncate, append, generate from nothing). Both ways must
give the same tokens, or nothing is measured. Results go to benchmarks/results/reo_step.json.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import torch

from effwb import problems, profiles, prompts
from effwb.probes import Prober, ProbeTarget, cuts_of
from effwb.runs import write_atomic
from effwb.samplers import SamplingParams, open_sampler
from effwb.training import train

RESULTS = Path(__file__).parent / "results" / "reo_step.json"
BUDGETS = 5


def time_steps(design: str, args, profile, train_problems, seed: int) -> dict:
    """Mean seconds of a step by phase, without the first step."""
    params = {"n": BUDGETS} if design == "reo_rl" else {}
    with tempfile.TemporaryDirectory() as folder:
        metrics = train(
            design, train_problems, run_dir=folder, profile=profile, design_params=params, seed=seed,
            watch="none", steps=args.steps + 1, save_every=args.steps + 1, learning_rate=0.0,
        ).metrics.iloc[1:]  # fmt: skip
    phases = ("time/sample", "time/grade", "time/probe", "time/train", "time/step")
    return {p: float(metrics[p].mean()) for p in phases if p in metrics} | {
        "tokens": int(metrics["tokens"].sum())
    }


def time_probing(profile, train_problems, seed: int) -> dict:
    """Seconds for the forced answers of one round, as a tree and naively; the tokens must be the same."""
    with open_sampler(profile.model) as sampler:
        template = prompts.template(profile.template)
        prompt_ids = [
            prompts.render(sampler.tokenizer, q, template)[1] for q in train_problems["question"][:16]
        ]
        params = SamplingParams(profile.max_tokens, n=8)
        seeds = [[seed + 8 * p + g for g in range(8)] for p in range(16)]
        rollouts = sampler.generate(prompt_ids, params, seeds)
        budgets = [16, 32, 64, 128, 256]
        targets = [
            ProbeTarget(ids, c.token_ids, True, cuts_of(len(c.token_ids), c.finish_reason, budgets))
            for ids, row in zip(prompt_ids, rollouts, strict=True)
            for c in row
        ]
        prober = Prober(sampler.tokenizer, prompts.forced_suffix(template), profile.answer_tokens)
        times, tokens = {}, {}
        for way in ("tree", "naive", "tree", "naive"):
            sampler._uses_trees = (lambda: True) if way == "tree" else (lambda: False)
            start = time.perf_counter()
            answers = prober.answers(sampler, targets)
            times[way] = time.perf_counter() - start  # the second of each is warm
            tokens[way] = [a.completion.token_ids for row in answers for a in row]
    if tokens["tree"] != tokens["naive"]:
        raise SystemExit("the two ways of probing differ; nothing was measured")
    return {"probes": len(tokens["tree"]), "seconds": times, "naive / tree": times["naive"] / times["tree"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    profile = profiles.profile("pocket")
    train_problems = problems.load("pocket", 128, split="train")
    rows = {"vanilla": [], "reo_rl": []}
    for seed in range(args.repeats):
        for design in rows:
            rows[design].append(time_steps(design, args, profile, train_problems, seed))
    if [r["tokens"] for r in rows["vanilla"]] != [r["tokens"] for r in rows["reo_rl"]]:
        raise SystemExit("the two designs did not see the same rollouts; nothing was measured")
    means = {d: {k: sum(r[k] for r in part) / len(part) for k in part[0]} for d, part in rows.items()}
    result = {
        "settings": {**vars(args), "threads": torch.get_num_threads(), "cores": os.cpu_count()},
        "seconds per step": means,
        "ratio": means["reo_rl"]["time/step"] / means["vanilla"]["time/step"],
        "probing one round": time_probing(profile, train_problems, 0),
    }
    print(json.dumps(result, indent=1))
    write_atomic(RESULTS, json.dumps(result, indent=1).encode())


if __name__ == "__main__":
    main()
