"""GR3, group-relative reward rescaling, 2603.10535."""

from typing import ClassVar

import numpy as np

from effwb.designs import statistics
from effwb.designs.base import Design, design
from effwb.designs.group import Group


@design
class Gr3(Design):
    """Divide the reward by a factor that grows with the length relative to the group.

        r_i = c_i / (1 + alpha len_i / mean_len),   mean over ALL rollouts of the group

    alpha = 0.33; minus the group mean, no std. Multiplicative: a wrong answer stays at 0 whatever its
    length. The unit test of PrimeIntellect-ai/prime-rl (published) is reproduced by `rescale` followed by
    `group_no_std`.

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


def rescale(reward_PG, length_PG, alpha: float) -> np.ndarray:
    """R / (1 + alpha len / mean len of the group), float (P, G), for any reward; an all-empty group keeps R.

    >>> rescale([[1.0, 0.5, 0.8]], [[10, 20, 10]], alpha=0.33).round(6).tolist()
    [[0.801603, 0.334448, 0.641283]]
    """
    reward, length = np.asarray(reward_PG, dtype=float), np.asarray(length_PG, dtype=float)
    mean = statistics.mean(length, np.ones(length.shape, bool))
    return reward / (1.0 + alpha * length / np.where(mean > 0, mean, 1.0))
