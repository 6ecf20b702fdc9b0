"""LEAD, length-efficient adaptive and dynamic reasoning, 2605.09806; repository CrazyMint/LEAD.

GRPO-LEAD (2504.09696) is another paper.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from effwb.designs import statistics
from effwb.designs.base import Design, design
from effwb.designs.group import Group
from effwb.errors import DataError, one_of

MODES = ("max_sym", "max_asym", "upper_only")
AGGREGATORS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mean": statistics.mean,
    "median": statistics.median,
    "min": statistics.smallest,
    "mean_all": statistics.mean,
}
UNSOLVED = ("paper", "neutral")
REWARDS = ("correctness", "efficiency")
# lead_epsilon of the released code, added to variances and denominators. Weights only agree with the code's
# with this value: a reward without any variance has std sqrt(EPS) = 1e-4, not 0.
EPS = 1e-8


class Instability(NamedTuple):
    """How unsettled the two rewards of a step are; every array is float (2,): (correctness, efficiency).

    Attributes:
        mean: Mean of the group means.
        std: Standard deviation, within and between groups.
        cv: Coefficient of variation, std / |mean|.
        share: cv divided by the sum of both.
        potential: How far the mean is from the best possible value, from 0 to 1.
        target: The weights that the moving average is drawn to, share times potential, with sum 1.
    """

    mean: np.ndarray
    std: np.ndarray
    cv: np.ndarray
    share: np.ndarray
    potential: np.ndarray
    target: np.ndarray


@design
class Lead(Design):
    """Rewards answers as long as the group's own correct ones, weighted by what is left to learn.

        L* = clip(mean len of the correct rollouts of the group, 1000, Bmax);   none correct: L* = Bmax
        e_i = max(-1, 1 - |len_i - L*| / L*), right or wrong
        A = whiten(w Z(c_i) + (1 - w) Z(e_i)) over all tokens of the batch,   Z(x) = (x - mean) / (std + eps)
        w = max(v, 0.3),   v <- 0.95 v + 0.05 D_c / (D_c + D_e) from v = 0.5
        D_k = CV_k / (CV_c + CV_e) H_k,   CV_k = std_k / |mean_k|;   H_c = 1 - mean_c, H_e = (1 - mean_e) / 2

    c is correctness, e efficiency. D is the potential-scaled instability: a reward weighs more while it still
    varies and is far from its best value. mean_k is the mean of the group means, std_k^2 the mean of the
    group variances (population) plus the variance of the group means; for c over all rollouts, for e over
    the correct ones. H is raised to the power `alpha`. The weights of a step already include that step. L*
    has no memory: it is that of the current group. Z uses the sample std and eps 1e-6.

    The state is {"weights": [v, 1 - v], "steps": number of steps}. With `static` v goes on unused, for
    comparison. The total reward is the plain sum and is only logged. Under another rule than "decoupled"
    the sum is normalised, weighted by `static` if that is given.

    A trap of the paper: in mode "max_sym" a group without a correct answer has e_i = len_i / Bmax, so that
    LONGER WRONG answers get a positive advantage (a comment in the code says "no efficiency pressure"). With
    `unsolved="neutral"` such a group gets no advantage.

    - The text of the paper was not available. This follows the released code, with the paper's mode
      "max_sym"; the code's default is "max_asym".
    - A group whose rewards are all equal gets exactly 0 here (see `advantages`); the code gives it minus
      the batch mean.
    - With `truncated="masked"` masked rollouts are in no mean of Z and of the whitening, but count as wrong
      in c.
    - The code has a flag "initialized", here steps > 0. With `static` the code stores the fixed pair as v.

    Args:
        mode: The efficiency reward e.
            "max_sym" (default): the formula above.
            "max_asym": max(0, 1 - len/L*) for a correct answer, but 0 below `too_short` tokens;
            clip(1 - len/L*, -1, 0) for a wrong one.
            "upper_only": clip(1 - len/L*, -1, 0) for all answers.
        aggregator: L* from the correct lengths, "mean" (default), "median" or "min", or from all lengths,
            "mean_all".
        unsolved: Groups without a correct answer: "paper" (default) keeps the formula, "neutral" sets e_i =
            0.
        static: Fixed weight w of correctness, in [0, 1], without a floor. None (default): the moving
            average. The ratios e : c of 0, .25, .5, 1, 2 and 4 in the paper are static = 1 / (1 + ratio).
        b_max: Bmax, the largest L* in tokens. Default 8000, also the cap of the released run.
        b_min: Smallest L* in tokens, at most `b_max`. Default 1000.
        too_short: In mode "max_asym", tokens below which a correct answer has e = 0. Default 500.
        alpha: Exponent of H, at least 0. Default 1.0.
        beta: Inertia of v, in [0, 1). Default 0.95.
        floor: Smallest w, in [0, 1]. Default 0.3.
        rule: The advantage rule, see `Design`. Default "decoupled".
        masked_in_statistics: See `Design`. Default False.
        weighting: See `Design`. None (default): "token" for the rules "batch" and "decoupled", "rollout"
            for others.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

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
    weighting: str = None  # type: ignore[assignment]  # None until `_resolve_rule`

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
        """Return L* of each problem in tokens, float (P, 1)."""
        counted = self.solved(group)
        if self.aggregator == "mean_all":
            counted = np.ones_like(counted)
        typical = AGGREGATORS[self.aggregator](group.length_PG.astype(float), counted)
        return np.where(statistics.count(counted) > 0, np.clip(typical, self.b_min, self.b_max), self.b_max)

    def efficiency(self, length: ArrayLike, solved: ArrayLike, target: ArrayLike) -> np.ndarray:
        """Return the efficiency reward e; the shapes of the arguments broadcast.

        Args:
            length: Lengths in tokens.
            solved: Verdicts, bool.
            target: L* in tokens.

        Returns:
            Float, in [-1, 1].
        """
        length = np.asarray(length, dtype=float)
        saved = 1.0 - length / np.asarray(target)
        if self.mode == "max_sym":
            return np.maximum(-1.0, 1.0 - np.abs(saved))
        over = np.clip(saved, -1.0, 0.0)
        if self.mode == "upper_only":
            return over
        return np.where(solved, np.where(length < self.too_short, 0.0, np.maximum(saved, 0.0)), over)

    def combine(self, components: dict[str, np.ndarray]) -> np.ndarray:
        if self.static is None or self.rule == "decoupled":
            return super().combine(components)  # only logged, the same whatever the weights
        return self.static * components["correctness"] + (1.0 - self.static) * components["efficiency"]

    # the weights of the two rewards

    def component_weights(self, names: Iterable[str], group: Group) -> dict[str, float]:
        used = self.used_weight(group)
        return {"correctness": used, "efficiency": 1.0 - used}

    def used_weight(self, group: Group) -> float:
        """Return w, the weight of correctness in this step."""
        if self.static is not None:
            return float(self.static)
        return max(float(self.ema_weights(group)[0]), self.floor)

    def ema_weights(self, group: Group) -> np.ndarray:
        """Return v after this step, float (2,): (correctness, efficiency).

        The floor is not applied, and v moves even where `static` is used instead of it.
        """
        previous = np.array(self._state["weights"])
        if group.P == 0:
            return previous
        return self.beta * previous + (1.0 - self.beta) * self.instability(group).target

    def instability(self, group: Group) -> Instability:
        """Return the potential-scaled instability of a step, computed on raw rewards."""
        solved, efficiency = self.solved(group), self.components(group)["efficiency"]
        moments = _moments(solved.astype(float), np.ones_like(solved)), _moments(efficiency, solved)
        mean, std = np.array(moments).T
        cv = std / (np.abs(mean) + EPS)
        share = cv / (cv.sum() + EPS)
        level = np.clip([mean[0], (mean[1] + 1.0) / 2.0], 0.0, 1.0)  # both means on a scale from 0 to 1
        potential = (1.0 - level) ** self.alpha
        product = share * potential  # D_c and D_e
        return Instability(mean, std, cv, share, potential, product / (product.sum() + EPS))

    def observe(self, group: Group) -> None:
        self._state["weights"] = self.ema_weights(group).tolist()
        self._state["steps"] += 1

    def diagnostics(self, group: Group) -> dict[str, float]:
        instability = self.instability(group)
        values = {
            "correctness_weight/target": instability.target[0],
            "correctness_weight/ema": self.ema_weights(group)[0],
            "correctness_weight/used": self.used_weight(group),
        }
        pairs = {"cv": instability.cv, "cv_share": instability.share, "potential": instability.potential}
        for name, pair in pairs.items():
            values |= {f"{name}/{reward}": value for reward, value in zip(REWARDS, pair, strict=True)}
        any_solved = self.solved(group).any(axis=1)
        targets = self.target_lengths(group)[any_solved]
        for name in ("min", "mean", "max"):
            values[f"target_length/{name}"] = getattr(targets, name)() if any_solved.any() else np.nan
        values["unsolved_share"] = 1.0 - any_solved.mean() if group.P else np.nan
        return values


def _moments(values_PG: np.ndarray, keep_PG: np.ndarray) -> tuple[float, float]:
    """Mean and std over groups, every group with the same weight; (0, 0) where no rollout counts.

    The std follows from the law of total variance: variance within groups plus variance between them.
    """
    nonempty = keep_PG.any(axis=1)
    if not nonempty.any():
        return 0.0, 0.0
    means = statistics.mean(values_PG, keep_PG)[nonempty]
    variances = statistics.std(values_PG, keep_PG, ddof=0)[nonempty] ** 2
    return float(means.mean()), float(np.sqrt(variances.mean() + means.var() + EPS))
