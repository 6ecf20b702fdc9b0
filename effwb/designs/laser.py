"""LASER, LASER-D, LASER-DE: a step at a target length, targets by difficulty. 2505.15612, hkust-nlp/Laser."""

from typing import Any, ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import ConfigError, one_of

BUCKETS = ("hard", "medium", "easy")  # solve rate below 1/3, below 2/3, from 2/3


@design
class Laser(Design):
    """A bonus for correct answers of at most `target` tokens.

        r_i = 1 + alpha 1{len_i <= L_T} if correct;  -0.5 if wrong;  -1 if there is no well-formed answer

    alpha = 0.5, cap 16384; targets 2048, 4096 and 8192 were released, 8192 is the default here. A truncated
    rollout counts as one without a well-formed answer (`no_answer`); wrong answers get no length term. GRPO
    (verl).

    >>> from effwb.designs import toy_group
    >>> Laser(target=2500).reward(toy_group([1000, 2000, 3000, 4000], [1, 1, 0, 1]))["total"].tolist()
    [[1.5, 1.5, -0.5, 1.0]]
    """

    NAME: ClassVar[str] = "laser"
    PAPER_CAP: ClassVar[int | None] = 16384
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"target": 1}

    target: float = 8192
    alpha: float = 0.5
    wrong: float = -0.5
    no_answer: float = -1.0

    def check(self) -> None:
        self.within("target", 0, open_low=True)
        self.within("alpha", 0.0)
        self.within("wrong", high=1.0, open_high=True)
        self.within("no_answer", high=1.0, open_high=True)

    def targets(self, group: Group) -> np.ndarray:
        """The target length of each problem, float (P, 1)."""
        return np.full((group.P, 1), float(self.target))

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved = self.solved(group)
        failed = np.where(group.finished_PG, self.wrong, self.no_answer)
        short = group.length_PG <= self.targets(group)
        return {"correctness": np.where(solved, 1.0, failed), "length": self.alpha * (solved & short)}


@design
class LaserD(Laser):
    """LASER with one target per difficulty, re-estimated while the model changes.

        L_T,d = the smallest l in {L_T, .., 16384} (multiples of 1024) with P_{l,d} |C_d| >= 1

    d by the group's solve rate: easy from 2/3, medium from 1/3, hard below. |C_d| is the number of correct
    rollouts such a problem is sure to have, ceil(2K/3), ceil(K/3), 1, i.e. 6, 3, 1 for K = 8; P_{l,d} is
    the share of correct rollouts of that bucket covered within l, on 500 monitoring problems, re-estimated
    every 20 steps. No such l, or an empty bucket: 16384. Before the first estimate all targets are L_T =
    `target` (4096).

    `reading="released"` is the code: floor instead of ceil (5, 2, 1), and coverage of ALL rollouts of the
    bucket, right or wrong. `monitor="training"` pools the last `monitor_size` training groups, which costs
    nothing and is a deviation; "held_out" is the paper's: the trainer samples a fixed set every `every`
    steps and calls `update_targets`. State: targets, pool, step count (the shipped config with
    length_strategy "constant" does not save its targets).

    >>> from effwb.designs import toy_group
    >>> design = LaserD(target=1024, monitor="held_out")
    >>> design.update_targets(toy_group([1000, 2000, 3000, 4000], [1, 1, 1, 0]))
    >>> design.state()["targets"]
    {'hard': 16384.0, 'medium': 16384.0, 'easy': 1024.0}
    """

    NAME: ClassVar[str] = "laser_d"
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"target": 1, "l_max": 1, "interval": 1}

    target: float = 4096
    l_max: float = 16384
    interval: float = 1024
    every: int = 20
    monitor: str = "training"
    monitor_size: int = 500
    reading: str = "paper"

    def check(self) -> None:
        super().check()
        self.within("l_max")
        self.ordered("target", "l_max")
        self.within("interval", 0, open_low=True)
        self.whole("every", 1)
        self.whole("monitor_size", 1)
        one_of("monitor", self.monitor, ("training", "held_out"))
        one_of("reading", self.reading, ("paper", "released"))

    def fresh_state(self) -> dict[str, Any]:
        return {"targets": dict.fromkeys(BUCKETS, float(self.target)), "pool": [], "steps": 0}

    def diagnostics(self, group: Group) -> dict[str, float]:
        return {f"target_{name}": target for name, target in self._state["targets"].items()}

    def targets(self, group: Group) -> np.ndarray:
        by_bucket = np.array([self._state["targets"][name] for name in BUCKETS])
        return by_bucket[buckets(self.solved(group))][:, None]

    def observe(self, group: Group) -> None:
        if self.monitor == "held_out":
            return
        self._state["pool"] = (self._state["pool"] + self._rows(group))[-self.monitor_size :]
        self._state["steps"] += 1
        if self._state["steps"] % self.every == 0 and self._state["pool"]:
            self._estimate(self._state["pool"], group.G)

    def update_targets(self, monitored: Group) -> None:
        """Re-estimate the targets from rollouts of the monitoring set; for `monitor="held_out"`."""
        if self.monitor != "held_out":
            raise ConfigError(
                f"{self.NAME}: update_targets is for monitor='held_out'; training pools its own"
            )
        self._estimate(self._rows(monitored), monitored.G)

    def grid(self) -> np.ndarray:
        """Candidate targets: `target`, the multiples of `interval` above it, and `l_max`."""
        steps = self.interval * np.arange(1, np.ceil(self.l_max / self.interval))
        return np.concatenate([[self.target], steps[steps > self.target], [self.l_max]]).astype(float)

    def _rows(self, group: Group) -> list:
        """[bucket, covered lengths] per problem, JSON-able."""
        solved = self.solved(group)
        counted = solved if self.reading == "paper" else np.ones_like(solved)
        return [[int(d), group.length_PG[p][counted[p]].tolist()] for p, d in enumerate(buckets(solved))]

    def _estimate(self, rows: list, G: int) -> None:
        round_ = np.ceil if self.reading == "paper" else np.floor
        sure = (1.0, max(1.0, round_(G / 3)), max(1.0, round_(2 * G / 3)))
        for d, name in enumerate(BUCKETS):
            lengths = np.array([length for bucket, row in rows if bucket == d for length in row], dtype=float)
            self._state["targets"][name] = self._smallest(lengths, sure[d])

    def _smallest(self, lengths: np.ndarray, sure: float) -> float:
        for candidate in self.grid():
            if lengths.size and (lengths <= candidate).mean() * sure >= 1 - 1e-9:
                return float(candidate)
        return float(self.l_max)


@design
class LaserDE(LaserD):
    """LASER-D that also pays wrong answers for exploring beyond the target.

        r_i = LASER-D + alpha 1{wrong and len_i > L_A},   L_A the target of the problem's difficulty

    The bonus goes to finished wrong answers only: in the code a rollout without a well-formed answer scores
    -1 and is left out. The code also withholds it from outputs that repeat themselves (n-gram detection on
    tokens); a Group has no tokens, so that is not done here. 2602.20945 calls this term "Laser-D"; do not
    copy that label.

    >>> from effwb.designs import toy_group
    >>> LaserDE(target=2500).reward(toy_group([1000, 2000, 3000, 4000], [1, 0, 0, 1]))["total"].tolist()
    [[1.5, -0.5, 0.0, 1.0]]
    """

    NAME: ClassVar[str] = "laser_de"

    def components(self, group: Group) -> dict[str, np.ndarray]:
        parts = super().components(group)
        explored = ~self.solved(group) & group.finished_PG & (group.length_PG > self.targets(group))
        return {**parts, "exploration": self.alpha * explored}


def buckets(solved_PG: np.ndarray) -> np.ndarray:
    """Difficulty of each problem, int (P,), an index into BUCKETS; in whole numbers, so 2 of 3 is easy."""
    n, G = solved_PG.sum(axis=1), solved_PG.shape[1]
    return (3 * n >= G).astype(int) + (3 * n >= 2 * G).astype(int)
