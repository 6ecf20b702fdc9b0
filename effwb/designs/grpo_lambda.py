"""GRPO-lambda of "Stable Reinforcement Learning for Efficient Reasoning". 2505.18086 (SECONDARY SOURCE)."""

import hashlib
from typing import ClassVar

import numpy as np

from effwb.designs import statistics
from effwb.designs.base import Design, design
from effwb.designs.group import Group

ROUNDING = 1e-9  # 0.7 * 10 is above 7 in floating point


@design
class GrpoLambda(Design):
    """Punishes length only in the groups of the step that solve their problem best.

        r_i = c_i (1 - alpha sigmoid((len_i - mean_c) / std_c))   in the lam share of groups with the highest
                                                                  solve rates of the step
        r_i = c_i                                                 in all other groups

    mean_c and std_c are over the correct rollouts of the group. Wrong answers get 0. GRPO advantages. Where
    many rollouts are still wrong, a length penalty makes accuracy collapse; the switch delays it there.

    - SECONDARY SOURCE: the abstract of the paper, and a reading of it with equations and an implementation.
      The paper selects the top lam = 20 % of the groups of a batch; its alpha was not found.
    - The share of groups is rounded up, so that at least one group is punished for length, as in that
      implementation. Its std is the population's.
    - The paper does not say which of several groups with the same solve rate are selected. Here it is drawn
      by a hash of step and problem id: their order in the step changes nothing, and no problem is preferred.
    - A lone correct rollout, and correct rollouts of equal length, get 1 - alpha/2 in a selected group.

    Args:
        alpha: Strength of the length term, in [0, 1). Default 0.6, from that implementation.
        lam: Share of the groups whose length is punished, in [0, 1]. Default 0.2. 1: all groups, the paper's
            baseline with a length penalty throughout. 0: none.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([1000, 2000, 3000, 4000], [1, 0, 1, 0])
    >>> GrpoLambda(alpha=0.4).reward(g)["total"].round(4).tolist()
    [[0.8924, 0.0, 0.7076, 0.0]]
    """

    NAME: ClassVar[str] = "grpo_lambda"

    alpha: float = 0.6
    lam: float = 0.2

    def check(self) -> None:
        self.within("alpha", 0.0, 1.0, open_high=True)  # at 1 a long correct answer is worth a wrong one
        self.within("lam", 0.0, 1.0)

    def selected(self, group: Group) -> np.ndarray:
        """Return the groups whose length is punished, bool (P, 1)."""
        solve_rate = self.solved(group).mean(axis=1)
        lots = [hashlib.sha256(f"{group.step} {problem}".encode()).digest() for problem in group.problem_ids]
        order = sorted(range(group.P), key=lambda p: (-solve_rate[p], lots[p]))
        selected = np.zeros((group.P, 1), bool)
        selected[order[: int(np.ceil(self.lam * group.P - ROUNDING))]] = True
        return selected

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved, length = self.solved(group), group.length_PG.astype(float)
        std = statistics.std(length, solved, ddof=0)
        z = (length - statistics.mean(length, solved)) / np.where(std > 0, std, 1.0) * solved
        punished = solved & self.selected(group)
        return {"correctness": solved, "length": -self.alpha * punished * statistics.sigmoid(z)}

    def diagnostics(self, group: Group) -> dict[str, float]:
        solve_rate, selected = self.solved(group).mean(axis=1), self.selected(group)[:, 0]
        lowest = solve_rate[selected].min() if selected.any() else np.nan
        return {"lowest_solve_rate_with_length_penalty": lowest}
