"""Supervised examples of every habit: (prompt, completion) pairs with the tokens that carry loss.

The share of each kind is `MIX`. A *cut* example is a free trace cut after a random number of thinking tokens,
closed by the forced-answer suffix; its target is the result of the last complete pass, or the true answer
where none is complete (the model's best guess). The suffix itself carries no loss: the model must never learn
to stop there of its own accord.
"""

import math
import random
from dataclasses import dataclass

from effwb.pocket import world
from effwb.prompts import HINT_TEXTS, SUFFIXES, TEMPLATES

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
HINT_RANGE = (16, 384)


@dataclass(frozen=True)
class Example:
    """`tokens[i]` carries loss where `loss[i]` is true. Kind is one of `MIX`."""

    kind: str
    tokens: list[int]
    loss: list[bool]


class TraceMaker:
    """Draws examples; `tokenizer` is the pocket tokenizer. Encoding is cached per piece of text."""

    def __init__(self, tokenizer, seed: int | str, held_out: bool = False):
        self.tokenizer, self.rng, self.held_out = tokenizer, random.Random(seed), held_out
        self._eos = tokenizer.eos_token_id

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    def count(self, text: str) -> int:
        return len(self.encode(text))

    def draw(self) -> Example:
        rng = self.rng
        kind = rng.choices(list(MIX), list(MIX.values()))[0]
        terms = world.sample_terms(rng.choice(world.LEVELS), rng, self.held_out)
        return getattr(self, f"_{kind}")(terms)

    def _example(self, kind, terms, completion, *, user="", system="", think="", free=0):
        """`think` and the first `free` tokens of the completion carry no loss."""
        prompt = f"<|system|>{system}<|end|>" * bool(system)
        prompt += f"<|user|>{world.question_text(terms)}{user}<|end|><|assistant|><think>{think}"
        head, tail = self.encode(prompt), [*self.encode(completion), self._eos]
        return Example(kind, head + tail, [False] * (len(head) + free) + [True] * (len(tail) - free))

    def _finish(self, kind, terms, passes, **where):
        return self._example(kind, terms, f"{world.join(passes)}{CLOSE}{passes[-1].result}}}", **where)

    def _free(self, terms):
        return self._finish("free", terms, world.free_passes(terms, self.rng))

    def _effort(self, terms):
        effort = self.rng.choice(list(EFFORTS))
        passes = world.effort_passes(terms, self.rng, effort)
        return self._finish("effort", terms, passes, system=EFFORTS[effort])

    def _empty(self, terms):
        return self._example("empty", terms, f"\\boxed{{{sum(terms)}}}", think="</think>")

    def _cut(self, terms):
        passes = world.free_passes(terms, self.rng)
        thinking = self.encode(world.join(passes))
        at = self.rng.randrange(len(thinking))
        done, answer = 0, sum(terms)
        for i, p in enumerate(passes):
            done += self.count(world.CHECK * bool(i) + p.text)
            if done > at:
                break
            answer = p.result
        prefix = self._example("cut", terms, "")
        close, final = self.encode(CLOSE), [*self.encode(f"{answer}}}"), self._eos]
        tokens = prefix.tokens[:-1] + thinking[:at] + close + final
        loss = prefix.loss[:-1] + [True] * at + [False] * len(close) + [True] * len(final)
        return Example("cut", tokens, loss)

    def _hinted(self, terms):
        low, high = map(math.log, HINT_RANGE)
        passes = world.passes_near(terms, round(math.exp(self.rng.uniform(low, high))), self.rng, self.count)
        used = self.count(f"{world.join(passes)}{CLOSE}{passes[-1].result}}}") + 1
        return passes, used

    def _hint_user(self, terms):
        passes, used = self._hinted(terms)
        return self._finish("hint_user", terms, passes, user=" " + HINT_TEXTS["user"].format(n=_round(used)))

    def _hint_max(self, terms):
        passes, used = self._hinted(terms)
        limit = _round(used * self.rng.uniform(1.0, 1.25))
        return self._finish("hint_max", terms, passes, user=" " + HINT_TEXTS["max"].format(n=limit))

    def _hint_think(self, terms):
        passes, used = self._hinted(terms)
        return self._finish("hint_think", terms, passes, think=HINT_TEXTS["think"].format(n=_round(used)))


def _round(n: float) -> int:
    return max(10, round(n / 10) * 10)
