"""DLER, doing length penalty right, 2510.15110; repository NVlabs/DLER."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group


@design
class Dler(Design):
    """Rewards correct answers of at most `target` tokens, with advantages normalised over the whole batch.

        r_i = 1{correct_i and len_i <= L};   A_i = (r_i - group mean) / std over the batch

    The released run has a cap of 4000 tokens, 16 rollouts and clip-higher .2/.28.

    - `weighting="rollout"` (default) is the formula; "token" is the masked whitening over tokens of the
      released code.
    - The released reward does not test for truncation, so a truncated text with a boxed answer can score:
      `truncated="graded"`.

    Args:
        target: L in tokens. Default 4000, which is also the cap of the released run.
        easy_target: L in tokens on easy problems, with `difficulty_aware`. Default 2000.
        threshold: Accuracy of the group above which a problem is easy, in [0, 1]. Default 0.5.
        difficulty_aware: True: DA-DLER, with `easy_target` on easy problems. Default False.
        filter_groups: True (default): groups whose rewards are all equal are masked and in no batch
            statistic.
        rule: The advantage rule, see `Design`. Default "batch".
        masked_in_statistics: See `Design`. Default False.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([1000, 2000, 3000, 4500], [1, 1, 0, 1])
    >>> Dler().reward(g)["total"].tolist()
    [[1.0, 1.0, 0.0, 0.0]]
    >>> Dler(std="population", eps=0.0).advantage(g).tolist()
    [[1.0, 1.0, -1.0, -1.0]]
    """

    NAME: ClassVar[str] = "dler"
    PAPER_CAP: ClassVar[int | None] = 4000
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"target": 1, "easy_target": 1}

    target: float = 4000
    easy_target: float = 2000
    threshold: float = 0.5
    difficulty_aware: bool = False
    filter_groups: bool = True
    rule: str = "batch"
    masked_in_statistics: bool = False

    def check(self) -> None:
        self.within("target", 0, open_low=True)
        self.within("easy_target", 0, open_low=True)
        self.within("threshold", 0.0, 1.0)
        self.flag("difficulty_aware", "filter_groups")

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved = self.solved(group)
        limit = np.full((group.P, 1), float(self.target))
        if self.difficulty_aware:
            easy = solved.mean(axis=1, keepdims=True) > self.threshold
            limit = np.where(easy, float(self.easy_target), limit)
        return {"correctness": solved & (group.length_PG <= limit)}

    def mask(self, group: Group) -> np.ndarray:
        mask = super().mask(group)
        if not self.filter_groups:
            return mask
        reward = self.reward(group)["total"]
        return mask & (reward != reward[:, :1]).any(axis=1, keepdims=True)
