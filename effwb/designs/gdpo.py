"""GDPO, group reward-decoupled normalisation, 2601.05242 (SECONDARY SOURCE); repository NVlabs/GDPO."""

from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group


@design
class Gdpo(Design):
    """Rewards correctness and shortness, each normalised separately before they are added.

        A = whiten_batch( w_correctness Z(c_i) + w_length Z(1{len_i <= L}) )
        Z(x) = (x - mean) / (std + eps) in the group

    Sample std and eps 1e-6 as in verl. A truncated rollout is not short.

    - The released code takes exactly two rewards and whitens over tokens: `weighting="token"`.
    - `rule="group"` adds the two rewards first and then normalises the sum: the GRPO that GDPO is compared
      with.
    - SECONDARY SOURCE. The cap of the training run was not found; the 8000 that L is scaled from is an
      assumption.

    Args:
        target: L in tokens. Default 4000.
        w_correctness: Weight of correctness, at least 0. Default 1.0.
        w_length: Weight of shortness, at least 0. Default 1.0.
        gated: True: a short answer is rewarded only if it is correct, the paper's conditioned reward.
            Default False.
        rule: The advantage rule, see `Design`. Default "decoupled".

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([1000, 2000, 5000, 6000], [1, 0, 1, 0])
    >>> Gdpo().reward(g)["total"].tolist()
    [[2.0, 1.0, 1.0, 0.0]]
    >>> Gdpo(std="population", eps=0.0).advantage(g).round(6).tolist()
    [[1.414214, 0.0, 0.0, -1.414214]]
    """

    NAME: ClassVar[str] = "gdpo"
    PAPER_CAP: ClassVar[int | None] = 8000
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"target": 1}

    target: float = 4000
    w_correctness: float = 1.0
    w_length: float = 1.0
    gated: bool = False
    rule: str = "decoupled"

    def check(self) -> None:
        self.within("target", 0, open_low=True)
        self.within("w_correctness", 0.0)
        self.within("w_length", 0.0)
        self.flag("gated")

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved = self.solved(group)
        short = (group.length_PG <= self.target) & group.finished_PG
        return {"correctness": solved, "length": short & solved if self.gated else short}

    def component_weights(self, names: Iterable[str], group: Group) -> dict[str, float]:
        return {"correctness": self.w_correctness, "length": self.w_length}

    def combine(self, components: dict[str, np.ndarray]) -> np.ndarray:
        """Return the weighted sum, which is logged, and normalised by `rule="group"`."""
        return self.w_correctness * components["correctness"] + self.w_length * components["length"]
