"""GFPO, sample more to think less, 2508.09726: train only on the k shortest of G rollouts."""

from typing import Any, ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import ConfigError, one_of


@design
class Gfpo(Design):
    """Trains only on k of the G rollouts of each problem: the shortest, or the most efficient ones.

        kept = the k smallest len (metric "length") or the k largest r / len ("efficiency")
        A_i = (r_i - mean_kept) / (std_kept + eps) if kept else 0

    Population std over the kept rollouts. Length acts only through the selection, and under "length" the
    selection does not look at correctness. Ties go to the earlier rollout, as in a stable sort.

    State: "solve_rates", how often each solve rate occurred; used only with `adaptive=True`.

    - The reward of the paper (that of Phi-4-reasoning) depends on length itself; here it is 1{correct}.
    - The paper does not print the eps; here it is 1e-6.
    - `adaptive=True` sets k by difficulty: the quarter in which the problem's solve rate lies among all
      solve rates so far. The paper estimates the quarters with a t-digest; here the counts are exact, and
      ties count half. Until a solve rate is known, k is `k`.

    Args:
        k: Rollouts kept per problem, at least 2 and below G. Default 8, of G = 24 (16 in other runs of the
            paper).
        metric: "length" (default) or "efficiency".
        adaptive: True: k depends on difficulty, see above. Default False.
        adaptive_k: k for easy, medium, hard and very hard problems, each at least 2. Default (4, 6, 8, 8).
        std: See `Design`. Default "population".
        masked_in_statistics: See `Design`. Default False: statistics over the kept rollouts only.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

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
        has_four = isinstance(self.adaptive_k, tuple | list) and len(self.adaptive_k) == 4
        if not has_four or not all(isinstance(k, int) and k >= 2 for k in self.adaptive_k):
            raise ConfigError(
                f"gfpo: adaptive_k={self.adaptive_k!r} must be four whole numbers of at least 2"
            )

    def fresh_state(self) -> dict[str, Any]:
        return {"solve_rates": {}}

    def components(self, group: Group) -> dict[str, np.ndarray]:
        return {"correctness": self.solved(group)}

    def mask(self, group: Group) -> np.ndarray:
        length = group.length_PG.astype(float)
        score = length if self.metric == "length" else -self.reward(group)["total"] / np.maximum(length, 1.0)
        rank = np.argsort(np.argsort(score, axis=1, kind="stable"), axis=1)
        return super().mask(group) & (rank < self.n_kept(group))

    def n_kept(self, group: Group) -> np.ndarray:
        """Return the number of rollouts that are kept of each problem, int (P, 1).

        Raises:
            ConfigError: The group is so small that no rollout would be filtered out.
        """
        largest = max(self.adaptive_k) if self.adaptive else self.k
        if largest > group.G or (not self.adaptive and self.k == group.G):
            raise ConfigError(
                f"gfpo: k={largest} of G={group.G} rollouts filters nothing; the paper keeps 8 of 24"
            )
        if not self.adaptive or not self._state["solve_rates"]:
            return np.full((group.P, 1), self.k)
        rate_P1 = self.solved(group).mean(axis=1, keepdims=True)
        rates = np.array([float(r) for r in self._state["solve_rates"]])
        counts = np.array(list(self._state["solve_rates"].values()), dtype=float)
        below = (rates < rate_P1) + 0.5 * (rates == rate_P1)
        place = (below * counts).sum(axis=1) / counts.sum()  # among all rates so far: 0 hardest, 1 easiest
        return np.array(self.adaptive_k)[3 - np.minimum((4 * place).astype(int), 3)][:, None]

    def observe(self, group: Group) -> None:
        counts = self._state["solve_rates"]
        for rate in self.solved(group).mean(axis=1).tolist():
            counts[repr(rate)] = counts.get(repr(rate), 0) + 1
