"""Cosine-scaled reward: Demystifying Long Chain-of-Thought, 2502.03373; values of open-r1."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group


@design
class Cosine(Design):
    """A longer correct answer gets less reward, a longer wrong answer gets more.

        value = end + 0.5 (start - end) (1 + cos(pi min(len, max_len) / max_len))

    A correct answer goes from `max_value_correct` at length 0 to `min_value_correct` at `max_len`, a wrong
    one from `min_value_wrong` to `max_value_wrong`: be short when it works, think longer when it does not.
    Names and default values are those of open-r1, `get_cosine_scaled_reward`; the other values of the paper
    were not read.

    - open-r1 measures characters (max_len 1000); here lengths are tokens.
    - open-r1 does not clamp the length, so that its cosine climbs again beyond max_len; here it is clamped.

    Args:
        min_value_correct: Reward of a correct answer of `max_len` tokens. Default 0.5.
        max_value_correct: Reward of a correct answer of length 0. Default 1.0.
        min_value_wrong: Reward of a wrong answer of length 0. Default -1.0.
        max_value_wrong: Reward of a wrong answer of `max_len` tokens, below `min_value_correct`. Default
            -0.5.
        exceed: Reward of a wrong answer that was truncated, the paper's value for exceeding the cap. None
            (default): as for any other wrong answer, as in open-r1.
        max_len: Length in tokens at which the cosine ends. None (default): the cap of the group. If you
            give it, also give the `cap` it belongs to.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([0, 1000, 2000, 0, 1000, 3000], [1, 1, 1, 0, 0, 0], finished=[1] * 5 + [0], cap=2000)
    >>> Cosine().reward(g)["total"].round(6).tolist()
    [[1.0, 0.75, 0.5, -1.0, -0.75, -0.5]]
    """

    NAME: ClassVar[str] = "cosine"
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"max_len": 1}

    min_value_correct: float = 0.5
    max_value_correct: float = 1.0
    min_value_wrong: float = -1.0
    max_value_wrong: float = -0.5
    exceed: float | None = None
    max_len: float | None = None

    def check(self) -> None:
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
