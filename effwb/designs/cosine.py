"""Cosine reward of Demystifying Long Chain-of-Thought, 2502.03373; repository eddycmu/demystify-long-cot."""

from typing import Any, ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import one_of

# reading: the values of the parameters that are None
READINGS: dict[str, dict[str, float | None]] = {
    "paper": {
        "min_value_correct": 1.0,
        "max_value_correct": 2.0,
        "min_value_wrong": -10.0,
        "max_value_wrong": 0.0,
        "exceed": -10.0,
    },
    "open_r1": {
        "min_value_correct": 0.5,
        "max_value_correct": 1.0,
        "min_value_wrong": -1.0,
        "max_value_wrong": -0.5,
        "exceed": None,
    },
}


@design
class Cosine(Design):
    """A longer correct answer gets less reward, a longer wrong answer gets more.

        value = end + 0.5 (start - end) (1 + cos(pi min(len, max_len) / max_len))

    A correct answer goes from `max_value_correct` at length 0 to `min_value_correct` at `max_len`, a wrong
    one from `min_value_wrong` to `max_value_wrong`: be short when it works, think longer when it does not.
    A truncated rollout gets `exceed`.

    | reading | correct  | wrong      | exceed        | source                                             |
    |---------|----------|------------|---------------|----------------------------------------------------|
    | paper   | 2 to 1   | -10 to 0   | -10           | the authors' script of section 4.5                 |
    | open_r1 | 1 to 0.5 | -1 to -0.5 | as wrong ones | `get_cosine_scaled_reward`, its default values     |

    - The authors give `exceed` from 16 tokens below the cap on, whatever the verdict; here only truncated
      rollouts get it. Their script of section 4.2 adds a penalty for repeated n-grams, which is not here.
    - open-r1 measures characters (max_len 1000); here lengths are tokens.
    - open-r1 does not clamp the length, so that its cosine climbs again beyond max_len; here it is clamped.

    Args:
        reading: Whose values the parameters have that are not given: "paper" (default) or "open_r1".
        min_value_correct: Reward of a correct answer of `max_len` tokens. None: that of `reading`.
        max_value_correct: Reward of a correct answer of length 0. None: that of `reading`.
        min_value_wrong: Reward of a wrong answer of length 0. None: that of `reading`.
        max_value_wrong: Reward of a wrong answer of `max_len` tokens, below `min_value_correct`. None: that
            of `reading`.
        exceed: Reward of a truncated rollout that is not solved. None: that of `reading`.
        max_len: Length in tokens at which the cosine ends. None (default): the cap of the group. If you
            give it, also give the `cap` it belongs to.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([0, 1000, 2000, 0, 1000, 3000], [1, 1, 1, 0, 0, 0], finished=[1] * 5 + [0], cap=2000)
    >>> Cosine().reward(g)["total"].round(6).tolist()
    [[2.0, 1.5, 1.0, -10.0, -5.0, -10.0]]
    >>> Cosine(reading="open_r1").reward(g)["total"].round(6).tolist()
    [[1.0, 0.75, 0.5, -1.0, -0.75, -0.5]]
    """

    NAME: ClassVar[str] = "cosine"
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"max_len": 1}
    ADDED_PARAMETERS: ClassVar[dict[str, Any]] = {**Design.ADDED_PARAMETERS, "reading": "open_r1"}

    reading: str = "paper"
    min_value_correct: float = None  # type: ignore[assignment]  # None until `check`, as the next three
    max_value_correct: float = None  # type: ignore[assignment]
    min_value_wrong: float = None  # type: ignore[assignment]
    max_value_wrong: float = None  # type: ignore[assignment]
    exceed: float | None = None
    max_len: float | None = None

    def check(self) -> None:
        one_of("reading", self.reading, READINGS)
        for name, value in READINGS[self.reading].items():
            if getattr(self, name) is None:
                self._set(name, value)
        for kind in ("correct", "wrong"):
            self.within(f"min_value_{kind}")
            self.within(f"max_value_{kind}")
            self.ordered(f"min_value_{kind}", f"max_value_{kind}")
        self.within("exceed", optional=True)
        self.within("max_len", 0, open_low=True, optional=True)
        self.ordered("max_value_wrong", "min_value_correct", strictly=True)  # else a long failure wins

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved = self.solved(group)
        limit = group.cap if self.max_len is None else self.max_len
        # 1 at length 0, 0 at the limit
        fall = 0.5 * (1.0 + np.cos(np.pi * np.minimum(group.length_PG / limit, 1.0)))
        start = np.where(solved, self.max_value_correct, self.min_value_wrong)
        end = np.where(solved, self.min_value_correct, self.max_value_wrong)
        value = end + (start - end) * fall
        if self.exceed is not None:
            value = np.where(group.finished_PG | solved, value, self.exceed)
        return {"correctness": start, "length": value - start}
