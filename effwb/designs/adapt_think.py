"""AdaptThink. 2505.13417, section 3; repository THU-KEG/AdaptThink."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import design
from effwb.designs.group import Group
from effwb.designs.modes import TwoModes, half_and_half, require_modes
from effwb.designs.reference import reference_arrays


@design
class AdaptThink(TwoModes):
    """Do not think, wherever that is about as accurate as the model was when it always thought.

        A_i = 1{correct} - acc_ref(problem) + delta 1{no thinking}

    The advantage is used as it is: no group mean, no division. acc_ref is the mean accuracy of the frozen
    starting model on the problem (16 samples in the paper; `training.frozen_reference` makes the table).
    delta = 0.05. Half of each group is forced into each mode, so both are seen from the first step on,
    without fine-tuning before. The loss corrects for that: the first token counts as drawn with the mode's
    probability of 1/2, in a ratio per rollout, exp(mean over tokens of the difference of log-probabilities),
    clipped. That is TRL's "sequence" ratio; it belongs to a loss that is a mean over rollouts: train with
    loss="grpo". While the model hardly ever chooses a mode, that ratio is below the clip: what was right
    in that mode then teaches a little, what was wrong nothing.

    The released code opens the thinking half with "Alright", with which R1 models begin almost always, and
    counts it as drawn with 1/2. Here any token but the closing tag may come, and counts as drawn with 1/2
    times its probability among those. It caps the other half at a quarter of the 16K; here one cap
    holds for all.

    >>> from effwb.designs import toy_group
    >>> ref = {"toy-000000000000": {"length": 450.0, "accuracy": 0.75}}
    >>> g = toy_group([400, 20], [1, 1], empty_PG=[[0, 1]], reference=ref)
    >>> AdaptThink().advantage(g).round(6).tolist()
    [[0.25, 0.3]]
    """

    NAME: ClassVar[str] = "adapt_think"
    needs_reference: ClassVar[bool] = True
    ratio: ClassVar[str] = "sequence"
    losses: ClassVar[tuple[str, ...]] = ("grpo",)
    forced_share: ClassVar[float | None] = 0.5

    rule: str = "none"
    delta: float = 0.05

    def check(self) -> None:
        self.within("delta")

    def openings(self, G: int) -> list[str]:
        return half_and_half(self.NAME, G)

    def components(self, group: Group) -> dict[str, np.ndarray]:
        _, before = reference_arrays(group)
        return {
            "correctness": self.solved(group),
            "reference": np.broadcast_to(-before, (group.P, group.G)),
            "no thinking": self.delta * require_modes(group, self.NAME),
        }
