"""HGPO, hybrid group policy optimization, of "Think Only When You Need". 2505.14631, section 3."""

from typing import ClassVar

import numpy as np

from effwb.designs.base import design
from effwb.designs.group import Group
from effwb.designs.modes import EMPTY, THINK, TwoModes, behind_first, half_and_half, require_modes
from effwb.errors import one_of

TIES = ("all", "first")


@design
class Hgpo(TwoModes):
    """Reward the better mode at the token that chooses it, and the best responses inside each mode.

        R_i     = 1{correct}, its mean per mode: R_think, R_empty
        inter_i = 1 if i is in argmax{R_think, R_empty + delta}, else 0
        intra_i = 1 if R_i is the greatest of its mode, else 0
        A_t     = norm(intra) + 1{t is the first token} alpha norm(inter)

    Half of each group is forced into each mode. alpha = 1, delta = 0.2: at equal accuracy, and where nobody
    is right, not thinking wins. The paper's reward is a rule or a reward model; here it is the verdict, so
    responses of a mode tie, about which the paper is silent: `ties="all"` rewards every one that is as good
    as the best (a mode in which all are wrong is then all 1), "first" only the first of them.

    The method begins with fine-tuning on both modes (`effwb.training.warm_start`): a model that never closes
    its thinking at once gives that token no probability. The paper counts two special tokens as modes, here
    the mode token is the first one after the opened thinking. 2506.07104 finds that HGPO does not shorten
    responses, because the model begins to reason inside the empty mode.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([400, 500, 20, 30], [1, 1, 1, 0], empty_PG=[[0, 0, 1, 1]])
    >>> parts = Hgpo().reward(g)
    >>> parts["inter"].tolist(), parts["intra"].tolist()
    ([[1.0, 1.0, 0.0, 0.0]], [[1.0, 1.0, 1.0, 0.0]])
    """

    NAME: ClassVar[str] = "hgpo"

    alpha: float = 1.0
    delta: float = 0.2
    ties: str = "all"

    def check(self) -> None:
        self.within("alpha", 0.0)
        self.within("delta", -1.0, 1.0)
        one_of("ties", self.ties, TIES)
        one_of("rule", self.rule, ("group", "group_no_std", "rloo"))

    def edges(self, group: Group) -> np.ndarray:
        return behind_first(group)

    def openings(self, G: int) -> list[str]:
        return half_and_half(self.NAME, G)

    def components(self, group: Group) -> dict[str, np.ndarray]:
        empty = require_modes(group, self.NAME)
        score, modes = self.solved(group).astype(float), {THINK: ~empty, EMPTY: empty}
        means = {name: _mean(score, members) for name, members in modes.items()}
        wins = means[EMPTY] + self.delta >= means[THINK] - 1e-12  # a tie is for the empty mode
        inter = np.where(wins, modes[EMPTY], modes[THINK])
        intra = sum(self._best(score, members) for members in modes.values())
        return {"intra": intra, "inter": inter}

    def combine(self, components: dict[str, np.ndarray]) -> np.ndarray:
        return components["intra"] + self.alpha * components["inter"]

    def advantage(self, group: Group) -> np.ndarray:
        """Float (P, G, 2): of the first token, and of the others."""
        parts = self.components(group)
        inside, between = (self.by_rule(parts[name], group) for name in ("intra", "inter"))
        return np.stack([inside + self.alpha * between, inside], axis=-1)

    def _best(self, score: np.ndarray, members: np.ndarray) -> np.ndarray:
        """1.0 for the best responses among `members`, bool (P, G)."""
        inside = np.where(members, score, -np.inf)
        best = members & (inside == inside.max(axis=1, keepdims=True))
        if self.ties == "first":
            best &= np.cumsum(best, axis=1) == 1
        return best.astype(float)


def _mean(score: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Mean over `members` of each problem, (P, 1); -inf where there is none."""
    count = members.sum(axis=1, keepdims=True)
    mean = (score * members).sum(axis=1, keepdims=True) / np.maximum(count, 1)
    return np.where(count > 0, mean, -np.inf)
