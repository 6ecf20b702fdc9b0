"""HAPO, history-aware policy optimization, 2505.11225 (SECONDARY SOURCE)."""

from typing import Any, ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group


@design
class Hapo(Design):
    """Rewards correct answers, with a bonus for beating the shortest correct answer so far to the problem.

        f_i = cos(min(pi/2 len_i / h, pi)),   h = min correct length in the history of the problem
        r_i = c_i + w (max(f_i, c) if correct else min(f_i, 0));   without history the length term is 0

    With the default w and c a correct answer, however long, keeps 0.3. A wrong answer gains nothing by
    being short.

    State: "minima", problem id -> h in tokens. It is updated after the step, so the first visit to a
    problem has no length term.

    - SECONDARY SOURCE, see `effwb.designs`.

    Args:
        w: Weight of the length term, at least 0. Default 1.0.
        c: Lowest length term of a correct answer, in [-1, 0]. Default -0.7.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

    >>> from effwb.designs import toy_group
    >>> design = Hapo()
    >>> design.observe(toy_group([2000, 2500], [1, 1]))
    >>> design.reward(toy_group([1000, 2000, 3000, 4000], [1, 1, 0, 1]))["total"].round(6).tolist()
    [[1.707107, 1.0, -0.707107, 0.3]]
    """

    NAME: ClassVar[str] = "hapo"

    w: float = 1.0
    c: float = -0.7

    def check(self) -> None:
        self.within("w", 0.0)
        self.within("c", -1.0, 0.0)

    def fresh_state(self) -> dict[str, Any]:
        return {"minima": {}}

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved = self.solved(group)
        minima = self._state["minima"]
        h = np.array([minima.get(pid, np.nan) for pid in group.problem_ids], dtype=float).reshape(group.P, 1)
        has_history = ~np.isnan(h)
        # a correct answer of 0 tokens would make every later length infinitely long
        ratio = group.length_PG / np.maximum(np.where(has_history, h, 1.0), 1.0)
        f = np.cos(np.minimum(0.5 * np.pi * ratio, np.pi))
        length = np.where(solved, np.maximum(f, self.c), np.minimum(f, 0.0))
        return {"correctness": solved, "length": self.w * np.where(has_history, length, 0.0)}

    def observe(self, group: Group) -> None:
        solved, minima = self.solved(group), self._state["minima"]
        for p, pid in enumerate(group.problem_ids):
            if solved[p].any():
                shortest = int(group.length_PG[p][solved[p]].min())
                minima[pid] = min(minima.get(pid, shortest), shortest)
