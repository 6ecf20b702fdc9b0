"""Length-harmonizing reward: O1-Pruner (2501.12570), used online as in 2506.07104."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.designs.reference import reference_arrays
from effwb.errors import ConfigError


@design
class LengthHarmonizing(Design):
    """Rewards being shorter and more accurate than a frozen reference model on the same problem.

        r_i = Lref_mean(x) / len_i - 1 + gamma (c_i - Aref_mean(x))

    Lref_mean and Aref_mean are the mean length and accuracy of K samples per problem of the frozen starting
    model (K = 16 for Marco, 12 for QwQ), given as `Group.reference`. `reward` raises DataError
    for problems that it misses.

    - Wrong answers get the length term too. Where the reference solves nothing, a shorter wrong answer is
      simply better.
    - The paper trains off-policy, with a PPO-style ratio to the reference. "RL w. Len-Harmonizing Rew." of
      2506.07104 is the same reward online and without clipping; that is the default here.
    - The released code also z-scores the reward over the whole data set. That has no online counterpart and
      is left out.
    - A length of 0 counts as 1 token.

    Args:
        gamma: Weight of accuracy, at least 0; lambda in the paper. Default 2.0 (Marco); the README has 5
            for QwQ.
        clip: (low, high), the limits of the total reward. None (default): no clipping; (-2, 4) in the
            released code.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

    >>> from effwb.designs import toy_group
    >>> table = {"toy-000000000000": {"length": 3000, "accuracy": 0.5}}
    >>> g = toy_group([1000, 2000, 3000, 4000], [1, 1, 0, 1], reference=table)
    >>> LengthHarmonizing(gamma=2.0).reward(g)["total"].tolist()
    [[3.0, 1.5, -1.0, 0.75]]
    """

    NAME: ClassVar[str] = "length_harmonizing"
    needs_reference: ClassVar[bool] = True

    gamma: float = 2.0
    clip: tuple[float, float] | None = None

    def check(self) -> None:
        self.within("gamma", 0.0)
        if self.clip is None:
            return
        pair = isinstance(self.clip, tuple | list) and len(self.clip) == 2
        if not pair or not self.clip[0] < self.clip[1]:
            raise ConfigError(
                f"length_harmonizing: clip={self.clip!r} must be (low, high); the released code has (-2, 4)"
            )

    def components(self, group: Group) -> dict[str, np.ndarray]:
        length_P1, accuracy_P1 = reference_arrays(group)
        return {
            "correctness": self.gamma * (self.solved(group) - accuracy_P1),
            "length": length_P1 / np.maximum(group.length_PG, 1) - 1.0,
        }

    def combine(self, components: dict[str, np.ndarray]) -> np.ndarray:
        total = super().combine(components)
        return total if self.clip is None else np.clip(total, *self.clip)
