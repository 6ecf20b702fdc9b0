"""RL with a token budget: the generation cap is the only pressure. 2506.07104, App. D."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import ConfigError


@design
class TokenBudget(Design):
    """Rewards correct answers that end by themselves within a token budget, which is the cap of the run.

        r_i = 1{correct_i and len_i <= B and finished_i},  B = group.cap

    - The paper trains in stages: at 16K until convergence, then at 8K, 4K, 2K, 1K and 512, each stage from
      the checkpoint before it. The stages are set in the trainer, not here.
    - There is no penalty and no shaping.
    - The paper does not say how it detected convergence.

    It has no parameters of its own. Of those that all designs share (see `Design`), `truncated="graded"` is
    refused: it would reward answers beyond the budget.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([1000, 2000, 4000, 4000], [1, 0, 1, 1], finished=[1, 1, 1, 0], cap=4000)
    >>> TokenBudget().reward(g)["total"].tolist()
    [[1.0, 0.0, 1.0, 0.0]]
    """

    NAME: ClassVar[str] = "token_budget"

    def check(self) -> None:
        if self.truncated == "graded":
            raise ConfigError("token_budget: truncated='graded' would reward answers beyond the budget")

    def components(self, group: Group) -> dict[str, np.ndarray]:
        return {"correctness": self.solved(group)}  # a Group refuses finished rollouts beyond its cap
