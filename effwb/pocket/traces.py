"""Supervised examples of every habit of the pocket model, with the tokens that carry loss.

The share of each kind is `MIX`. A *cut* example is a free trace cut after a random number of thinking tokens
and closed by the forced-answer suffix; its target is the result of the last complete pass, or the true answer
if no pass is complete (the model's best guess). The suffix itself carries no loss: the model must never learn
to stop there by itself.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from effwb.pocket import world
from effwb.prompts import HINT_TEXTS, SUFFIXES, TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MIX = {
    "free": 0.40,
    "cut": 0.20,
    "empty": 0.05,
    "hint_user": 0.12,
    "hint_max": 0.03,
    "hint_think": 0.12,
    "effort": 0.08,
}
CLOSE, EFFORTS = SUFFIXES["close"], TEMPLATES["pocket"].efforts
HINT_RANGE = (16, 384)  # tokens


@dataclass(frozen=True)
class Example:
    """One supervised example.

    Attributes:
        kind: One of `MIX`.
        tokens: Prompt and completion as token ids.
        loss: Whether each token carries loss.
    """

    kind: str
    tokens: list[int]
    loss: list[bool]


class TraceMaker:
    """Draws examples of all kinds from one random stream.

    Args:
        tokenizer: The pocket tokenizer.
        seed: Seed of the stream.
        held_out: Draw problems of the test split instead of the train split.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int | str, held_out: bool = False):
        self.tokenizer, self.rng, self.held_out = tokenizer, random.Random(seed), held_out
        self._eos = tokenizer.eos_token_id

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without special tokens around it."""
        return self.tokenizer.encode(text, add_special_tokens=False)

    def count(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return len(self.encode(text))

    def draw(self) -> Example:
        """Draw the next example: its kind by `MIX`, its level uniformly."""
        rng = self.rng
        kind = rng.choices(list(MIX), list(MIX.values()))[0]
        terms = world.sample_terms(rng.choice(world.LEVELS), rng, self.held_out)
        return getattr(self, f"_{kind}")(terms)

    def _example(
        self, kind: str, terms: list[int], completion: str, *, user="", system="", think=""
    ) -> Example:
        """An example whose completion carries loss; the prompt, which ends with `think`, does not."""
        prompt = f"<|system|>{system}<|end|>" * bool(system)
        prompt += f"<|user|>{world.question_text(terms)}{user}<|end|><|assistant|><think>{think}"
        head, tail = self.encode(prompt), [*self.encode(completion), self._eos]
        return Example(kind, head + tail, [False] * len(head) + [True] * len(tail))

    def _answered(
        self, kind: str, terms: list[int], passes: list[world.Pass], **prompt_parts: str
    ) -> Example:
        """An example that thinks in `passes` and answers with the result of the last one."""
        completion = f"{world.join(passes)}{CLOSE}{passes[-1].result}}}"
        return self._example(kind, terms, completion, **prompt_parts)

    def _free(self, terms: list[int]) -> Example:
        return self._answered("free", terms, world.free_passes(terms, self.rng))

    def _effort(self, terms: list[int]) -> Example:
        effort = self.rng.choice(list(EFFORTS))
        passes = world.effort_passes(terms, self.rng, effort)
        return self._answered("effort", terms, passes, system=EFFORTS[effort])

    def _empty(self, terms: list[int]) -> Example:
        return self._example("empty", terms, f"\\boxed{{{sum(terms)}}}", think="</think>")

    def _cut(self, terms: list[int]) -> Example:
        passes = world.free_passes(terms, self.rng)
        thinking = self.encode(world.join(passes))
        cut_at = self.rng.randrange(len(thinking))
        end_of_pass, answer = 0, sum(terms)
        for i, p in enumerate(passes):
            end_of_pass += self.count(world.CHECK * bool(i) + p.text)
            if end_of_pass > cut_at:
                break
            answer = p.result
        prompt = self._example("cut", terms, "")
        close, final = self.encode(CLOSE), [*self.encode(f"{answer}}}"), self._eos]
        tokens = prompt.tokens[:-1] + thinking[:cut_at] + close + final
        loss = prompt.loss[:-1] + [True] * cut_at + [False] * len(close) + [True] * len(final)
        return Example("cut", tokens, loss)

    def _hinted(self, terms: list[int]) -> tuple[list[world.Pass], int]:
        """Passes near a random length, and the number of tokens of the whole completion."""
        low, high = map(math.log, HINT_RANGE)
        passes = world.passes_near(terms, round(math.exp(self.rng.uniform(low, high))), self.rng, self.count)
        used = self.count(f"{world.join(passes)}{CLOSE}{passes[-1].result}}}") + 1
        return passes, used

    def _hint_user(self, terms: list[int]) -> Example:
        passes, used = self._hinted(terms)
        hint = " " + HINT_TEXTS["user"].format(n=_to_tens(used))
        return self._answered("hint_user", terms, passes, user=hint)

    def _hint_max(self, terms: list[int]) -> Example:
        passes, used = self._hinted(terms)
        limit = _to_tens(used * self.rng.uniform(1.0, 1.25))
        return self._answered("hint_max", terms, passes, user=" " + HINT_TEXTS["max"].format(n=limit))

    def _hint_think(self, terms: list[int]) -> Example:
        passes, used = self._hinted(terms)
        hint = HINT_TEXTS["think"].format(n=_to_tens(used))
        return self._answered("hint_think", terms, passes, think=hint)


def _to_tens(n: float) -> int:
    return max(10, round(n / 10) * 10)
