"""Training Language Models to Reason Efficiently. Arora & Zanette, 2502.04463."""

from typing import ClassVar

import numpy as np

from effwb.designs import statistics
from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import one_of

# reading: (ddof of the length std, its eps, a lone correct rollout has mean 0 and std 1, rule, std, eps,
# whiten)
READINGS = {
    "arora": (0, 1e-7, False, "rloo", "none", 0.0, False),
    "released": (0, 1e-7, False, "rloo", "none", 0.0, True),
    "laser": (1, 1e-6, True, "group", "sample", 1e-6, False),
    "reo_rl": (0, 0.0, False, "group", "population", 0.0, False),
}


@design
class LengthGroupNorm(Design):
    """Rewards correct answers, the shorter the better compared with other correct answers to the problem.

        r_i = c_i (1 - alpha sigmoid((len_i - mean_c) / (std_c + eps)))

    mean_c and std_c are over the correct rollouts of the group (2502.04463, section 4). Wrong answers get 0,
    whatever their length. A lone correct rollout gets 1 - alpha/2.

    - The paper does not divide advantages by a std, because that would make the pressure independent of
      alpha. It uses RLOO with 8 rollouts. The released code (OpenRLHF, advantage_estimator="rloo") does
      divide: after RLOO it whitens the advantages over all tokens of the batch: `reading="released"`.
    - To the released reading belong these settings of a training: `loss="grpo"` (each rollout's loss is a
      mean over its tokens), `kl=1e-3` and `kl_place="reward"`. The code adds the KL terms of the tokens to
      the advantages before it whitens them.
    - The authors' code measures the length of re-encoded text + BOS; here it is completion tokens.
    - LASER's copy starts wrong answers from -0.5; here they get 0.

    Args:
        alpha: Strength of the length term, in [0, 1). Default 0.1, from the released script; the paper uses
            0.05, 0.1, 0.2 and 0.4, LASER's copy 0.4, 2506.07104 prints no value.
        reading: Which implementation to follow.
            "arora" (default), the paper: RLOO without std; population std of the lengths and eps 1e-7 as in
            the authors' code, which the paper does not print.
            "released", the authors' code: the same rewards and RLOO, then `whiten`. It whitens a group
            without advantages like all others, so that its rollouts get the constant -mean / std.
            "laser", hkust-nlp/Laser: sample std, eps 1e-6, GRPO; a lone correct rollout is compared with
            mean 0 and std 1 and so gets 1 - alpha.
            "reo_rl", 2506.07104: population std over the correct rollouts, no eps, GRPO.
        rule: The advantage rule, see `Design`. None (default): the one of `reading`, with its std and eps.
        whiten: See `Design`. None (default): True for the reading "released", else False.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([1000, 2000, 3000, 4000], [1, 1, 0, 1])
    >>> LengthGroupNorm(alpha=0.1).reward(g)["total"].round(6).tolist()
    [[0.974442, 0.956642, 0.0, 0.920812]]
    """

    NAME: ClassVar[str] = "length_group_norm"

    alpha: float = 0.1
    reading: str = "arora"
    rule: str = None  # type: ignore[assignment]  # None until `_resolve_rule`
    whiten: bool = None  # type: ignore[assignment]  # None until `_resolve_rule`

    def _resolve_rule(self) -> None:
        one_of("reading", self.reading, READINGS)
        if self.whiten is None:
            self._set("whiten", READINGS[self.reading][6])
        if self.rule is None:
            rule, std, eps = READINGS[self.reading][3:6]
            self._set("rule", rule)
            self._set("std", std if self.std is None else self.std)
            self._set("eps", eps if self.eps is None else self.eps)
        super()._resolve_rule()

    def check(self) -> None:
        self.within("alpha", 0.0, 1.0, open_high=True)  # at 1 a long correct answer is worth a wrong one

    @property
    def shifts_zeros(self) -> bool:
        return self.reading == "released"

    def components(self, group: Group) -> dict[str, np.ndarray]:
        ddof, eps, lone_is_absolute = READINGS[self.reading][:3]
        solved, length = self.solved(group), group.length_PG.astype(float)
        mean, std = statistics.mean(length, solved), statistics.std(length, solved, ddof)
        if lone_is_absolute:
            lone = statistics.count(solved) == 1
            mean, std = np.where(lone, 0.0, mean), np.where(lone, 1.0, std)
        scale = std + eps
        z = (length - mean) / np.where(scale > 0, scale, 1.0) * solved
        return {"correctness": solved, "length": -self.alpha * solved * statistics.sigmoid(z)}
