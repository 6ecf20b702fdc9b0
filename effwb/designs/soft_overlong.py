"""Soft overlong punishment and overlong filtering of DAPO, 2503.14476, section 3.4."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group


@design
class SoftOverlong(Design):
    """Penalises the last `l_cache` tokens before `l_max` more and more, for right and wrong answers alike.

        0                                       len <= L_max - L_cache
        ((L_max - L_cache) - len) / L_cache     up to L_max
        -1                                      beyond

    This times `factor` is added to +1 for a correct answer and to `wrong` otherwise.

    - Overlong filtering is the paper's alternative: no penalty, and truncated rollouts are masked from the
      loss.
    - The paper does not say whether the filtered rollouts count in the group statistics. They do here, unless
      `masked_in_statistics=False`.

    Args:
        l_max: L_max in tokens. Default 20480.
        l_cache: L_cache in tokens, at most `l_max`. Default 4096.
        factor: Weight of the penalty, at least 0. Default 1.0; penalty_factor in verl.
        wrong: Reward of a wrong answer, below 1. Default -1.0, DAPO's rule-based reward; 0 gives the 0/1
            reward of the other designs.
        filtering: True: overlong filtering instead of the penalty. Default False.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([2900, 3000, 3500, 4000, 4001], [1, 1, 1, 1, 1])
    >>> SoftOverlong(l_max=4000, l_cache=1000).reward(g)["overlong"].tolist()
    [[0.0, 0.0, -0.5, -1.0, -1.0]]
    """

    NAME: ClassVar[str] = "soft_overlong"
    PAPER_CAP: ClassVar[int | None] = 20480
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"l_max": 1, "l_cache": 1}

    l_max: float = 20480
    l_cache: float = 4096
    factor: float = 1.0
    wrong: float = -1.0
    filtering: bool = False

    def check(self) -> None:
        self.within("l_max", 0, open_low=True)
        self.within("l_cache", 0, open_low=True)
        self.ordered("l_cache", "l_max")
        self.within("factor", 0.0)
        self.within("wrong", high=1.0, open_high=True)
        self.flag("filtering")

    def components(self, group: Group) -> dict[str, np.ndarray]:
        free = self.l_max - self.l_cache
        overlong = self.factor * np.clip((free - group.length_PG) / self.l_cache, -1.0, 0.0)
        return {
            "correctness": np.where(self.solved(group), 1.0, self.wrong),
            "overlong": np.zeros_like(overlong) if self.filtering else overlong,
        }

    def mask(self, group: Group) -> np.ndarray:
        mask = super().mask(group)
        return mask & group.finished_PG if self.filtering else mask
