"""Seconds of a GRPO step by phase: effwb's trainer and plain TRL, same model, problems, batch and sampling.

    python -m benchmarks.grpo_step [--steps 3 --repeats 2]

That both compute the same is a test (`test_loss_and_gradient_are_trls`). Every way runs `--steps`
steps, all ways in turn, `--repeats` times. Rollouts are drawn at random, so the ways differ a little
in tokens; ratios are per token sampled. Results go to benchmarks/results/grpo_step.json.
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
    """TRL as it is, with a stopwatch on two of its phases."""

    def __init__(self, *args, **kwargs):
        self.seconds, self.sampled = {"sample": 0.0, "grade": 0.0}, 0
        super().__init__(*args, **kwargs)

    def _generate_single_turn(self, *args, **kwargs):
        start = time.perf_counter()
        found = super()._generate_single_turn(*args, **kwargs)
        self.seconds["sample"] += time.perf_counter() - start
        self.sampled += sum(map(len, found[0]))
        return found

    def _calculate_rewards(self, *args, **kwargs):
        start = time.perf_counter()
        found = super()._calculate_rewards(*args, **kwargs)
        self.seconds["grade"] += time.perf_counter() - start
        return found


def correct(prompts, completions, answer, **_) -> list[float]:
    """The same verifier as reward."""
    shown = [f"<think>{c}" for c in completions]
    return [float(v.status == "correct") for v in verify(shown, list(answer))]


def plain(profile, settings, practice, folder: str) -> dict:
    tokenizer = models.load_tokenizer(profile.model)
    form = prompts.template(profile.template)
    asked = [prompts.render(tokenizer, q, form)[0] for q in practice["question"]]
    config = grpo_config(settings, profile.max_tokens, Path(folder), 0, [], max(map(len, asked)), "token")
    config.scale_rewards, config.save_strategy = "group", "no"
    with quiet(Path(folder)):
        trainer = PlainTrl(
            model=models.load_model(profile.model).train(),
            args=config,
            processing_class=tokenizer,
            reward_funcs=[correct],
            train_dataset=Dataset.from_dict({"prompt": asked, "answer": practice["answer"]}),
        )
        start = time.perf_counter()
        trainer.train()
    whole = time.perf_counter() - start
    return {"tokens": trainer.sampled, **trainer.seconds, "train": whole - sum(trainer.seconds.values())}


def ours(profile, settings, practice, folder: str) -> dict:
    metrics = train(
        "vanilla", practice, run_dir=folder, profile=profile, watch="none", **settings.as_dict()
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
    given = parser.parse_args()
    profile = profiles.profile("pocket")
    practice = problems.load("pocket", 128, split="train")
    base = profile.training.override(steps=given.steps, save_every=given.steps)
    rows = []
    for repeat in range(given.repeats):
        for way in WAYS:
            engine = way.split()[-1]
            if engine == "vllm" and importlib.util.find_spec("vllm") is None:
                continue
            with tempfile.TemporaryDirectory() as folder:
                if way == "plain TRL":
                    done = plain(
                        profile, base.override(micro_batch=given.plain_micro_batch), practice, folder
                    )
                else:
                    done = ours(profile, base.override(engine=engine), practice, folder)
            rows.append({"way": way, "repeat": repeat, **done})
            print(rows[-1], flush=True)
    report(pd.DataFrame(rows), given)


def report(table: pd.DataFrame, given) -> None:
    phases = ["sample", "grade", "train"]
    total = table.groupby("way", sort=False)[["tokens", *phases]].sum()
    steps = given.steps * given.repeats
    shown = total[phases].div(steps)
    shown["step"] = shown.sum(axis=1)
    per_token = total[phases].sum(axis=1) / total["tokens"]
    shown["tokens per step"] = total["tokens"] / steps
    shown["ratio to plain TRL, per token"] = per_token / per_token["plain TRL"]
    print(shown.round(3).to_string())
    facts = {
        "machine": f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads of "
        f"{os.cpu_count()} cores",
        "torch": torch.__version__,
        "settings": vars(given),
        "seconds per step": json.loads(shown.to_json(orient="index")),
        "runs": table.to_dict("records"),
    }
    write_atomic(RESULTS, json.dumps(facts, indent=1).encode())


if __name__ == "__main__":
    main()
