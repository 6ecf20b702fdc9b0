"""Correctness only: the baseline every length design is measured against."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group


@design
class Vanilla(Design):
    """Reward 1 for a correct answer within the cap, nothing about length.

        r_i = 1{correct_i}

    GRPO with verl's group statistics (sample std, eps 1e-6; 2402.03300 writes std without saying which).
    The REO-RL paper's "Vanilla RL" is this (2506.07104, App. D).

    >>> from effwb.designs import toy_group
    >>> g = toy_group([1000, 2000, 3000, 4000], [1, 1, 0, 1])
    >>> Vanilla().reward(g)["total"].tolist()
    [[1.0, 1.0, 0.0, 1.0]]
    >>> Vanilla().advantage(g).round(4).tolist()
    [[0.5, 0.5, -1.5, 0.5]]
    """

    NAME: ClassVar[str] = "vanilla"

    def components(self, group: Group) -> dict[str, np.ndarray]:
        return {"correctness": self.solved(group)}
