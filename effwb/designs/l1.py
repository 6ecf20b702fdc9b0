"""L1 / LCPO: the prompt asks for a length. 2503.04697, section 3; repository cmu-l3/l1."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group, require_hints
from effwb.errors import ConfigError, one_of


@design
class _L1(Design):
    """Shared parts of both designs: the length n that the prompt asks for is drawn from [n_min, n_max].

    n is `Group.hint_tokens_P`. len is the whole response including the answer, not only the thinking
    (cmu-l3/l1 issue 23). The paper trains with a context of 4K.
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
        """Draw the lengths that the prompts ask for.

        Args:
            rng: Source of randomness.
            problem_ids: P problem ids; only their number matters.

        Returns:
            Int (P,), tokens, uniform between `n_min` and `n_max`, both included.
        """
        return rng.integers(round(self.n_min), round(self.n_max), size=len(problem_ids), endpoint=True)

    def longest_hint(self) -> int:
        return round(self.n_max)


@design
class L1Exact(_L1):
    """Rewards correct answers, and charges for every token more or less than the prompt asks for.

        r_i = c_i - alpha |n - len_i|,   n ~ Uniform(n_min, n_max)

    The prompt says "Think for {n} tokens.". Right and wrong answers pay the same for their distance.

    - The default alpha of the released yaml is 0.01; the run script sets 0.0003.

    Args:
        alpha: Price per token of distance, at least 0. Default 0.0003, "near 1 / (max - min)" (cmu-l3/l1
            issue 3).
        n_min: Shortest length in tokens that a prompt asks for, above 0. Default 100.
        n_max: Longest length in tokens that a prompt asks for, at least `n_min`. Default 4000.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([1000, 2000, 3000, 4000], [1, 1, 0, 1], hint_tokens_P=[2000])
    >>> L1Exact().reward(g)["total"].round(6).tolist()
    [[0.7, 1.0, -0.3, 0.4]]
    """

    NAME: ClassVar[str] = "l1_exact"
    hint: ClassVar[str | None] = "user"

    def components(self, group: Group) -> dict[str, np.ndarray]:
        distance = np.abs(require_hints(group, self.NAME) - group.length_PG)
        return {"correctness": self.solved(group), "length": -self.alpha * distance}


@design
class L1Max(_L1):
    """Rewards correct answers that stay below the length the prompt asks for; longer ones fade to 0.

        r_i = c_i clip(alpha (n - len_i) + delta, 0, 1),   n ~ Uniform(n_min, n_max)

    The prompt says "Think for maximum {n} tokens.". Wrong answers get 0. The paper fine-tunes from L1-Exact.

    - The released code has half the slope: (clip(alpha (n - len), -1, 1) + 1) / 2, which stays above 0 up
      to twice the distance. That is `slope="released"`.
    - The paper mixes exact and max prompts in this phase (half and half in the released data). The mixture
      needs two designs on two sets of prompts and is not made here.

    Args:
        alpha: Price per token of distance, at least 0. Default 0.0003, "near 1 / (max - min)" (cmu-l3/l1
            issue 3).
        n_min: Shortest length in tokens that a prompt asks for, above 0. Default 100.
        n_max: Longest length in tokens that a prompt asks for, at least `n_min`. Default 4000.
        delta: Reward of a correct answer of exactly n tokens, in [0, 1]. Default 0.5.
        slope: "paper" (default), the printed formula, or "released", the code's.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

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
