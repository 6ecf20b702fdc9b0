"""The rollouts of one training step as arrays: everything a design may read.

The suffix of an array names its axes: P problems, G rollouts per problem, K probe budgets.
Lengths are completion tokens as the model sampled them, EOS included. They are never characters and never
tokens of re-encoded text, so that re-tokenising cannot change a reward.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from effwb.errors import ConfigError, DataError


@dataclass(frozen=True, eq=False)
class Group:
    """The rollouts of one training step: P problems with G rollouts each.

    Arrays are copied and made read-only. P = 0 is legal, G = 0 is not.

    Probe budgets have three legal shapes, because designs probe in three ways:

    | shape of `probe_budgets_K` | the budgets                   | order along K      | used by             |
    |----------------------------|-------------------------------|--------------------|---------------------|
    | (K,)                       | are the same for all rollouts | strictly rising    | reo_rl, brpo        |
    | (P, K)                     | differ by problem             | strictly rising    | reo_rl with q_spec  |
    | (P, G, K)                  | differ by rollout             | rising, may repeat | mrt                 |

    In the last shape a rollout that has fewer than K budgets repeats its last one. To read budgets, use the
    property `probe_budgets_PGK`: it is (P, G, K) whichever shape was given.

    Args:
        correct_PG: Bool (P, G). The verdict at the cap: on the full completion, or on the answer that a
            truncated rollout was forced to give there, for designs that ask for one (`Design.forces_at_cap`).
            `Design.solved`, or `at_cap` of such a design, decides what a truncated rollout counts for.
        length_PG: Int (P, G). Completion tokens.
        finished_PG: Bool (P, G). True: the rollout ended by itself. False: it was truncated.
        cap: The most tokens a completion may have in this step. Finished rollouts are within it.
        problem_ids: P stable ids. Whatever a design remembers about a problem is stored under its id.
        probe_budgets_K: Int, tokens: where rollouts were stopped and asked for their answer. One of the
            three shapes above. Given together with `probe_correct_PGK`.
        probe_correct_PGK: Bool (P, G, K). The verdict on the forced answer at each budget. A rollout that
            ended by itself within a budget has its own verdict there.
        reference: Problem id -> {"length": mean tokens, "accuracy": mean accuracy} of a frozen model.
        hint_tokens_P: Int (P,), tokens. The length each prompt asked for (l1_exact, l1_max,
            lapo_internalization).
        empty_PG: Bool (P, G). True: the first token closes the thinking, so there is none (hgpo,
            adapt_think, thinkless).
        step: The training step, for designs with a warm-up.

    Raises:
        DataError: An array is unusable; the message names the array, the place and the value.
    """

    correct_PG: np.ndarray
    length_PG: np.ndarray
    finished_PG: np.ndarray
    cap: int
    problem_ids: Sequence[str]
    probe_budgets_K: np.ndarray | None = field(default=None, kw_only=True)
    probe_correct_PGK: np.ndarray | None = field(default=None, kw_only=True)
    reference: Mapping[str, Mapping[str, float]] | None = field(default=None, kw_only=True)
    hint_tokens_P: np.ndarray | None = field(default=None, kw_only=True)
    empty_PG: np.ndarray | None = field(default=None, kw_only=True)
    step: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        self._store("correct_PG", _flags("correct_PG", self.correct_PG, 2))
        self._store("finished_PG", _flags("finished_PG", self.finished_PG, 2))
        self._store("length_PG", _tokens("length_PG", self.length_PG, 2))
        if isinstance(self.problem_ids, str) or not hasattr(self.problem_ids, "__len__"):
            raise DataError(f"problem_ids must be a list of P ids, got {self.problem_ids!r}")
        self._store("problem_ids", tuple(self.problem_ids))
        self._check_rollouts()
        if self.probe_budgets_K is not None or self.probe_correct_PGK is not None:
            self._check_probes()
        if self.hint_tokens_P is not None:
            hints = _tokens("hint_tokens_P", self.hint_tokens_P, 1)
            if hints.shape != (self.P,) or (hints < 1).any():
                raise DataError(
                    f"hint_tokens_P needs {self.P} lengths of at least 1 token, got {hints.tolist()[:8]}"
                )
            self._store("hint_tokens_P", hints)
        if self.empty_PG is not None:
            self._store("empty_PG", _flags("empty_PG", self.empty_PG, 2))
            if self.empty_PG.shape != self.correct_PG.shape:
                raise DataError(f"empty_PG has shape {self.empty_PG.shape}, expected {self.correct_PG.shape}")
        if self.reference is not None and not isinstance(self.reference, Mapping):
            raise DataError(
                f"reference must map problem ids to {{'length', 'accuracy'}}, got {type(self.reference)}"
            )
        if not _is_whole(self.step) or self.step < 0:
            raise DataError(f"step={self.step!r} must be a whole number of at least 0")

    @property
    def P(self) -> int:
        """Number of problems."""
        return self.correct_PG.shape[0]

    @property
    def G(self) -> int:
        """Number of rollouts per problem."""
        return self.correct_PG.shape[1]

    @property
    def probe_budgets_PGK(self) -> np.ndarray:
        """The probe budgets of every rollout in tokens, int (P, G, K), whichever shape was given.

        >>> probes = {"probe_budgets_K": [100, 200], "probe_correct_PGK": [[[0, 1], [0, 0]]]}
        >>> toy_group([300, 400], [1, 0], **probes).probe_budgets_PGK.tolist()
        [[[100, 200], [100, 200]]]
        """
        budgets, verdicts = self.probe_budgets_K, self.probe_correct_PGK
        if budgets is None or verdicts is None:
            raise ConfigError("this group has no probes: give Group(probe_budgets_K=, probe_correct_PGK=)")
        if budgets.ndim == 2:
            budgets = budgets[:, None]
        return np.broadcast_to(budgets, verdicts.shape)

    def _store(self, name: str, value: Any) -> None:
        if isinstance(value, np.ndarray):
            value.setflags(write=False)  # a design that writes into its input fails at once
        object.__setattr__(self, name, value)  # the dataclass is frozen

    def _check_rollouts(self) -> None:
        shape = self.correct_PG.shape
        if shape[1] < 1:
            raise DataError(f"a group needs at least one rollout per problem, got shape {shape}")
        for name in ("length_PG", "finished_PG"):
            if getattr(self, name).shape != shape:
                raise DataError(f"{name} has shape {getattr(self, name).shape}, correct_PG has {shape}")
        if len(self.problem_ids) != shape[0]:
            raise DataError(f"{len(self.problem_ids)} problem_ids for {shape[0]} problems")
        for pid in self.problem_ids:
            if not isinstance(pid, str):
                raise DataError(f"problem id {pid!r} is not a string; use stable ids, not row numbers")
        if not _is_whole(self.cap) or self.cap < 1:
            raise DataError(f"cap={self.cap!r} must be a whole number of tokens of at least 1")
        beyond = self.finished_PG & (self.length_PG > self.cap)
        if beyond.any():
            p, g = np.argwhere(beyond)[0]
            raise DataError(
                f"rollout ({p}, {g}) finished with {self.length_PG[p, g]} tokens, the cap is {self.cap}; "
                "a rollout cut at the cap must have finished=False"
            )

    def _check_probes(self) -> None:
        if self.probe_budgets_K is None or self.probe_correct_PGK is None:
            raise DataError("probe_budgets_K and probe_correct_PGK come together; only one was given")
        axes = min(max(np.ndim(self.probe_budgets_K), 1), 3)
        budgets = _tokens("probe_budgets_K", self.probe_budgets_K, axes)
        steps = np.diff(budgets, axis=-1)
        if (steps < 0).any() or (axes < 3 and (steps == 0).any()):
            raise DataError(f"probe_budgets_K must increase strictly, got {budgets.tolist()}")
        P, G, K = self.P, self.G, budgets.shape[-1]
        if budgets.shape not in ((K,), (P, K), (P, G, K)):
            raise DataError(
                f"probe_budgets_K has shape {budgets.shape}, the group is {P} x {G}; "
                "legal shapes: (K,), (P, K), (P, G, K)"
            )
        verdicts = _flags("probe_correct_PGK", self.probe_correct_PGK, 3)
        if verdicts.shape != (P, G, K):
            raise DataError(f"probe_correct_PGK has shape {verdicts.shape}, expected {(P, G, K)}")
        self._store("probe_budgets_K", budgets)
        self._store("probe_correct_PGK", verdicts)


def toy_group(
    lengths: Sequence[int],
    correct: Sequence[int],
    *,
    finished: Sequence[int] | None = None,
    cap: int | None = None,
    **fields: Any,
) -> Group:
    """Build a group of one problem from two short lists, for docstrings, notebooks and tests.

    Args:
        lengths: Completion tokens of each rollout.
        correct: Verdict of each rollout, 0 or 1.
        finished: 1 for rollouts that ended by themselves, 0 for truncated ones. Default: all ended.
        cap: The cap in tokens. Default: 16384, or the longest rollout if that is longer.
        **fields: Other fields of `Group`, with their problem axis of length 1.

    Returns:
        A group with P = 1; the id of its problem is "toy-000000000000".

    >>> toy_group([1000, 2000], [1, 0]).correct_PG.tolist()
    [[True, False]]
    """
    ended = np.array([[True] * len(lengths) if finished is None else finished])
    cap = max(16384, *lengths) if cap is None else cap
    return Group(np.array([correct]), np.array([lengths]), ended, cap, ["toy-000000000000"], **fields)


def require_shared_budgets(group: Group, design: str) -> np.ndarray:
    """Return the probe budgets of a group whose rollouts all have the same ones.

    Args:
        group: The rollouts of the step.
        design: Name of the design, for the error message.

    Returns:
        Int (K,), tokens, rising.

    Raises:
        ConfigError: The group was not probed, or its budgets differ between rollouts.
    """
    budgets = group.probe_budgets_K
    if budgets is None or budgets.ndim != 1:
        shape = "none" if budgets is None else f"budgets of shape {budgets.shape}"
        raise ConfigError(f"{design} needs the same probe budgets (K,) for all rollouts, got {shape}")
    return budgets


def require_hints(group: Group, design: str) -> np.ndarray:
    """Return the length that each prompt asked for.

    Args:
        group: The rollouts of the step.
        design: Name of the design, for the error message.

    Returns:
        Float (P, 1), tokens.

    Raises:
        ConfigError: The prompts asked for no length.
    """
    if group.hint_tokens_P is None:
        raise ConfigError(
            f"{design} compares lengths with the length that the prompt asked for: give "
            "Group(hint_tokens_P=...), drawn with design.draw_hints(rng, problem_ids) and written into the "
            "prompts at the place that design.hint names"
        )
    return group.hint_tokens_P[:, None].astype(float)


def _array(name: str, value: Any, ndim: int) -> np.ndarray:
    try:
        array = np.array(value)  # a copy: the caller may reuse its buffers
    except ValueError:
        raise DataError(f"{name} is ragged: every problem needs the same number of rollouts") from None
    if array.ndim != ndim:
        raise DataError(f"{name} must have {ndim} axes, got shape {array.shape}")
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} must be numbers, got dtype {array.dtype}")
    if not np.isfinite(array).all():
        raise DataError(f"{name} contains {array[~np.isfinite(array)][0]}")
    return array


def _flags(name: str, value: Any, ndim: int) -> np.ndarray:
    array = _array(name, value, ndim)
    illegal = (array != 0) & (array != 1)
    if illegal.any():
        raise DataError(f"{name} must be 0/1 or bool, got {array[illegal][0]}; threshold graded scores first")
    return array.astype(bool)


def _tokens(name: str, value: Any, ndim: int) -> np.ndarray:
    array = _array(name, value, ndim)
    if array.dtype.kind == "b":
        raise DataError(f"{name} must be token counts, got bool; are two arguments swapped?")
    illegal = (array != np.floor(array)) | (array < 0)
    if illegal.any():
        raise DataError(f"{name} must be whole token counts of at least 0, got {array[illegal][0]}")
    return array.astype(np.int64)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
