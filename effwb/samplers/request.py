"""The base of engines that take one request per completion: vLLM in this process, or a server."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from effwb.samplers.base import Sampler
from effwb.samplers.braces import BraceCloser, cut_at_brace
from effwb.samplers.values import Completion, SamplingParams

Request = tuple[list[int], dict]  # prompt ids, and vLLM's sampling parameters by name
Response = tuple[list[int], str, int]  # token ids, finish reason, prompt tokens from the prefix cache
# A job yields requests that may run together and is sent their responses; what it returns is its result.
Job = Generator[list[Request], list[Response], object]


class AnswerRequest(NamedTuple):
    """A forced answer to ask for."""

    prefix_ids: list[int]
    suffix_ids: Sequence[int]
    closer: BraceCloser


class RequestSampler(Sampler):
    """Samples and probes with jobs: a rollout, followed by its forced answers.

    The answers are requested as soon as the rollout has ended, while the engine's prefix cache still holds
    it. An engine defines `_serve`.
    """

    @abstractmethod
    def _serve(self, jobs: Sequence[Job]) -> list:
        """Run the jobs and return their results. A `RequestQueue` gives the order of their requests."""

    def _sample(self, prompts, params, seeds) -> list[Completion]:
        return self._serve([self._rollout(p, params, s) for p, s in zip(prompts, seeds, strict=True)])

    def _continue(self, rollouts, suffix_ids, params, closer) -> list[list[Completion]]:
        requests = [
            [AnswerRequest(r.prompt_ids + r.completion_ids[:cut], suffix_ids, closer) for cut in r.cuts]
            for r in rollouts
        ]
        return self._serve([self._answers(row, params) for row in requests])

    def _sample_and_continue(self, prompts, params, seeds, cut, answer_params):
        def rollout_and_answers(p, prompt, seed):
            completion = yield from self._rollout(prompt, params, seed)
            requests = [
                AnswerRequest(prompt + completion.token_ids[:at], suffix, self.closer(suffix, answer_params))
                for at, suffix in cut(p, completion)
            ]
            return completion, (yield from self._answers(requests, answer_params))

        jobs = [
            rollout_and_answers(p, prompt, seed)
            for p, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True))
        ]
        results = self._serve(jobs)
        return [completion for completion, _ in results], [answers for _, answers in results]

    def _rollout(self, prompt: list[int], params: SamplingParams, seed: int) -> Job:
        """A job whose result is the completion of a prompt.

        With banned first tokens the first token is a request of its own: a bias holds for a whole request.
        """
        if not params.banned_first_tokens:
            ((ids, reason, _),) = yield [(prompt, self._params(params, seed=seed))]
            return self.completion(ids, reason)
        bias = dict.fromkeys(params.banned_first_tokens, -100.0)  # the lowest that vLLM takes
        first = self._params(replace(params, max_tokens=1), seed=seed, logit_bias=bias)
        ((ids, reason, _),) = yield [(prompt, first)]
        if reason == "length" and params.max_tokens > 1:
            rest = self._params(params, seed=seed, phase=1, spent=1)
            ((rest_ids, reason, _),) = yield [(prompt + ids, rest)]
            ids = ids + rest_ids
        return self.completion(ids, reason)

    def _answers(self, requests: list[AnswerRequest], params: SamplingParams) -> Job:
        """A job whose result is one completion per request, ended at the brace that closes its box.

        The longest prefix comes first. vLLM serves requests in this order, so the others find its blocks in
        the cache, however small that is. The engine stops at any token with a closing brace; an answer that
        needs several of them is continued until its box is closed.
        """
        answers: list[tuple[list[int], str, int]] = [([], "", 0)] * len(requests)
        unfinished = sorted(range(len(requests)), key=lambda k: -len(requests[k].prefix_ids))
        while unfinished:
            responses = yield [self._next_request(requests[k], answers[k][0], params) for k in unfinished]
            for k, (new_ids, _, hits) in zip(unfinished, responses, strict=True):
                ids, _, cached_tokens = answers[k]
                if not ids:  # a continued answer also finds its own tokens
                    cached_tokens = min(hits, len(requests[k].prefix_ids))
                ids, reason = cut_at_brace(ids + new_ids, "", requests[k].closer)
                if not reason and ids[-1] in self.stop_ids:
                    reason = "stop"
                elif not reason and len(ids) == params.max_tokens:
                    reason = "length"
                answers[k] = ids, reason, cached_tokens
            unfinished = [k for k in unfinished if not answers[k][1]]
        return [self.completion(*answer) for answer in answers]

    def _next_request(self, request: AnswerRequest, ids: list[int], params: SamplingParams) -> Request:
        """The request that continues an answer after its first tokens `ids`."""
        stops = self._closing_ids if request.closer.armed else []
        prompt = [*request.prefix_ids, *request.suffix_ids, *ids]
        return prompt, self._params(params, stops=stops, spent=len(ids))

    def _params(
        self,
        params: SamplingParams,
        seed: int | None = None,
        phase: int = 0,
        stops: Sequence[int] = (),
        spent: int = 0,
        **extra,
    ) -> dict:
        """The sampling parameters of a request, by vLLM's names.

        Args:
            params: How to sample.
            seed: The seed of the completion; None: random.
            phase: Which request of its completion this is.
            stops: Ids to stop at besides the model's own.
            spent: Tokens of the completion that earlier requests have sampled.
            **extra: Further parameters of vLLM.
        """
        return {
            "max_tokens": params.max_tokens - spent,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "seed": None if seed is None or not params.temperature else _spread(seed, phase),
            "stop_token_ids": [*self.stop_ids, *stops],
            **extra,
        }

    @cached_property
    def _closing_ids(self) -> list[int]:
        """The ids of all tokens with a closing brace."""
        return [i for token, i in self.tokenizer.get_vocab().items() if "}" in token]


@dataclass
class _Batch:
    """Requests that a job has made together, and their responses so far."""

    index: int  # of the job
    job: Job
    requests: list[Request]
    responses: list[Response | None]
    missing: int


class Ticket(NamedTuple):
    """A request that a `RequestQueue` has handed out."""

    batch: _Batch
    place: int

    @property
    def request(self) -> Request:
        """The request to serve."""
        return self.batch.requests[self.place]


class RequestQueue:
    """The requests of many jobs, in the order in which an engine should take them.

    Requests of jobs that have started come before new jobs, so that their prefixes are still in the engine's
    cache.

    Args:
        jobs: The jobs to run.

    Attributes:
        results: What each job returned.
    """

    def __init__(self, jobs: Sequence[Job]):
        self.results: list = [None] * len(jobs)
        self._new = deque(enumerate(jobs))
        self._ready: deque[Ticket] = deque()
        self._unfinished = len(jobs)

    @property
    def finished(self) -> bool:
        """Whether every job has returned."""
        return not self._unfinished

    def next(self) -> Ticket | None:
        """The next request to serve; None while all others wait for responses."""
        while not self._ready and self._new:
            self._advance(*self._new.popleft(), None)
        return self._ready.popleft() if self._ready else None

    def answer(self, ticket: Ticket, response: Response) -> None:
        """Take the response to a request.

        Args:
            ticket: The request, as `next` returned it.
            response: (token ids, finish reason, prompt tokens from the prefix cache).
        """
        batch = ticket.batch
        batch.responses[ticket.place] = response
        batch.missing -= 1
        if not batch.missing:
            self._advance(batch.index, batch.job, batch.responses)

    def _advance(self, index: int, job: Job, responses) -> None:
        try:
            requests = job.send(responses)
        except StopIteration as end:
            self.results[index] = end.value
            self._unfinished -= 1
            return
        batch = _Batch(index, job, requests, [None] * len(requests), len(requests))
        self._ready.extend(Ticket(batch, place) for place in range(len(requests)))


def _spread(seed: int, phase: int) -> int:
    """A seed whose low 32 bits, all that a CPU's generator reads, depend on every bit of `seed`.

    A completion that takes two requests has a stream for each: `phase` 0 and 1.
    """
    import numpy as np

    key = [seed, phase] if phase else seed
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)
