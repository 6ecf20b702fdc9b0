"""REO-RL: verdicts at a few budgets stand for the whole area under the curve. 2506.07104, section 4, App.
E.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from effwb import budgets as rules
from effwb.designs import segments
from effwb.designs.base import Design, design
from effwb.designs.group import Group, require_probes
from effwb.errors import ConfigError, one_of

BUDGETS = ("exp", "linear", "oracle", "q_spec")
SHARE = 32  # l_min is cap / 32 unless given


@design
class ReoRl(Design):
    """Every rollout is stopped at budgets L_1 < .. < L_N and asked for its answer; R_N+1 is its own.

        maximise  sum_i c_i R_i,   c_i = (L_i+1 - L_i-1) / 2,   c_N+1 = (cap - L_N) / 2
        A_i = (Return_i - mean) / std  over the group,   Return_i = sum_{j >= i} c_j R_j

    one normalisation per segment, population std, no eps (equal returns give 0). The weights are those of the
    trapezoid rule, without its J(0) term, which thinking cannot change. A rollout that does not end by itself
    is wrong at the cap (a curve gives it a forced answer there).

    `budgets`: "exp" L_i = l_min (cap / l_min)^((i-1)/n); "linear", equally spaced; "oracle", greedy on a
    `frontier` of this cap; "q_spec", one budget per problem from `table` (`question_budgets` makes it; also
    called Task-Specific); or a list of tokens. l_min is not printed; cap / 32 is the only choice that keeps
    the quadrature error near the 1 % the paper claims for n = 5. `coefficients="one"` is the ablation Coef =
    1.

    `segment="causal"` gives Return_i to the tokens [L_i-1, L_i), which can still change R_i. "paper" is the
    text: Adv_i updates [L_i, L_i+1), and tokens before L_1 get nothing.

    For "q_spec": `first_weight="rule"` is c_1 = cap / 2 as the rule gives for N = 1, "printed" the paper's
    L^x / 2. A problem that the table misses is probed nowhere: only its full response counts. `hard=True` is
    Task-Specific-Hard, which the paper never defines, in its plausible reading: reward at L^x alone.

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
    probes: ClassVar[bool] = True

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
                f"reo_rl normalises each segment within the group; rule={self.rule!r} is not for it"
            )
        if (self.budgets == "oracle") != (self.frontier is not None):
            raise ConfigError("reo_rl: budgets='oracle' and frontier=<Frontier of this cap> come together")
        if (self.budgets == "q_spec") != (self.table is not None):
            raise ConfigError("reo_rl: budgets='q_spec' and table={problem id: budget} come together")
        if self.budgets != "q_spec" and (self.hard or self.first_weight == "printed"):
            raise ConfigError("reo_rl: hard and first_weight='printed' belong to budgets='q_spec'")
        if self.cap is not None:
            self._set("chosen", self._choose())

    def _choose(self) -> np.ndarray | None:
        """The budgets of this cap, int (K,); None where they differ by problem."""
        if self.budgets == "q_spec":
            return self._check_table()
        if self.budgets == "exp":
            found = rules.exponential(self.n, self.l_min or self.cap / SHARE, self.cap)
        elif self.budgets == "linear":
            found = rules.linear(self.n, self.cap)
        elif self.budgets == "oracle":
            found = np.sort(rules.oracle(self.frontier, self.n, self.cap))
        else:
            found = rules.check_budgets(self.budgets)
        rules.coefficients(found, self.cap)  # refuses what is not inside (0, cap)
        return found

    def _check_table(self) -> None:
        for problem, budget in self.table.items():
            if budget != int(budget) or not 0 < budget <= self.cap:
                raise ConfigError(f"reo_rl: the budget of {problem} is {budget}, outside (0, {self.cap:g}]")

    def at_scale(self, cap: float) -> "ReoRl":
        if self.budgets in ("oracle", "q_spec"):
            raise ConfigError(
                f"reo_rl: budgets={self.budgets!r} come from data of one cap and cannot be scaled"
            )
        return super().at_scale(cap)

    def probe_points(self, problem_id: str, completion_ids: list[int], cap: int, decode) -> list[int]:
        if self.budgets != "q_spec":
            return self.chosen.tolist()
        return [int(self.table.get(problem_id, cap))]

    def weights(self, group: Group) -> np.ndarray:
        """C of each rollout, (P, G, K + 1)."""
        points = group.probe_budgets_PGK
        if self.coefficients == "one":
            weights = np.ones((*points.shape[:-1], points.shape[-1] + 1))
        elif self.budgets == "q_spec":
            first = points / 2 if self.first_weight == "printed" else np.full(points.shape, group.cap / 2)
            weights = np.concatenate([first, (group.cap - points) / 2], axis=-1)
        else:
            weights = np.broadcast_to(
                rules.coefficients(group.probe_budgets_K, group.cap),
                (*points.shape[:-1], points.shape[-1] + 1),
            )
        return weights * np.array([1.0, 0.0]) if self.hard else weights

    def components(self, group: Group) -> dict[str, np.ndarray]:
        """Shares of the total, which is the weighted mean of the verdicts, in [0, 1]."""
        verdicts, weights = require_probes(group, self.NAME), self.weights(group)
        parts = verdicts * weights / weights.sum(axis=-1, keepdims=True)
        if self.budgets == "q_spec":
            return {"at_budget": parts[..., 0], "full": parts[..., 1]}
        names = [f"at_{b}" for b in np.asarray(group.probe_budgets_K).tolist()]
        return {name: parts[..., k] for k, name in enumerate([*names, "full"])}

    def advantage(self, group: Group) -> np.ndarray:
        """Float (P, G, K + 1), one per segment; see `segments`. Pure."""
        returns = segments.returns_to_go(require_probes(group, self.NAME) * self.weights(group))
        options = {"std": self.std, "eps": self.eps, "mask_PG": self.mask(group)}
        found = segments.normalise_each(returns, **options, masked_in_statistics=self.masked_in_statistics)
        if self.segment == "paper":
            found = np.concatenate([np.zeros_like(found[..., :1]), found[..., :-1]], axis=-1)
        return found


def question_budgets(tables, cap: int, *, probes=None, grid=None) -> dict[str, int]:
    """L^x of every problem, from the rollout tables of several checkpoints (a list of DataFrames).

        L^x = min{ L : max_theta mean_i r(x, y^i_:L) >= max_theta mean_i r(x, y^i) },  theta a checkpoint

    Without `probes`, as in the paper, a rollout counts at L once it has ended within L and is correct:
    answers are not forced. With `probes`, a list of probe tables in the same order with the budgets `grid`, a
    rollout that has not ended counts by its forced answer. Problems that no checkpoint solves get the cap.
    2506.07104, App. E.
    """
    if probes is not None and (grid is None or len(probes) != len(tables)):
        raise ConfigError(
            "question_budgets needs one probe table per rollout table, and grid=<their budgets>"
        )
    best: dict[str, list] = {}
    for number, table in enumerate(tables):
        for problem, rows in table.groupby("problem_id", sort=False):
            forced = None if probes is None else probes[number]
            best.setdefault(problem, []).append(_steps(rows, forced, grid, problem))
    return {problem: _smallest(curves, cap) for problem, curves in best.items()}


def _steps(rows, forced, grid, problem: str) -> tuple[np.ndarray, np.ndarray]:
    """(budgets, share correct at each) of one checkpoint on one problem, the last entry that of the full
    text.
    """
    length, right = rows["length"].to_numpy(), (rows["verdict"] == "correct").to_numpy()
    right = right & (rows["finish_reason"] == "stop").to_numpy()
    at = np.unique(length[right]) if forced is None else np.asarray(grid)
    share = np.array([(right & (length <= b)).mean() for b in at])
    if forced is not None:
        mine = forced[forced["problem_id"] == problem]
        hits = mine[mine["verdict"] == "correct"].groupby("budget").size()
        share = share + np.array([hits.get(b, 0) for b in at]) / len(rows)
    return at, np.append(share, right.mean())


def _smallest(curves, cap: int) -> int:
    goal = max(share[-1] for _, share in curves)
    if goal <= 0:
        return int(cap)
    reached = [
        int(b) for at, share in curves for b, s in zip(at, share[:-1], strict=True) if s >= goal and b > 0
    ]
    return min([*reached, int(cap)])
