"""What samplers take and return: sampling parameters, completions, cut rollouts."""

from dataclasses import dataclass, field

from effwb._internal.checked import NotNegative, Positive, TopP, check_fields
from effwb.errors import ConfigError


@dataclass(frozen=True)
class SamplingParams:
    r"""How completions are sampled.

    Attributes:
        max_tokens: The most tokens of a completion, EOS included; at least 1.
        temperature: 0 is greedy.
        top_p: The mass of the nucleus, in (0, 1]; 1 samples from all tokens.
        n: Completions per prompt; at least 1.
        close_brace: End a completion at the brace that closes the `\boxed{` at the end of the prompt. Used
            for forced answers.
        banned_first_tokens: Token ids that no completion may begin with.

    Raises:
        ConfigError: If a value is out of its range.
    """

    max_tokens: Positive
    temperature: NotNegative = 1.0
    top_p: TopP = 1.0
    n: Positive = 1
    close_brace: bool = False
    banned_first_tokens: tuple[int, ...] = ()

    def __post_init__(self):
        check_fields(self)


@dataclass(frozen=True)
class Completion:
    """One sampled continuation of a prompt.

    Attributes:
        token_ids: Its token ids, EOS included if `finish_reason` is "stop".
        text: The decoded text, without EOS.
        finish_reason: "stop" if the model ended it, "length" if it was cut at `max_tokens`.
        cached_tokens: For forced answers: prefix tokens that came from a cache and were not computed again.
    """

    token_ids: list[int]
    text: str
    finish_reason: str
    cached_tokens: int = 0


@dataclass(frozen=True)
class Prefixes:
    """One rollout and the places where it is cut. The prefixes are `prompt_ids + completion_ids[:cut]`.

    Attributes:
        prompt_ids: Token ids of the prompt.
        completion_ids: Token ids of the rollout.
        cuts: How many tokens of the rollout each prefix keeps, in any order.
    """

    prompt_ids: list[int]
    completion_ids: list[int]
    cuts: list[int] = field(default_factory=list)


def check_context(prompt_tokens: int, new_tokens: int, context: int | None, subject: str = "prompt") -> None:
    """Check that a prompt and its completion fit the model's context.

    Args:
        prompt_tokens: Tokens of the prompt.
        new_tokens: The most tokens of the completion.
        context: The model's context in tokens; None if it has no limit.
        subject: How the error calls the prompt.

    Raises:
        ConfigError: If they do not fit. The message says how many new tokens do.
    """
    if context is None or prompt_tokens + new_tokens <= context:
        return
    if prompt_tokens >= context:
        raise ConfigError(
            f"a {subject} of {prompt_tokens} tokens does not fit the model's context of {context}"
        )
    raise ConfigError(
        f"a {subject} of {prompt_tokens} tokens plus {new_tokens} new ones exceeds the model's context of "
        f"{context}; at most {context - prompt_tokens} new ones fit"
    )
