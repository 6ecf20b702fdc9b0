"""What forced answers cost in training: a REO-RL step (five budgets) beside a vanilla step on the same
rollouts, and beside the naive way of probing (truncate, append, generate from nothing).

    python -m benchmarks.reo_step [--steps 4 --repeats 2]

The learning rate is 0, so that both train on the same rollouts at every step. Both ways of probing must give
the same tokens, or nothing is measured. Results go to benchmarks/results/reo_step.json.
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


def seconds(design: str, given, profile, practice, seed: int) -> dict:
    params = {"n": BUDGETS} if design == "reo_rl" else {}
    with tempfile.TemporaryDirectory() as folder:
        metrics = train(
            design, practice, run_dir=folder, profile=profile, design_params=params, seed=seed, watch="none",
            steps=given.steps + 1, save_every=given.steps + 1, learning_rate=0.0,
        ).metrics.iloc[1:]  # fmt: skip
    phases = ("time/sample", "time/grade", "time/probe", "time/train", "time/step")
    return {p: float(metrics[p].mean()) for p in phases if p in metrics} | {
        "tokens": int(metrics["tokens"].sum())
    }


def probing(profile, practice, seed: int) -> dict:
    """Seconds for the forced answers of one round, our way and naively; the tokens must be the same."""
    with open_sampler(profile.model) as sampler:
        form = prompts.template(profile.template)
        asked = [prompts.render(sampler.tokenizer, q, form)[1] for q in practice["question"][:16]]
        params = SamplingParams(profile.max_tokens, n=8)
        found = sampler.generate(asked, params, [[seed + 8 * p + g for g in range(8)] for p in range(16)])
        budgets = [16, 32, 64, 128, 256]
        work = [
            ProbeTarget(ids, c.token_ids, True, cuts_of(len(c.token_ids), c.finish_reason, budgets))
            for ids, row in zip(asked, found, strict=True)
            for c in row
        ]
        forcer = Prober(sampler.tokenizer, prompts.forced_suffix(form), profile.answer_tokens)
        times, answers = {}, {}
        for way in ("tree", "naive", "tree", "naive"):
            sampler._uses_trees = (lambda: True) if way == "tree" else (lambda: False)
            start = time.perf_counter()
            found = forcer.answers(sampler, work)
            times[way] = time.perf_counter() - start  # the second of each is warm
            answers[way] = [a.completion.token_ids for row in found for a in row]
    if answers["tree"] != answers["naive"]:
        raise SystemExit("the two ways of probing differ; nothing was measured")
    return {"probes": len(answers["tree"]), "seconds": times, "naive / tree": times["naive"] / times["tree"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    profile = profiles.profile("pocket")
    practice = problems.load("pocket", 128, split="train")
    both = {"vanilla": [], "reo_rl": []}
    for seed in range(given.repeats):
        for design, rows in both.items():
            rows.append(seconds(design, given, profile, practice, seed))
    if [r["tokens"] for r in both["vanilla"]] != [r["tokens"] for r in both["reo_rl"]]:
        raise SystemExit("the two designs did not see the same rollouts; nothing was measured")
    means = {d: {k: sum(r[k] for r in rows) / len(rows) for k in rows[0]} for d, rows in both.items()}
    found = {
        "settings": {**vars(given), "threads": torch.get_num_threads(), "cores": os.cpu_count()},
        "seconds per step": means,
        "ratio": means["reo_rl"]["time/step"] / means["vanilla"]["time/step"],
        "probing one round": probing(profile, practice, 0),
    }
    print(json.dumps(found, indent=1))
    write_atomic(RESULTS, json.dumps(found, indent=1).encode())


if __name__ == "__main__":
    main()
