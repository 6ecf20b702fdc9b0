"""GFPO, sample more to think less, 2508.09726: train on the k shortest of G rollouts only."""

from typing import Any, ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import ConfigError, one_of


@design
class Gfpo(Design):
    """Keep k of the G rollouts of each problem; the others carry no gradient and do not enter the statistics.

        kept = the k smallest len (metric "length") or the k largest r / len ("efficiency")
        A_i = (r_i - mean_kept) / (std_kept + eps) if kept else 0

    Population std inside the kept set. k = 8 of G = 24 (16 in other runs). Length acts through the choice
    alone, and the choice does not look at correctness under "length". Ties go to the earlier rollout, as a
    stable sort does. The paper's reward (Phi-4-reasoning's) is itself length-aware; here it is 1{correct}.
    The eps is not printed: 1e-6.

    `adaptive=True`: k by the problem's difficulty, `adaptive_k` = (4, 6, 8, 8) for easy, medium, hard and
    very hard quarters of all solve rates seen so far (the paper keeps a t-digest, here exact counts; ties
    count half). Before anything was seen k = `k`. State: the counts, updated by `observe`.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([1000, 2000, 3000, 4000], [1, 0, 0, 1])
    >>> Gfpo(k=2).mask(g).tolist()
    [[True, True, False, False]]
    >>> Gfpo(k=2, eps=0.0).advantage(g).tolist()
    [[1.0, -1.0, 0.0, 0.0]]
    """

    NAME: ClassVar[str] = "gfpo"

    k: int = 8
    metric: str = "length"
    adaptive: bool = False
    adaptive_k: tuple[int, int, int, int] = (4, 6, 8, 8)
    std: str | None = "population"
    masked_in_statistics: bool = False

    def check(self) -> None:
        self.whole("k", 2)
        one_of("metric", self.metric, ("length", "efficiency"))
        self.flag("adaptive")
        four = isinstance(self.adaptive_k, tuple | list) and len(self.adaptive_k) == 4
        if not four or not all(isinstance(k, int) and k >= 2 for k in self.adaptive_k):
            raise ConfigError(f"gfpo: adaptive_k={self.adaptive_k!r} must be four numbers of at least 2")

    def fresh_state(self) -> dict[str, Any]:
        return {"solve_rates": {}}

    def components(self, group: Group) -> dict[str, np.ndarray]:
        return {"correctness": self.solved(group)}

    def mask(self, group: Group) -> np.ndarray:
        length = group.length_PG.astype(float)
        score = length if self.metric == "length" else -self.reward(group)["total"] / np.maximum(length, 1.0)
        rank = np.argsort(np.argsort(score, axis=1, kind="stable"), axis=1)
        return super().mask(group) & (rank < self.kept(group))

    def kept(self, group: Group) -> np.ndarray:
        """How many rollouts of each problem are kept, int (P, 1)."""
        largest = max(self.adaptive_k) if self.adaptive else self.k
        if largest > group.G or (not self.adaptive and self.k == group.G):
            raise ConfigError(
                f"gfpo: k={largest} of G={group.G} rollouts filters nothing; the paper keeps 8 of 24"
            )
        if not self.adaptive or not self._state["solve_rates"]:
            return np.full((group.P, 1), self.k)
        place = self._percentile(self.solved(group).mean(axis=1))
        return np.array(self.adaptive_k)[3 - np.minimum((4 * place).astype(int), 3)][:, None]

    def observe(self, group: Group) -> None:
        seen = self._state["solve_rates"]
        for rate in self.solved(group).mean(axis=1).tolist():
            seen[repr(rate)] = seen.get(repr(rate), 0) + 1

    def _percentile(self, rate_P: np.ndarray) -> np.ndarray:
        """Where each solve rate stands among all seen so far: 0 hardest, 1 easiest."""
        rates = np.array([float(r) for r in self._state["solve_rates"]])
        counts = np.array(list(self._state["solve_rates"].values()), dtype=float)
        below = (rates < rate_P[:, None]) + 0.5 * (rates == rate_P[:, None])
        return (below * counts).sum(axis=1) / counts.sum()
