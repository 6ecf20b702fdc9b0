"""ShorterBetter, 2504.21370: the shortest correct rollout of the group is the target length."""

from typing import ClassVar

import numpy as np

from effwb.designs import statistics
from effwb.designs.base import Design, design
from effwb.designs.group import Group


@design
class ShorterBetter(Design):
    """Rewards lengths close to the shortest correct rollout of the group, for right and wrong answers.

        r_i = alpha c_i - beta |len_i - SOL|
        SOL = min length of the correct rollouts; the mean length of all rollouts if none is correct

    SOL is the paper's sample-optimal length (2504.21370; repository JingyangYi/ShorterBetter, at most 6000
    tokens per response, 8 rollouts).

    - Wrong answers get the length term too, and lose if they are shorter than SOL.
    - A lone correct rollout sets SOL itself.

    Args:
        alpha: Reward of a correct answer, at least 0. Default 2.0.
        beta: Price per token of distance, at least 0. Default 0.001.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

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
