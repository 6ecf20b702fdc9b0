"""GRPO-LEAD, 2504.09696; repository aeroplanepaper/GRPO-LEAD. LEAD (2605.09806) is another paper."""

from typing import ClassVar

import numpy as np

from effwb.designs import statistics
from effwb.designs.base import Design, design
from effwb.designs.group import Group


@design
class GrpoLead(Design):
    """Rewards short correct answers, gives wrong ones -1, and gives hard problems more weight.

        r_i = exp(-alpha z_i) if correct, -1 otherwise;   z_i = (len_i - mean_c) / (std_c + 1e-6)
        A'_i = A_i w(rho) if A_i > 0 else A_i w(1 - rho)
        w(x) = A + (B - A) / (1 + exp(k (x - rho_0)))

    mean_c and std_c (sample std) are over the correct rollouts, rho is the share of correct rollouts, A_i
    the GRPO advantage (sample std, eps 1e-6). A lone correct rollout has z = 0. The values are from the
    repository (verl trainer/main_ppo.py and core_algos.py).

    - The released code shapes lengths only in groups whose three shortest rollouts, right or wrong, have a
      mean length above 4000 tokens: `gate=4000`. The cap of that run is not known (the run is named 12k,
      the shipped script says 1024), so `gate` needs `cap`.
    - With `reweight=True` the advantages of a group no longer have mean 0.

    Args:
        alpha: Strength of the length term, at least 0. Default 0.05.
        wrong: Reward of a wrong answer, at most 0. Default -1.0.
        gate: Mean length in tokens of the three shortest rollouts above which lengths are shaped. None
            (default): always; 4000 in the released code.
        reweight: True (default): weight advantages by difficulty. False: leave them as they are.
        A: Weight of problems that are always solved, at least 0. Default 0.4.
        B: Weight of problems that are never solved, at least `A`. Default 1.5.
        k: Steepness between the two, at least 0. Default 10.0.
        rho_0: Solve rate in the middle between the two, in [0, 1]. Default 0.75.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

    >>> from effwb.designs import toy_group
    >>> GrpoLead().reward(toy_group([1000, 2000, 3000, 4000], [1, 1, 0, 1]))["total"].round(6).tolist()
    [[1.04461, 1.010971, -1.0, 0.946907]]
    """

    NAME: ClassVar[str] = "grpo_lead"
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"gate": 1}

    alpha: float = 0.05
    wrong: float = -1.0
    gate: float | None = None
    reweight: bool = True
    A: float = 0.4
    B: float = 1.5
    k: float = 10.0
    rho_0: float = 0.75

    def check(self) -> None:
        self.within("alpha", 0.0)
        self.within("wrong", high=0.0)
        self.within("gate", 0, open_low=True, optional=True)
        self.within("A", 0.0)
        self.within("B")
        self.ordered("A", "B")
        self.within("k", 0.0)
        self.within("rho_0", 0.0, 1.0)
        self.flag("reweight")

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved, length = self.solved(group), group.length_PG.astype(float)
        std = statistics.std(length, solved, ddof=1)
        # 1e-6 is the released code's; it also gives a lone correct rollout z = 0 instead of 0 / 0
        z = np.where(solved, length - statistics.mean(length, solved), 0.0) / (std + 1e-6)
        shortest = np.sort(length, axis=1)[:, :3].mean(axis=1, keepdims=True)
        is_shaped = solved if self.gate is None else solved & (shortest > self.gate)
        shaped = np.where(is_shaped, np.exp(-self.alpha * z), 1.0)
        return {"correctness": np.where(solved, 1.0, self.wrong), "length": shaped - 1.0}

    def unwhitened(self, group: Group) -> np.ndarray:
        plain = super().unwhitened(group)
        if not self.reweight:
            return plain
        rho = self.solved(group).mean(axis=1, keepdims=True)
        return plain * np.where(plain > 0, self.difficulty_weight(rho), self.difficulty_weight(1.0 - rho))

    def difficulty_weight(self, rho: np.ndarray) -> np.ndarray:
        """Return w(rho): near B where the solve rate `rho` is 0, near A where it is 1."""
        return self.A + (self.B - self.A) * statistics.sigmoid(-self.k * (rho - self.rho_0))
