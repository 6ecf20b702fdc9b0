"""Thinkless: DeGRPO. 2505.13379, section 3; repository VainF/Thinkless."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import design
from effwb.designs.group import Group
from effwb.designs.modes import TwoModes, behind_first, require_modes


@design
class Thinkless(TwoModes):
    """Let the model choose; weigh the one token that chooses apart from the many that answer.

        R_i  = 1 correct without thinking, 0.5 correct with it, -1 wrong;   A = group-normalised R
        loss = alpha mean over rollouts of the first token's loss + mean over all other tokens of theirs

    alpha = 0.001. In a plain mean over tokens the choice gets 1 / length of the weight, so a long response
    teaches its mode hardly at all and a short one much more; the split gives it the same weight in both.
    Advantages here carry the split: with N tokens in R rollouts the first token's is multiplied by alpha N /
    R and the others' by N / (N - R), which under a mean over the tokens of a round (loss="dapo") is the loss
    above; a KL term, where there is one, is not split. `split=False` is plain GRPO on the same reward, whose
    mode collapses in the paper.

    The paper begins with a distilled model that knows both modes (`effwb.training.warm_start`). Rollouts are
    not forced. A model that never closes its thinking at once cannot learn to here.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([400, 20], [1, 1], empty_PG=[[0, 1]])
    >>> Thinkless().reward(g)["total"].tolist()
    [[0.5, 1.0]]
    >>> Thinkless(std="none", split=False).advantage(g)[0].round(6).tolist()
    [[-0.25, -0.25], [0.25, 0.25]]
    """

    NAME: ClassVar[str] = "thinkless"
    losses: ClassVar[tuple[str, ...]] = ("dapo",)

    alpha: float = 0.001
    think: float = 0.5
    wrong: float = -1.0
    split: bool = True

    def check(self) -> None:
        self.within("alpha", 0.0)
        self.within("think", 0.0, 1.0)
        self.within("wrong", high=0.0)
        self.flag("split")

    def edges(self, group: Group) -> np.ndarray:
        return behind_first(group)

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved, empty = self.solved(group), require_modes(group, self.NAME)
        return {
            "correctness": np.where(solved, 1.0, self.wrong),
            "thinking": np.where(solved & ~empty, self.think - 1.0, 0.0),
        }

    def advantage(self, group: Group) -> np.ndarray:
        """Float (P, G, 2): of the first token, and of the others."""
        advantage = super().advantage(group)
        first, others = self._weights(group) if self.split else (1.0, 1.0)
        return np.stack([first * advantage, others * advantage], axis=-1)

    def _weights(self, group: Group) -> tuple[float, float]:
        kept = self.mask(group)
        tokens, rollouts = int(group.length_PG[kept].sum()), int(kept.sum())
        if tokens <= rollouts:  # one token each, or none: there are no others
            return self.alpha, 0.0
        return self.alpha * tokens / rollouts, tokens / (tokens - rollouts)
