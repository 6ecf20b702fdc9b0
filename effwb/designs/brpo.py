"""BRPO of AnytimeReasoner, budget-relative policy optimisation. 2505.13438; repository
sail-sg/AnytimeReasoner.
"""

from typing import Any, ClassVar

import numpy as np

from effwb import budgets as rules
from effwb.designs import segments
from effwb.designs.base import Design, design
from effwb.designs.group import Group, require_probes
from effwb.errors import ConfigError, one_of

PRIORS = ("base", "uniform", "linear")
BASELINES = ("both", "V1", "V2")


@design
class Brpo(Design):
    """Verdicts at m budgets under a prior, with baselines from the rollout's own past and from the group.

        R(t) = sum_{j >= j_t} P_j r_j,   A = R - V,   no std
        V1 = (sum_{j < j_t} lam^(j_t - j) r_j / sum_{j < j_t} lam^(j_t - j)) sum_{j >= j_t} P_j
        V2 = mean over the group of R;   V = (j_t - 1)/m V1 + (m - j_t + 1)/m V2

    m = 4 budgets, equally spaced up to the cap (2000 .. 8000), lam = 0.5. `prior`: "base" all weight on the
    full response (then nothing is probed usefully: it is GRPO without std), "uniform", or "linear" P_j
    proportional to b_j. `baseline` "V1" and "V2" are the paper's ablations. The paper trains a summary policy
    that writes 4 short answers per budget, whose mean is r_j; here r_j is the one forced answer, as for
    REO-RL.

    >>> from effwb.designs import toy_group
    >>> probes = {"probe_budgets_K": [2000, 4000, 6000], "probe_correct_PGK": [[[0, 1, 1], [0, 0, 0]]]}
    >>> Brpo().own_past(toy_group([7000, 900], [1, 0], cap=8000, **probes))[0, 0].round(6).tolist()
    [0.0, 0.0, 0.333333, 0.214286]
    """

    NAME: ClassVar[str] = "brpo"
    PAPER_CAP: ClassVar[int | None] = 8000
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"budgets": 1}
    probes: ClassVar[bool] = True

    budgets: Any = None
    m: int = 4
    prior: str = "uniform"
    baseline: str = "both"
    lam: float = 0.5

    def check(self) -> None:
        self.whole("m", 2)
        one_of("prior", self.prior, PRIORS)
        one_of("baseline", self.baseline, BASELINES)
        self.within("lam", 0.0, 1.0, open_low=True)
        if self.rule != "group":
            raise ConfigError(f"brpo has its own baselines; rule={self.rule!r} is not for it")
        if self.cap is not None:
            self._set("chosen", self._choose())

    def _choose(self) -> np.ndarray:
        """The budgets below the cap, int (m - 1,); the last budget is the cap."""
        given = self.budgets if self.budgets is not None else rules.linear(self.m - 1, self.cap)
        found = rules.check_budgets(given)
        rules.coefficients(found, self.cap)  # refuses what is not inside (0, cap)
        return found

    def probe_points(self, problem_id: str, completion_ids: list[int], cap: int, decode) -> list[int]:
        return self.chosen.tolist()

    def weights(self, group: Group) -> np.ndarray:
        """P_j, float (m,), summing to 1."""
        ends = np.append(group.probe_budgets_K, group.cap).astype(float)
        weights = {"base": ends == ends[-1], "uniform": np.ones_like(ends), "linear": ends}[self.prior]
        return weights / weights.sum()

    def components(self, group: Group) -> dict[str, np.ndarray]:
        parts = require_probes(group, self.NAME) * self.weights(group)
        names = [*(f"at_{b}" for b in np.asarray(group.probe_budgets_K).tolist()), "full"]
        return {name: parts[..., k] for k, name in enumerate(names)}

    def own_past(self, group: Group) -> np.ndarray:
        """V1 of each segment, (P, G, m); 0 for the first, which has no past."""
        verdicts, prior = require_probes(group, self.NAME), self.weights(group)
        left, found = np.cumsum(prior[::-1])[::-1], np.zeros_like(verdicts)
        for k in range(1, verdicts.shape[-1]):
            decay = self.lam ** np.arange(k, 0, -1)
            found[..., k] = left[k] * (verdicts[..., :k] @ decay) / decay.sum()
        return found

    def advantage(self, group: Group) -> np.ndarray:
        """Float (P, G, m), one per segment. Pure."""
        returns = segments.returns_to_go(require_probes(group, self.NAME) * self.weights(group))
        V1, V2 = self.own_past(group), returns.mean(axis=1, keepdims=True)
        m = returns.shape[-1]
        share = np.arange(m) / m if self.baseline == "both" else np.full(m, float(self.baseline == "V1"))
        found = (returns - share * V1 - (1 - share) * V2) * self.mask(group)[..., None]
        return np.where(np.abs(found) < 1e-12, 0.0, found)  # rounding is no advantage
