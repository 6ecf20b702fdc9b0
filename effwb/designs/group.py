"""The rollouts of one training step as arrays: what every design reads, and all that it may read.

P problems, G rollouts each, K probe budgets. Lengths are tokens of the completion, EOS included. They are
never characters and never tokens of re-encoded text, so a design cannot be fooled by a tokenizer round
trip.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from effwb.errors import ConfigError, DataError


@dataclass(frozen=True, eq=False)
class Group:
    """P problems x G rollouts of one step; arrays are copied and read-only.

    correct_PG        bool: the verdict of the full completion (at the cap)
    length_PG         int: tokens of the completion
    finished_PG       bool: it ended by itself; False is a truncated rollout
    cap               tokens a completion may have in this step; finished rollouts are within it
    problem_ids       P stable ids, the key of everything that is remembered per problem
    probe_budgets_K   token budgets, with probe_correct_PGK the forced answers there (a rollout that ended by
                      itself within a budget counts its own verdict). (K,) where they are the same for all,
                      (P, K) where they differ by problem, both strictly increasing; (P, G, K) where they
                      differ by rollout, never falling, repeated at the end of a rollout that has fewer
    reference         problem id -> {"length": mean tokens, "accuracy": mean} of a frozen model
    hint_tokens_P     the length each prompt asked for (l1_*, lapo_internalization)
    empty_PG          bool: the first token closes the thinking (hgpo, adapt_think, thinkless)
    step              training step, for warm-ups

    Raises DataError naming the array, the place and the value. P = 0 is legal, G = 0 is not.
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

    def __post_init__(self):
        self._keep("correct_PG", _flags("correct_PG", self.correct_PG, 2))
        self._keep("finished_PG", _flags("finished_PG", self.finished_PG, 2))
        self._keep("length_PG", _tokens("length_PG", self.length_PG, 2))
        self._keep("problem_ids", tuple(self.problem_ids))
        self._check_shapes()
        self._check_lengths()
        if self.probe_budgets_K is not None or self.probe_correct_PGK is not None:
            self._check_probes()
        if self.hint_tokens_P is not None:
            self._check_hints()
        if self.empty_PG is not None:
            self._keep("empty_PG", _flags("empty_PG", self.empty_PG, 2))
            if self.empty_PG.shape != self.correct_PG.shape:
                raise DataError(f"empty_PG has shape {self.empty_PG.shape}, expected {self.correct_PG.shape}")
        if self.reference is not None and not isinstance(self.reference, Mapping):
            raise DataError(
                f"reference must map problem ids to {{'length', 'accuracy'}}, got {type(self.reference)}"
            )
        if _not_whole(self.step) or self.step < 0:
            raise DataError(f"step={self.step!r} must be a whole number of at least 0")

    @property
    def P(self) -> int:
        return self.correct_PG.shape[0]

    @property
    def G(self) -> int:
        return self.correct_PG.shape[1]

    @property
    def probe_budgets_PGK(self) -> np.ndarray:
        """The budgets of every rollout, int (P, G, K)."""
        budgets = self.probe_budgets_K
        if budgets.ndim == 2:
            budgets = budgets[:, None]
        return np.broadcast_to(budgets, self.probe_correct_PGK.shape)

    def _keep(self, name: str, value) -> None:
        if isinstance(value, np.ndarray):
            value.setflags(write=False)  # a design that writes into its input fails at once
        object.__setattr__(self, name, value)

    def _check_shapes(self) -> None:
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
                raise DataError(f"problem id {pid!r} is not a string; ids are texts, never positions")

    def _check_lengths(self) -> None:
        if _not_whole(self.cap) or self.cap < 1:
            raise DataError(f"cap={self.cap!r} must be a whole number of tokens of at least 1")
        beyond = self.finished_PG & (self.length_PG > self.cap)
        if beyond.any():
            p, g = np.argwhere(beyond)[0]
            raise DataError(
                f"rollout ({p}, {g}) finished with {self.length_PG[p, g]} tokens, the cap is {self.cap}; "
                "a rollout cut at the cap has finished=False"
            )

    def _check_probes(self) -> None:
        if self.probe_budgets_K is None or self.probe_correct_PGK is None:
            raise DataError("probe_budgets_K and probe_correct_PGK come together; only one was given")
        axes = min(max(np.ndim(self.probe_budgets_K), 1), 3)
        budgets = _tokens("probe_budgets_K", self.probe_budgets_K, axes)
        steps = np.diff(budgets, axis=-1)
        if (steps < 0).any() or (axes < 3 and (steps == 0).any()):
            raise DataError(f"probe_budgets_K must increase strictly, got {budgets.tolist()}")
        shape = (self.P, self.G, budgets.shape[-1])
        if budgets.shape != shape[-1:] and budgets.shape != (*shape[: axes - 1], shape[-1]):
            raise DataError(f"probe_budgets_K has shape {budgets.shape}, the group is {self.P} x {self.G}")
        probes = _flags("probe_correct_PGK", self.probe_correct_PGK, 3)
        if probes.shape != shape:
            raise DataError(f"probe_correct_PGK has shape {probes.shape}, expected {shape}")
        self._keep("probe_budgets_K", budgets)
        self._keep("probe_correct_PGK", probes)

    def _check_hints(self) -> None:
        hints = _tokens("hint_tokens_P", self.hint_tokens_P, 1)
        if hints.shape != (self.P,) or (hints < 1).any():
            raise DataError(
                f"hint_tokens_P needs {self.P} lengths of at least 1 token, got {hints.tolist()[:8]}"
            )
        self._keep("hint_tokens_P", hints)


def toy_group(lengths, correct, *, finished=None, cap: int | None = None, **more) -> Group:
    """One problem from two short lists, for docstrings, notebooks and tests.

    >>> toy_group([1000, 2000], [1, 0]).correct_PG.tolist()
    [[True, False]]
    """
    finished = [True] * len(lengths) if finished is None else finished
    cap = max(16384, *lengths) if cap is None else cap
    return Group([correct], [lengths], [finished], cap, ["toy-000000000000"], **more)


def require_probes(group: Group, design: str) -> np.ndarray:
    """Verdicts as float (P, G, K + 1), that at the cap last; raises ConfigError where nothing was probed."""
    if group.probe_correct_PGK is None:
        raise ConfigError(
            f"{design} rewards forced answers: give Group(probe_budgets_K=..., probe_correct_PGK=...)"
        )
    full = (group.correct_PG & group.finished_PG)[..., None]
    return np.concatenate([group.probe_correct_PGK, full], axis=-1).astype(float)


def _array(name: str, value, ndim: int) -> np.ndarray:
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


def _flags(name: str, value, ndim: int) -> np.ndarray:
    array = _array(name, value, ndim)
    odd = (array != 0) & (array != 1)
    if odd.any():
        raise DataError(f"{name} must be 0/1 or bool, got {array[odd][0]}; threshold graded scores first")
    return array.astype(bool)


def _tokens(name: str, value, ndim: int) -> np.ndarray:
    array = _array(name, value, ndim)
    if array.dtype.kind == "b":
        raise DataError(f"{name} must be token counts, got bool; are two arguments swapped?")
    odd = (array != np.floor(array)) | (array < 0)
    if odd.any():
        raise DataError(f"{name} must be whole token counts of at least 0, got {array[odd][0]}")
    return array.astype(np.int64)


def _not_whole(value) -> bool:
    return isinstance(value, bool) or not isinstance(value, int | np.integer)


def require_hints(group: Group, design: str) -> np.ndarray:
    """The asked lengths as float (P, 1); raises ConfigError where the prompts carried none."""
    if group.hint_tokens_P is None:
        raise ConfigError(
            f"{design} compares lengths with what the prompt asked for: give Group(hint_tokens_P=...), "
            "drawn with design.draw_hints(rng, problem_ids) and written into the prompts as design.hint says"
        )
    return group.hint_tokens_P[:, None].astype(float)
