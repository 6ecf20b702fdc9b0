"""GR3, group-relative reward rescaling, 2603.10535."""

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from effwb.designs import statistics
from effwb.designs.base import Design, design
from effwb.designs.group import Group


@design
class Gr3(Design):
    """Divides the reward by a factor that grows with the length of the rollout relative to its group.

        r_i = c_i / (1 + alpha len_i / mean_len),   mean_len over ALL rollouts of the group

    - The factor multiplies, so a wrong answer stays at 0, whatever its length.
    - `rescale` followed by `group_no_std` reproduces the published unit test of PrimeIntellect-ai/prime-rl.

    Args:
        alpha: Strength of the length factor, at least 0. Default 0.33.
        rule: The advantage rule, see `Design`. Default "group_no_std": minus the group mean, no std.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

    >>> from effwb.designs import toy_group
    >>> Gr3().reward(toy_group([10, 20, 10, 40], [1, 1, 0, 1]))["total"].round(6).tolist()
    [[0.858369, 0.75188, 0.0, 0.60241]]
    """

    NAME: ClassVar[str] = "gr3"

    alpha: float = 0.33
    rule: str = "group_no_std"

    def check(self) -> None:
        self.within("alpha", 0.0)

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved = self.solved(group).astype(float)
        return {"correctness": solved, "length": rescale(solved, group.length_PG, self.alpha) - solved}


def rescale(reward_PG: ArrayLike, length_PG: ArrayLike, alpha: float) -> np.ndarray:
    """Divide any reward by 1 + alpha len / (mean len of the group).

    Args:
        reward_PG: Rewards, (P, G).
        length_PG: Lengths in tokens, (P, G).
        alpha: Strength of the length factor.

    Returns:
        Float (P, G). A group whose rollouts all have length 0 keeps its rewards.

    >>> rescale([[1.0, 0.5, 0.8]], [[10, 20, 10]], alpha=0.33).round(6).tolist()
    [[0.801603, 0.334448, 0.641283]]
    """
    reward, length = np.asarray(reward_PG, dtype=float), np.asarray(length_PG, dtype=float)
    mean = statistics.mean(length, np.ones(length.shape, bool))
    return reward / (1.0 + alpha * length / np.where(mean > 0, mean, 1.0))
