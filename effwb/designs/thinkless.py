"""Thinkless: DeGRPO. 2505.13379, section 3; repository VainF/Thinkless."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import design
from effwb.designs.group import Group
from effwb.designs.modes import TwoModes, after_first_token, require_modes


@design
class Thinkless(TwoModes):
    """Rewards correct answers, most of all those without thinking; the choice to think has its own weight.

        R_i  = 1 correct without thinking, 0.5 correct with it, -1 wrong;   A = group-normalised R
        loss = alpha mean over rollouts of the first token's loss + mean of the loss of all other tokens

    In a plain mean over tokens the choice has a weight of 1 / length, so that a long response hardly
    teaches its mode and a short one teaches it much more. The split gives the choice the same weight in both.

    The advantages here carry the split. With N tokens in R rollouts, that of the first token is multiplied
    by alpha N / R and those of the others by N / (N - R). Under a mean over all tokens of a round
    (loss="dapo") this is the loss above. A KL term, if there is one, is not split.

    - The paper starts from a distilled model that knows both modes (`effwb.training.WarmStart`). Rollouts
      are not forced, so a model that never closes its thinking at once cannot learn to do so here.

    Args:
        alpha: Weight of the first token, at least 0. Default 0.001.
        think: Reward of a correct answer with thinking, in [0, 1]. Default 0.5.
        wrong: Reward of a wrong answer, at most 0. Default -1.0.
        split: True (default): the split above. False: plain GRPO on the same reward, whose mode collapses
            in the paper.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([400, 20], [1, 1], empty_PG=[[0, 1]])
    >>> Thinkless().reward(g)["total"].tolist()
    [[0.5, 1.0]]
    >>> Thinkless(std="none", split=False).advantage(g)[0].round(6).tolist()
    [[-0.25, -0.25], [0.25, 0.25]]
    """

    NAME: ClassVar[str] = "thinkless"
    needs_warm_start: ClassVar[bool] = True
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
        return after_first_token(group)

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved, empty = self.solved(group), require_modes(group, self.NAME)
        return {
            "correctness": np.where(solved, 1.0, self.wrong),
            "thinking": np.where(solved & ~empty, self.think - 1.0, 0.0),
        }

    def unwhitened(self, group: Group) -> np.ndarray:
        """Return float (P, G, 2): the advantage of the first token, and that of the others. Pure."""
        advantage = super().unwhitened(group)
        first, others = self._weights(group) if self.split else (1.0, 1.0)
        return np.stack([first * advantage, others * advantage], axis=-1)

    def _weights(self, group: Group) -> tuple[float, float]:
        """Factors of the first token's advantage and of the others'."""
        mask = self.mask(group)
        tokens, rollouts = int(group.length_PG[mask].sum()), int(mask.sum())
        if tokens <= rollouts:  # at most one token each: there are no other tokens
            return self.alpha, 0.0
        return self.alpha * tokens / rollouts, tokens / (tokens - rollouts)
