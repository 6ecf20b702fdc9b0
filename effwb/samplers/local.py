"""What the engines share: the checks before anything is computed, and what ends a text."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from effwb import models
from effwb.errors import ConfigError, EngineError
from effwb.samplers.base import BraceCloser, Completion, Prefixes, SamplingParams, check_context


class BaseSampler:
    """A sampler whose tokenizer and config are on this machine. An engine gives `_sample`, `_continue`,
    `close`, `batching` and `_versions`.

    `prefix_tokens` counts the tokens before the suffixes of forced answers, `cached_tokens` those of them
    that were in a cache, by the engine's own count.
    """

    engine: str
    prefix_tokens = cached_tokens = 0
    source: models.ModelSource
    tokenizer: object
    dtype: str

    @property
    def cached_share(self) -> float:
        """The share of prefix tokens that were not computed again; NaN before the first forced answer."""
        return self.cached_tokens / self.prefix_tokens if self.prefix_tokens else float("nan")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Drop the weights and hand the accelerator's memory back."""
        raise NotImplementedError

    def _sample(self, prompts: list[list[int]], params: SamplingParams, seeds) -> list[Completion]:
        """One completion per prompt."""
        raise NotImplementedError

    def _continue(self, rollouts, suffix_ids, params: SamplingParams, closer) -> list[list[Completion]]:
        """`continue_prefixes` on what it has checked; `closer` ends an answer at the brace of its box."""
        raise NotImplementedError

    def _sample_and_continue(self, prompts, params, seeds, cut, answer_params):
        """`generate_and_continue` on what it has checked, one completion per prompt: (completions, the
        continuations of each).
        """
        done = self._sample(prompts, params, seeds)
        cuts = [cut(p, completion) for p, completion in enumerate(done)]
        found = {}
        for suffix in dict.fromkeys(tuple(ids) for row in cuts for _, ids in row):
            rollouts = [
                Prefixes(prompt, c.token_ids, [at for at, ids in row if tuple(ids) == suffix])
                for prompt, c, row in zip(prompts, done, cuts, strict=True)
            ]
            answers = self._continue(
                rollouts, list(suffix), answer_params, self.closer(suffix, answer_params)
            )
            found[suffix] = [iter(row) for row in answers]
        return done, [[next(found[tuple(ids)][p]) for _, ids in row] for p, row in enumerate(cuts)]

    def _versions(self) -> str:
        raise NotImplementedError

    @cached_property
    def config(self):
        """The model's config, read without its weights."""
        return models.load_config(self.source)

    @cached_property
    def generation_config(self):
        """The model's generation config, of which only the stop tokens are used."""
        return models.load_generation_config(self.source)

    @property
    def context(self) -> int | None:
        """Tokens that prompt and completion may have together; None where the model names no limit."""
        return models.context_of(self.config)

    @cached_property
    def stop_ids(self) -> list[int]:
        """Every id that ends a completion: those of the generation config and the tokenizer's EOS."""
        listed = self.generation_config.eos_token_id
        ids = {*(listed if isinstance(listed, list) else [listed]), self.tokenizer.eos_token_id} - {None}
        if not ids:
            raise EngineError(f"neither the model {self.source.name!r} nor its tokenizer names an EOS token")
        return sorted(ids)

    @cached_property
    def _identity(self) -> dict:
        return {
            "model": self.source.name,
            "weights": models.fingerprint(self.source),
            "tokenizer": models.tokenizer_fingerprint(self.tokenizer),
            "engine": self.engine,
            "engine_version": self._versions(),
            "dtype": self.dtype,
        }

    def identity(self) -> dict:
        """Model, tokenizer, engine, versions and dtype: what decides the tokens."""
        return dict(self._identity)

    def generate(
        self,
        prompt_ids: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds: Sequence[Sequence[int]] | None = None,
    ) -> list[list[Completion]]:
        """`params.n` completions per prompt; see `Sampler.generate`."""
        done = self._sample(*self._flat(prompt_ids, params, seeds))
        return _grouped(done, params.n)

    def generate_and_continue(
        self,
        prompt_ids: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds: Sequence[Sequence[int]] | None,
        cut: Callable[[int, int, Completion], list[tuple[int, Sequence[int]]]],
        answer_params: SamplingParams,
    ) -> tuple[list[list[Completion]], list[list[list[Completion]]]]:
        """Completions, and the greedy continuations of each; see `Sampler.generate_and_continue`."""
        _check_greedy(answer_params)
        prompts, _, flat_seeds = self._flat(prompt_ids, params, seeds)

        def checked(p: int, completion: Completion):
            cuts = cut(p // params.n, p % params.n, completion)
            for at, suffix in cuts:
                self.prefix_tokens += len(prompts[p]) + at
                self._check_cut(len(prompts[p]), len(completion.token_ids), at, suffix, answer_params)
            self.check_ids(dict.fromkeys(tuple(suffix) for _, suffix in cuts))
            return cuts

        done, answers = self._sample_and_continue(prompts, params, flat_seeds, checked, answer_params)
        self.cached_tokens += sum(answer.cached_tokens for row in answers for answer in row)
        return _grouped(done, params.n), _grouped(answers, params.n)

    def _flat(self, prompt_ids, params: SamplingParams, seeds):
        """(prompts, parameters, seeds) with one prompt per completion, checked."""
        self.check_ids(prompt_ids)
        check_context(max(map(len, prompt_ids), default=0), params.max_tokens, self.context)
        if seeds is not None and [len(s) for s in seeds] != [params.n] * len(prompt_ids):
            raise ConfigError(f"seeds must be {params.n} per prompt for {len(prompt_ids)} prompts")
        flat = [list(p) for p in prompt_ids for _ in range(params.n)]
        return (
            flat,
            params,
            [s for row in seeds for s in row] if seeds is not None else _fresh_seeds(len(flat)),
        )

    def _check_cut(self, prompt: int, length: int, at: int, suffix, params: SamplingParams) -> None:
        """Raise `ConfigError` for a cut that cannot be continued; `prompt` and `length` in tokens."""
        if at > length:
            raise ConfigError("a rollout is cut behind its end")
        if not len(suffix):
            raise ConfigError("the forced-answer suffix has no tokens")
        check_context(prompt + at, len(suffix) + params.max_tokens, self.context, "cut rollout")

    def continue_prefixes(
        self, rollouts: Sequence[Prefixes], suffix_ids: Sequence[int], params: SamplingParams
    ) -> list[list[Completion]]:
        """A greedy continuation per cut; see `Sampler.continue_prefixes`."""
        _check_greedy(params)
        if not len(suffix_ids):
            raise ConfigError("the forced-answer suffix has no tokens")
        for r in rollouts:
            last = max(r.cuts, default=0)
            self.check_ids([r.prompt_ids, [*r.completion_ids[:last], *suffix_ids]])
            self._check_cut(len(r.prompt_ids), len(r.completion_ids), last, suffix_ids, params)
        answers = self._continue(rollouts, list(suffix_ids), params, self.closer(suffix_ids, params))
        self.prefix_tokens += sum(len(r.prompt_ids) + cut for r in rollouts for cut in r.cuts)
        self.cached_tokens += sum(answer.cached_tokens for row in answers for answer in row)
        return answers

    def closer(self, suffix_ids: Sequence[int], params: SamplingParams) -> BraceCloser:
        """What ends an answer behind this suffix at the brace of its box, if the parameters ask for it; kept,
        because it learns what tokens do.
        """
        suffix = tuple(suffix_ids) if params.close_brace else ()
        if suffix not in self._closers:
            self._closers[suffix] = BraceCloser(self.tokenizer, suffix)
        return self._closers[suffix]

    @cached_property
    def _closers(self) -> dict[tuple, BraceCloser]:
        return {}

    def completion(self, ids: list[int], reason: str, cached: int = 0) -> Completion:
        """The completion of these ids, its text without the token that ended it."""
        visible = ids[:-1] if reason == "stop" and ids[-1] in self.stop_ids else ids
        return Completion(ids, self.tokenizer.decode(visible), reason, cached)

    def check_ids(self, prompt_ids: Iterable[Sequence[int]]) -> None:
        """Raise `ConfigError` for an empty prompt or an id that the model has no embedding for."""
        top = self.config.get_text_config(decoder=True).vocab_size
        for ids in prompt_ids:
            if not len(ids):
                raise ConfigError("a prompt is empty")
            if min(ids) < 0 or max(ids) >= top:
                bad = min(ids) if min(ids) < 0 else max(ids)
                raise ConfigError(f"token id {bad} is outside the vocabulary of {top}")


def cut_at_brace(ids: list[int], reason: str | None, closer: BraceCloser) -> tuple[list[int], str | None]:
    """The answer up to the brace that closes its box, or as it was."""
    state = closer.start
    for i, token in enumerate(ids):
        state, closed = closer.step(state, token)
        if closed:
            return ids[: i + 1], "stop"
    return ids, reason


def _check_greedy(params: SamplingParams) -> None:
    if params.temperature:
        raise ConfigError(f"forced answers are greedy in this engine, got temperature {params.temperature}")


def _grouped(rows: list, n: int) -> list[list]:
    return [rows[i : i + n] for i in range(0, len(rows), n)]


def _fresh_seeds(n: int) -> list[int]:
    import secrets

    return [secrets.randbits(63) for _ in range(n)]
