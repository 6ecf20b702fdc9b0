"""AdaptThink. 2505.13417, section 3; repository THU-KEG/AdaptThink."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import design
from effwb.designs.group import Group
from effwb.designs.modes import TwoModes, half_and_half, require_modes
from effwb.designs.reference import reference_arrays


@design
class AdaptThink(TwoModes):
    """Rewards answers without thinking wherever they are about as accurate as the starting model with it.

        A_i = 1{correct} - acc_ref(problem) + delta 1{no thinking}

    The advantage is used as it is: no group mean, no division (`rule="none"`). acc_ref is the mean accuracy
    of the frozen starting model on the problem (16 samples in the paper), given as `Group.reference`;
    `training.frozen_reference` makes it.

    Half of each group is forced into each mode, so both modes occur from the first step on, without
    fine-tuning before. The loss corrects for the forcing: the first token counts as drawn with the mode's
    probability of 1/2, in one clipped ratio per rollout, exp(mean over tokens of the difference of
    log-probabilities). That is the "sequence" ratio of TRL. It belongs to a loss that is a mean over
    rollouts, so train with loss="grpo". While the model hardly ever chooses a mode, its ratio is below the
    clip: then right answers in that mode teach a little and wrong ones nothing.

    - The released code opens the thinking half with "Alright", which R1 models almost always start with,
      and counts it as drawn with 1/2. Here any token but the closing tag may come, and counts as drawn with
      1/2 times its probability among those.
    - The released code caps the half without thinking at a quarter of the 16K. Here one cap holds for all.

    Args:
        rule: The advantage rule, see `Design`. Default "none".
        delta: Bonus for not thinking. Default 0.05.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

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
        _, reference_accuracy = reference_arrays(group)
        return {
            "correctness": self.solved(group),
            "reference": np.broadcast_to(-reference_accuracy, (group.P, group.G)),
            "no thinking": self.delta * require_modes(group, self.NAME),
        }
