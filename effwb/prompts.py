"""Prompts as token ids: the chat template, effort prompts, length hints, and the forced-answer suffix.

A length hint stands in one of three places: `user` ("Think for n tokens.", L1-Exact), `max` ("Think for
maximum n tokens.", L1-Max) or `think` ("I will answer the question with n tokens.", right after the opening
tag, LAPO). Sources: 2503.04697 (L1), 2507.15758 section 3 (LAPO), 2502.18080 (TOPS efforts), 2506.07104 App.
E.1 (forced answer).
"""

import numbers
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from effwb.errors import ConfigError, one_of

HINTS = ("user", "max", "think")
HINT_TEXTS = {
    "user": "Think for {n} tokens.",
    "max": "Think for maximum {n} tokens.",
    "think": "I will answer the question with {n} tokens.\n",
}
EFFORTS = {
    "low": (
        "Low Reasoning Effort: time is extremely limited and every extra second is expensive. Be as direct "
        "and concise as clarity and correctness allow; skip reflection and verification unless they are "
        "indispensable."
    ),
    "medium": (
        "Medium Reasoning Effort: there is enough time for a considered answer, but longer reasoning costs "
        "more. Balance depth with efficiency and stop once the analysis is sufficient."
    ),
    "high": (
        "High Reasoning Effort: time is unlimited and cost does not matter; only a reliable, correct answer "
        "counts. Explore several angles, reflect, and verify every possible solution before answering."
    ),
}

# Named forced-answer suffixes. Which one is used changes the curve at small budgets, so a run records it.
SUFFIXES = {
    "close": "</think>\\boxed{",
    "final_answer": "\n</think>\n\n**Final Answer**\n\\boxed{",
    "dynasor": "... Oh, I suddenly got the answer to the whole problem, **Final Answer**\n\n\\[ \\boxed{",
    "reo_rl": "Oh, I suddenly got the answer to the whole problem. **Final Answer**: [\\boxed{",
    "plain": "\n\nFinal answer: \\boxed{",
}


@dataclass(frozen=True)
class Template:
    """How a question becomes a prompt, and how a cut trace is asked for its answer."""

    name: str
    version: int = 1
    question_suffix: str = "\nPlease reason step by step, and put your final answer within \\boxed{}."
    hint_separator: str = " "
    forced_suffix: str = "final_answer"
    efforts: dict = field(default_factory=lambda: dict(EFFORTS))
    hints: dict = field(default_factory=lambda: dict(HINT_TEXTS))

    def identity(self) -> dict:
        return asdict(self)


TEMPLATES = {
    "pocket": Template(
        "pocket",
        question_suffix="",
        forced_suffix="close",
        efforts={e: f"{e.capitalize()} effort." for e in EFFORTS},
    ),
    "boxed": Template("boxed"),
    "boxed_dynasor": Template("boxed_dynasor", forced_suffix="dynasor"),
    "boxed_reo_rl": Template("boxed_reo_rl", forced_suffix="reo_rl"),
    "instruct": Template(
        "instruct",
        question_suffix="\nThink step by step, then give the final answer within \\boxed{}.",
        forced_suffix="plain",
    ),
}


def template(name: str | Template) -> Template:
    """A `Template`, or the one of that name; `ConfigError` lists the names."""
    if isinstance(name, Template):
        return name
    one_of("template", name, TEMPLATES)
    return TEMPLATES[name]


def fitting_template(tokenizer) -> str:
    """The name of the default template: "boxed", or "pocket" where the tokenizer cannot spell that one."""
    ids = tokenizer.encode(TEMPLATES["boxed"].question_suffix, add_special_tokens=False)
    return "pocket" if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids else "boxed"


def render(
    tokenizer,
    question: str,
    template: Template,
    *,
    effort: str | None = None,
    hint: int | None = None,
    hint_place: str = "user",
    thinking: bool = True,
) -> tuple[str, list[int]]:
    """The prompt as (text, token ids), generation prompt included.

    `effort` picks a system prompt; `hint` is a length in tokens put where `hint_place` says; `thinking=False`
    asks the chat template for its empty-thinking mode (`enable_thinking`), or closes the thinking that a
    template without one has opened. Raises `ConfigError` for an unknown effort or place, a hint that is not a
    positive integer, or a `think` hint on a model whose template opens no thinking.
    """
    messages, content = [], question + template.question_suffix
    if effort is not None:
        one_of("effort", effort, template.efforts)
        messages.append({"role": "system", "content": template.efforts[effort]})
    sentence = _hint_sentence(template, hint, hint_place)
    if sentence and hint_place != "think":
        content += template.hint_separator + sentence
    messages.append({"role": "user", "content": content})
    how = dict(tokenize=False, add_generation_prompt=True)
    text = tokenizer.apply_chat_template(messages, enable_thinking=thinking, **how)
    if not thinking and text == tokenizer.apply_chat_template(messages, enable_thinking=True, **how):
        if not opens_thinking(text):
            raise ConfigError(
                "thinking=False has no effect on this chat template; it needs one that knows "
                "enable_thinking, or one that ends by opening <think>"
            )
        text += "</think>"
    if sentence and hint_place == "think":
        check_opened(text, "hint_place='think'")
        text += sentence
    ids = tokenizer.encode(text, add_special_tokens=False)
    check_known(tokenizer, text, ids, f"the prompt of {question[:60]!r}")
    return text, ids


def _hint_sentence(template: Template, hint, place: str) -> str:
    if hint is None:
        return ""
    one_of("hint_place", place, HINTS)
    if not isinstance(hint, numbers.Real) or not hint > 0 or int(hint) != hint:
        raise ConfigError(f"a length hint is a positive whole number of tokens, got {hint!r}")
    return template.hints[place].format(n=int(hint))


def check_opened(text: str, what: str) -> None:
    """Raise `ConfigError` where a prompt does not leave the thinking open."""
    if not opens_thinking(text):
        raise ConfigError(
            f"{what} needs a chat template that ends by opening <think>; this one ends {text[-30:]!r}"
        )


def closing_id(tokenizer) -> int:
    """The token that closes the thinking; `ConfigError` where the model has no such token."""
    ids = tokenizer.encode("</think>", add_special_tokens=False)
    if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
        raise ConfigError(f"the model has no token </think> of its own: it is spelled as {ids}")
    return ids[0]


def opens_thinking(prompt_text: str) -> bool:
    """True where the prompt itself leaves `<think>` open, so that a completion starts inside the thinking."""
    return prompt_text.rfind("<think>") > prompt_text.rfind("</think>")


def graded_text(opened: bool, completion: str) -> str:
    """The text a verifier should see: where the prompt opened the thinking, the opening tag belongs to it.

    Without it a box inside an unfinished thinking would pass for the answer.
    """
    return f"<think>{completion}" if opened else completion


def forced_suffix(template: Template) -> str:
    """The text that asks a cut trace for its answer. A name in `SUFFIXES`, or a text that leaves a box
    open.
    """
    text = SUFFIXES.get(template.forced_suffix, template.forced_suffix)
    if not text.rstrip().endswith("{"):
        one_of("forced-answer suffix (a name, or a text that ends by opening a box)", text, SUFFIXES)
    return text


def with_suffix(template: Template, suffix: str) -> Template:
    """The template with another forced-answer suffix."""
    return replace(template, forced_suffix=suffix)


def suffix_when_closed(suffix: str) -> str:
    """The suffix for a cut behind the thinking: what it says after closing it."""
    return suffix.split("</think>")[-1]


def check_known(tokenizer, text: str, ids: Sequence[int], what: str) -> None:
    """Raise `ConfigError` where part of `text` became the unknown token without spelling it, as templates
    may.
    """
    unknown = tokenizer.unk_token_id
    if unknown is not None and list(ids).count(unknown) > text.count(tokenizer.unk_token):
        raise ConfigError(f"the tokenizer has no token for part of {what}: {tokenizer.decode(ids)!r}")
