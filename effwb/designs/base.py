'''What every design is: a small object that turns a `Group` into rewards, a mask and advantages.

To write a design of your own, subclass `Design` under the decorator `@design`. Parameters are annotated class
attributes with their defaults. `components` returns the named parts of the reward; their sum is the reward,
and `rule` makes advantages of it. Everything else is optional: `check` (refuse bad parameters), `mask` (drop
rollouts from the loss), `fresh_state` with `observe` (remember things between steps), TOKEN_PARAMETERS
(parameters that must change with the cap). In this process `Point` and `train` find it by its NAME. Sweeps
and other processes find it as "package.module:LengthPrice", if it stands in a module.

>>> from effwb.designs import Design, design, toy_group
>>> @design
... class LengthPrice(Design):
...     """Right answers lose `weight` times the share of the cap that they use."""
...     NAME = "length_price"
...     weight: float = 0.1
...     def check(self):
...         self.within("weight", 0.0, 1.0)
...     def components(self, group):
...         solved = self.solved(group)
...         return {"correctness": solved, "length": -self.weight * solved * group.length_PG / group.cap}
>>> LengthPrice(weight=0.4).reward(toy_group([1000, 2000, 500], [1, 1, 0], cap=2000))["total"].tolist()
[[0.8, 0.6, 0.0]]
'''

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from effwb.designs import advantages
from effwb.designs.decorator import design
from effwb.designs.group import Group
from effwb.designs.segments import token_counts
from effwb.errors import ConfigError, DataError, one_of

TRUNCATED = ("wrong", "graded", "masked")
WEIGHTINGS = ("rollout", "token")


@design
class Design:
    """Base class of all designs, with the parameters that every design has.

    About state: `reward`, `advantage`, `mask` and `diagnostics` are pure. They read the state and never write
    it, so they may be called twice, for a plot or a dry run. `observe(group)` is the only call of a training
    step that changes the state. The trainer makes it once per step, after the advantages: the rewards of a
    step depend on earlier steps only. (`LaserD.update_targets` also changes the state, from rollouts that
    are not part of a step.)

    A subclass may set these class attributes:

    - `NAME`: the name in `DESIGNS`, in runs and in messages. Default outside effwb: that of the class, in
      small letters (`LengthPrice` is "length_price").
    - `PAPER_CAP`: the cap in tokens of the paper's run. None: the design has no token parameters, or the
      paper does not say.
    - `TOKEN_PARAMETERS`: parameters that `at_scale` changes with the cap: 1 for tokens, -1 for "per token".
    - `probes`: True if it rewards forced answers, see `probe_points` and `effwb.designs.forced`.
    - `hint`: where its prompts ask for a length, one of `prompts.HINTS`, see `draw_hints`. None: nowhere.
    - `needs_reference`: True if it reads `Group.reference`.
    - `modes`: True if it reads `Group.empty_PG`, how rollouts begin; see `openings`.
    - `needs_warm_start`: True if its paper first fine-tunes on both modes (`training.WarmStart`).
    - `ratio`: the probability ratios of the loss, per "token" or per "sequence".
    - `losses`: the values of `Training.loss` that its advantages fit. None: all.
    - `forced_share`: the probability of a forced mode as the loss takes it. None: the model's own.
    - `takes_state_of`: names of designs, besides itself, whose state it can start from.
    - `ADDED_PARAMETERS`: parameters that the design did not always have, each with the value that stands for
      what it did before. With that value a training has the identity of the older runs.

    Args:
        rule: How rewards become advantages: "group" (default), "group_no_std", "rloo", "batch", "decoupled"
            or "none"; see `effwb.designs.advantages`.
        std: The standard deviation of that rule: "sample", "population" or "none". None: the rule's default.
        eps: Added to the standard deviation. None: the rule's default.
        truncated: What a rollout without EOS is: "wrong" (default), "graded" (judged by its text), or
            "masked" (wrong, and without gradient).
        masked_in_statistics: True (default): masked rollouts still count in group means and standard
            deviations. False: they do not.
        weighting: Statistics over the batch count each "rollout" (default) or each "token" once, the latter
            as verl's masked whitening does. Only rules "batch" and "decoupled" have such statistics.
        whiten: True: the advantages of the rule are whitened once more over all tokens of the batch, see
            `advantages.whiten_tokens`. Default False.
        cap: The cap in tokens that the token parameters belong to. None: the paper's.
    """

    NAME: ClassVar[str] = "design"
    PAPER_CAP: ClassVar[int | None] = None
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {}
    probes: ClassVar[bool] = False
    hint: ClassVar[str | None] = None
    needs_reference: ClassVar[bool] = False
    modes: ClassVar[bool] = False
    needs_warm_start: ClassVar[bool] = False
    ratio: ClassVar[str] = "token"
    losses: ClassVar[tuple[str, ...] | None] = None
    forced_share: ClassVar[float | None] = None
    takes_state_of: ClassVar[tuple[str, ...]] = ()
    ADDED_PARAMETERS: ClassVar[dict[str, Any]] = {"whiten": False}

    rule: str = "group"
    std: str | None = None
    eps: float | None = None
    truncated: str = "wrong"
    masked_in_statistics: bool = True
    weighting: str = "rollout"
    whiten: bool = False
    cap: float | None = None

    def __post_init__(self) -> None:
        self._state: dict[str, Any]
        if self.cap is None:
            self._set("cap", self.PAPER_CAP)
        self._resolve_rule()
        one_of("rule", self.rule, advantages.DEFAULTS)
        one_of("std", self.std, advantages.STDS)
        one_of("truncated", self.truncated, TRUNCATED)
        one_of("weighting", self.weighting, WEIGHTINGS)
        if self.rule in ("group_no_std", "none") and self.std != "none":
            raise ConfigError(f"rule={self.rule!r} divides by no std, got std={self.std!r}; use rule='group'")
        if self.weighting == "token" and self.rule not in ("batch", "decoupled"):
            raise ConfigError(f"weighting='token' is for the rules batch and decoupled, not {self.rule!r}")
        self.flag("masked_in_statistics", "whiten")
        if self.whiten and type(self).advantage is not Design.advantage:
            raise ConfigError(
                f"{self.NAME}: whiten=True needs its advantages in `unwhitened`, not `advantage`"
            )
        self.within("eps", 0.0)
        self.within("cap", 0.0, open_low=True, optional=True)
        self.check()
        if self.token_parameters() and self.cap is None:
            raise ConfigError(
                f"{self.NAME}: {', '.join(self.token_parameters())} is in tokens and the paper's cap is "
                "unknown; pass cap=<the cap it belongs to>"
            )
        self._set("_state", self.fresh_state())

    # what a subclass defines

    def check(self) -> None:
        """Raise ConfigError for parameters outside their range."""

    def components(self, group: Group) -> dict[str, np.ndarray]:
        """Return the named parts of the reward, each (P, G)."""
        raise NotImplementedError(f"{type(self).__name__} has no method components(self, group)")

    def combine(self, components: dict[str, np.ndarray]) -> np.ndarray:
        """Return the total reward, float (P, G): the sum of the parts unless the class overrides this."""
        return sum(components.values(), start=np.zeros(()))

    def component_weights(self, names: Iterable[str], group: Group) -> dict[str, float]:
        """Return the weight of each named component under rule "decoupled". Pure."""
        return dict.fromkeys(names, 1.0)

    def fresh_state(self) -> dict[str, Any]:
        """Return the state before the first step: JSON-able, with string keys. {}: nothing is remembered."""
        return {}

    def observe(self, group: Group) -> None:
        """Update the state from the rollouts of one step, after the advantages were computed."""

    def probe_points(
        self, problem_id: str, completion_ids: list[int], cap: int, decode: Callable[[list[int]], str]
    ) -> list[int]:
        """Return where a rollout is stopped and asked for its answer.

        Args:
            problem_id: Id of the problem.
            completion_ids: Tokens of the rollout.
            cap: The cap of the run in tokens.
            decode: Turns token ids into text.

        Returns:
            Token positions, rising; [] for designs without probes. Points at or beyond the end of the rollout
            are legal: the verdict of the full rollout counts there.
        """
        return []

    def openings(self, G: int) -> list[str] | None:
        """Return how each of G rollouts must begin: "think" or "empty". None: the model chooses."""
        return None

    def edges(self, group: Group) -> np.ndarray | None:
        """Return where the segments of an advantage (P, G, K + 1) change, in tokens.

        Returns:
            Int (P, G, K), rising along K. None: one advantage per rollout.
        """
        return group.probe_budgets_PGK if self.probes else None

    @property
    def forces_at_cap(self) -> bool:
        """Whether a truncated rollout is asked for its answer at the cap, which gives its `correct_PG`."""
        return False

    def draw_hints(self, rng: np.random.Generator, problem_ids: Sequence[str]) -> np.ndarray:
        """Return the lengths that the prompts of these problems ask for; only for designs with `hint`.

        Args:
            rng: Source of randomness.
            problem_ids: P problem ids.

        Returns:
            Int (P,), tokens.
        """
        raise NotImplementedError

    def longest_hint(self) -> int:
        """Return the largest length in tokens that a prompt can ask for; only for designs with `hint`."""
        raise NotImplementedError

    def diagnostics(self, group: Group) -> dict[str, float]:
        """Return quantities of the step that are worth a line in a plot. Pure.

        Args:
            group: The rollouts of the step; the state is that before the step.

        Returns:
            Values by name, "<panel>/<line>" or "<panel>" alone, as `plots.state_figure` draws them.
        """
        return {}

    # what a trainer calls

    def solved(self, group: Group) -> np.ndarray:
        """Bool (P, G): rollouts that count as correct; truncated ones only with `truncated="graded"`."""
        return group.correct_PG if self.truncated == "graded" else group.correct_PG & group.finished_PG

    def reward(self, group: Group) -> dict[str, np.ndarray]:
        """Return the named components of the reward and their "total", each float (P, G). Pure."""
        # + 0.0 turns -0.0 into 0.0, which would otherwise show in every table
        parts = {name: np.asarray(part, dtype=float) + 0.0 for name, part in self.components(group).items()}
        return {**parts, "total": self.combine(parts)}

    def mask(self, group: Group) -> np.ndarray:
        """Bool (P, G). False: the rollout carries no gradient and its advantage is 0. Pure."""
        return group.finished_PG.copy() if self.truncated == "masked" else np.ones((group.P, group.G), bool)

    def advantage(self, group: Group) -> np.ndarray:
        """Return the advantages of a step: those of `unwhitened`, whitened if `whiten` is True. Pure.

        Returns:
            Float (P, G), finite; (P, G, K + 1) for designs whose advantage changes along a rollout at
            `edges`.
        """
        advantage = self.unwhitened(group)
        return self.whitened(advantage, group) if self.whiten else advantage

    def unwhitened(self, group: Group) -> np.ndarray:
        """Return the advantages by this design's rule and mask, before `whiten`. Pure.

        Returns:
            As `advantage`. A subclass with advantages of its own overrides this method.
        """
        parts = self.reward(group)
        total = parts.pop("total")
        if self.rule == "decoupled":
            weights = self.component_weights(parts, group)
            return advantages.decoupled(parts, weights, **self._rule_options(group))
        return self.by_rule(total, group)

    def by_rule(self, reward_PG: np.ndarray, group: Group) -> np.ndarray:
        """Turn one reward (P, G) into advantages, float (P, G), by this design's rule and mask."""
        return advantages.RULES[self.rule](reward_PG, **self._rule_options(group))

    def whitened(self, advantage: np.ndarray, group: Group) -> np.ndarray:
        """Return advantages from `unwhitened` whitened over all tokens of the batch, of the same shape."""
        tokens = token_counts(self.edges(group), group.length_PG)
        return advantages.whiten_tokens(advantage, tokens, self.mask(group), shift_zeros=self.shifts_zeros)

    @property
    def shifts_zeros(self) -> bool:
        """Whether `whiten` moves groups without advantages away from 0, see `advantages.whiten_tokens`."""
        return False

    def state(self) -> dict[str, Any]:
        """Return everything that must survive a restart, JSON-able, with the design's name under "design"."""
        return {"design": self.NAME, **copy.deepcopy(self._state)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state()` returned.

        Args:
            state: The state of this design, or of one in `takes_state_of`.

        Raises:
            DataError: The state is of another design, or its keys are not the expected ones.
        """
        if state.get("design") not in (self.NAME, *self.takes_state_of):
            legal = " or ".join(map(repr, (self.NAME, *self.takes_state_of)))
            raise DataError(f"this is the state of design {state.get('design')!r}, not of {legal}")
        keys, expected = set(state) - {"design"}, set(self.fresh_state())
        if keys != expected:
            raise DataError(f"state of {self.NAME} has keys {sorted(keys)}, expected {sorted(expected)}")
        self._set("_state", copy.deepcopy({k: v for k, v in state.items() if k != "design"}))

    # scale

    def parameters(self) -> dict[str, Any]:
        """Return all parameters by name, given ones and defaults."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def token_parameters(self) -> dict[str, Any]:
        """Return the parameters in use that are in tokens (or per token); they belong to `self.cap`.

        A parameter that may also name a rule, such as `budgets="exp"`, is left out where it does.
        """
        values = {name: getattr(self, name) for name in self.TOKEN_PARAMETERS}
        return {n: v for n, v in values.items() if v is not None and not isinstance(v, str)}

    def at_scale(self, cap: float) -> Self:
        """Return a copy for another cap, with its token parameters scaled and a fresh state.

        Parameters in tokens are multiplied by cap / self.cap and parameters per token divided by it, so that
        lengths scaled by the same factor get the same rewards. `token_parameters()` shows the result.

        Args:
            cap: The cap of the run in tokens.

        Raises:
            ConfigError: `cap` is not a positive number.
        """
        if not (isinstance(cap, int | float | np.number) and math.isfinite(cap) and cap > 0):
            raise ConfigError(f"{self.NAME}: cap={cap!r} must be a positive number of tokens")
        params = self.parameters()
        for name, value in self.token_parameters().items():
            assert self.cap is not None, "__post_init__ refuses token parameters without a cap"
            factor = (cap / self.cap) ** self.TOKEN_PARAMETERS[name]
            if isinstance(value, list | tuple | np.ndarray):  # budgets: whole token positions
                params[name] = [max(1, round(v * factor)) for v in value]
            else:
                params[name] = value * factor
        return type(self)(**{**params, "cap": cap})

    def check_cap(self, cap: float) -> None:
        """Raise ConfigError if token parameters belong to another cap than the run's.

        Args:
            cap: The cap of the run in tokens.
        """
        in_tokens = self.token_parameters()
        if in_tokens and cap != self.cap:
            listed = ", ".join(f"{name}={_short(value)}" for name, value in in_tokens.items())
            raise ConfigError(
                f"{self.NAME}: {listed} belong to a cap of {self.cap:g} tokens, the run has {cap:g}; use "
                f"design.at_scale({cap:g}), or pass cap={cap:g} if the values are meant for it already"
            )

    # helpers for `check`

    def within(
        self,
        name: str,
        low: float = -math.inf,
        high: float = math.inf,
        *,
        open_low: bool = False,
        open_high: bool = False,
        optional: bool = False,
    ) -> None:
        """Raise ConfigError unless a parameter is a finite number in an interval.

        Args:
            name: Name of the parameter.
            low: Smallest legal value.
            high: Largest legal value.
            open_low: True: `low` itself is not legal.
            open_high: True: `high` itself is not legal.
            optional: True: None is legal.
        """
        value = getattr(self, name)
        if value is None and optional:
            return
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        inside = number and math.isfinite(value) and low <= value <= high
        if not inside or (open_low and value == low) or (open_high and value == high):
            interval = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
            raise ConfigError(f"{self.NAME}: {name}={value!r} must be a number in {interval}")

    def ordered(self, low: str, high: str, *, strictly: bool = False) -> None:
        """Raise ConfigError unless parameter `low` is at most (`strictly`: below) parameter `high`."""
        a, b = getattr(self, low), getattr(self, high)
        if a > b or (strictly and a == b):
            raise ConfigError(
                f"{self.NAME}: {low}={a!r} must be {'below' if strictly else 'at most'} {high}={b!r}"
            )

    def whole(self, name: str, low: int = 0) -> None:
        """Raise ConfigError unless a parameter is a whole number of at least `low`."""
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
            raise ConfigError(f"{self.NAME}: {name}={value!r} must be a whole number of at least {low}")

    def flag(self, *names: str) -> None:
        """Raise ConfigError unless the parameters are True or False."""
        for name in names:
            if not isinstance(getattr(self, name), bool):  # the text "false" from a config file is truthy
                raise ConfigError(f"{self.NAME}: {name}={getattr(self, name)!r} must be True or False")

    def _rule_options(self, group: Group) -> dict[str, Any]:
        options: dict[str, Any] = {
            "std": self.std,
            "eps": self.eps,
            "mask_PG": self.mask(group),
            "masked_in_statistics": self.masked_in_statistics,
        }
        if self.rule in ("batch", "decoupled"):
            options["weight_PG"] = group.length_PG if self.weighting == "token" else None
        return options

    def _resolve_rule(self) -> None:
        """Replace None in `std` and `eps` by the defaults of the rule."""
        std, eps = advantages.DEFAULTS.get(self.rule, ("sample", 1e-6))
        self._set("std", std if self.std is None else self.std)
        self._set("eps", eps if self.eps is None else self.eps)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # the dataclass is frozen: only the state may change


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float | np.number) else str(value)
