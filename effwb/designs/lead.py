"""LEAD, length-efficient adaptive and dynamic reasoning, 2605.09806; repository CrazyMint/LEAD. Not
GRPO-LEAD.
"""

from typing import Any, ClassVar, NamedTuple

import numpy as np

from effwb.designs import statistics
from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import DataError, one_of

MODES = ("max_sym", "max_asym", "upper_only")
AGGREGATORS = {
    "mean": statistics.mean,
    "median": statistics.median,
    "min": statistics.smallest,
    "mean_all": statistics.mean,
}
UNSOLVED = ("paper", "neutral")
REWARDS = ("correctness", "efficiency")
EPS = 1e-8  # lead_epsilon of the released code, and what it adds to the variances


class Instability(NamedTuple):
    """What a step says about both rewards; each is (correctness, efficiency)."""

    mean: np.ndarray
    std: np.ndarray
    cv: np.ndarray  # std / |mean|
    share: np.ndarray  # cv over the sum of both
    potential: np.ndarray  # how far the mean is from the best possible, 0 to 1
    target: np.ndarray  # the weights asked for


@design
class Lead(Design):
    """Be as long as your own right answers to this problem, and weigh that by what there is left to learn.

        L* = clip(mean len of the correct rollouts of the group, 1000, Bmax);   none correct: L* = Bmax
        e_i = max(-1, 1 - |len_i - L*| / L*), right or wrong
        A = whiten(w Z(c_i) + (1 - w) Z(e_i)) over all tokens of the batch,   Z(x) = (x - mean) / (std + eps)
        w = max(v, 0.3),   v <- 0.95 v + 0.05 D_c / (D_c + D_e) from v = 0.5
        D_k = CV_k / (CV_c + CV_e) H_k,   CV_k = std_k / |mean_k|;   H_c = 1 - mean_c, H_e = (1 - mean_e) / 2

    D is the potential-scaled instability: a reward weighs more while it still varies and is far from its
    best. mean_k is the mean of the group means, std_k^2 the mean of the group variances (population) plus
    the variance of the group means; c over all rollouts, e over the correct ones; `alpha` is an exponent of
    H. The weights of a step already hold the step itself. L* has no memory: it is of the current group.

    Bmax = 8000, which is also the cap of the released run; Z with the sample std and eps 1e-6. `aggregator`:
    mean, median or min of the correct lengths, or mean_all. `static` fixes w without a floor (the paper's
    ratios e : c of 0, .25, .5, 1, 2, 4 are static = 1 / (1 + ratio)). The paper's text was not available:
    this is its code, with the paper's mode, `max_sym`. The code's default is `max_asym`: max(0, 1 - len/L*)
    for a correct answer, but 0 below 500 tokens, and clip(1 - len/L*, -1, 0) for a wrong one; `upper_only`
    is the latter for all.

    A trap: in `max_sym` a group without a correct answer has e_i = len_i / Bmax, so that LONGER WRONG answers
    get a positive advantage (a comment of the code says "no efficiency pressure"). `unsolved="neutral"` gives
    such a group e_i = 0, hence no advantage.

    Groups whose rewards are equal get exactly 0 (`advantages`); the code gives them minus the batch mean.
    With `truncated="masked"` masked rollouts are in no mean of Z and of whiten, but count as wrong in c.
    The total is the plain sum and only logged; under another rule than "decoupled" it is what is normalised,
    weighted by `static` if it is given.
    State: v of both rewards and the number of steps; the code's flag "initialized" is steps > 0. Under
    `static` v goes on unused, to be compared; the code stores the fixed pair there.

    >>> from effwb.designs import toy_group
    >>> g = toy_group([1000, 2000, 3000, 4000], [1, 1, 0, 1])
    >>> Lead().reward(g)["efficiency"].round(6).tolist()
    [[0.428571, 0.857143, 0.714286, 0.285714]]
    >>> Lead(mode="max_asym").reward(g)["efficiency"].round(6).tolist()
    [[0.571429, 0.142857, -0.285714, 0.0]]
    """

    NAME: ClassVar[str] = "lead"
    PAPER_CAP: ClassVar[int | None] = 8000
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"b_max": 1, "b_min": 1, "too_short": 1}

    mode: str = "max_sym"
    aggregator: str = "mean"
    unsolved: str = "paper"
    static: float | None = None
    b_max: float = 8000
    b_min: float = 1000
    too_short: float = 500
    alpha: float = 1.0
    beta: float = 0.95
    floor: float = 0.3
    rule: str = "decoupled"
    masked_in_statistics: bool = False
    weighting: str | None = None  # "token" where the rule allows it

    def _resolve_rule(self) -> None:
        super()._resolve_rule()
        if self.weighting is None:
            self._set("weighting", "token" if self.rule in ("batch", "decoupled") else "rollout")

    def check(self) -> None:
        one_of("mode", self.mode, MODES)
        one_of("aggregator", self.aggregator, AGGREGATORS)
        one_of("unsolved", self.unsolved, UNSOLVED)
        self.within("static", 0.0, 1.0, optional=True)
        self.within("b_min", 0, open_low=True)
        self.within("b_max", 0, open_low=True)
        self.ordered("b_min", "b_max")
        self.within("too_short", 0)
        self.within("alpha", 0.0)
        self.within("beta", 0.0, 1.0, open_high=True)
        self.within("floor", 0.0, 1.0)

    def fresh_state(self) -> dict[str, Any]:
        return {"weights": [0.5, 0.5], "steps": 0}

    def load_state(self, state: dict[str, Any]) -> None:
        weights = state.get("weights", [0.5, 0.5])
        numbers = isinstance(weights, list) and [isinstance(w, int | float) and 0 <= w <= 1 for w in weights]
        if numbers != [True, True]:
            raise DataError(f"state of lead: weights={weights!r} must be two numbers in [0, 1]")
        super().load_state(state)

    # the two rewards

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved = self.solved(group)
        efficiency = self.efficiency(group.length_PG, solved, self.target_lengths(group))
        if self.unsolved == "neutral":
            efficiency = np.where(solved.any(axis=1, keepdims=True), efficiency, 0.0)
        return {"correctness": solved, "efficiency": efficiency}

    def target_lengths(self, group: Group) -> np.ndarray:
        """L* of each problem in tokens, float (P, 1)."""
        counted = self.solved(group)
        if self.aggregator == "mean_all":
            counted = np.ones_like(counted)
        typical = AGGREGATORS[self.aggregator](group.length_PG.astype(float), counted)
        return np.where(statistics.count(counted) > 0, np.clip(typical, self.b_min, self.b_max), self.b_max)

    def efficiency(self, length, solved, target) -> np.ndarray:
        """E of rollouts of these lengths and verdicts where the target is `target`; shapes broadcast."""
        saved = 1.0 - np.asarray(length, dtype=float) / target
        if self.mode == "max_sym":
            return np.maximum(-1.0, 1.0 - np.abs(saved))
        over = np.clip(saved, -1.0, 0.0)
        if self.mode == "upper_only":
            return over
        return np.where(solved, np.where(length < self.too_short, 0.0, np.maximum(saved, 0.0)), over)

    def combine(self, components: dict[str, np.ndarray]) -> np.ndarray:
        if self.static is None or self.rule == "decoupled":
            return super().combine(components)  # only logged, alike for all weights
        return self.static * components["correctness"] + (1.0 - self.static) * components["efficiency"]

    # their weights

    def component_weights(self, names, group: Group) -> dict[str, float]:
        used = self.used_weight(group)
        return {"correctness": used, "efficiency": 1.0 - used}

    def used_weight(self, group: Group) -> float:
        """w, the weight of correctness in this step."""
        return max(float(self.smoothed(group)[0]), self.floor) if self.static is None else float(self.static)

    def smoothed(self, group: Group) -> np.ndarray:
        """V after this step, for both rewards; without a floor, and also where `static` is used instead."""
        before = np.array(self._state["weights"])
        return self.beta * before + (1.0 - self.beta) * self.instability(group).target if group.P else before

    def instability(self, group: Group) -> Instability:
        """The potential-scaled instability of a step, on raw rewards."""
        solved, efficiency = self.solved(group), self.components(group)["efficiency"]
        both = _moments(solved.astype(float), np.ones_like(solved)), _moments(efficiency, solved)
        mean, std = np.array(both).T
        cv = std / (np.abs(mean) + EPS)
        share = cv / (cv.sum() + EPS)
        reached = np.clip([mean[0], (mean[1] + 1.0) / 2.0], 0.0, 1.0)
        potential = (1.0 - reached) ** self.alpha
        asked = share * potential
        return Instability(mean, std, cv, share, potential, asked / (asked.sum() + EPS))

    def observe(self, group: Group) -> None:
        self._state["weights"] = self.smoothed(group).tolist()
        self._state["steps"] += 1

    def diagnostics(self, group: Group) -> dict[str, float]:
        found = self.instability(group)
        solved = self.solved(group).any(axis=1)
        targets = self.target_lengths(group)[solved]
        ends = {"min": np.min, "mean": np.mean, "max": np.max}
        weight = {"target": found.target[0], "ema": self.smoothed(group)[0], "used": self.used_weight(group)}
        pairs = {"cv": found.cv, "cv_share": found.share, "potential": found.potential}
        return {
            **{f"correctness_weight/{name}": value for name, value in weight.items()},
            **{f"{name}/{k}": v for name, pair in pairs.items() for k, v in zip(REWARDS, pair, strict=True)},
            **{f"target_length/{name}": f(targets) if solved.any() else np.nan for name, f in ends.items()},
            "unsolved_share": 1.0 - solved.mean() if group.P else np.nan,
        }


def _moments(values_PG: np.ndarray, keep_PG: np.ndarray) -> tuple[float, float]:
    """Mean over groups and std by the law of total variance, every group alike; 0, 0 where nothing counts."""
    some = keep_PG.any(axis=1)
    if not some.any():
        return 0.0, 0.0
    means = statistics.mean(values_PG, keep_PG)[some]
    variances = statistics.std(values_PG, keep_PG, ddof=0)[some] ** 2
    return float(means.mean()), float(np.sqrt(variances.mean() + means.var() + EPS))
