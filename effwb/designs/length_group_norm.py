"""Training Language Models to Reason Efficiently. Arora & Zanette, 2502.04463."""

from typing import ClassVar

import numpy as np

from effwb.designs import statistics
from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import one_of

# reading: (ddof of the length std, its eps, lone correct has mean 0 and std 1, advantage rule, std, eps)
READINGS = {
    "arora": (0, 1e-7, False, "rloo", "none", 0.0),
    "laser": (1, 1e-6, True, "group", "sample", 1e-6),
    "reo_rl": (0, 0.0, False, "group", "population", 0.0),
}


@design
class LengthGroupNorm(Design):
    """Correct answers pay for being longer than the other correct answers to the same problem.

        r_i = c_i (1 - alpha sigmoid((len_i - mean_c) / (std_c + eps)))

    mean_c, std_c over the correct rollouts of the group; wrong answers get 0 whatever their length; one
    correct rollout gives 1 - alpha/2. 2502.04463, section 4; alpha in {0.05, 0.1, 0.2, 0.4}, script default
    0.1. The paper divides advantages by no std, because that would make the pressure independent of alpha:
    RLOO with 8 rollouts.

    `reading`: "arora" population std, eps 1e-7, RLOO without std (the authors' code; it measures re-encoded
    text + BOS, here length is completion tokens). "laser" (hkust-nlp/Laser, their baseline): sample std,
    eps 1e-6, a lone correct rollout is compared with mean 0, std 1 and so gets 1 - alpha, GRPO; alpha 0.4
    there, and wrong answers start from -0.5 there, 0 here. "reo_rl" (2506.07104): the variance over correct
    rollouts, no eps, GRPO; alpha is not printed. An explicit `rule`, `std` or `eps` overrides the
    reading's.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([1000, 2000, 3000, 4000], [1, 1, 0, 1])
    >>> LengthGroupNorm(alpha=0.1).reward(g)["total"].round(6).tolist()
    [[0.974442, 0.956642, 0.0, 0.920812]]
    """

    NAME: ClassVar[str] = "length_group_norm"

    alpha: float = 0.1
    reading: str = "arora"
    rule: str | None = None

    def _resolve_rule(self) -> None:
        one_of("reading", self.reading, READINGS)
        if self.rule is None:
            rule, std, eps = READINGS[self.reading][3:]
            self._set("rule", rule)
            self._set("std", std if self.std is None else self.std)
            self._set("eps", eps if self.eps is None else self.eps)
        super()._resolve_rule()

    def check(self) -> None:
        self.within("alpha", 0.0, 1.0, open_high=True)  # at 1 a long correct answer is worth a wrong one

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved = self.solved(group)
        return {
            "correctness": solved,
            "length": -self.alpha * solved * statistics.sigmoid(self._z(group, solved)),
        }

    def _z(self, group: Group, solved: np.ndarray) -> np.ndarray:
        ddof, eps, lone_is_absolute = READINGS[self.reading][:3]
        length = group.length_PG.astype(float)
        mean, std = statistics.mean(length, solved), statistics.std(length, solved, ddof)
        if lone_is_absolute:
            lone = statistics.count(solved) == 1
            mean, std = np.where(lone, 0.0, mean), np.where(lone, 1.0, std)
        scale = std + eps
        return (length - mean) / np.where(scale > 0, scale, 1.0) * solved
