"""Compares rollouts with and without an accuracy-budget curve on a GPU, as `budget_sweep` does on a CPU.

    python -m benchmarks.gpu_budget_sweep [--length 512 4096 --rollouts 256 --engine transformers vllm]

The model is SmolLM2-135M-Instruct (`make smollm2`). The vLLM part needs `pip install -e ".[vllm]"`; without
vLLM it is left out, and the results say why. First a check in float32: greedy completions must be those of
`generate`, and forced answers made at once must be those made later. The measurement runs in `--dtype`, where
a few answers may differ with the batch; their share is reported.

Beside the ratios of `budget_sweep`, the results hold the share of the memory bandwidth that decoding uses.
The bandwidth is that of copying 2 GiB on the same device. Decoding must read all weights and all keys and
values at every step, so the share is a lower bound. On a CPU (`--length 32 --rollouts 2 --naive 0`) the run
only shows that the script works. Results: benchmarks/results/gpu_budget_sweep.json.
"""

import gc
import json
from argparse import Namespace
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from benchmarks.budget_sweep import Sweep, differing, measure, timed
from benchmarks.budget_sweep import check as check_share
from benchmarks.report import parser_of, save, settings_of
from effwb import models, profiles
from effwb.errors import EngineError
from effwb.profiles import Profile
from effwb.runs import environment
from effwb.samplers import SamplingParams, open_sampler

TRIES, COPY_BYTES = 5, 2 * 1024**3
WAYS = ["sample", "ours", "later", "plain"]


def wait(device: str) -> None:
    """Wait until the device has done all its work."""
    if device == "cuda":
        torch.cuda.synchronize()


def bandwidth(device: str) -> float:
    """Return the bytes per second, read and written, of copying `COPY_BYTES` bytes; the best of `TRIES`."""
    source = torch.empty(COPY_BYTES // 4, device=device)
    target, best = torch.empty_like(source), float("inf")
    for _ in range(TRIES):
        wait(device)
        seconds, _ = timed(lambda: (target.copy_(source), wait(device)))
        best = min(best, seconds)
    return 2 * COPY_BYTES / best


def check(profile: Profile, args: Namespace) -> dict[str, int]:
    """End the run if our tokens differ from the library's; float32 without TF32."""
    torch.backends.cuda.matmul.allow_tf32 = False
    with open_sampler(profile.model, dtype="float32") as sampler:
        small = Namespace(**{**vars(args), "engine": "transformers", "length": 64, "rollouts": 4})
        sweep = Sweep(sampler, profile, small)
        greedy = sampler.generate(sweep.prompts, SamplingParams(64, temperature=0.0))
        wrong = 0
        for prompt, (completion,) in zip(sweep.prompts, greedy, strict=True):
            ids = torch.tensor([prompt], device=sampler.model.device)
            out = sampler.model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=64,
                eos_token_id=None, pad_token_id=0,
            )  # fmt: skip
            wrong += out[0, len(prompt) :].tolist() != completion.token_ids
        if wrong > 1:  # one may differ: rounding can break a tie between two tokens
            raise SystemExit(f"{wrong} of {len(greedy)} greedy completions are not those of generate")
        sweep.rollouts, at_once = sweep.ours()
        check_share("at once", differing(sweep.later(), at_once), "float32")
    return {"greedy rollouts": len(greedy), "answers": sum(map(len, at_once))}


def bytes_read(sweep: Sweep, model: PreTrainedModel) -> int:
    """Return the bytes that sampling must read at least.

    These are the weights at every step, and the keys and values of every row.
    """
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    steps = sweep.params.max_tokens
    prompt_tokens = sum(len(prompt) * steps for prompt in sweep.prompts)
    new_tokens = len(sweep.prompts) * steps * (steps - 1) // 2
    return weights * steps + models.cache_bytes_per_token(model) * (prompt_tokens + new_tokens)


def measure_engine(profile: Profile, args: Namespace, copy_speed: float) -> dict:
    """Measure one engine at one length; an engine that does not open is left out, with the reason."""
    try:
        with open_sampler(profile.model, args.engine, dtype=args.dtype) as sampler:
            sweep = Sweep(sampler, profile, args)
            results = measure(sweep, args)
            if args.engine == "transformers":
                speed = bytes_read(sweep, sampler.model) / results["seconds"]["sample"]
                results["share of the bandwidth"] = speed / copy_speed
            return results
    except EngineError as error:
        return {"left out": str(error)}


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of("gpu_budget_sweep", __doc__)
    parser.add_argument("--profile", default="smollm2", help="names the model, its problems and prompts")
    parser.add_argument("--engine", nargs="+", default=["transformers", "vllm"])
    parser.add_argument("--length", type=int, nargs="+", default=[512, 4096], help="tokens of a rollout")
    parser.add_argument("--rollouts", type=int, default=256)
    parser.add_argument("--naive", type=int, default=1, help="rollouts that are probed naively (0: none)")
    parser.add_argument("--repeats", type=int, default=2, help="times that each way runs")
    parser.add_argument("--dtype", default="bfloat16")
    args = parser.parse_args(argv)
    args.snap, args.ways = None, WAYS
    device = "cuda" if torch.cuda.is_available() else "cpu"
    profile = profiles.profile(args.profile)
    results = {
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "environment": environment(),
        "settings": settings_of(args),
        "checked": check(profile, args),
        "bytes per second of a copy": bandwidth(device),
        "runs": {},
    }
    for engine in args.engine:
        for length in args.length:
            options = Namespace(**{**vars(args), "engine": engine, "length": length})
            results["runs"][f"{engine}, {length} tokens"] = measure_engine(
                profile, options, results["bytes per second of a copy"]
            )
            print(json.dumps(results["runs"], indent=1), flush=True)
            save(args.output, results)
            gc.collect()
            if device == "cuda":
                torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
