"""REO-RL: verdicts at a few token budgets stand for the whole area under the accuracy-budget curve.

2506.07104, section 4 and App. E.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from effwb import budgets as rules
from effwb.designs import segments
from effwb.designs.base import design
from effwb.designs.forced import ForcedAnswers
from effwb.designs.group import Group, require_shared_budgets
from effwb.errors import ConfigError, one_of

if TYPE_CHECKING:
    import pandas as pd

BUDGETS = ("exp", "linear", "oracle", "q_spec")
# The paper does not print l_min. cap / 32 is the only choice that keeps the quadrature error near the 1 %
# that the paper claims for n = 5.
CAP_PER_L_MIN = 32


@design
class ReoRl(ForcedAnswers):
    """Rewards right answers at several token budgets, so that being right earlier is worth more.

    Every rollout is stopped at budgets L_1 < .. < L_N and asked for its answer. R_1 .. R_N are the verdicts
    on those answers, R_N+1 is the verdict at the cap.

        maximise  sum_i c_i R_i,   c_i = (L_i+1 - L_i-1) / 2,   c_N+1 = (cap - L_N) / 2
        A_i = (Return_i - mean) / std  over the group,   Return_i = sum_{j >= i} c_j R_j

    Each segment is normalised separately, with the population std and no eps; equal returns give 0. The
    weights are those of the trapezoid rule without its J(0) term, which thinking cannot change.

    - R_N+1 = R(x, Answer(y_:cap)) in App. E.1, and Answer forces an unfinished rollout (section 4.1): the
      default `at_cap="forced"`. With "own" a rollout that does not end by itself is wrong at the cap.

    - The text of the paper gives Adv_i to the tokens [L_i, L_i+1), which can no longer change R_i, and
      nothing to the tokens before L_1: `segment="paper"`. The default "causal" gives it to the tokens
      [L_i-1, L_i). It is the one default that departs from the text.
    - Table 4 has "Advantage normalization True". If that is a whitening over the batch on top of the above,
      it is `whiten=True`.
    - The rule for N = 1 is c_1 = cap / 2, the paper prints L^x / 2 for "q_spec"; see `first_weight`.
    - The paper never defines Task-Specific-Hard. `hard=True` is a plausible reading: reward at L^x only.

    The attribute `chosen` holds the budgets in tokens, int (N,); None for "q_spec".

    Args:
        budgets: Where rollouts are stopped: a rising list of tokens strictly between 0 and the cap, or one of
            these rules.
            "exp" (default): L_i = l_min (cap / l_min)^((i-1)/n).
            "linear": equally spaced.
            "oracle": greedy on `frontier`.
            "q_spec": one budget per problem, from `table`; the paper also calls it Task-Specific.
        n: Number of budgets of "exp", "linear" and "oracle", at least 1. Default 5.
        l_min: First budget of "exp" in tokens. None (default): cap / 32; the paper prints none.
        coefficients: "trapezoid" (default), or "one": all weights are 1, the paper's ablation Coef = 1.
        segment: Which tokens Adv_i updates, "causal" (default) or "paper"; see above.
        frontier: For "oracle": a `Frontier` of this cap.
        table: For "q_spec": problem id -> L^x in tokens, as `question_budgets` computes it. A problem that
            is not in it is not probed: only its full rollout counts.
        first_weight: For "q_spec": c_1 is cap / 2 with "rule" (default), L^x / 2 with "printed".
        hard: For "q_spec": True is Task-Specific-Hard. Default False.
        at_cap: The verdict at the cap of a truncated rollout: "forced" (default) or "own"; see above.
        std: See `Design`. Default "population".
        eps: See `Design`. Default 0.0.

    Defaults are the paper's, `segment` excepted, unless noted. Parameters that all designs share are
    described in `Design`; `rule` must be "group".

    >>> from effwb.designs import toy_group
    >>> R = [[[0, 0, 1], [0, 0, 0], [0, 0, 0], [0, 1, 1]]]
    >>> probes = {"probe_budgets_K": [512, 1024, 2048], "probe_correct_PGK": R}
    >>> g = toy_group([3000, 5000, 9000, 900], [1, 1, 0, 1], **probes)
    >>> ReoRl(budgets=[512, 1024, 2048]).advantage(g)[0, :, 0].round(3).tolist()
    [0.856, -0.352, -1.48, 0.977]
    """

    NAME: ClassVar[str] = "reo_rl"
    PAPER_CAP: ClassVar[int | None] = 16384
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"l_min": 1, "budgets": 1}

    budgets: Any = "exp"
    n: int = 5
    l_min: float | None = None
    coefficients: str = "trapezoid"
    segment: str = "causal"
    frontier: Any = None
    table: Mapping[str, int] | None = None
    first_weight: str = "rule"
    hard: bool = False
    std: str | None = "population"
    eps: float | None = 0.0

    def check(self) -> None:
        super().check()
        self.chosen: np.ndarray | None
        if isinstance(self.budgets, str):
            one_of("budgets of reo_rl (or a list of tokens)", self.budgets, BUDGETS)
        one_of("coefficients", self.coefficients, ("trapezoid", "one"))
        one_of("segment", self.segment, ("causal", "paper"))
        one_of("first_weight", self.first_weight, ("rule", "printed"))
        self.whole("n", 1)
        self.flag("hard")
        self.within("l_min", 0, open_low=True, optional=True)
        if self.rule != "group":
            raise ConfigError(
                f"reo_rl normalises each segment within the group and cannot use rule={self.rule!r}; "
                "leave rule='group'"
            )
        if (self.budgets == "oracle") != (self.frontier is not None):
            raise ConfigError("reo_rl: budgets='oracle' and frontier=<Frontier of this cap> come together")
        if (self.budgets == "q_spec") != (self.table is not None):
            raise ConfigError("reo_rl: budgets='q_spec' and table={problem id: budget} come together")
        if self.budgets != "q_spec" and (self.hard or self.first_weight == "printed"):
            raise ConfigError("reo_rl: hard and first_weight='printed' belong to budgets='q_spec'")
        if self.cap is not None:
            self._set("chosen", self._choose_budgets(self.cap))

    def _choose_budgets(self, cap: float) -> np.ndarray | None:
        """The budgets of all problems, int (N,); None where they differ by problem."""
        if self.table is not None:
            for problem, budget in self.table.items():
                if budget != int(budget) or not 0 < budget <= cap:
                    raise ConfigError(f"reo_rl: the budget of {problem} is {budget}, outside (0, {cap:g}]")
            return None
        if self.budgets == "exp":
            budgets = rules.exponential(self.n, self.l_min or cap / CAP_PER_L_MIN, cap)
        elif self.budgets == "linear":
            budgets = rules.linear(self.n, cap)
        elif self.budgets == "oracle":
            budgets = np.sort(rules.oracle(self.frontier, self.n, cap))
        else:
            budgets = rules.check_budgets(self.budgets)
        rules.coefficients(budgets, cap)  # refuses budgets outside (0, cap)
        return budgets

    def at_scale(self, cap: float) -> Self:
        if self.budgets in ("oracle", "q_spec"):
            raise ConfigError(
                f"reo_rl: budgets={self.budgets!r} come from data of one cap and cannot be scaled"
            )
        return super().at_scale(cap)

    def probe_points(
        self, problem_id: str, completion_ids: list[int], cap: int, decode: Callable[[list[int]], str]
    ) -> list[int]:
        if self.table is not None:
            return [int(self.table.get(problem_id, cap))]
        assert self.chosen is not None, "without a table the budgets are the same for all problems"
        return self.chosen.tolist()

    def weights(self, group: Group) -> np.ndarray:
        """Return the weights c, float (P, G, K + 1); the last one is that of the full rollout."""
        points = group.probe_budgets_PGK
        shape = (*points.shape[:-1], points.shape[-1] + 1)
        if self.coefficients == "one":
            weights = np.ones(shape)
        elif self.budgets == "q_spec":
            first = points / 2 if self.first_weight == "printed" else np.full(points.shape, group.cap / 2)
            weights = np.concatenate([first, (group.cap - points) / 2], axis=-1)
        else:
            budgets = require_shared_budgets(group, self.NAME)
            weights = np.broadcast_to(rules.coefficients(budgets, group.cap), shape)
        return weights * np.array([1.0, 0.0]) if self.hard else weights

    def components(self, group: Group) -> dict[str, np.ndarray]:
        """Return the shares of the total, which is the weighted mean of the verdicts and lies in [0, 1]."""
        verdicts, weights = self.verdicts(group), self.weights(group)
        parts = verdicts * weights / weights.sum(axis=-1, keepdims=True)
        if self.budgets == "q_spec":
            return {"at_budget": parts[..., 0], "full": parts[..., 1]}
        names = [f"at_{b}" for b in require_shared_budgets(group, self.NAME).tolist()]
        return {name: parts[..., k] for k, name in enumerate([*names, "full"])}

    def unwhitened(self, group: Group) -> np.ndarray:
        """Return float (P, G, K + 1), one advantage per segment; see `effwb.designs.segments`. Pure."""
        returns = segments.returns_to_go(self.verdicts(group) * self.weights(group))
        advantage = segments.normalise_each(returns, **self._rule_options(group))
        if self.segment == "paper":
            advantage = np.concatenate([np.zeros_like(advantage[..., :1]), advantage[..., :-1]], axis=-1)
        return advantage


def question_budgets(
    tables: Sequence[pd.DataFrame],
    cap: int,
    *,
    probes: Sequence[pd.DataFrame] | None = None,
    grid: Sequence[int] | None = None,
) -> dict[str, int]:
    """Compute L^x, the budget of every problem, for `ReoRl(budgets="q_spec", table=...)`.

        L^x = min{ L : max_theta mean_i r(x, y^i_:L) >= max_theta mean_i r(x, y^i) },  theta a checkpoint

    2506.07104, App. E.

    Args:
        tables: Rollout tables, one per checkpoint.
        cap: The cap in tokens; problems that no checkpoint solves get it.
        probes: Probe tables in the order of `tables`: a rollout that has not ended at L counts by its forced
            answer there. None (default, as in the paper): answers are not forced, and a rollout counts at L
            once it has ended within L and is correct.
        grid: With `probes`: their budgets in tokens.

    Returns:
        Problem id -> L^x in tokens.

    Raises:
        ConfigError: The number of probe tables differs from that of rollout tables, or `grid` is missing.
    """
    if probes is not None and (grid is None or len(probes) != len(tables)):
        raise ConfigError(
            "question_budgets needs one probe table per rollout table, and grid=<their budgets>"
        )
    curves: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for number, table in enumerate(tables):
        for problem, rows in table.groupby("problem_id", sort=False):
            forced = None if probes is None else probes[number]
            curve = _accuracy_by_budget(rows, forced, grid, str(problem))
            curves.setdefault(str(problem), []).append(curve)
    return {problem: _smallest_budget(of_problem, cap) for problem, of_problem in curves.items()}


def _accuracy_by_budget(
    rows: pd.DataFrame, forced: pd.DataFrame | None, grid: Sequence[int] | None, problem: str
) -> tuple[np.ndarray, np.ndarray]:
    """(budgets, share correct at each) of one checkpoint on one problem.

    The second array has one more entry, the share of the full rollouts.
    """
    length, correct = rows["length"].to_numpy(), (rows["verdict"] == "correct").to_numpy()
    correct = correct & (rows["finish_reason"] == "stop").to_numpy()
    budgets = np.unique(length[correct]) if forced is None else np.asarray(grid)
    share = np.array([(correct & (length <= b)).mean() for b in budgets])
    if forced is not None:
        of_problem = forced[forced["problem_id"] == problem]
        hits = of_problem[of_problem["verdict"] == "correct"].groupby("budget").size()
        share = share + np.array([hits.get(b, 0) for b in budgets]) / len(rows)
    return budgets, np.append(share, correct.mean())


def _smallest_budget(curves: list[tuple[np.ndarray, np.ndarray]], cap: int) -> int:
    """The smallest budget at which a checkpoint reaches the best full accuracy of all checkpoints."""
    goal = max(share[-1] for _, share in curves)
    if goal <= 0:
        return int(cap)
    reaching = [
        int(budget)
        for budgets, share in curves
        for budget, accuracy in zip(budgets, share[:-1], strict=True)
        if accuracy >= goal and budget > 0
    ]
    return min([*reaching, int(cap)])
