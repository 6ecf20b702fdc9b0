"""Turn questions into prompts: chat template, effort prompts, length hints and forced-answer suffixes.

A length hint stands in one of three places: `user` ("Think for n tokens.", L1-Exact), `max` ("Think for
maximum n tokens.", L1-Max) or `think` ("I will answer the question with n tokens.", right after the opening
tag, LAPO). Sources: 2503.04697 (L1), 2507.15758 section 3 (LAPO), 2502.18080 (TOPS efforts), 2506.07104 App.
E.1 (forced answer).
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from effwb.errors import ConfigError, one_of
from effwb.samplers.base import OPENINGS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

HINTS = ("user", "max", "think")
HINT_TEXTS = {
    "user": "Think for {n} tokens.",
    "max": "Think for maximum {n} tokens.",
    "think": "I will answer the question with {n} tokens.\n",
}
# The effort prompts of TOPS (2502.18080), as the papers and repositories print them that reuse them.
EFFORTS = {
    "low": (
        "Low Reasoning Effort: You have extremely limited time to think and respond to the user's query. "
        "Every additional second of processing and reasoning incurs a significant resource cost, which "
        "could affect efficiency and effectiveness. Your task is to prioritize speed without sacrificing "
        "essential clarity or accuracy. Provide the most direct and concise answer possible. Avoid "
        "unnecessary steps, reflections, verification, or refinements UNLESS ABSOLUTELY NECESSARY. Your "
        "primary goal is to deliver a quick, clear and correct response."
    ),
    "medium": (
        "Medium Reasoning Effort: You have sufficient time to think and respond to the user's query, "
        "allowing for a more thoughtful and in-depth answer. However, be aware that the longer you take "
        "to reason and process, the greater the associated resource costs and potential consequences. "
        "While you should not rush, aim to balance the depth of your reasoning with efficiency. "
        "Prioritize providing a well-thought-out response, but do not overextend your thinking if the "
        "answer can be provided with a reasonable level of analysis. Use your reasoning time wisely, "
        "focusing on what is essential for delivering an accurate response without unnecessary delays and "
        "overthinking."
    ),
    "high": (
        "High Reasoning Effort: You have unlimited time to think and respond to the user's question. "
        "There is no need to worry about reasoning time or associated costs. Your only goal is to arrive "
        "at a reliable, correct final answer. Feel free to explore the problem from multiple angles, and "
        "try various methods in your reasoning. This includes reflecting on reasoning by trying different "
        "approaches, verifying steps from different aspects, and rethinking your conclusions as needed. "
        "You are encouraged to take the time to analyze the problem thoroughly, reflect on your reasoning "
        "promptly and test all possible solutions. Only after a deep, comprehensive thought process "
        "should you provide the final answer, ensuring it is correct and well-supported by your "
        "reasoning."
    ),
}
# What these prompts were before. Runs without an effort prompt still name them in their identity.
EARLIER_EFFORTS = {
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

# Named forced-answer suffixes. The choice changes the curve at small budgets, so a run records it.
SUFFIXES = {
    "close": "</think>\\boxed{",
    "final_answer": "\n</think>\n\n**Final Answer**\n\\boxed{",
    "dynasor": "... Oh, I suddenly got the answer to the whole problem, **Final Answer**\n\n\\[ \\boxed{",
    "reo_rl": "Oh, I suddenly got the answer to the whole problem. **Final Answer**: [\\boxed{",
    "plain": "\n\nFinal answer: \\boxed{",
}


@dataclass(frozen=True)
class Template:
    """The texts that turn a question into a prompt and ask a stopped rollout for its answer.

    Attributes:
        name: The name of the template; runs record it.
        version: Raised whenever another text of this template than an effort prompt changes.
        question_suffix: Text appended to every question.
        hint_separator: Text between the question and a length hint.
        forced_suffix: How a stopped rollout is asked for its answer: a name in `SUFFIXES`, or a text that
            ends by opening a box.
        efforts: System prompt for each effort name.
        hints: Sentence for each hint place; `{n}` is the number of tokens.
    """

    name: str
    version: int = 1
    question_suffix: str = "\nPlease reason step by step, and put your final answer within \\boxed{}."
    hint_separator: str = " "
    forced_suffix: str = "final_answer"
    efforts: dict[str, str] = field(default_factory=lambda: dict(EFFORTS))
    hints: dict[str, str] = field(default_factory=lambda: dict(HINT_TEXTS))

    def identity(self, effort: str | None = None) -> dict:
        """Every text of the template, for the identity of a run.

        Args:
            effort: The effort prompt of the run; None where it has none. The texts of effort prompts do not
                matter then, and it gets the identity of earlier runs.
        """
        values = asdict(self)
        if effort is None and self.efforts == EFFORTS:
            values["efforts"] = dict(EARLIER_EFFORTS)
        return values


@dataclass(frozen=True)
class Prompting:
    """How questions become prompts, and how completions begin.

    Attributes:
        template: A `Template` or the name of one in `TEMPLATES`. Default: the one that fits the tokenizer.
        effort: The name of a system prompt of the template: "low", "medium" or "high". Default: none.
        hint: A length in tokens that every prompt states, or the name of a column of the problems that holds
            one for each problem. Default: no length is stated.
        hint_place: Where the length is stated: "user", "max" or "think" (see `effwb.prompts`).
        thinking: False asks the chat template for its mode without thinking.
        opening: How completions begin after a prompt that opens the thinking: "free" (the model decides),
            "think" (it is not closed at once) or "empty" (it is closed at once; the closing tag counts as a
            token of the completion).

    Raises:
        ConfigError: `hint_place` or `opening` is unknown, or `thinking` is not a bool.

    Example:
        >>> Prompting(effort="low", hint=200).hint_place
        'user'
    """

    template: str | Template | None = None
    effort: str | None = None
    hint: int | str | None = None
    hint_place: str = "user"
    thinking: bool = True
    opening: str = "free"

    def __post_init__(self):
        one_of("hint_place", self.hint_place, HINTS)
        one_of("opening", self.opening, OPENINGS)
        if not isinstance(self.thinking, bool):
            raise ConfigError(f"thinking must be True or False, got {self.thinking!r}")


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
    """Look up a template by its name; a `Template` is returned as it is.

    Raises:
        ConfigError: There is no template of that name; the message lists the names.
    """
    if isinstance(name, Template):
        return name
    one_of("template", name, TEMPLATES)
    return TEMPLATES[name]


def fitting_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """Name the default template: "boxed", or "pocket" if the tokenizer cannot spell "boxed"."""
    ids = tokenizer.encode(TEMPLATES["boxed"].question_suffix, add_special_tokens=False)
    return "pocket" if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids else "boxed"


def render(
    tokenizer: PreTrainedTokenizerBase,
    question: str,
    template: Template,
    *,
    effort: str | None = None,
    hint: int | None = None,
    hint_place: str = "user",
    thinking: bool = True,
) -> tuple[str, list[int]]:
    """Render the prompt of one question, generation prompt included.

    Args:
        tokenizer: The model's tokenizer; its chat template is used.
        question: The text of the problem.
        template: The texts around the question.
        effort: The name of a system prompt of the template.
        hint: A length in tokens to state in the prompt.
        hint_place: Where the length is stated: "user", "max" or "think".
        thinking: False asks the chat template for its mode without thinking (`enable_thinking`). A template
            that has no such mode but opens the thinking gets a closing tag instead.

    Returns:
        The prompt as text, and as token ids.

    Raises:
        ConfigError: Unknown effort or place, a hint that is not a positive integer, or a chat template that
            cannot do what `hint_place="think"` or `thinking=False` needs.
    """
    sentence = ""
    if hint is not None:
        one_of("hint_place", hint_place, HINTS)
        if not isinstance(hint, numbers.Real) or not hint > 0 or int(hint) != hint:
            raise ConfigError(f"a length hint is a positive whole number of tokens, got {hint!r}")
        sentence = template.hints[hint_place].format(n=int(hint))
    content = question + template.question_suffix
    if sentence and hint_place != "think":
        content += template.hint_separator + sentence
    messages = [{"role": "user", "content": content}]
    if effort is not None:
        one_of("effort", effort, template.efforts)
        messages.insert(0, {"role": "system", "content": template.efforts[effort]})

    def chat(enable_thinking: bool) -> str:
        return tokenizer.apply_chat_template(
            messages, enable_thinking=enable_thinking, tokenize=False, add_generation_prompt=True
        )

    text = chat(thinking)
    if not thinking and text == chat(True):
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


def check_opened(prompt: str, feature: str) -> None:
    """Check that a prompt leaves the thinking open.

    Args:
        prompt: The text of the prompt.
        feature: What needs this; the error message begins with it.

    Raises:
        ConfigError: The prompt does not end inside the thinking.
    """
    if not opens_thinking(prompt):
        raise ConfigError(
            f"{feature} needs a chat template that ends by opening <think>; this one ends {prompt[-30:]!r}"
        )


def closing_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the id of the token that closes the thinking.

    Raises:
        ConfigError: The model spells `</think>` with several tokens, or not at all.
    """
    ids = tokenizer.encode("</think>", add_special_tokens=False)
    if len(ids) != 1 or ids[0] == tokenizer.unk_token_id:
        raise ConfigError(f"the model has no single token for </think>: it spells the tag as {ids}")
    return ids[0]


def opens_thinking(prompt: str) -> bool:
    """Tell whether a prompt leaves `<think>` open, so that a completion begins inside the thinking."""
    return prompt.rfind("<think>") > prompt.rfind("</think>")


def graded_text(opened: bool, completion: str) -> str:
    """Return the text that a verifier should see.

    If the prompt opened the thinking, the opening tag is put back in front. Without it, a box inside an
    unfinished thinking would pass for the answer.
    """
    return f"<think>{completion}" if opened else completion


def forced_suffix(template: Template, suffix: str | None = None) -> str:
    """Return the text that asks a stopped rollout for its answer.

    Args:
        template: Its suffix is the default.
        suffix: Another suffix: a name in `SUFFIXES`, or a text that ends by opening a box.

    Raises:
        ConfigError: The suffix is neither such a name nor such a text.
    """
    name = template.forced_suffix if suffix is None else suffix
    text = SUFFIXES.get(name, name)
    if not text.rstrip().endswith("{"):
        one_of("forced-answer suffix (a name, or a text that ends by opening a box)", text, SUFFIXES)
    return text


def suffix_when_closed(suffix: str) -> str:
    """Return the suffix for a cut after the thinking: the part that follows its `</think>`."""
    return suffix.split("</think>")[-1]


def check_known(tokenizer: PreTrainedTokenizerBase, text: str, ids: Sequence[int], name: str) -> None:
    """Check that the tokenizer has tokens for all of a text.

    A text may spell the unknown token itself, as chat templates do; that is no error.

    Args:
        tokenizer: The tokenizer that encoded the text.
        text: The text.
        ids: The text as token ids.
        name: What the text is, for the error message.

    Raises:
        ConfigError: Part of the text became the unknown token.
    """
    unknown = tokenizer.unk_token_id
    if unknown is not None and list(ids).count(unknown) > text.count(tokenizer.unk_token):
        raise ConfigError(f"the tokenizer has no token for part of {name}: {tokenizer.decode(ids)!r}")
