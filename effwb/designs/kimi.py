"""The length reward of Kimi k1.5, 2501.12599, section 2.3.3."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group


@design
class Kimi(Design):
    """Rewards correct answers, the shorter the better within the group; short wrong answers gain nothing.

        lambda_i = 0.5 - (len_i - min_len) / (max_len - min_len);   0 where max_len = min_len
        r_i = c_i + weight (lambda_i if correct else min(0, lambda_i))

    min_len and max_len are over ALL rollouts of the group, right and wrong.

    - The paper prints no weight.
    - The paper starts without the penalty and switches it on after a warm-up whose length it does not print.
    - `len_reward` of open-r1 is this reward on characters, and scores unparsable gold answers as correct.
      Neither is done here.

    Args:
        weight: Weight of the length term, at least 0. Default 0.4, as LASER (2505.15612) and 2602.20945 use
            it for this baseline.
        warmup_steps: Steps without the length term. Default 0.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([1000, 2000, 3000, 4000], [1, 1, 0, 1])
    >>> Kimi(weight=1.0).reward(g)["length"].round(6).tolist()
    [[0.5, 0.166667, -0.166667, -0.5]]
    """

    NAME: ClassVar[str] = "kimi"

    weight: float = 0.4
    warmup_steps: int = 0

    def check(self) -> None:
        self.within("weight", 0.0)
        self.whole("warmup_steps")

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved = self.solved(group)
        length = group.length_PG.astype(float)
        low, high = length.min(axis=1, keepdims=True), length.max(axis=1, keepdims=True)
        span = high - low
        share = np.where(span > 0, 0.5 - (length - low) / np.where(span > 0, span, 1.0), 0.0)
        weight = self.weight if group.step >= self.warmup_steps else 0.0
        return {"correctness": solved, "length": weight * np.where(solved, share, np.minimum(0.0, share))}
