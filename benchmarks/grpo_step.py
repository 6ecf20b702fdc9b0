"""Compares a GRPO step of effwb's trainer with one of plain TRL: same model, problems, batch and sampling.

    python -m benchmarks.grpo_step [--steps 3 --repeats 2]

The seconds are split into sampling, grading and training. A test shows that both compute the same loss and
gradient (`test_loss_and_gradient_are_trls`). All ways run in turns. Rollouts are drawn at random, so the ways
differ a little in tokens; the ratios are per sampled token. Results: benchmarks/results/grpo_step.json.
"""

import importlib.util
import json
import os
import platform
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from datasets import Dataset
from trl import GRPOTrainer

from benchmarks.report import parser_of, save, settings_of
from effwb import models, problems, profiles, prompts
from effwb.profiles import Profile, Training
from effwb.training import train
from effwb.training.trl_config import grpo_config, quiet
from effwb.verifiers import verify

PHASES = ("sample", "grade", "train")
WAYS = ("plain TRL", "effwb, engine trl", "effwb, engine transformers", "effwb, engine vllm")


class PlainTrl(GRPOTrainer):
    """TRL's trainer, unchanged but for the clocks around sampling and grading."""

    def __init__(self, *args, **kwargs):
        self.seconds, self.sampled_tokens = {"sample": 0.0, "grade": 0.0}, 0
        super().__init__(*args, **kwargs)

    def _generate_single_turn(self, *args, **kwargs):
        start = time.perf_counter()
        result = super()._generate_single_turn(*args, **kwargs)
        self.seconds["sample"] += time.perf_counter() - start
        self.sampled_tokens += sum(map(len, result[0]))
        return result

    def _calculate_rewards(self, *args, **kwargs):
        start = time.perf_counter()
        rewards = super()._calculate_rewards(*args, **kwargs)
        self.seconds["grade"] += time.perf_counter() - start
        return rewards


def correct(prompts, completions, answer, **_) -> list[float]:
    """Grade completions with effwb's verifier, as a reward function of TRL."""
    texts = [f"<think>{completion}" for completion in completions]
    return [float(verdict.status == "correct") for verdict in verify(texts, list(answer))]


def time_plain_trl(profile: Profile, settings: Training, train_problems: Dataset, folder: str) -> dict:
    """Train with plain TRL; return the tokens and the seconds of each phase, summed over all steps."""
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
    return {
        "tokens": trainer.sampled_tokens,
        **trainer.seconds,
        "train": whole - sum(trainer.seconds.values()),
    }


def time_effwb(profile: Profile, settings: Training, train_problems: Dataset, folder: str) -> dict:
    """Train with effwb; return the tokens and the seconds of each phase, summed over all steps."""
    metrics = train(
        "vanilla", train_problems, run_dir=folder, profile=profile, watch="none", **settings.as_dict()
    ).metrics
    seconds = {phase: float(metrics[f"time/{phase}"].sum()) for phase in PHASES}
    return {"tokens": int(metrics["tokens"].sum()), **seconds}


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of("grpo_step", __doc__)
    parser.add_argument("--steps", type=int, default=3, help="steps of each training")
    parser.add_argument("--repeats", type=int, default=2, help="trainings of each way")
    parser.add_argument("--problems", type=int, default=16, help="problems in a round")
    parser.add_argument(
        "--plain-micro-batch", type=int, default=16, help="rollouts in a forward pass of plain TRL"
    )
    args = parser.parse_args(argv)
    profile = profiles.profile("pocket")
    train_problems = problems.load("pocket", 128, split="train")
    base = profile.training.override(
        steps=args.steps, save_every=args.steps, problems_per_round=args.problems
    )
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


def report(table: pd.DataFrame, args: Namespace) -> None:
    """Print the seconds per step and save them with the ratios to plain TRL.

    Args:
        table: A row per training: `way`, `repeat`, `tokens`, and the seconds of each phase.
        args: The options of the command.
    """
    total = table.groupby("way", sort=False)[["tokens", *PHASES]].sum()
    steps = args.steps * args.repeats
    per_step = total[list(PHASES)].div(steps)
    per_step["step"] = per_step.sum(axis=1)
    per_token = total[list(PHASES)].sum(axis=1) / total["tokens"]
    per_step["tokens per step"] = total["tokens"] / steps
    per_step["ratio to plain TRL, per token"] = per_token / per_token["plain TRL"]
    print(per_step.round(3).to_string())
    processor = platform.processor() or platform.machine()
    results = {
        "machine": f"{processor}, {torch.get_num_threads()} threads of {os.cpu_count()} cores",
        "torch": torch.__version__,
        "settings": settings_of(args),
        "seconds per step": json.loads(per_step.to_json(orient="index")),
        "runs": table.to_dict("records"),
    }
    save(args.output, results)


if __name__ == "__main__":
    main()
