"""L1 / LCPO: lengths asked for in the prompt. 2503.04697, section 3; repository cmu-l3/l1."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group, require_hints
from effwb.errors import ConfigError, one_of


@design
class _L1(Design):
    """What both share: the asked length n is `Group.hint_tokens_P`, drawn uniformly from [n_min, n_max].

    len is the whole response with the answer, not only the thinking (cmu-l3/l1 issue 23). Trained with a 4K
    context.
    """

    PAPER_CAP: ClassVar[int | None] = 4096
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"alpha": -1, "n_min": 1, "n_max": 1}

    alpha: float = 0.0003
    n_min: float = 100
    n_max: float = 4000

    def check(self) -> None:
        self.within("alpha", 0.0)
        self.within("n_min", 0, open_low=True)
        self.within("n_max")
        self.ordered("n_min", "n_max")
        if round(self.n_min) < 1:
            raise ConfigError(f"{self.NAME}: n_min={self.n_min:g} rounds to 0 tokens; pass a larger n_min")

    def draw_hints(self, rng: np.random.Generator, problem_ids: Sequence[str]) -> np.ndarray:
        """Asked lengths, int (P,), Uniform(n_min, n_max), both ends included, whatever the problems."""
        return rng.integers(round(self.n_min), round(self.n_max), size=len(problem_ids), endpoint=True)

    def longest_hint(self) -> int:
        return round(self.n_max)


@design
class L1Exact(_L1):
    """Spend exactly the asked number of tokens; the distance costs right and wrong answers the same.

        r_i = c_i - alpha |n - len_i|

    alpha = 0.0003 per token ("near 1 / (max - min)", cmu-l3/l1 issue 3), n ~ Uniform(100, 4000), prompt
    "Think for {n} tokens.". The released yaml's default alpha is 0.01; the run script sets 0.0003.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([1000, 2000, 3000, 4000], [1, 1, 0, 1], hint_tokens_P=[2000])
    >>> L1Exact().reward(g)["total"].round(6).tolist()
    [[0.7, 1.0, -0.3, 0.4]]
    """

    NAME: ClassVar[str] = "l1_exact"
    hint: ClassVar[str | None] = "user"

    def components(self, group: Group) -> dict[str, np.ndarray]:
        asked = require_hints(group, self.NAME)
        return {"correctness": self.solved(group), "length": -self.alpha * np.abs(asked - group.length_PG)}


@design
class L1Max(_L1):
    """Stay below the asked number of tokens: longer correct answers fade to 0, wrong ones get nothing.

        r_i = c_i clip(alpha (n - len_i) + delta, 0, 1)

    alpha = 0.0003 per token, delta = 0.5, prompt "Think for maximum {n} tokens.", fine-tuned from L1-Exact.
    `slope="paper"` is the printed formula; "released" is the code's (clip(alpha (n - len), -1, 1) + 1) / 2,
    half the slope and above 0 up to twice the distance. The paper mixes exact and max prompts in this phase
    (half and half in the released data); that mixture is a matter of two designs on two sets of prompts and
    is not made here.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([1000, 2000, 3000, 4000], [1, 1, 0, 1], hint_tokens_P=[2000])
    >>> L1Max().reward(g)["total"].round(6).tolist()
    [[0.8, 0.5, 0.0, 0.0]]
    >>> L1Max(slope="released").reward(g)["total"].round(6).tolist()
    [[0.65, 0.5, 0.0, 0.2]]
    """

    NAME: ClassVar[str] = "l1_max"
    hint: ClassVar[str | None] = "max"

    delta: float = 0.5
    slope: str = "paper"

    def check(self) -> None:
        super().check()
        self.within("delta", 0.0, 1.0)
        one_of("slope", self.slope, ("paper", "released"))

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved = self.solved(group)
        slope = self.alpha if self.slope == "paper" else 0.5 * self.alpha
        room = require_hints(group, self.NAME) - group.length_PG
        return {
            "correctness": solved,
            "length": solved * (np.clip(slope * room + self.delta, 0.0, 1.0) - 1.0),
        }
