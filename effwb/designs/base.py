"""What every design is: a small picklable object that turns a Group into rewards, a mask and advantages.

The rule about state: `reward`, `advantage`, `mask` and `watched` are pure. They read the state and never
write it, so they may be called twice, for a plot or a dry run. `observe(group)` is the only call of a
training step that changes state; the trainer makes it once per step, after the advantages (the rewards of
a step see what was known before it).
A design that learns from rollouts outside the step has one more such call, `laser_d.update_targets`.
"""

import copy
import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, ClassVar, dataclass_transform

import numpy as np

from effwb.designs import advantages
from effwb.designs.group import Group
from effwb.errors import ConfigError, DataError, one_of

TRUNCATED = ("wrong", "graded", "masked")
WEIGHTINGS = ("rollout", "token")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def design(cls):
    """Make a class a frozen dataclass of keyword parameters whose constructor refuses unknown names."""
    cls = dataclasses.dataclass(frozen=True, kw_only=True, eq=False)(cls)
    build = cls.__init__
    legal = [f.name for f in dataclasses.fields(cls)]

    @functools.wraps(build)  # keeps the signature, so Jupyter completes the parameters
    def __init__(self, *args, **params):
        if args:
            raise ConfigError(f"{cls.NAME} takes keyword arguments only ({', '.join(legal)}), got {args!r}")
        for name in params:
            one_of(f"parameter of {cls.NAME}", name, legal)
        build(self, **params)

    cls.__init__ = __init__
    return cls


@design
class Design:
    """Base of all designs. Parameters that every design has, with the paper's choice as each one's default:

    - `rule`: the advantage rule, one of group, group_no_std, rloo, batch, decoupled, none
    - `std`, `eps`: its standard deviation (sample, population, none) and epsilon; None is the rule's default
    - `truncated`: a rollout without EOS is "wrong", "graded" on its text, or "masked" (wrong, no gradient)
    - `masked_in_statistics`: whether masked rollouts count in group means and standard deviations
    - `weighting`: batch statistics per "rollout" or per "token" (as verl's masked whitening)
    - `cap`: the cap that the token parameters belong to; None is the paper's

    A subclass gives NAME, PAPER_CAP, TOKEN_PARAMETERS ({name: 1 for tokens, -1 for "per token"}),
    `components` and, where needed, `check`, `mask`, `combine`, `fresh_state` with `observe`.
    """

    NAME: ClassVar[str] = "design"
    PAPER_CAP: ClassVar[int | None] = None
    TOKEN_PARAMETERS: ClassVar[dict[str, int]] = {}
    probes: ClassVar[bool] = False  # whether it rewards forced answers, see `probe_points`
    hint: ClassVar[str | None] = None  # where prompts ask for a length (`prompts.HINTS`), see `draw_hints`
    needs_reference: ClassVar[bool] = False
    modes: ClassVar[bool] = False  # whether it reads how rollouts begin, `Group.empty_PG`; see `openings`
    ratio: ClassVar[str] = "token"  # probability ratios of the loss: per "token", or per "sequence"
    losses: ClassVar[tuple[str, ...] | None] = None  # the `Training.loss` its advantages fit; None: any
    forced_share: ClassVar[float | None] = None  # of a mode, as the loss takes it; None: the model's
    takes_state_of: ClassVar[tuple[str, ...]] = ()  # designs, besides itself, whose state it may begin with

    rule: str = "group"
    std: str | None = None
    eps: float | None = None
    truncated: str = "wrong"
    masked_in_statistics: bool = True
    weighting: str = "rollout"
    cap: float | None = None

    def __post_init__(self):
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
        self.flag("masked_in_statistics")
        self.within("eps", 0.0)
        self.within("cap", 0.0, open_low=True, optional=True)
        self.check()
        self._check_scale()
        self._set("_state", self.fresh_state())

    # what a subclass says

    def check(self) -> None:
        """Raise ConfigError for parameters outside their range."""

    def components(self, group: Group) -> dict[str, np.ndarray]:
        """The named parts of the reward, each float (P, G)."""
        raise NotImplementedError

    def combine(self, components: dict[str, np.ndarray]) -> np.ndarray:
        """The total; the sum unless the class says otherwise."""
        return sum(components.values())

    def component_weights(self, names, group: Group) -> dict[str, float]:
        """Weights of the components under rule "decoupled". Pure."""
        return dict.fromkeys(names, 1.0)

    def fresh_state(self) -> dict[str, Any]:
        """State before the first step, JSON-able with string keys; {} for a design that remembers nothing."""
        return {}

    def observe(self, group: Group) -> None:
        """Update the state from one step's rollouts. The only state-changing call of a step."""

    def probe_points(self, problem_id: str, completion_ids: list[int], cap: int, decode) -> list[int]:
        """Where a rollout is stopped and asked for its answer, in tokens, rising; [] for most designs.

        `decode(ids)` gives text. Points at or beyond the end of the rollout are legal: its own verdict
        counts.
        """
        return []

    def openings(self, G: int) -> list[str] | None:
        """How each of G rollouts must begin: "think" or "empty" (`samplers.base.opened`). None: all free."""
        return None

    def edges(self, group: Group) -> np.ndarray | None:
        """Tokens at which the segments of advantages (P, G, K + 1) change, rising, int (P, G, K)."""
        return group.probe_budgets_PGK if self.probes else None

    def draw_hints(self, rng: np.random.Generator, problem_ids: Sequence[str]) -> np.ndarray:
        """The lengths in tokens that the prompts of these problems ask for, int (P,); with `hint` only."""
        raise NotImplementedError

    def longest_hint(self) -> int:
        """The largest length that a prompt of the run can ask for; with `hint` only."""
        raise NotImplementedError

    def diagnostics(self, group: Group) -> dict[str, float]:
        """What a step uses that is worth a line in a plot, from `group` and the state before it. Pure.

        Named "<panel>/<line>", or "<panel>" alone, as `plots.state_figure` draws it.
        """
        return {}

    # what a trainer calls

    def solved(self, group: Group) -> np.ndarray:
        """Bool (P, G): rollouts that count as correct; truncated ones only if `truncated="graded"`."""
        return group.correct_PG if self.truncated == "graded" else group.correct_PG & group.finished_PG

    def reward(self, group: Group) -> dict[str, np.ndarray]:
        """Named components and their "total", each float (P, G). Pure."""
        # + 0.0 turns -0.0 into 0.0, which would otherwise show in every table
        parts = {name: np.asarray(part, dtype=float) + 0.0 for name, part in self.components(group).items()}
        return {**parts, "total": self.combine(parts)}

    def mask(self, group: Group) -> np.ndarray:
        """Bool (P, G); False: the rollout carries no gradient (its advantage is 0). Pure."""
        return group.finished_PG.copy() if self.truncated == "masked" else np.ones((group.P, group.G), bool)

    def advantage(self, group: Group) -> np.ndarray:
        """Float (P, G), finite, by this design's rule and mask. Pure.

        (P, G, K + 1) from a design whose advantages differ along a rollout, see `edges`.
        """
        parts = self.reward(group)
        total = parts.pop("total")
        if self.rule == "decoupled":
            weights = self.component_weights(parts, group)
            return advantages.decoupled(parts, weights, **self._rule_options(group))
        return self.by_rule(total, group)

    def by_rule(self, reward_PG: np.ndarray, group: Group) -> np.ndarray:
        """One reward as advantages, float (P, G), by this design's rule and mask."""
        return advantages.RULES[self.rule](reward_PG, **self._rule_options(group))

    def state(self) -> dict[str, Any]:
        """A JSON-able dict with all that must survive a restart, marked with the design's name."""
        return {"design": self.NAME, **copy.deepcopy(self._state)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state()` gave, also of a design in `takes_state_of`; DataError for any other."""
        if state.get("design") not in (self.NAME, *self.takes_state_of):
            legal = " or ".join(map(repr, (self.NAME, *self.takes_state_of)))
            raise DataError(f"this is the state of design {state.get('design')!r}, not of {legal}")
        found, expected = set(state) - {"design"}, set(self.fresh_state())
        if found != expected:
            raise DataError(f"state of {self.NAME} has keys {sorted(found)}, expected {sorted(expected)}")
        self._set("_state", copy.deepcopy({k: v for k, v in state.items() if k != "design"}))

    # scale

    def parameters(self) -> dict[str, Any]:
        """All parameters by name, as given or defaulted."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def token_parameters(self) -> dict[str, float]:
        """The parameters in tokens (or per token) that are in use; they belong to `self.cap`.

        A parameter that may name a rule instead is in tokens only where it holds numbers.
        """
        values = {name: getattr(self, name) for name in self.TOKEN_PARAMETERS}
        return {n: v for n, v in values.items() if v is not None and not isinstance(v, str)}

    def at_scale(self, cap: float) -> "Design":
        """A copy with fresh state whose token parameters are moved from `self.cap` to `cap`.

        Tokens grow with cap / self.cap, coefficients per token shrink with it, so that lengths scaled by
        the same factor get the same rewards. Print `.token_parameters()` to see what is used.
        """
        if not (isinstance(cap, int | float | np.number) and math.isfinite(cap) and cap > 0):
            raise ConfigError(f"{self.NAME}: cap={cap!r} must be a positive number of tokens")
        params = self.parameters()
        for name, value in self.token_parameters().items():
            factor = (cap / self.cap) ** self.TOKEN_PARAMETERS[name]
            whole = isinstance(value, list | tuple | np.ndarray)  # budgets: places in a rollout
            params[name] = [max(1, round(v * factor)) for v in value] if whole else value * factor
        return type(self)(**{**params, "cap": cap})

    def check_cap(self, cap: float) -> None:
        """Raise ConfigError if token parameters belong to another cap than the run's; call before step 1."""
        used = self.token_parameters()
        if used and cap != self.cap:
            listed = ", ".join(f"{name}={_short(value)}" for name, value in used.items())
            raise ConfigError(
                f"{self.NAME}: {listed} belong to a cap of {self.cap:g} tokens, the run has {cap:g}; use "
                f"design.at_scale({cap:g}), or pass cap={cap:g} if the values are meant for it already"
            )

    # helpers for subclasses

    def within(self, name, low=-math.inf, high=math.inf, *, open_low=False, open_high=False, optional=False):
        """Raise ConfigError unless the parameter is a finite number in the interval."""
        value = getattr(self, name)
        if value is None and optional:
            return
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        inside = number and math.isfinite(value) and low <= value <= high
        if not inside or (open_low and value == low) or (open_high and value == high):
            span = f"{'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"
            raise ConfigError(f"{self.NAME}: {name}={value!r} must be a number in {span}")

    def ordered(self, low: str, high: str, *, strictly: bool = False) -> None:
        """Raise ConfigError unless parameter `low` is at most (strictly: below) parameter `high`."""
        a, b = getattr(self, low), getattr(self, high)
        if a > b or (strictly and a == b):
            raise ConfigError(
                f"{self.NAME}: {low}={a!r} must be {'below' if strictly else 'at most'} {high}={b!r}"
            )

    def whole(self, name, low: int = 0) -> None:
        """Raise ConfigError unless the parameter is a whole number of at least `low`."""
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
            raise ConfigError(f"{self.NAME}: {name}={value!r} must be a whole number of at least {low}")

    def flag(self, *names: str) -> None:
        """Raise ConfigError unless the parameters are True or False; "false" from a config file is truthy."""
        for name in names:
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{self.NAME}: {name}={getattr(self, name)!r} must be True or False")

    def _rule_options(self, group: Group) -> dict[str, Any]:
        options = {
            "std": self.std,
            "eps": self.eps,
            "mask_PG": self.mask(group),
            "masked_in_statistics": self.masked_in_statistics,
        }
        if self.rule in ("batch", "decoupled"):
            options["weight_PG"] = group.length_PG if self.weighting == "token" else None
        return options

    def _resolve_rule(self) -> None:
        std, eps = advantages.DEFAULTS.get(self.rule, ("sample", 1e-6))
        self._set("std", std if self.std is None else self.std)
        self._set("eps", eps if self.eps is None else self.eps)

    def _check_scale(self) -> None:
        if self.token_parameters() and self.cap is None:
            raise ConfigError(
                f"{self.NAME}: {', '.join(self.token_parameters())} is in tokens, the paper's cap unknown; "
                "pass cap=<the cap it belongs to>"
            )

    def _set(self, name: str, value) -> None:
        object.__setattr__(self, name, value)  # the dataclass is frozen: parameters do not change, state does


def _short(value) -> str:
    return f"{value:g}" if isinstance(value, int | float | np.number) else str(value)
