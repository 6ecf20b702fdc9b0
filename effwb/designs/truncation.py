"""Truncation reward and its negatives. The Art of Efficient Reasoning, 2602.20945 (SECONDARY SOURCE)."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import one_of

# Which rollouts lose their gradient: (long correct, short incorrect, long incorrect).
VARIANTS = {
    "Vanilla": (False, False, False),
    "-I": (False, True, True),
    "-L&C": (True, False, False),
    "-L&C-S&I": (True, True, False),
    "-L&C-L&I": (True, False, True),
}


@design
class Truncation(Design):
    """Reward 1 for answers that are correct and at most `target` tokens; `variant` masks some of the zeros.

        r_i = 1{correct_i} 1{len_i <= L_T}

    | variant   | CS | CL | IS | IL |   reported outcome (2602.20945)
    |-----------|----|----|----|----|
    | Vanilla   | 1  | 0  | 0  | 0  |   baseline
    | -I        | 1  | 0  | -  | -  |   "short is correct" trap: length collapses about step 400
    | -L&C      | 1  | -  | 0  | 0  |   longer but more accurate than Vanilla
    | -L&C-S&I  | 1  | -  | -  | 0  |   same trap as -I
    | -L&C-L&I  | 1  | -  | 0  | -  |   long, mostly wrong outputs about step 200

    C/I correct or not, S/L short or long (len > L_T), - masked: no gradient. A truncated rollout is long,
    whatever its length: with L_R = L_T, the recommended setting, it stops exactly at the target. Whether
    masked rollouts enter the group mean and std is not stated in the paper: `masked_in_statistics=True`
    (mask in the loss only) is our default. Base setting L_R = 16k, L_T = 4k; advantage normalisation is not
    stated either. Known from readings of v2 and v3 (SECONDARY SOURCE); no training code was released.

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
        dropped = (
            (long_correct & solved & long) | (short_wrong & ~solved & ~long) | (long_wrong & ~solved & long)
        )
        return super().mask(group) & ~dropped
