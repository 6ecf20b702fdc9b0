"""Truncation reward and its variants. The Art of Efficient Reasoning, 2602.20945 (SECONDARY SOURCE)."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import one_of

# Which rollouts are masked: (long and correct, short and incorrect, long and incorrect).
VARIANTS = {
    "Vanilla": (False, False, False),
    "-I": (False, True, True),
    "-L&C": (True, False, False),
    "-L&C-S&I": (True, True, False),
    "-L&C-L&I": (True, False, True),
}


@design
class Truncation(Design):
    """Rewards answers that are correct and at most `target` tokens long.

        r_i = 1{correct_i} 1{len_i <= L_T}

    `variant` removes some of the rollouts with reward 0 from the loss:

    | variant   | CS | CL | IS | IL |   outcome reported in 2602.20945                                    |
    |-----------|----|----|----|----|---------------------------------------------------------------------|
    | Vanilla   | 1  | 0  | 0  | 0  |   baseline                                                          |
    | -I        | 1  | 0  | -  | -  |   "short is correct" trap: the length collapses around step 400     |
    | -L&C      | 1  | -  | 0  | 0  |   longer than Vanilla, but more accurate                            |
    | -L&C-S&I  | 1  | -  | -  | 0  |   the same trap as -I                                               |
    | -L&C-L&I  | 1  | -  | 0  | -  |   long, mostly wrong outputs around step 200                        |

    C: correct, I: incorrect, S: short, L: long (len > L_T), -: masked, no gradient.

    - A truncated rollout counts as long, whatever its length: in the recommended setting L_R = L_T it is cut
      exactly at the target.
    - The paper does not state whether masked rollouts enter the group mean and std. The default here is yes
      (`masked_in_statistics=True`: masked in the loss only).
    - The paper does not state how advantages are normalised either. No training code was released.
    - SECONDARY SOURCE: known from readings of versions 2 and 3 of the paper.

    Args:
        target: L_T in tokens. Default 4000, from the paper's base setting (L_R = 16k, L_T = 4k).
        variant: Which rollouts are masked: "Vanilla" (default), "-I", "-L&C", "-L&C-S&I" or "-L&C-L&I", the
            paper's names.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([1000, 2000, 3000, 4000], [1, 1, 0, 1])
    >>> Truncation(target=2500, variant="-I").reward(g)["total"].tolist()
    [[1.0, 1.0, 0.0, 0.0]]
    >>> Truncation(target=2500, variant="-I").mask(g).tolist()
    [[True, True, False, True]]
    """

    NAME: ClassVar[str] = "truncation"
    PAPER_CAP: ClassVar[int | None] = 16384
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"target": 1}

    target: float = 4000
    variant: str = "Vanilla"

    def check(self) -> None:
        self.within("target", 0, open_low=True)
        one_of("variant", self.variant, VARIANTS)

    def components(self, group: Group) -> dict[str, np.ndarray]:
        return {"correctness": self.solved(group) & (group.length_PG <= self.target)}

    def mask(self, group: Group) -> np.ndarray:
        solved = self.solved(group)
        long = (group.length_PG > self.target) | ~group.finished_PG
        long_correct, short_wrong, long_wrong = VARIANTS[self.variant]
        masked = (
            (long_correct & solved & long) | (short_wrong & ~solved & ~long) | (long_wrong & ~solved & long)
        )
        return super().mask(group) & ~masked
