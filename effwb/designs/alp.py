"""ALP, Just Enough Thinking, 2506.05256: tokens cost more on problems that are solved often."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group


@design
class Alp(Design):
    """Charges for every token, and more on problems that the group solves often, for right and wrong answers.

        r_i = c_i - beta len_i max(p_solved, 1/K)

    p_solved is the share of correct rollouts in this group, K the size of the group. The floor 1/K keeps a
    small price on problems that no rollout solved.

    - SECONDARY SOURCE: another reading has beta / N, with a normalisation constant N whose value was not
      found.
    - The cap of the training run was not found. The 16384 that beta is scaled from is an assumption.
    - Under a rule that divides by the std, all-correct groups feel the price at full strength, however
      small beta is.

    Args:
        beta: Price per token, at least 0. Default 1e-7.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

    >>> from effwb.designs import toy_group
    >>> Alp().reward(toy_group([1000, 2000, 3000, 4000], [1, 1, 0, 1]))["total"].round(6).tolist()
    [[0.999925, 0.99985, -0.000225, 0.9997]]
    """

    NAME: ClassVar[str] = "alp"
    PAPER_CAP: ClassVar[int | None] = 16384
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"beta": -1}

    beta: float = 1e-7

    def check(self) -> None:
        self.within("beta", 0.0)

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved = self.solved(group)
        rate = np.maximum(solved.mean(axis=1, keepdims=True), 1.0 / group.G)
        return {"correctness": solved, "length": -self.beta * rate * group.length_PG}
