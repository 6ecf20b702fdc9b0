"""Cosine-scaled reward: Demystifying Long Chain-of-Thought, 2502.03373; values of open-r1."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group


@design
class Cosine(Design):
    """Correct answers lose value with length, wrong ones gain: short when it works, longer when not.

        value = end + 0.5 (start - end) (1 + cos(pi min(len, max_len) / max_len))

    correct: start `max_value_correct` = 1, end `min_value_correct` = 0.5; wrong: start `min_value_wrong` =
    -1, end `max_value_wrong` = -0.5. Names and values of open-r1 `get_cosine_scaled_reward`, which measures
    characters (max_len 1000) and does not clamp: beyond max_len its cosine climbs again. Here length is
    tokens, clamped at `max_len`, which is the group's cap unless given (with the `cap` it belongs to).
    `exceed`, the paper's own value for running into the cap, is off by default as in open-r1; the paper's
    other values were not read.

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
        self.ordered("max_value_wrong", "min_value_correct", strictly=True)  # or failing slowly pays

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved = self.solved(group)
        limit = group.cap if self.max_len is None else self.max_len
        fall = 0.5 * (
            1.0 + np.cos(np.pi * np.minimum(group.length_PG / limit, 1.0))
        )  # 1 at length 0, 0 at limit
        start = np.where(solved, self.max_value_correct, self.min_value_wrong)
        end = np.where(solved, self.min_value_correct, self.max_value_wrong)
        value = end + (start - end) * fall
        if self.exceed is not None:
            value = np.where(group.finished_PG | solved, value, self.exceed)
        return {"correctness": start, "length": value - start}
