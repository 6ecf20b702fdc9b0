"""Seconds of a GRPO step by phase: effwb's trainer and plain TRL, same model, problems, batch and sampling.

    python -m benchmarks.grpo_step [--steps 3 --repeats 2]

A test shows that both compute the same (`test_loss_and_gradient_are_trls`). Every way runs `--steps` steps,
all ways in turn, `--repeats` times. Rollouts are drawn at random, so the ways differ a little in tokens;
ratios are per token sampled. Results go to benchmarks/results/grpo_step.json.
"""

import argparse
import importlib.util
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from datasets import Dataset
from trl import GRPOTrainer

from effwb import models, problems, profiles, prompts
from effwb.runs import write_atomic
from effwb.training import train
from effwb.training.trl_config import grpo_config, quiet
from effwb.verifiers import verify

RESULTS = Path(__file__).parent / "results" / "grpo_step.json"
WAYS = ("plain TRL", "effwb, engine trl", "effwb, engine transformers", "effwb, engine vllm")


class PlainTrl(GRPOTrainer):
    """TRL as it is, with two of its phases timed."""

    def __init__(self, *args, **kwargs):
        self.seconds, self.sampled = {"sample": 0.0, "grade": 0.0}, 0
        super().__init__(*args, **kwargs)

    def _generate_single_turn(self, *args, **kwargs):
        start = time.perf_counter()
        result = super()._generate_single_turn(*args, **kwargs)
        self.seconds["sample"] += time.perf_counter() - start
        self.sampled += sum(map(len, result[0]))
        return result

    def _calculate_rewards(self, *args, **kwargs):
        start = time.perf_counter()
        rewards = super()._calculate_rewards(*args, **kwargs)
        self.seconds["grade"] += time.perf_counter() - start
        return rewards


def correct(prompts, completions, answer, **_) -> list[float]:
    """effwb's verifier as TRL's reward."""
    texts = [f"<think>{completion}" for completion in completions]
    return [float(verdict.status == "correct") for verdict in verify(texts, list(answer))]


def time_plain_trl(profile, settings, train_problems, folder: str) -> dict:
    tokenizer = models.load_tokenizer(profile.model)
    template = prompts.template(profile.template)
    texts = [prompts.render(tokenizer, question, template)[0] for question in train_problems["question"]]
    config = grpo_config(settings, profile.max_tokens, Path(folder), 0, [], max(map(len, texts)), "token")
    config.scale_rewards, config.save_strategy = "group", "no"
    with quiet(Path(folder)):
        trainer = PlainTrl(
            model=models.load_model(profile.model).train(),
            args=config,
            processing_class=tokenizer,
            reward_funcs=[correct],
            train_dataset=Dataset.from_dict({"prompt": texts, "answer": train_problems["answer"]}),
        )
        start = time.perf_counter()
        trainer.train()
    whole = time.perf_counter() - start
    return {"tokens": trainer.sampled, **trainer.seconds, "train": whole - sum(trainer.seconds.values())}


def time_effwb(profile, settings, train_problems, folder: str) -> dict:
    metrics = train(
        "vanilla", train_problems, run_dir=folder, profile=profile, watch="none", **settings.as_dict()
    ).metrics
    phases = {p: float(metrics[f"time/{p}"].sum()) for p in ("sample", "grade", "train")}
    return {"tokens": int(metrics["tokens"].sum()), **phases}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--plain-micro-batch", type=int, default=16)
    args = parser.parse_args()
    profile = profiles.profile("pocket")
    train_problems = problems.load("pocket", 128, split="train")
    base = profile.training.override(steps=args.steps, save_every=args.steps)
    rows = []
    for repeat in range(args.repeats):
        for way in WAYS:
            engine = way.split()[-1]
            if engine == "vllm" and importlib.util.find_spec("vllm") is None:
                continue
            with tempfile.TemporaryDirectory() as folder:
                if way == "plain TRL":
                    settings = base.override(micro_batch=args.plain_micro_batch)
                    times = time_plain_trl(profile, settings, train_problems, folder)
                else:
                    times = time_effwb(profile, base.override(engine=engine), train_problems, folder)
            rows.append({"way": way, "repeat": repeat, **times})
            print(rows[-1], flush=True)
    report(pd.DataFrame(rows), args)


def report(table: pd.DataFrame, args) -> None:
    phases = ["sample", "grade", "train"]
    total = table.groupby("way", sort=False)[["tokens", *phases]].sum()
    steps = args.steps * args.repeats
    per_step = total[phases].div(steps)
    per_step["step"] = per_step.sum(axis=1)
    per_token = total[phases].sum(axis=1) / total["tokens"]
    per_step["tokens per step"] = total["tokens"] / steps
    per_step["ratio to plain TRL, per token"] = per_token / per_token["plain TRL"]
    print(per_step.round(3).to_string())
    result = {
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads of "
        f"{os.cpu_count()} cores",
        "torch": torch.__version__,
        "settings": vars(args),
        "seconds per step": json.loads(per_step.to_json(orient="index")),
        "runs": table.to_dict("records"),
    }
    write_atomic(RESULTS, json.dumps(result, indent=1).encode())


if __name__ == "__main__":
    main()
