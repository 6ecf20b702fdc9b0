"""BRPO of AnytimeReasoner, budget-relative policy optimisation. 2505.13438.

Repository sail-sg/AnytimeReasoner.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from effwb import budgets as rules
from effwb.designs import segments
from effwb.designs.base import design
from effwb.designs.forced import ForcedAnswers
from effwb.designs.group import Group, require_shared_budgets
from effwb.errors import ConfigError, one_of

PRIORS = ("base", "uniform", "linear")
BASELINES = ("both", "V1", "V2")
# Returns and baselines are sums of a few numbers below 1. A difference this small is floating-point rounding,
# and a group in which all rollouts are alike must get exactly 0.
ROUNDING = 1e-12


@design
class Brpo(ForcedAnswers):
    """Rewards right answers at m token budgets, compared with the rollout's own past and with its group.

        R(t) = sum_{j >= j_t} P_j r_j,   A = R - V,   no std
        V1 = (sum_{j < j_t} lam^(j_t - j) r_j / sum_{j < j_t} lam^(j_t - j)) sum_{j >= j_t} P_j
        V2 = mean over the group of R;   V = (j_t - 1)/m V1 + (m - j_t + 1)/m V2

    r_j is the verdict at budget j, P_j its prior weight, j_t the first budget after token t. The last budget
    is the cap.

    - The released code forces a summary at the last budget too (`sample_partial_cot`): the default
      `at_cap="forced"`. With "own" a rollout that does not end by itself is wrong there.
    - The paper trains a summary policy that writes 4 short answers per budget; r_j is their mean. Here r_j
      is the verdict on one forced answer, as in REO-RL.

    The attribute `chosen` holds the budgets below the cap in tokens, int (m - 1,).

    Args:
        budgets: The m - 1 budgets below the cap in tokens, a rising list. None (default): equally spaced,
            as in the paper (2000, 4000 and 6000 at a cap of 8000).
        m: Number of budgets with the cap as the last one, at least 2; used where `budgets` is None. Default
            4.
        prior: P_j. "uniform" (default); "linear", proportional to the budget; "base", all on the full
            response, which makes probing useless: it is GRPO without std.
        baseline: "both" (default), or the paper's ablations "V1" and "V2".
        lam: Decay of the rollout's past, in (0, 1]. Default 0.5.
        at_cap: The verdict at the cap of a truncated rollout: "forced" (default) or "own"; see above.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`;
    `rule` must be "group" and is not used.

    >>> from effwb.designs import toy_group
    >>> probes = {"probe_budgets_K": [2000, 4000, 6000], "probe_correct_PGK": [[[0, 1, 1], [0, 0, 0]]]}
    >>> Brpo().own_past(toy_group([7000, 900], [1, 0], cap=8000, **probes))[0, 0].round(6).tolist()
    [0.0, 0.0, 0.333333, 0.214286]
    """

    NAME: ClassVar[str] = "brpo"
    PAPER_CAP: ClassVar[int | None] = 8000
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"budgets": 1}

    budgets: Any = None
    m: int = 4
    prior: str = "uniform"
    baseline: str = "both"
    lam: float = 0.5

    def check(self) -> None:
        super().check()
        self.chosen: np.ndarray
        self.whole("m", 2)
        one_of("prior", self.prior, PRIORS)
        one_of("baseline", self.baseline, BASELINES)
        self.within("lam", 0.0, 1.0, open_low=True)
        if self.rule != "group":
            raise ConfigError(
                f"brpo has its own baselines and cannot use rule={self.rule!r}; leave rule='group'"
            )
        if self.cap is not None:
            listed = self.budgets if self.budgets is not None else rules.linear(self.m - 1, self.cap)
            self._set("chosen", rules.check_budgets(listed))
            rules.coefficients(self.chosen, self.cap)  # refuses budgets outside (0, cap)

    def probe_points(
        self, problem_id: str, completion_ids: list[int], cap: int, decode: Callable[[list[int]], str]
    ) -> list[int]:
        return self.chosen.tolist()

    def weights(self, group: Group) -> np.ndarray:
        """Return P_j, float (m,) with sum 1; the last one is that of the full response."""
        ends = np.append(require_shared_budgets(group, self.NAME), group.cap).astype(float)
        weights = {"base": ends == ends[-1], "uniform": np.ones_like(ends), "linear": ends}[self.prior]
        return weights / weights.sum()

    def components(self, group: Group) -> dict[str, np.ndarray]:
        parts = self.verdicts(group) * self.weights(group)
        names = [*(f"at_{b}" for b in require_shared_budgets(group, self.NAME).tolist()), "full"]
        return {name: parts[..., k] for k, name in enumerate(names)}

    def own_past(self, group: Group) -> np.ndarray:
        """Return V1 of each segment, float (P, G, m); 0 for the first segment, which has no past."""
        verdicts, prior = self.verdicts(group), self.weights(group)
        remaining, V1 = np.cumsum(prior[::-1])[::-1], np.zeros_like(verdicts)
        for k in range(1, verdicts.shape[-1]):
            decay = self.lam ** np.arange(k, 0, -1)
            V1[..., k] = remaining[k] * (verdicts[..., :k] @ decay) / decay.sum()
        return V1

    def unwhitened(self, group: Group) -> np.ndarray:
        """Return float (P, G, m), one advantage per segment. Pure."""
        returns = segments.returns_to_go(self.verdicts(group) * self.weights(group))
        V1, V2 = self.own_past(group), returns.mean(axis=1, keepdims=True)
        m = returns.shape[-1]
        share = np.arange(m) / m if self.baseline == "both" else np.full(m, float(self.baseline == "V1"))
        advantage = (returns - share * V1 - (1 - share) * V2) * self.mask(group)[..., None]
        return np.where(np.abs(advantage) < ROUNDING, 0.0, advantage)
