"""LAPO, length-adaptive policy optimization: find how long each problem takes, then say so in its prompt.
2507.15758, section 3 and appendix A; repository ZJU-REAL/LAPO (OpenRLHF).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group, require_hints
from effwb.errors import ConfigError, one_of

STATISTICS = {"median": np.median, "mean": np.mean, "min": np.min}
CENTRES = ("asked", "group")


@design
class _Lapo(Design):
    """What both stages share: M(q), the length that problem q takes, from the correct rollouts of its visits.

    State: `lengths`, problem id -> M(q) in tokens, or None for a problem that was visited and never solved.
    It is kept over steps and epochs. A group that dynamic sampling replaced is no visit.

    `statistic` of the correct lengths: median (the paper's), mean or min (its ablation). The released code
    has the median alone; its minimum is taken over wrong answers, from 0 on, and is always 0.
    """

    PAPER_CAP: ClassVar[int | None] = 4096

    statistic: str = "median"

    def check(self) -> None:
        one_of(f"statistic of {self.NAME}", self.statistic, STATISTICS)

    def fresh_state(self) -> dict[str, Any]:
        return {"lengths": {}}

    def diagnostics(self, group: Group) -> dict[str, float]:
        known = [n for n in self._state["lengths"].values() if n is not None]
        return {"target": float(np.mean(known)) if known else float("nan")}

    def observe(self, group: Group) -> None:
        lengths, solved = self._state["lengths"], self.solved(group)
        for p, pid in enumerate(group.problem_ids):
            known = lengths.setdefault(pid, None)
            if solved[p].any():
                lengths[pid] = self.updated(known, self.typical(group.length_PG[p][solved[p]]))

    def typical(self, lengths: np.ndarray) -> float:
        """The statistic of the lengths of the correct rollouts of one group."""
        return float(STATISTICS[self.statistic](lengths))

    def updated(self, known: float | None, seen: float) -> float:
        """M(q) after a visit that was solved with `seen` tokens; `known` was M(q) before, None: unsolved."""
        raise NotImplementedError


@design
class LapoDiscovery(_Lapo):
    """LAPO-D, stage one: right answers of a usual length earn more, and M(q) is learned on the way.

        r_i = c_i (1 + alpha max(0, 1 - d_i / falloff))
        d_i = distance of len_i to [P30, P70] of the correct lengths of the group; 0 inside

    alpha = 0.7, falloff = 100 tokens, percentiles `low` = 30 and `high` = 70 (numpy, linear), cap 4096. M(q)
    is the median of the correct lengths at the latest visit with any. Length is the tokens of the completion.
    GRPO with 8 rollouts, three epochs.

    The released code differs. It appends two rewards per rollout, r_i and c_i, so rewards and rollouts no
    longer match; here there is one. Its window is strict: with P30 = P70 (a lone correct rollout, or equal
    lengths) the length term is 0; here those lengths are inside. It compares the first \\boxed{} with the
    gold as strings; here the verifier decides. Its lengths are of re-encoded text with the "<think>" of the
    prompt. It writes M = 0 for an unsolved problem, and what turns that into 4096 is commented out; here
    it is None, for which stage two has `unsolved`.

    >>> from effwb.designs import toy_group
    >>> design = LapoDiscovery()
    >>> group = toy_group([1480, 1500, 1560, 1700], [1, 1, 1, 0])
    >>> design.reward(group)["total"].round(6).tolist()
    [[1.616, 1.7, 1.448, 0.0]]
    >>> design.observe(group)
    >>> design.state()["lengths"]
    {'toy-000000000000': 1500.0}
    """

    NAME: ClassVar[str] = "lapo_discovery"
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"falloff": 1}

    alpha: float = 0.7
    low: float = 30
    high: float = 70
    falloff: float = 100

    def check(self) -> None:
        super().check()
        self.within("alpha", 0.0)
        self.within("low", 0.0, 100.0)
        self.within("high", 0.0, 100.0)
        self.ordered("low", "high")
        self.within("falloff", 0.0, open_low=True)

    def window(self, group: Group) -> np.ndarray:
        """The percentiles of the correct lengths of each problem, float (P, 2); 0 where none is correct."""
        solved, ends = self.solved(group), np.zeros((group.P, 2))
        for p in np.flatnonzero(solved.any(axis=1)):
            ends[p] = np.percentile(group.length_PG[p][solved[p]], [self.low, self.high])
        return ends

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved, ends = self.solved(group), self.window(group)
        below, above = ends[:, :1] - group.length_PG, group.length_PG - ends[:, 1:]
        distance = np.maximum(np.maximum(below, above), 0.0)
        near = np.maximum(1.0 - distance / self.falloff, 0.0)
        return {"correctness": solved, "length": self.alpha * solved * near}

    def updated(self, known: float | None, seen: float) -> float:
        return seen


@design
class LapoInternalization(_Lapo):
    """LAPO-I, stage two: the thinking begins with M(q), and right answers of that length earn more.

        r_i = c_i (1 + beta exp(-(len_i - n)^2 / (2 sigma^2))),   n = M(q) as the prompt says it
        after each visit:  M(q) = min(M(q), median of the correct lengths); of an unsolved q, that median

    "I will answer the question with n tokens." stands in the prompt, right behind its opening <think>, and
    the model goes on from there; tested without the sentence, it is meant to write one itself. The sentence
    carries no loss and is not counted: len is the tokens of the completion. beta = 0.7 (main text, Table 5;
    0.8 in appendix A.1 and the code), sigma = 120 tokens (code; the paper gives none), cap 4096. The state to
    begin with is that of `lapo_discovery`, `train(..., state=<stage one>.state)`; a problem that is not in it
    is refused. n is M(q) cut to a whole number, as in the code, and at least 1.

    An unsolved problem is asked for n = `unsolved`, 4096, and rewarded around that (`unsolved_centre` is
    "asked", the paper's); "group" is the code's, around the median of the group's own correct lengths.

    The released code differs. M never changes in training: the update is filed under the prompt with the
    sentence, looked up under the one without, and the file is read once; here it reaches the next visit. Its
    reward counts the last 51 characters of the prompt along (the sentence), its median does not. Answers are
    compared as strings. It samples up to 2048 tokens, the paper up to 4096.

    >>> from effwb.designs import toy_group
    >>> design = LapoInternalization(beta=0.8)
    >>> design.load_state({"design": "lapo_discovery", "lengths": {"toy-000000000000": 1600.0}})
    >>> asked = design.draw_hints(np.random.default_rng(0), ["toy-000000000000"])
    >>> group = toy_group([1480, 1500, 1560, 1700], [1, 1, 1, 0], hint_tokens_P=asked)
    >>> design.reward(group)["total"].round(4).tolist()
    [[1.4852, 1.5653, 1.7568, 0.0]]
    >>> design.observe(group)
    >>> design.state()["lengths"]
    {'toy-000000000000': 1500.0}
    """

    NAME: ClassVar[str] = "lapo_internalization"
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {"sigma": 1, "unsolved": 1}
    hint: ClassVar[str | None] = "think"
    takes_state_of: ClassVar[tuple[str, ...]] = (LapoDiscovery.NAME,)

    beta: float = 0.7
    sigma: float = 120
    unsolved: float = 4096
    unsolved_centre: str = "asked"

    def check(self) -> None:
        super().check()
        self.within("beta", 0.0)
        self.within("sigma", 0.0, open_low=True)
        self.within("unsolved", 0.0, open_low=True)
        one_of(f"unsolved_centre of {self.NAME}", self.unsolved_centre, CENTRES)

    def draw_hints(self, rng: np.random.Generator, problem_ids: Sequence[str]) -> np.ndarray:
        """M(q) of each problem, int (P,); nothing is drawn. ConfigError for problems without one."""
        lengths = self._state["lengths"]
        missing = [pid for pid in problem_ids if pid not in lengths]
        if missing:
            raise ConfigError(
                f"{self.NAME}: no length is known for {len(missing)} of {len(problem_ids)} problems, e.g. "
                f"{missing[0]}; begin with what lapo_discovery leaves (train(state=<its result>.state), "
                "Stage(carry_state=True) or Point(after=...)), and let it visit every problem that is "
                "practised here: an epoch, without refill_rounds"
            )
        known = [self.unsolved if lengths[pid] is None else lengths[pid] for pid in problem_ids]
        return np.maximum(np.array(known).astype(int), 1)

    def longest_hint(self) -> int:
        """Lengths that will be observed are within the cap; those of stage one may have had a larger one."""
        known = [n for n in self._state["lengths"].values() if n is not None]
        return int(max(self.cap, self.unsolved, *known))

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved = self.solved(group)
        off = (group.length_PG - self._centres(group, solved)) / self.sigma
        return {"correctness": solved, "length": self.beta * solved * np.exp(-0.5 * off**2)}

    def _centres(self, group: Group, solved: np.ndarray) -> np.ndarray:
        """The length that is worth most for each problem, float (P, 1)."""
        centre = require_hints(group, self.NAME)
        if self.unsolved_centre == "group":
            for p, pid in enumerate(group.problem_ids):
                if solved[p].any() and self._state["lengths"].get(pid) is None:
                    centre[p] = self.typical(group.length_PG[p][solved[p]])
        return centre

    def updated(self, known: float | None, seen: float) -> float:
        return seen if known is None else min(known, seen)
