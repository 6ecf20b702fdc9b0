"""The interface of every sampling engine: token ids in, token ids out.

`Sampler` checks the input and counts cached tokens; each engine adds how it computes.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from effwb import models
from effwb.errors import ConfigError, EngineError, one_of
from effwb.samplers.braces import BraceCloser
from effwb.samplers.values import Completion, Prefixes, SamplingParams, check_context

if TYPE_CHECKING:
    from typing import Self

    from transformers import GenerationConfig, PreTrainedConfig, PreTrainedTokenizerBase

OPENINGS = ("free", "think", "empty")
Item = TypeVar("Item")


Cuts = list[tuple[int, Sequence[int]]]  # (tokens of the completion to keep, ids of the suffix) per answer


class Sampler(ABC):
    """A model on some engine. Use it as a context manager: leaving the context frees the accelerator.

    Open one with `effwb.samplers.open_sampler`. A new engine subclasses this and defines `close`, `batching`,
    `_sample`, `_continue` and `_versions`.

    Attributes:
        engine: The engine's name, a key of `effwb.samplers.SAMPLERS`.
        source: Where the model was found.
        tokenizer: The model's own tokenizer.
        dtype: The dtype of the weights, one of `effwb.models.DTYPES`.
        prefix_tokens: Tokens before the suffixes of all forced answers so far.
        cached_tokens: Those of `prefix_tokens` that came from a cache, by the engine's own count.

    Example:
        with open_sampler("pocket") as sampler:
            ids = sampler.tokenizer.encode("3+4=?")
            ((completion,),) = sampler.generate([ids], SamplingParams(max_tokens=64), seeds=[[0]])
    """

    engine: str
    prefix_tokens = cached_tokens = 0
    source: models.ModelSource
    tokenizer: PreTrainedTokenizerBase
    dtype: str

    # --- what an engine defines

    @abstractmethod
    def close(self) -> None:
        """Drop the weights and give the accelerator's memory back."""

    @abstractmethod
    def batching(self) -> dict:
        """Device and batch shape. Recorded with a run, because low precision rounds with the batch."""

    @abstractmethod
    def _versions(self) -> str:
        """The versions of the engine and its libraries, as text."""

    @abstractmethod
    def _sample(self, prompts: list[list[int]], params: SamplingParams, seeds: list[int]) -> list[Completion]:
        """One completion per prompt."""

    @abstractmethod
    def _continue(
        self,
        rollouts: Sequence[Prefixes],
        suffix_ids: list[int],
        params: SamplingParams,
        closer: BraceCloser,
    ) -> list[list[Completion]]:
        """`continue_prefixes` after its checks; `closer` ends an answer at the brace of its box."""

    def _sample_and_continue(
        self,
        prompts: list[list[int]],
        params: SamplingParams,
        seeds: list[int],
        cut: Callable[[int, Completion], Cuts],
        answer_params: SamplingParams,
    ) -> tuple[list[Completion], list[list[Completion]]]:
        """`generate_and_continue` after its checks, with one completion per prompt.

        This is the plain way, one pass for the completions and one per suffix. Engines that can answer while
        a completion is still in their cache override it.
        """
        completions = self._sample(prompts, params, seeds)
        cuts = [cut(p, completion) for p, completion in enumerate(completions)]
        answers = {}
        for suffix in dict.fromkeys(tuple(ids) for row in cuts for _, ids in row):
            rollouts = [
                Prefixes(prompt, completion.token_ids, [at for at, ids in row if tuple(ids) == suffix])
                for prompt, completion, row in zip(prompts, completions, cuts, strict=True)
            ]
            closer = self.closer(suffix, answer_params)
            rows = self._continue(rollouts, list(suffix), answer_params, closer)
            answers[suffix] = [iter(row) for row in rows]
        return completions, [[next(answers[tuple(ids)][p]) for _, ids in row] for p, row in enumerate(cuts)]

    # --- the same for all engines

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def identity(self) -> dict:
        """Model, weights, tokenizer, engine, versions and dtype: what decides the tokens of a run."""
        return dict(self._identity)

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

    @property
    def cached_share(self) -> float:
        """The share of prefix tokens that came from a cache; NaN before the first forced answer."""
        return self.cached_tokens / self.prefix_tokens if self.prefix_tokens else float("nan")

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The model's config, read without its weights."""
        return models.load_config(self.source)

    @cached_property
    def generation_config(self) -> GenerationConfig:
        """The model's generation config. Only its stop tokens are used."""
        return models.load_generation_config(self.source)

    @property
    def context(self) -> int | None:
        """The most tokens that prompt and completion may have together; None if the model sets no limit."""
        return models.context_of(self.config)

    @cached_property
    def stop_ids(self) -> list[int]:
        """Every id that ends a completion: the generation config's EOS ids and the tokenizer's.

        Raises:
            EngineError: If neither names an EOS token.
        """
        listed = self.generation_config.eos_token_id
        ids = {*(listed if isinstance(listed, list) else [listed]), self.tokenizer.eos_token_id} - {None}
        if not ids:
            raise EngineError(f"neither the model {self.source.name!r} nor its tokenizer names an EOS token")
        return sorted(ids)

    def generate(
        self,
        prompt_ids: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds: Sequence[Sequence[int]] | None = None,
    ) -> list[list[Completion]]:
        """Sample `params.n` completions of every prompt.

        Args:
            prompt_ids: P prompts, each a sequence of token ids.
            params: How to sample.
            seeds: (P, n) integers; `seeds[p][i]` fixes the tokens of completion i of prompt p. None: random.

        Returns:
            P lists of n completions, in the order of the prompts.

        Raises:
            ConfigError: For an empty prompt, an unknown token id, a wrong number of seeds, or prompts too
                long for the model's context.
        """
        prompts, flat_seeds = self._one_prompt_per_completion(prompt_ids, params, seeds)
        return _in_rows_of(params.n, self._sample(prompts, params, flat_seeds))

    def continue_prefixes(
        self, rollouts: Sequence[Prefixes], suffix_ids: Sequence[int], params: SamplingParams
    ) -> list[list[Completion]]:
        """Continue rollouts greedily from their cuts: one completion of `prefix + suffix` per cut.

        Args:
            rollouts: The rollouts with their cuts.
            suffix_ids: Ids of the text that is put after every prefix.
            params: How to sample; the temperature must be 0.

        Returns:
            For each rollout one completion per cut, in the order of its cuts.

        Raises:
            ConfigError: If `params` are not greedy, the suffix is empty, a cut lies beyond the end of its
                rollout, a token id is unknown, or a prefix is too long for the model's context.
        """
        _check_greedy(params)
        if not len(suffix_ids):
            raise ConfigError("the forced-answer suffix has no tokens")
        for rollout in rollouts:
            last = max(rollout.cuts, default=0)
            self.check_ids([rollout.prompt_ids, [*rollout.completion_ids[:last], *suffix_ids]])
            self._check_cut(len(rollout.prompt_ids), len(rollout.completion_ids), last, suffix_ids, params)
        answers = self._continue(rollouts, list(suffix_ids), params, self.closer(suffix_ids, params))
        self.prefix_tokens += sum(len(r.prompt_ids) + cut for r in rollouts for cut in r.cuts)
        self.cached_tokens += sum(answer.cached_tokens for row in answers for answer in row)
        return answers

    def generate_and_continue(
        self,
        prompt_ids: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds: Sequence[Sequence[int]] | None,
        cut: Callable[[int, int, Completion], Cuts],
        answer_params: SamplingParams,
    ) -> tuple[list[list[Completion]], list[list[list[Completion]]]]:
        """Sample completions and continue each from its cuts as soon as it has ended.

        The tokens are those of `generate` followed by `continue_prefixes`. It is faster, because the engine
        still holds the keys and values of a completion when it continues it.

        Args:
            prompt_ids: P prompts, each a sequence of token ids.
            params: How to sample the completions.
            seeds: (P, n) integers, one per completion. None: random.
            cut: `cut(p, i, completion)` is called with every completion i of prompt p and returns where to
                continue it: a list of (tokens of the completion to keep, suffix ids).
            answer_params: How to sample the continuations; the temperature must be 0.

        Returns:
            (completions, continuations): P lists of n completions, and for each of them the list of its
            continuations, in the order that `cut` returned.

        Raises:
            ConfigError: As `generate` and `continue_prefixes` do.
        """
        _check_greedy(answer_params)
        prompts, flat_seeds = self._one_prompt_per_completion(prompt_ids, params, seeds)

        def checked_cut(p: int, completion: Completion) -> Cuts:
            cuts = cut(p // params.n, p % params.n, completion)
            for at, suffix in cuts:
                self.prefix_tokens += len(prompts[p]) + at
                self._check_cut(len(prompts[p]), len(completion.token_ids), at, suffix, answer_params)
            self.check_ids(dict.fromkeys(tuple(suffix) for _, suffix in cuts))
            return cuts

        completions, answers = self._sample_and_continue(
            prompts, params, flat_seeds, checked_cut, answer_params
        )
        self.cached_tokens += sum(answer.cached_tokens for row in answers for answer in row)
        return _in_rows_of(params.n, completions), _in_rows_of(params.n, answers)

    def _one_prompt_per_completion(
        self,
        prompt_ids: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds: Sequence[Sequence[int]] | None,
    ) -> tuple[list[list[int]], list[int]]:
        """Check the input of `generate`; return (prompts, seeds), every prompt `params.n` times."""
        self.check_ids(prompt_ids)
        check_context(max(map(len, prompt_ids), default=0), params.max_tokens, self.context)
        prompts = [list(ids) for ids in prompt_ids for _ in range(params.n)]
        if seeds is None:
            return prompts, [secrets.randbits(63) for _ in prompts]
        if [len(row) for row in seeds] != [params.n] * len(prompt_ids):
            raise ConfigError(f"seeds must be {params.n} per prompt for {len(prompt_ids)} prompts")
        return prompts, [seed for row in seeds for seed in row]

    def _check_cut(
        self,
        prompt_tokens: int,
        completion_tokens: int,
        cut: int,
        suffix_ids: Sequence[int],
        params: SamplingParams,
    ) -> None:
        """Raise `ConfigError` if a completion cannot be continued from `cut`."""
        if cut > completion_tokens:
            raise ConfigError(
                f"a rollout of {completion_tokens} tokens cannot be cut after {cut}: that is beyond its end"
            )
        if not len(suffix_ids):
            raise ConfigError("the forced-answer suffix has no tokens")
        check_context(prompt_tokens + cut, len(suffix_ids) + params.max_tokens, self.context, "cut rollout")

    def check_ids(self, prompt_ids: Iterable[Sequence[int]]) -> None:
        """Check that prompts are not empty and that the model has an embedding for each of their ids.

        Args:
            prompt_ids: Prompts, each a sequence of token ids.

        Raises:
            ConfigError: For an empty prompt or an id outside the vocabulary.
        """
        size = self.config.get_text_config(decoder=True).vocab_size
        for ids in prompt_ids:
            if not len(ids):
                raise ConfigError("a prompt is empty")
            if min(ids) < 0 or max(ids) >= size:
                bad_id = min(ids) if min(ids) < 0 else max(ids)
                raise ConfigError(f"token id {bad_id} is outside the vocabulary of {size}")

    def closer(self, suffix_ids: Sequence[int], params: SamplingParams) -> BraceCloser:
        """The `BraceCloser` of a suffix, made once per suffix because it remembers what each token does.

        Args:
            suffix_ids: Ids of the forced-answer suffix.
            params: Without `close_brace`, the returned closer never ends an answer.
        """
        suffix = tuple(suffix_ids) if params.close_brace else ()
        if suffix not in self._closers:
            self._closers[suffix] = BraceCloser(self.tokenizer, suffix)
        return self._closers[suffix]

    @cached_property
    def _closers(self) -> dict[tuple[int, ...], BraceCloser]:
        return {}

    def completion(self, ids: list[int], reason: str, cached_tokens: int = 0) -> Completion:
        """The `Completion` of some token ids; its text leaves out the token that ended it.

        Args:
            ids: Token ids, EOS included.
            reason: "stop" or "length".
            cached_tokens: Prefix tokens that came from a cache.
        """
        visible = ids[:-1] if reason == "stop" and ids[-1] in self.stop_ids else ids
        return Completion(ids, self.tokenizer.decode(visible), reason, cached_tokens)


def check_sampler(sampler: object) -> None:
    """Raise `ConfigError` for what does not sample, such as the name of a model."""
    if not hasattr(sampler, "generate"):
        raise ConfigError(f"sampler must be an open sampler (effwb.open_sampler gives one), got {sampler!r}")


def completed(tokenizer: PreTrainedTokenizerBase, stop_ids: Sequence[int], ids: list[int]) -> Completion:
    """The `Completion` of ids whose finish reason is not known: "stop" if they end in a stop id.

    Args:
        tokenizer: The model's tokenizer.
        stop_ids: Ids that end a completion.
        ids: Token ids of the completion, at least one.
    """
    stopped = ids[-1] in stop_ids
    return Completion(ids, tokenizer.decode(ids[:-1] if stopped else ids), "stop" if stopped else "length")


def opened(opening: str, closing: int | None, params: SamplingParams) -> tuple[list[int], SamplingParams]:
    """How to sample completions that must begin in a certain way, after a prompt that opens the thinking.

    Args:
        opening: "free" leaves the beginning to the model; "think" never begins with `closing`; "empty"
            always does.
        closing: The id of `</think>`; not needed for "free".
        params: How to sample without the opening.

    Returns:
        (ids, parameters): ids to append to the prompt, which belong to the completion (see `with_opening`),
        and the parameters to sample with.

    Raises:
        ConfigError: If `opening` is not one of `OPENINGS`.
    """
    one_of("opening", opening, OPENINGS)
    if opening == "free":
        return [], params
    assert closing is not None, f"opening {opening!r} needs the id of </think>"
    if opening == "think":
        return [], replace(params, banned_first_tokens=(closing,))
    return [closing], replace(params, max_tokens=params.max_tokens - 1)


def with_opening(tokenizer: PreTrainedTokenizerBase, forced: list[int], completion: Completion) -> Completion:
    """Put the forced opening back at the start of a completion.

    Args:
        tokenizer: The model's tokenizer.
        forced: The ids that `opened` returned.
        completion: The completion sampled after them.
    """
    if not forced:
        return completion
    text = tokenizer.decode(forced) + completion.text
    return replace(completion, token_ids=[*forced, *completion.token_ids], text=text)


def _check_greedy(params: SamplingParams) -> None:
    if params.temperature:
        raise ConfigError(f"forced answers are greedy in this engine, got temperature {params.temperature}")


def _in_rows_of(n: int, flat: list[Item]) -> list[list[Item]]:
    return [flat[i : i + n] for i in range(0, len(flat), n)]
