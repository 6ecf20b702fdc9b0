"""A curve's cost on a GPU: checks first, then the ratios of `budget_sweep`, tokens per second, and the share
of the memory's bandwidth that decoding uses.

    python -m benchmarks.gpu_budget_sweep [--length 512 4096 --rollouts 256 --engine transformers vllm]

SmolLM2-135M-Instruct (`make smollm2`); the vLLM part needs `pip install -e ".[vllm]"` and is left out, with
the reason, where vLLM is missing. The check is in float32: greedy completions are those of `generate`, and
forced answers made at once those made later. The measurement is in `--dtype`, where a few answers may differ
with the batch; their share is reported. The bandwidth is that of copying 2 GiB on the same device; decoding
must read all weights and all keys and values at every step, so the share is a lower bound of what is used. It
also runs on a CPU (`--length 32 --rollouts 2 --naive 0`), where it only shows that the script works. Results:
benchmarks/results/gpu_budget_sweep.json.
"""

import argparse
import gc
import json
from pathlib import Path

import torch

from benchmarks.budget_sweep import Sweep, differing, measure, timed
from benchmarks.budget_sweep import check as at_fault
from effwb import models, profiles
from effwb.errors import EngineError
from effwb.runs import environment, write_atomic
from effwb.samplers import SamplingParams, open_sampler

RESULTS = Path(__file__).parent / "results" / "gpu_budget_sweep.json"
TRIES, COPIED = 5, 2 * 1024**3


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def bandwidth(device: str) -> float:
    """Bytes per second, read and written, of copying `COPIED` bytes; the best of `TRIES`."""
    source = torch.empty(COPIED // 4, device=device)
    target, best = torch.empty_like(source), float("inf")
    for _ in range(TRIES):
        wait(device)
        seconds, _ = timed(lambda: (target.copy_(source), wait(device)))
        best = min(best, seconds)
    return 2 * COPIED / best


def check(profile, given) -> dict:
    """Ends the run where our tokens are not the library's; float32 without TF32."""
    torch.backends.cuda.matmul.allow_tf32 = False
    with open_sampler(profile.model, dtype="float32") as sampler:
        sweep = Sweep(sampler, profile, argparse.Namespace(**{**vars(given), "length": 64, "rollouts": 4}))
        greedy = sampler.generate(sweep.prompts, SamplingParams(64, temperature=0.0))
        wrong = 0
        for ids, (row,) in zip(sweep.prompts, greedy, strict=True):
            asked = torch.tensor([ids], device=sampler.model.device)
            out = sampler.model.generate(
                asked, attention_mask=torch.ones_like(asked), do_sample=False, max_new_tokens=64,
                eos_token_id=None, pad_token_id=0,
            )  # fmt: skip
            wrong += out[0, len(ids) :].tolist() != row.token_ids
        if wrong > 1:  # one tie may break otherwise
            raise SystemExit(f"{wrong} of {len(greedy)} greedy completions are not those of generate")
        rollouts, at_once = sweep.ours()
        sweep.rollouts = rollouts
        at_fault("at once", differing(sweep.later(), at_once), "float32")
    return {"greedy rollouts": len(greedy), "answers": sum(map(len, at_once))}


def bytes_read(sweep: Sweep, model) -> int:
    """What sampling must read at least: the weights at every step, and every row's keys and values."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    keys = models.cache_bytes_per_token(model)
    behind = sum(len(p) * sweep.params.max_tokens for p in sweep.prompts)
    steps = sweep.params.max_tokens
    return weights * steps + keys * (behind + len(sweep.prompts) * steps * (steps - 1) // 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", nargs="+", default=["transformers", "vllm"])
    parser.add_argument("--length", type=int, nargs="+", default=[512, 4096])
    parser.add_argument("--rollouts", type=int, default=256)
    parser.add_argument("--naive", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--dtype", default="bfloat16")
    given = parser.parse_args()
    given.snap, given.ways = None, ["sample", "ours", "later", "plain"]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    profile = profiles.profile("smollm2")
    found = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "environment": environment(),
        "settings": dict(vars(given)),
        "checked": check(profile, given),
        "bytes per second of a copy": bandwidth(device),
        "runs": {},
    }
    for engine in given.engine:
        for length in given.length:
            one = argparse.Namespace(**{**vars(given), "engine": engine, "length": length})
            found["runs"][f"{engine}, {length} tokens"] = run(profile, one, found)
            print(json.dumps(found["runs"], indent=1), flush=True)
            write_atomic(RESULTS, json.dumps(found, indent=1).encode())
            gc.collect()
            if device == "cuda":
                torch.cuda.empty_cache()


def run(profile, given, found) -> dict:
    try:
        with open_sampler(profile.model, given.engine, dtype=given.dtype) as sampler:
            sweep = Sweep(sampler, profile, given)
            made = measure(sweep, given)
            if given.engine == "transformers":
                speed = bytes_read(sweep, sampler.model) / made["seconds"]["sample"]
                made["share of the bandwidth"] = speed / found["bytes per second of a copy"]
            return made
    except EngineError as error:
        return {"left out": str(error)}


if __name__ == "__main__":
    main()
