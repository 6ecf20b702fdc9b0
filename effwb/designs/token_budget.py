"""RL with a token budget: the generation cap is the only pressure. 2506.07104, App. D."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import ConfigError


@design
class TokenBudget(Design):
    """Reward 1 for a correct answer that ended by itself within the budget B, which is the cap of the stage.

        r_i = 1{correct_i and len_i <= B and finished_i},  B = group.cap

    Stages: train at 16K to convergence, then 8K, 4K, 2K, 1K, 512, each from the previous checkpoint; the
    stage plan is the trainer's. No penalty, no shaping. The paper does not say how convergence was
    detected.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([1000, 2000, 4000, 4000], [1, 0, 1, 1], finished=[1, 1, 1, 0], cap=4000)
    >>> TokenBudget().reward(g)["total"].tolist()
    [[1.0, 0.0, 1.0, 0.0]]
    """

    NAME: ClassVar[str] = "token_budget"

    def check(self) -> None:
        if self.truncated == "graded":
            raise ConfigError("token_budget: truncated='graded' would pay for answers beyond the budget")

    def components(self, group: Group) -> dict[str, np.ndarray]:
        return {"correctness": self.solved(group)}  # a Group refuses finished rollouts beyond its cap
