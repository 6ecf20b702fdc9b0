"""What the engines share that take one request per completion: vLLM in this process, or a server."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from effwb.samplers.base import Completion, SamplingParams
from effwb.samplers.local import LocalSampler, cut_at_brace


class RequestSampler(LocalSampler):
    """Samples and probes by requests of a prompt and a dict of vLLM's sampling parameters. An engine gives
    `_run`."""

    def _run(self, prompts: list[list[int]], params: list[dict]) -> list[tuple[list[int], str, int]]:
        """(token ids, finish reason, prefix tokens found in the cache) per prompt; `params` has one dict
        each."""
        raise NotImplementedError

    def _params(self, params: SamplingParams, seed=None, phase=0, stops=(), spent=0, **more) -> dict:
        return {
            "max_tokens": params.max_tokens - spent,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "seed": None if seed is None or not params.temperature else _spread(seed, phase),
            "stop_token_ids": [*self.stop_ids, *stops],
            **more,
        }

    def _sample(self, prompts, params, seeds) -> list[Completion]:
        if params.first_not:
            found = self._sample_otherwise(prompts, params, seeds)
        else:
            found = self._run(prompts, [self._params(params, seed=s) for s in seeds])
        return [self.completion(ids, reason) for ids, reason, _ in found]

    def _sample_otherwise(self, prompts, params, seeds):
        """As `_run`, no completion beginning with `first_not`: vLLM's bias holds for a whole request, so the
        first token is one of its own."""
        bias = dict.fromkeys(params.first_not, -100.0)  # the least that vLLM takes
        one = replace(params, max_tokens=1)
        found = self._run(prompts, [self._params(one, seed=s, logit_bias=bias) for s in seeds])
        room = params.max_tokens > 1
        going = [i for i, (_, reason, _) in enumerate(found) if reason == "length" and room]
        more = self._run(
            [prompts[i] + found[i][0] for i in going],
            [self._params(params, seed=seeds[i], phase=1, spent=1) for i in going],
        )
        for i, (ids, reason, hit) in zip(going, more, strict=True):
            found[i] = (found[i][0] + ids, reason, hit)
        return found

    def _continue(self, rollouts, suffix_ids, params, closer) -> list[list[Completion]]:
        # The cuts of a rollout follow one another, the longest first: vLLM serves in this order, so that the
        # others find its blocks in the cache, however small that is.
        order = [(i, k) for i, r in enumerate(rollouts) for k in _longest_first(r.cuts)]
        prefixes = [
            rollouts[i].prompt_ids + rollouts[i].completion_ids[: rollouts[i].cuts[k]] for i, k in order
        ]
        found = self._answers([p + suffix_ids for p in prefixes], params, closer)
        results: list[list[Completion | None]] = [[None] * len(r.cuts) for r in rollouts]
        for (i, k), prefix, (ids, reason, hit) in zip(order, prefixes, found, strict=True):
            results[i][k] = self.completion(ids, reason, min(hit, len(prefix)))
        return results

    def _answers(self, prompts, params, closer) -> list[tuple[list[int], str, int]]:
        """As `_run`, each answer ended at the brace that closes its box.

        The engine stops at any token that has a closing brace; an answer that needs more of them is
        continued.
        """
        stops = self._closing_ids if closer.armed else []
        rows, going = [([], None, 0)] * len(prompts), list(range(len(prompts)))
        while going:
            asked = [self._params(params, stops=stops, spent=len(rows[i][0])) for i in going]
            found = self._run([prompts[i] + rows[i][0] for i in going], asked)
            for i, (more, _, hit) in zip(going, found, strict=True):
                first = not rows[i][0]
                rows[i] = (*self._end(rows[i][0] + more, params, closer), hit if first else rows[i][2])
            going = [i for i in going if rows[i][1] is None]
        return rows

    def _end(self, ids, params, closer) -> tuple[list[int], str | None]:
        """The answer up to where it ends and why; no reason where it has not ended."""
        ids, reason = cut_at_brace(ids, None, closer)
        if reason is None and ids[-1] in self.stop_ids:
            reason = "stop"
        return ids, reason or ("length" if len(ids) == params.max_tokens else None)

    @cached_property
    def _closing_ids(self) -> list[int]:
        return [i for token, i in self.tokenizer.get_vocab().items() if "}" in token]


def _longest_first(cuts: Sequence[int]) -> list[int]:
    return sorted(range(len(cuts)), key=lambda k: -cuts[k])


def _spread(seed: int, phase: int) -> int:
    """A CPU's generators read 32 bits of a seed: make those depend on all of it. A completion that takes two
    requests has a stream for each."""
    import numpy as np

    key = [seed, phase] if phase else seed
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)
