"""What every engine offers: token ids in, token ids out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from effwb.errors import ConfigError, one_of

OPENINGS = ("free", "think", "empty")


@dataclass(frozen=True)
class SamplingParams:
    """`temperature` 0 is greedy. `max_tokens` counts the completion, EOS included.

    `close_brace` ends a completion at the brace that closes the `\\boxed{` of the prompt's end (for forced
    answers). `first_not` are ids with which no completion begins.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    n: int = 1
    close_brace: bool = False
    banned_first_tokens: tuple[int, ...] = ()

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

    def batching(self) -> dict:
        """Device and batch shape: recorded with a run, because low precision rounds with the batch."""
        ...

    def generate(
        self,
        prompt_ids: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds: Sequence[Sequence[int]] | None = None,
    ) -> list[list[Completion]]:
        """`params.n` completions per prompt, in the order of the prompts; `seeds[p][i]` fixes completion i of
        p.
        """
        ...

    def continue_prefixes(
        self, rollouts: Sequence[Prefixes], suffix_ids: Sequence[int], params: SamplingParams
    ) -> list[list[Completion]]:
        """For each rollout, one greedy continuation of `prefix + suffix` per cut, in the order of its
        cuts.
        """
        ...

    def generate_and_continue(
        self,
        prompt_ids: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds: Sequence[Sequence[int]] | None,
        cut: Callable[[int, int, Completion], list[tuple[int, Sequence[int]]]],
        answer_params: SamplingParams,
    ) -> tuple[list[list[Completion]], list[list[list[Completion]]]]:
        """As `generate`, and of each completion its greedy continuations, asked for as soon as it is there.

        `cut(p, i, completion)` says where: (tokens kept, suffix ids) for each. Gives (completions,
        continuations), both by prompt and sample. The tokens are those of `generate` and then
        `continue_prefixes`; an engine with a prefix cache finds in it what it has just written.
        """
        ...


def check_context(prompt_tokens: int, new_tokens: int, context: int | None, what: str = "prompt") -> None:
    """Raise `ConfigError` where prompt and completion do not fit the model's context (all in tokens)."""
    if context is None or prompt_tokens + new_tokens <= context:
        return
    if prompt_tokens >= context:
        raise ConfigError(f"a {what} of {prompt_tokens} tokens does not fit the model's context of {context}")
    raise ConfigError(
        f"a {what} of {prompt_tokens} tokens plus {new_tokens} new ones exceeds the model's context of "
        f"{context}; at most {context - prompt_tokens} new ones fit"
    )


def completed(tokenizer, stop_ids: Sequence[int], ids: list[int]) -> Completion:
    """The completion with these ids, which has stopped if it ends in a stop id."""
    stopped = ids[-1] in stop_ids
    return Completion(ids, tokenizer.decode(ids[:-1] if stopped else ids), "stop" if stopped else "length")


def opened(opening: str, closing: int | None, params: SamplingParams) -> tuple[list[int], SamplingParams]:
    """How to sample completions that begin as `opening` says, behind a prompt that opens the thinking: ids to
    put behind the prompt, which belong to the completion (`with_opening`), and the parameters.

    "free" leaves it to the model; "think" never begins with `closing`, the id of the tag that closes the
    thinking; "empty" always does.
    """
    one_of("opening", opening, OPENINGS)
    if opening == "think":
        return [], replace(params, banned_first_tokens=(closing,))
    if opening == "empty":
        return [closing], replace(params, max_tokens=params.max_tokens - 1)
    return [], params


def with_opening(tokenizer, forced: list[int], completion: Completion) -> Completion:
    """The completion with the ids that were put before it."""
    if not forced:
        return completion
    text = tokenizer.decode(forced) + completion.text
    return replace(completion, token_ids=[*forced, *completion.token_ids], text=text)


class BraceCloser:
    """Tells when a forced answer is complete: the brace opened by the suffix has been closed.

    Works on token ids. The state is (depth, escaped): a backslash at the end of one token escapes the first
    character of the next. What a token does in either case is computed once from its text.
    """

    def __init__(self, tokenizer, suffix_ids: Sequence[int]):
        self._tokenizer, self._seen = tokenizer, {}
        depth, _, escaped = self._walk(tokenizer.decode(list(suffix_ids)), False)
        self.start = (depth, escaped)
        self.armed = depth > 0

    @staticmethod
    def _walk(text: str, escaped: bool) -> tuple[int, int, bool]:
        """(change of depth, lowest depth on the way, whether the text ends in an open escape)."""
        depth = lowest = 0
        for ch in text:
            depth += 0 if escaped else (ch == "{") - (ch == "}")
            lowest = min(lowest, depth)
            escaped = ch == "\\" and not escaped
        return depth, lowest, escaped

    def step(self, state: tuple[int, bool], token_id: int) -> tuple[tuple[int, bool], bool]:
        """The state after a token, and whether the opening brace was closed inside it."""
        depth, escaped = state
        if (token_id, escaped) not in self._seen:
            self._seen[token_id, escaped] = self._walk(self._tokenizer.decode([token_id]), escaped)
        change, lowest, escaped = self._seen[token_id, escaped]
        return (depth + change, escaped), self.armed and depth + lowest <= 0
