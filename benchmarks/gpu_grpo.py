"""GRPO on a GPU: checks first, then tokens per second and seconds per phase for three designs.

    python -m benchmarks.gpu_grpo [--model smollm2 --steps 50 --engine transformers]

SmolLM2-135M-Instruct on chained sums (`make smollm2` fetches it). The check compares our packed forward pass
with a padded one on the same device; a difference beyond the tolerance of the dtype ends the run. It also
runs on a CPU (`--steps 1`), where it only shows that the script works. Results:
benchmarks/results/gpu_grpo.json.
"""

import argparse
import contextlib
import json
import tempfile
from pathlib import Path

import torch

from effwb import models, problems, profiles
from effwb.runs import environment, write_atomic
from effwb.training import train
from effwb.training.forward import log_probs

RESULTS = Path(__file__).parent / "results" / "gpu_grpo.json"
DESIGNS = {"vanilla": {}, "length_group_norm": {"alpha": 0.2}, "kimi": {"weight": 0.5}}


def largest_difference(model: str) -> float:
    """max |packed - padded| over the log-probabilities of random rollouts, float32."""
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


def run(design: str, params: dict, given, profile, practice) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        metrics = train(
            design,
            practice,
            run_dir=folder,
            profile=profile,
            design_params=params,
            watch="lines",
            steps=given.steps,
            save_every=given.steps,
            problems_per_round=given.problems,
            group_size=8,
            micro_batch=given.micro_batch,
            engine=given.engine,
            learning_rate=given.learning_rate,
        ).metrics
    warm = metrics.iloc[min(2, len(metrics) - 1) :]
    seconds = {p: float(warm[f"time/{p}"].mean()) for p in ("sample", "grade", "train", "step")}
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--problems", type=int, default=16)
    parser.add_argument("--micro-batch", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-5)
    parser.add_argument("--engine", default="transformers")
    given = parser.parse_args()
    off = largest_difference(given.model)
    print(
        f"packed against padded forward pass: largest difference of a log-probability {off:.2e}", flush=True
    )
    if not off < 1e-2:
        raise SystemExit("the packed forward pass does not agree on this device; nothing was measured")
    profile = profiles.profile("smollm2", model=given.model)
    practice = problems.load(profile.problems, n=256, seed=1000)
    cuda = torch.cuda.is_available()
    found = {
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "settings": vars(given),
        "environment": environment(),
        "largest difference": off,
        "designs": {name: run(name, params, given, profile, practice) for name, params in DESIGNS.items()},
    }
    if cuda:
        found["peak memory, GiB"] = torch.cuda.max_memory_allocated() / 1024**3
    print(json.dumps(found["designs"], indent=1))
    write_atomic(RESULTS, json.dumps(found, indent=1).encode())


if __name__ == "__main__":
    main()
