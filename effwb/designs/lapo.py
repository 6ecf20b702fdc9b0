"""LAPO, length-adaptive policy optimization: learn how long each problem takes, then say so in its prompt.

2507.15758, section 3 and appendix A; repository ZJU-REAL/LAPO (OpenRLHF).
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from effwb.designs.base import Design, design
from effwb.designs.group import Group, require_hints
from effwb.errors import ConfigError, one_of

STATISTICS: dict[str, Callable[[np.ndarray], Any]] = {"median": np.median, "mean": np.mean, "min": np.min}
CENTRES = ("asked", "group")


@design
class _Lapo(Design):
    """Shared parts of both stages: M(q), the length in tokens that problem q takes.

    M(q) comes from the correct rollouts of the visits to the problem.

    State: "lengths", problem id -> M(q) in tokens, or None for a problem that was visited and never solved.
    It lasts over steps and epochs. A group that dynamic sampling replaced is no visit.
    """

    PAPER_CAP: ClassVar[int | None] = 4096

    statistic: str = "median"

    def check(self) -> None:
        one_of(f"statistic of {self.NAME}", self.statistic, STATISTICS)

    def fresh_state(self) -> dict[str, Any]:
        return {"lengths": {}}

    def diagnostics(self, group: Group) -> dict[str, float]:
        known = self._known_lengths()
        return {"target": float(np.mean(known)) if known else float("nan")}

    def observe(self, group: Group) -> None:
        lengths, solved = self._state["lengths"], self.solved(group)
        for p, pid in enumerate(group.problem_ids):
            previous = lengths.setdefault(pid, None)
            if solved[p].any():
                current = self.typical_length(group.length_PG[p][solved[p]])
                lengths[pid] = self.updated_length(previous, current)

    def typical_length(self, lengths: np.ndarray) -> float:
        """Return the `statistic` of the lengths of the correct rollouts of one problem."""
        return float(STATISTICS[self.statistic](lengths))

    def updated_length(self, previous: float | None, current: float) -> float:
        """Return M(q) after a visit with correct rollouts.

        Args:
            previous: M(q) before the visit. None: never solved before.
            current: The typical correct length of this visit, in tokens.
        """
        raise NotImplementedError

    def _known_lengths(self) -> list[float]:
        return [n for n in self._state["lengths"].values() if n is not None]


@design
class LapoDiscovery(_Lapo):
    r"""Rewards correct answers, and more if their length is usual for the problem; learns that length M(q).

    Stage one, LAPO-D.

        r_i = c_i (1 + alpha max(0, 1 - d_i / falloff))
        d_i = distance of len_i to [P30, P70] of the correct lengths of the group; 0 inside

    M(q) is the `statistic` of the correct lengths at the latest visit with any. Lengths are completion
    tokens. GRPO with 8 rollouts, three epochs, cap 4096. The state is {"lengths": {problem id: M(q) in
    tokens}}, with None for a problem that was never solved.

    - The released code appends two rewards per rollout, r_i and c_i, so that rewards and rollouts no longer
      match. Here there is one.
    - Its window is strict: if P30 = P70 (a lone correct rollout, or equal lengths) the length term is 0. Here
      those lengths are inside.
    - It compares the first \boxed{} with the gold answer as strings. Here the verifier decides.
    - Its lengths are of re-encoded text with the "<think>" of the prompt.
    - It writes M = 0 for an unsolved problem; the lines that turn this into 4096 are commented out. Here it
      is None, for which stage two has `unsolved`.
    - It has the median only; its minimum is taken over the wrong answers, starts from 0 and so is
      always 0.

    Args:
        statistic: How M(q) follows from the correct lengths of a visit: "median" (default, the paper's),
            "mean" or "min" (the paper's ablation).
        alpha: Weight of the length term, at least 0. Default 0.7.
        low: Lower percentile of the window, in [0, 100] (numpy, linear). Default 30.
        high: Upper percentile of the window, in [`low`, 100]. Default 70.
        falloff: Distance from the window in tokens at which the length term is 0. Default 100.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

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
        """Return the two percentiles of the correct lengths of each problem.

        Returns:
            Float (P, 2), tokens; 0 where no rollout is correct.
        """
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

    def updated_length(self, previous: float | None, current: float) -> float:
        return current


@design
class LapoInternalization(_Lapo):
    """Rewards correct answers, and more the closer they are to the length M(q) that the prompt names.

    Stage two, LAPO-I.

        r_i = c_i (1 + beta exp(-(len_i - n)^2 / (2 sigma^2))),   n = M(q) as the prompt says it
        after each visit:  M(q) = min(M(q), median of the correct lengths); of an unsolved q, that median

    The prompt ends with its opening <think> and, right after it, "I will answer the question with n
    tokens.". The model continues from there. The sentence carries no loss and is not counted: len is the
    completion tokens. The model is tested without the sentence and is meant to write one itself. n is M(q)
    cut to a whole number, as in the code, and at least 1.

    Start from the state of `lapo_discovery`, with `train(..., state=<stage one>.state)`. A problem that is
    not in it is refused. The state is {"lengths": {problem id: M(q) in tokens}}, with None for a problem
    that was never solved.

    - In the released code M never changes during training: the update is filed under the prompt with the
      sentence and looked up under the one without, and the file is read once. Here the update reaches the
      next visit.
    - Its reward counts the last 51 characters of the prompt (the sentence) as part of the length; its
      median does not.
    - It compares answers as strings.
    - It samples up to 2048 tokens, the paper up to 4096.

    Args:
        statistic: How the length of a visit follows from its correct lengths: "median" (default, the
            paper's), "mean" or "min".
        beta: Weight of the length term, at least 0. Default 0.7 (main text, Table 5); 0.8 in appendix A.1
            and in the code.
        sigma: Width of the length term in tokens. Default 120, from the code; the paper prints none.
        unsolved: The n of a problem that was never solved, in tokens. Default 4096, the cap.
        unsolved_centre: The length that is worth most on such a problem. "asked" (default, the paper's):
            `unsolved` itself. "group" (the code's): the median of the correct lengths of the current group.

    Defaults are the paper's unless noted. Parameters that all designs share are described in `Design`.

    >>> from effwb.designs import toy_group
    >>> design = LapoInternalization(beta=0.8)
    >>> design.load_state({"design": "lapo_discovery", "lengths": {"toy-000000000000": 1600.0}})
    >>> hints = design.draw_hints(np.random.default_rng(0), ["toy-000000000000"])
    >>> group = toy_group([1480, 1500, 1560, 1700], [1, 1, 1, 0], hint_tokens_P=hints)
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
        """Return M(q) of each problem.

        Args:
            rng: Not used; nothing is random here.
            problem_ids: P problem ids.

        Returns:
            Int (P,), tokens.

        Raises:
            ConfigError: A problem has no M(q).
        """
        lengths = self._state["lengths"]
        missing = [pid for pid in problem_ids if pid not in lengths]
        if missing:
            raise ConfigError(
                f"{self.NAME}: no length is known for {len(missing)} of {len(problem_ids)} problems, e.g. "
                f"{missing[0]}; start from the state that lapo_discovery leaves "
                "(train(state=<its result>.state), Stage(carry_state=True) or Point(after=...)), and let it "
                "visit every problem that is trained on here: one epoch, without refill_rounds"
            )
        hints = [self.unsolved if lengths[pid] is None else lengths[pid] for pid in problem_ids]
        return np.maximum(np.array(hints).astype(int), 1)

    def longest_hint(self) -> int:
        """Return the largest of the cap, `unsolved` and the known lengths, in tokens.

        New lengths are within the cap; those of stage one may come from a larger one.
        """
        return int(max([self.cap or 0, self.unsolved, *self._known_lengths()]))

    def components(self, group: Group) -> dict[str, np.ndarray]:
        solved, centre = self.solved(group), require_hints(group, self.NAME)
        if self.unsolved_centre == "group":
            for p, pid in enumerate(group.problem_ids):
                if solved[p].any() and self._state["lengths"].get(pid) is None:
                    centre[p] = self.typical_length(group.length_PG[p][solved[p]])
        distance = (group.length_PG - centre) / self.sigma
        return {"correctness": solved, "length": self.beta * solved * np.exp(-0.5 * distance**2)}

    def updated_length(self, previous: float | None, current: float) -> float:
        return current if previous is None else min(previous, current)
