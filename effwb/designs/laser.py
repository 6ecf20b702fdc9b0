"""LASER, LASER-D, LASER-DE: a bonus up to a target length. 2505.15612; repository hkust-nlp/Laser."""

from typing import Any, ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import ConfigError, one_of

BUCKETS = ("hard", "medium", "easy")  # solve rate below 1/3; from 1/3 and below 2/3; from 2/3
# Products of shares and counts that should be exactly 1 may come out just below it by rounding
ROUNDING = 1e-9


@design
class Laser(Design):
    """Rewards correct answers, with a bonus for those of at most `target` tokens.

        r_i = 1 + alpha 1{len_i <= L_T} if correct;  -0.5 if wrong;  -1 if there is no well-formed answer

    Wrong answers get no length term. GRPO as in verl, cap 16384.

    - A truncated rollout counts as one without a well-formed answer.

    Args:
        target: L_T in tokens. Default 8192; models with 2048, 4096 and 8192 were released.
        alpha: Bonus for a correct answer within the target, at least 0. Default 0.5.
        wrong: Reward of a wrong answer, below 1. Default -0.5.
        no_answer: Reward of a truncated rollout, below 1; the paper's value for an answer that is not
            well-formed. Default -1.0.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

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
        """Return the target length of each problem in tokens, float (P, 1)."""
        return np.full((group.P, 1), float(self.target))

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved = self.solved(group)
        failed = np.where(group.finished_PG, self.wrong, self.no_answer)
        short = group.length_PG <= self.targets(group)
        return {"correctness": np.where(solved, 1.0, failed), "length": self.alpha * (solved & short)}


@design
class LaserD(Laser):
    """Rewards correct answers, with a bonus up to a target length that depends on the difficulty.

        r_i as in LASER, with the target L_T,d of the problem's difficulty d
        L_T,d = the smallest l in {L_T, .., 16384} (multiples of 1024) with P_{l,d} |C_d| >= 1

    d follows from the solve rate of the group: easy from 2/3, medium from 1/3, hard below. |C_d| is the
    number of correct rollouts that such a problem is sure to have: ceil(2K/3), ceil(K/3) and 1, that is 6,
    3 and 1 for K = 8. P_{l,d} is the share of the correct rollouts of that difficulty that are at most l
    long, on 500 monitoring problems, re-estimated every 20 steps. If there is no such l, or no rollout of
    that difficulty, the target is 16384.

    State: "targets" (difficulty -> tokens), "pool" (the monitored groups), "steps". The shipped config of
    the released code (length_strategy "constant") does not save its targets.

    - The released code rounds |C_d| down (5, 2, 1) and takes P_{l,d} over ALL rollouts of that difficulty,
      right or wrong: `reading="released"`. In every step it also lowers targets to the longest response of
      the batch, so that this, and not 16384, is the target where no l is found. Rewards are the same: no
      response is between the two.

    Args:
        target: L_T in tokens: the smallest target, and all targets before the first estimate. Default 4096.
        alpha: Bonus for a correct answer within its target, at least 0. Default 0.5.
        wrong: Reward of a wrong answer, below 1. Default -0.5.
        no_answer: Reward of a truncated rollout, below 1; the paper's value for an answer that is not
            well-formed. Default -1.0.
        l_max: The largest target in tokens, at least `target`. Default 16384.
        interval: Distance between candidate targets in tokens. Default 1024.
        every: Steps between estimates, at least 1. Default 20.
        monitor: Where estimates come from. "training" (default): the last `monitor_size` training groups,
            which costs nothing but is not the paper's way. "held_out": the paper's; the trainer samples a
            fixed set every `every` steps and calls `update_targets`.
        monitor_size: Number of training groups that are pooled, at least 1. Default 500, the number of
            monitoring problems in the paper.
        reading: "paper" (default) or "released"; see above.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

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
        return {f"target_{name}": t for name, t in zip(BUCKETS, self._targets_of_batch(group), strict=True)}

    def targets(self, group: Group) -> np.ndarray:
        return self._targets_of_batch(group)[buckets(self.solved(group))][:, None]

    def observe(self, group: Group) -> None:
        if self.monitor == "held_out":
            return
        state = self._state
        state["pool"] = (state["pool"] + self._rows(group))[-self.monitor_size :]
        state["steps"] += 1
        if state["steps"] % self.every == 0 and state["pool"]:
            self._estimate(state["pool"], group.G)

    def update_targets(self, monitored: Group) -> None:
        """Re-estimate the targets from rollouts of the monitoring set. Changes the state.

        Args:
            monitored: Rollouts of the monitoring problems.

        Raises:
            ConfigError: `monitor` is not "held_out".
        """
        if self.monitor != "held_out":
            raise ConfigError(
                f"{self.NAME}: update_targets is for monitor='held_out'; with monitor='training' the design "
                "pools the training groups itself"
            )
        self._estimate(self._rows(monitored), monitored.G)

    def grid(self) -> np.ndarray:
        """Return the candidate targets: `target`, the multiples of `interval` above it, and `l_max`."""
        steps = self.interval * np.arange(1, np.ceil(self.l_max / self.interval))
        return np.concatenate([[self.target], steps[steps > self.target], [self.l_max]]).astype(float)

    def _targets_of_batch(self, group: Group) -> np.ndarray:
        """The target of each difficulty in the order of BUCKETS, float (3,)."""
        targets = np.array([self._state["targets"][name] for name in BUCKETS])
        if self.reading == "released" and group.length_PG.size:
            return np.minimum(targets, group.length_PG.max())
        return targets

    def _rows(self, group: Group) -> list[list]:
        """[difficulty, covered lengths] of each problem, JSON-able."""
        solved = self.solved(group)
        counted = solved if self.reading == "paper" else np.ones_like(solved)
        return [[int(d), group.length_PG[p][counted[p]].tolist()] for p, d in enumerate(buckets(solved))]

    def _estimate(self, rows: list[list], G: int) -> None:
        """Set the target of every difficulty from the rows of monitored groups with G rollouts."""
        round_ = np.ceil if self.reading == "paper" else np.floor
        sure_correct = (1.0, max(1.0, round_(G / 3)), max(1.0, round_(2 * G / 3)))  # |C_d|, in BUCKETS' order
        for d, name in enumerate(BUCKETS):
            lengths = np.array([length for bucket, row in rows if bucket == d for length in row], dtype=float)
            covering = (
                candidate
                for candidate in self.grid()
                if lengths.size and (lengths <= candidate).mean() * sure_correct[d] >= 1 - ROUNDING
            )
            self._state["targets"][name] = float(next(covering, self.l_max))


@design
class LaserDE(LaserD):
    """Rewards as LASER-D does, and also rewards wrong answers for exploring beyond the target.

        r_i = LASER-D + alpha 1{wrong and len_i > L_A},   L_A the target of the problem's difficulty

    Targets and state are those of `LaserD`.

    - Only finished wrong answers get the bonus: in the code a rollout without a well-formed answer scores
      -1 and gets none.
    - The code also withholds it from outputs that repeat themselves (n-gram detection on tokens). A Group
      has no tokens, so that is not done here.
    - 2602.20945 calls this term "Laser-D", which is another design.

    Args:
        target: L_T in tokens: the smallest target, and all targets before the first estimate. Default 4096.
        alpha: The bonus, both for correct answers within the target and for wrong ones beyond it. Default
            0.5.
        wrong: Reward of a wrong answer, below 1. Default -0.5.
        no_answer: Reward of a truncated rollout, below 1; the paper's value for an answer that is not
            well-formed. Default -1.0.
        l_max: The largest target in tokens, at least `target`. Default 16384.
        interval: Distance between candidate targets in tokens. Default 1024.
        every: Steps between estimates, at least 1. Default 20.
        monitor: Where estimates come from. "training" (default): the last `monitor_size` training groups,
            which costs nothing but is not the paper's way. "held_out": the paper's; the trainer samples a
            fixed set every `every` steps and calls `update_targets`.
        monitor_size: Number of training groups that are pooled, at least 1. Default 500, the number of
            monitoring problems in the paper.
        reading: "paper" (default) or "released", see `LaserD`.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

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
    """Return the difficulty of each problem from its solve rate.

    Args:
        solved_PG: Bool (P, G).

    Returns:
        Int (P,), an index into BUCKETS.
    """
    n, G = solved_PG.sum(axis=1), solved_PG.shape[1]  # compared as whole numbers, so that 2 of 3 is easy
    return (3 * n >= G).astype(int) + (3 * n >= 2 * G).astype(int)
