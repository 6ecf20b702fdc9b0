"""ShorterBetter, 2504.21370: the shortest correct rollout of the group is the target length."""

from typing import ClassVar

import numpy as np

from effwb.designs import statistics
from effwb.designs.base import Design, design
from effwb.designs.group import Group


@design
class ShorterBetter(Design):
    """Distance to the sample-optimal length SOL, for right and wrong answers.

        r_i = alpha c_i - beta |len_i - SOL|
        SOL = min length of the correct rollouts; none correct: mean length of all

    alpha = 2, beta = 0.001 per token (2504.21370, JingyangYi/ShorterBetter; max response 6000, n = 8). The
    length term applies to wrong answers too, and a wrong answer shorter than SOL loses. Lone correct
    rollouts set SOL themselves.

    >>> from effwb.designs import toy_group
    >>> ShorterBetter().reward(toy_group([1000, 2000, 3000, 4000], [1, 1, 0, 1]))["total"].tolist()
    [[2.0, 1.0, -2.0, -1.0]]
    >>> ShorterBetter().reward(toy_group([1000, 2000, 3000, 4000], [0, 0, 0, 0]))["total"].tolist()
    [[-1.5, -0.5, -0.5, -1.5]]
    """

    NAME: ClassVar[str] = "shorter_better"
    PAPER_CAP: ClassVar[int | None] = 6000
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"beta": -1}

    alpha: float = 2.0
    beta: float = 0.001

    def check(self) -> None:
        self.within("alpha", 0.0)
        self.within("beta", 0.0)

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved, length = self.solved(group), group.length_PG.astype(float)
        everyone = np.ones_like(solved)
        shortest = statistics.smallest(length, solved)
        target = np.where(statistics.count(solved) > 0, shortest, statistics.mean(length, everyone))
        return {"correctness": self.alpha * solved, "length": -self.beta * np.abs(length - target)}
