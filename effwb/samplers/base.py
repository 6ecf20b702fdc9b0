"""What every engine offers: token ids in, token ids out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from effwb.errors import ConfigError


@dataclass(frozen=True)
class SamplingParams:
    """`temperature` 0 is greedy. `max_tokens` counts the completion, EOS included.

    `close_brace` ends a completion at the brace that closes the `\\boxed{` of the prompt's end (for forced
    answers).
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    n: int = 1
    close_brace: bool = False

    def __post_init__(self):
        if self.max_tokens < 1 or self.n < 1:
            raise ConfigError(f"max_tokens and n must be at least 1, got {self.max_tokens} and {self.n}")
        if self.temperature < 0:
            raise ConfigError(f"temperature must be 0 (greedy) or positive, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must lie in (0, 1], got {self.top_p}")


@dataclass(frozen=True)
class Completion:
    """One sampled continuation. `token_ids` include EOS where `finish_reason` is "stop"; `text` does not show
    it.

    `cached_tokens` counts the prefix tokens that were not computed again for this completion.
    """

    token_ids: list[int]
    text: str
    finish_reason: str
    cached_tokens: int = 0


@dataclass(frozen=True)
class Prefixes:
    """One rollout and the places it is cut at: the prefixes are `prompt_ids + completion_ids[:cut]`."""

    prompt_ids: list[int]
    completion_ids: list[int]
    cuts: list[int] = field(default_factory=list)


@runtime_checkable
class Sampler(Protocol):
    """A context manager; leaving it frees the accelerator. `tokenizer` is the model's own."""

    tokenizer: object
    context: int | None  # tokens that prompt and completion may have together; None where there is no limit

    def identity(self) -> dict:
        """Model, tokenizer, engine, versions and dtype: what decides the tokens."""
        ...

    def generate(
        self,
        prompt_ids: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds: Sequence[Sequence[int]] | None = None,
    ) -> list[list[Completion]]:
        """`params.n` completions per prompt, in the order of the prompts; `seeds[p][i]` fixes completion i of
        p."""
        ...

    def continue_prefixes(
        self, rollouts: Sequence[Prefixes], suffix_ids: Sequence[int], params: SamplingParams
    ) -> list[list[Completion]]:
        """For each rollout, one greedy continuation of `prefix + suffix` per cut, in the order of its
        cuts."""
        ...


def check_context(prompt_tokens: int, new_tokens: int, context: int | None, what: str = "prompt") -> None:
    """Raise `ConfigError` where prompt and completion do not fit the model's context (all in tokens)."""
    if context is not None and prompt_tokens + new_tokens > context:
        raise ConfigError(
            f"{what} of {prompt_tokens} tokens plus {new_tokens} new ones exceeds the model's context of "
            f"{context}; lower the cap to at most {context - prompt_tokens}"
        )


class BraceCloser:
    """Tells when a forced answer is complete: the brace opened by the suffix has been closed.

    Works on token ids: the effect of each token on the depth is computed once from its text.
    """

    def __init__(self, tokenizer, suffix_ids: Sequence[int]):
        self._tokenizer, self._seen = tokenizer, {}
        self.start = self._depth(tokenizer.decode(list(suffix_ids)))[-1]

    @staticmethod
    def _depth(text: str) -> list[int]:
        depth, trail, escaped = 0, [0], False
        for ch in text:
            depth += 0 if escaped else (ch == "{") - (ch == "}")
            escaped = ch == "\\" and not escaped
            trail.append(depth)
        return trail

    def step(self, depth: int, token_id: int) -> tuple[int, bool]:
        """The depth after a token, and whether the opening brace was closed inside it."""
        if token_id not in self._seen:
            trail = self._depth(self._tokenizer.decode([token_id]))
            self._seen[token_id] = (trail[-1], min(trail))
        end, lowest = self._seen[token_id]
        return depth + end, self.start > 0 and depth + lowest <= 0
