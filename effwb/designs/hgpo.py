"""HGPO, hybrid group policy optimization, of "Think Only When You Need". 2505.14631, section 3."""

from typing import ClassVar

import numpy as np

from effwb.designs import statistics
from effwb.designs.base import design
from effwb.designs.group import Group
from effwb.designs.modes import TwoModes, after_first_token, half_and_half, require_modes
from effwb.errors import one_of

TIES = ("all", "first")
ROUNDING = 1e-12  # 0.7 + 0.2 is below 0.9 in floating point; such a tie must not be lost


@design
class Hgpo(TwoModes):
    """Rewards choosing the better mode, thinking or not thinking, and the best responses within each mode.

        R_i     = 1{correct}, its mean per mode: R_think, R_empty
        inter_i = 1 if i is in argmax{R_think, R_empty + delta}, else 0
        intra_i = 1 if R_i is the greatest of its mode, else 0
        A_t     = norm(intra) + 1{t is the first token} alpha norm(inter)

    Half of each group is forced into each mode. Where both modes are equally accurate, and where no rollout
    is right, not thinking wins.

    - The reward of the paper is a rule or a reward model; here it is the verdict, so that responses of a
      mode tie. The paper does not say what to do then; see `ties`.
    - The method starts with fine-tuning on both modes (`effwb.training.WarmStart`): a model that never
      closes its thinking at once gives that token no probability.
    - The modes of the paper are two special tokens; here the mode is the first token after the opened
      thinking.
    - 2506.07104 finds that HGPO does not shorten responses, because the model starts to reason inside the
      empty mode.

    Args:
        alpha: Weight of the choice of the mode, at least 0. Default 1.0.
        delta: Bonus in accuracy for not thinking, in [-1, 1]. Default 0.2.
        ties: "all" (default): every response as good as the best of its mode is rewarded, so a mode in
            which all are wrong is rewarded throughout. "first": only the first such response.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`;
    `rule` must be "group", "group_no_std" or "rloo".

    >>> from effwb.designs import toy_group
    >>> g = toy_group([400, 500, 20, 30], [1, 1, 1, 0], empty_PG=[[0, 0, 1, 1]])
    >>> parts = Hgpo().reward(g)
    >>> parts["inter"].tolist(), parts["intra"].tolist()
    ([[1.0, 1.0, 0.0, 0.0]], [[1.0, 1.0, 1.0, 0.0]])
    """

    NAME: ClassVar[str] = "hgpo"
    needs_warm_start: ClassVar[bool] = True

    alpha: float = 1.0
    delta: float = 0.2
    ties: str = "all"

    def check(self) -> None:
        self.within("alpha", 0.0)
        self.within("delta", -1.0, 1.0)
        one_of("ties", self.ties, TIES)
        one_of("rule", self.rule, ("group", "group_no_std", "rloo"))

    def edges(self, group: Group) -> np.ndarray:
        return after_first_token(group)

    def openings(self, G: int) -> list[str]:
        return half_and_half(self.NAME, G)

    def components(self, group: Group) -> dict[str, np.ndarray]:
        empty = require_modes(group, self.NAME)
        score = self.solved(group).astype(float)
        mean_think, mean_empty = (  # -inf where no rollout is in the mode
            np.where(statistics.count(members) > 0, statistics.mean(score, members), -np.inf)
            for members in (~empty, empty)
        )
        inter = np.where(mean_empty + self.delta >= mean_think - ROUNDING, empty, ~empty)
        intra = self._best(score, ~empty) + self._best(score, empty)
        return {"intra": intra, "inter": inter}

    def combine(self, components: dict[str, np.ndarray]) -> np.ndarray:
        return components["intra"] + self.alpha * components["inter"]

    def unwhitened(self, group: Group) -> np.ndarray:
        """Return float (P, G, 2): the advantage of the first token, and that of the others. Pure."""
        parts = self.components(group)
        intra, inter = (self.by_rule(parts[name], group) for name in ("intra", "inter"))
        return np.stack([intra + self.alpha * inter, intra], axis=-1)

    def _best(self, score: np.ndarray, members: np.ndarray) -> np.ndarray:
        """1.0 for the best responses among `members`, bool (P, G)."""
        of_mode = np.where(members, score, -np.inf)
        best = members & (of_mode == of_mode.max(axis=1, keepdims=True))
        if self.ties == "first":
            best &= np.cumsum(best, axis=1) == 1
        return best.astype(float)
