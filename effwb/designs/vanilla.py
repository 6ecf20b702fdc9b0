"""Correctness only: the baseline that every length design is compared with."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group


@design
class Vanilla(Design):
    """Rewards correct answers within the cap and ignores length: the baseline of every comparison.

        r_i = 1{correct_i}

    - GRPO with the group statistics of verl: sample std, eps 1e-6. The GRPO paper (2402.03300) divides by
      the std without saying which one.
    - "Vanilla RL" of the REO-RL paper is this design (2506.07104, App. D).

    It has no parameters of its own; those that all designs share are described in `Design`.

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
