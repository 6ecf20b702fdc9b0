"""What the engines share that take one request per completion: vLLM in this process, or a server."""

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from effwb.samplers.base import BraceCloser, Completion, SamplingParams
from effwb.samplers.local import BaseSampler, cut_at_brace

Request = tuple[list[int], dict]  # prompt ids, and vLLM's sampling parameters by name
Found = tuple[list[int], str, int]  # token ids, finish reason, prompt tokens found in the prefix cache
Conversation = Generator[list[Request], list[Found], object]
CutPoint = tuple[list[int], Sequence[int], BraceCloser]  # prefix ids, suffix ids, what ends the answer


class RequestSampler(BaseSampler):
    """Samples and probes by conversations with an engine: a rollout, and once it is there its forced answers,
    while the engine's prefix cache still holds it. An engine gives `_serve`.
    """

    def _serve(self, conversations: Sequence[Conversation]) -> list:
        """What each conversation returns; `Turns` has their requests in the order to take them."""
        raise NotImplementedError

    def _sample(self, prompts, params, seeds) -> list[Completion]:
        return self._serve([self._rollout(p, params, s) for p, s in zip(prompts, seeds, strict=True)])

    def _continue(self, rollouts, suffix_ids, params, closer) -> list[list[Completion]]:
        cuts = [
            [(r.prompt_ids + r.completion_ids[:at], suffix_ids, closer) for at in r.cuts] for r in rollouts
        ]
        return self._serve([self._answers(row, params) for row in cuts])

    def _sample_and_continue(self, prompts, params, seeds, cut, answer_params):
        def both(p, prompt, seed):
            done = yield from self._rollout(prompt, params, seed)
            cuts = [
                (prompt + done.token_ids[:at], suffix, self.closer(suffix, answer_params))
                for at, suffix in cut(p, done)
            ]
            return done, (yield from self._answers(cuts, answer_params))

        work = enumerate(zip(prompts, seeds, strict=True))
        found = self._serve([both(p, prompt, seed) for p, (prompt, seed) in work])
        return [done for done, _ in found], [answers for _, answers in found]

    def _rollout(self, prompt, params, seed) -> Conversation:
        """The completion of a prompt."""
        if params.banned_first_tokens:
            return (yield from self._rollout_otherwise(prompt, params, seed))
        ((ids, reason, _),) = yield [(prompt, self._params(params, seed=seed))]
        return self.completion(ids, reason)

    def _rollout_otherwise(self, prompt, params, seed) -> Conversation:
        """One that does not begin with `first_not`: vLLM's bias holds for a whole request, so the first token
        is one of its own.
        """
        bias = dict.fromkeys(params.banned_first_tokens, -100.0)  # the least that vLLM takes
        one = self._params(replace(params, max_tokens=1), seed=seed, logit_bias=bias)
        ((ids, reason, _),) = yield [(prompt, one)]
        if reason == "length" and params.max_tokens > 1:
            rest = self._params(params, seed=seed, phase=1, spent=1)
            ((more, reason, _),) = yield [(prompt + ids, rest)]
            ids = ids + more
        return self.completion(ids, reason)

    def _answers(self, cuts: list[CutPoint], params) -> Conversation:
        """The completion of each cut, ended at the brace that closes its box.

        The longest prefix comes first: vLLM serves in this order, so that the others find its blocks in the
        cache, however small that is. The engine stops at any token that has a closing brace; an answer that
        needs more of them is continued.
        """
        rows: list[Found | tuple] = [([], None, 0)] * len(cuts)
        going = sorted(range(len(cuts)), key=lambda k: -len(cuts[k][0]))
        while going:
            found = yield [self._next_request(cuts[k], rows[k][0], params) for k in going]
            for k, (more, _, hit) in zip(going, found, strict=True):
                prefix, _, closer = cuts[k]
                first = not rows[k][0]
                ended = self._end(rows[k][0] + more, params, closer)
                rows[k] = (*ended, min(hit, len(prefix)) if first else rows[k][2])
            going = [k for k in going if rows[k][1] is None]
        return [self.completion(*row) for row in rows]

    def _next_request(self, cut: CutPoint, begun: list[int], params) -> Request:
        prefix, suffix, closer = cut
        stops = self._closing_ids if closer.armed else []
        return [*prefix, *suffix, *begun], self._params(params, stops=stops, spent=len(begun))

    def _end(self, ids, params, closer) -> tuple[list[int], str | None]:
        """The answer up to where it ends and why; no reason where it has not ended."""
        ids, reason = cut_at_brace(ids, None, closer)
        if reason is None and ids[-1] in self.stop_ids:
            reason = "stop"
        return ids, reason or ("length" if len(ids) == params.max_tokens else None)

    def _params(self, params: SamplingParams, seed=None, phase=0, stops=(), spent=0, **more) -> dict:
        return {
            "max_tokens": params.max_tokens - spent,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "seed": None if seed is None or not params.temperature else _spread(seed, phase),
            "stop_token_ids": [*self.stop_ids, *stops],
            **more,
        }

    @cached_property
    def _closing_ids(self) -> list[int]:
        return [i for token, i in self.tokenizer.get_vocab().items() if "}" in token]


@dataclass
class _Turn:
    """The requests that a conversation has made at once, and what was answered so far."""

    at: int
    conversation: Conversation
    requests: list[Request]
    found: list[Found | None]
    missing: int


Ticket = tuple[_Turn, int]


class RequestQueue:
    """The requests of many conversations, in the order an engine should take them: a conversation that has
    begun comes before the next one, so that its prefix is still in the engine's cache.
    """

    def __init__(self, conversations: Sequence[Conversation]):
        self.results: list = [None] * len(conversations)
        self._new = deque(enumerate(conversations))
        self._ready: deque[Ticket] = deque()
        self._open = len(conversations)

    @property
    def finished(self) -> bool:
        """Whether every conversation has returned."""
        return not self._open

    def next(self) -> Ticket | None:
        """The next request, to be answered by its ticket; None where all depend on requests under way."""
        while not self._ready and self._new:
            self._go_on(*self._new.popleft(), None)
        return self._ready.popleft() if self._ready else None

    def answer(self, ticket: Ticket, found: Found) -> None:
        """What a request found."""
        turn, place = ticket
        turn.found[place] = found
        turn.missing -= 1
        if not turn.missing:
            self._go_on(turn.at, turn.conversation, turn.found)

    def _go_on(self, at: int, conversation: Conversation, found) -> None:
        try:
            requests = conversation.send(found)
        except StopIteration as end:
            self.results[at] = end.value
            self._open -= 1
            return
        turn = _Turn(at, conversation, requests, [None] * len(requests), len(requests))
        self._ready.extend((turn, place) for place in range(len(requests)))


def request_of(ticket: Ticket) -> Request:
    """The request that a ticket stands for."""
    turn, place = ticket
    return turn.requests[place]


def _spread(seed: int, phase: int) -> int:
    """A CPU's generators read 32 bits of a seed: make those depend on all of it. A completion that takes two
    requests has a stream for each.
    """
    import numpy as np

    key = [seed, phase] if phase else seed
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)
