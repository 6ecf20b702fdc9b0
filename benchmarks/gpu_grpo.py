"""Compares the speed of GRPO on a GPU for three designs: tokens per second, and seconds per phase.

    python -m benchmarks.gpu_grpo [--model smollm2 --steps 50 --engine transformers]

The model is SmolLM2-135M-Instruct, trained on chained sums (`make smollm2` downloads it). First a check: our
packed forward pass must agree with a padded one on the same device, or nothing is measured. On a CPU
(`--steps 1`) the run only shows that the script works. Results: benchmarks/results/gpu_grpo.json.
"""

import contextlib
import json
import tempfile
from argparse import Namespace
from collections.abc import Sequence

import torch
from datasets import Dataset

from benchmarks.report import parser_of, save, settings_of
from effwb import models, problems, profiles
from effwb.profiles import Profile
from effwb.runs import environment
from effwb.training import train
from effwb.training.forward import log_probs

DESIGNS = {"vanilla": {}, "length_group_norm": {"alpha": 0.2}, "kimi": {"weight": 0.5}}


def largest_difference(model: str) -> float:
    """Return max |packed - padded| over the log-probabilities of random rollouts, in float32."""
    from trl.trainer.utils import add_fused_lm_head

    net = models.load_model(model)
    add_fused_lm_head(net, outputs=("log_probs", "entropy"))
    generator = torch.Generator().manual_seed(0)
    ids, mask = torch.randint(5, 1000, (8, 96), generator=generator), torch.zeros(8, 96, dtype=torch.long)
    for row in range(8):
        mask[row, 30 - 3 * row : 40 + 7 * row] = 1
    ids, mask = ids.to(net.device), mask.to(net.device)
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :32] = -100
    with torch.no_grad():
        padded = net(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
        packed, _ = log_probs(net, ids, mask, 64, tokens=256, autocast=contextlib.nullcontext, entropy=False)
    return float((packed - padded.log_probs[:, -64:]).abs().max())


def run(design: str, params: dict, args: Namespace, profile: Profile, train_problems: Dataset) -> dict:
    """Train a design; return its seconds per phase and tokens per second, without the first two steps."""
    with tempfile.TemporaryDirectory() as folder:
        metrics = train(
            design,
            train_problems,
            run_dir=folder,
            profile=profile,
            design_params=params,
            watch="lines",
            steps=args.steps,
            save_every=args.steps,
            problems_per_round=args.problems,
            group_size=8,
            micro_batch=args.micro_batch,
            engine=args.engine,
            learning_rate=args.learning_rate,
        ).metrics
    warm = metrics.iloc[min(2, len(metrics) - 1) :]
    seconds = {phase: float(warm[f"time/{phase}"].mean()) for phase in ("sample", "grade", "train", "step")}
    tenth = max(1, len(metrics) // 10)
    return {
        "seconds per step": seconds,
        "tokens per second, sampling": float(warm["tokens"].sum() / warm["time/sample"].sum()),
        "tokens per second, whole step": float(warm["tokens"].sum() / warm["time/step"].sum()),
        "first and last tenth": {
            name: [float(metrics[name].head(tenth).mean()), float(metrics[name].tail(tenth).mean())]
            for name in ("accuracy", "length/mean", "truncated", "entropy")
        },
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of("gpu_grpo", __doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--steps", type=int, default=50, help="steps of each training")
    parser.add_argument("--problems", type=int, default=16, help="problems in a round")
    parser.add_argument("--micro-batch", type=int, default=32, help="rollouts in a forward pass")
    parser.add_argument("--learning-rate", type=float, default=1e-5)
    parser.add_argument("--engine", default="transformers")
    args = parser.parse_args(argv)
    difference = largest_difference(args.model)
    print(f"packed and padded forward pass: log-probabilities differ by at most {difference:.2e}", flush=True)
    if not difference < 1e-2:
        raise SystemExit("the packed forward pass does not agree on this device; nothing was measured")
    profile = profiles.profile("smollm2", model=args.model)
    train_problems = problems.load(profile.problems, n=256, seed=1000)
    cuda = torch.cuda.is_available()
    results = {
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "settings": settings_of(args),
        "environment": environment(),
        "largest difference": difference,
        "designs": {
            name: run(name, params, args, profile, train_problems) for name, params in DESIGNS.items()
        },
    }
    if cuda:
        results["peak memory, GiB"] = torch.cuda.max_memory_allocated() / 1024**3
    print(json.dumps(results["designs"], indent=1))
    save(args.output, results)


if __name__ == "__main__":
    main()
