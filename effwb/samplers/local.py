"""What the engines share: the checks before anything is computed, and what ends a text."""

from collections.abc import Sequence
from functools import cached_property

from effwb import models
from effwb.errors import ConfigError, EngineError
from effwb.samplers.base import BraceCloser, Completion, Prefixes, SamplingParams, check_context


class LocalSampler:
    """A sampler whose tokenizer and config are on this machine. An engine gives `_sample`, `_continue`,
    `close`, `batching` and `_versions`."""

    engine: str
    source: models.ModelSource
    tokenizer: object
    dtype: str

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
        self.check_ids(prompt_ids)
        check_context(max(map(len, prompt_ids), default=0), params.max_tokens, self.context)
        if seeds is not None and [len(s) for s in seeds] != [params.n] * len(prompt_ids):
            raise ConfigError(f"seeds must be {params.n} per prompt for {len(prompt_ids)} prompts")
        flat = [list(p) for p in prompt_ids for _ in range(params.n)]
        flat_seeds = [s for row in seeds for s in row] if seeds is not None else _fresh_seeds(len(flat))
        done = self._sample(flat, params, flat_seeds)
        return [done[i : i + params.n] for i in range(0, len(done), params.n)]

    def continue_prefixes(
        self, rollouts: Sequence[Prefixes], suffix_ids: Sequence[int], params: SamplingParams
    ) -> list[list[Completion]]:
        """A greedy continuation per cut; see `Sampler.continue_prefixes`."""
        if params.temperature:
            raise ConfigError(
                f"forced answers are greedy in this engine, got temperature {params.temperature}"
            )
        if not suffix_ids:
            raise ConfigError("the forced-answer suffix has no tokens")
        longest = max((len(r.prompt_ids) + max(r.cuts, default=0) for r in rollouts), default=0)
        check_context(longest, len(suffix_ids) + params.max_tokens, self.context, "cut rollout")
        if any(max(r.cuts, default=0) > len(r.completion_ids) for r in rollouts):
            raise ConfigError("a rollout is cut behind its end")
        closer = BraceCloser(self.tokenizer, suffix_ids if params.close_brace else [])
        return self._continue(rollouts, list(suffix_ids), params, closer)

    def completion(self, ids: list[int], reason: str, cached: int = 0) -> Completion:
        """The completion of these ids, its text without the token that ended it."""
        visible = ids[:-1] if reason == "stop" and ids[-1] in self.stop_ids else ids
        return Completion(ids, self.tokenizer.decode(visible), reason, cached)

    def check_ids(self, prompt_ids: Sequence[Sequence[int]]) -> None:
        """Raise `ConfigError` for an empty prompt or an id that the model has no embedding for."""
        top = self.config.get_text_config(decoder=True).vocab_size
        for ids in prompt_ids:
            if not len(ids):
                raise ConfigError("a prompt is empty")
            if min(ids) < 0 or max(ids) >= top:
                bad = min(ids) if min(ids) < 0 else max(ids)
                raise ConfigError(f"token id {bad} of a prompt is outside the vocabulary of {top}")


def cut_at_brace(ids: list[int], reason: str | None, closer: BraceCloser) -> tuple[list[int], str | None]:
    """The answer up to the brace that closes its box, or as it was."""
    state = closer.start
    for i, token in enumerate(ids):
        state, closed = closer.step(state, token)
        if closed:
            return ids[: i + 1], "stop"
    return ids, reason


def _fresh_seeds(n: int) -> list[int]:
    import secrets

    return [secrets.randbits(63) for _ in range(n)]
