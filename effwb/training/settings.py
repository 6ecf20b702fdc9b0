"""Which settings a training has: those of the profile, then of the recipe, then what the caller gives."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from effwb import models, prompts
from effwb._internal.checked import Text, check_value
from effwb.designs import Design, design_name, find_design, fit_design
from effwb.errors import ConfigError
from effwb.profiles import Profile, Training
from effwb.recipes import RECIPES, Difference, Recipe, choose, recipe
from effwb.rollouts import FORCED_ROOM
from effwb.training.checks import check
from effwb.training.offline import OfflineSettings, is_offline, offline_settings
from effwb.training.points import Point, short_value

if TYPE_CHECKING:
    from datasets import Dataset

RecipeChoice = str | Recipe | Mapping[str, Any] | None


@dataclass(frozen=True)
class RunSettings:
    """What one training is done with.

    Attributes:
        recipe: The recipe.
        training: The training settings.
        max_tokens: The cap: most tokens of a completion.
        design: The design at that cap.
        model: The starting model.
        recipe_cap: Whether the cap is the recipe's.
        set_by_caller: Names of the training settings that the caller gave.
    """

    recipe: Recipe
    training: Training
    max_tokens: int
    design: Design
    model: str
    recipe_cap: bool
    set_by_caller: frozenset[str]

    @property
    def machine(self) -> Training:
        """The training settings, which also say where and how fast the run computes."""
        return self.training

    def check_context(self) -> None:
        """Raise `ConfigError` if the recipe's cap does not fit the model; only its config is read."""
        if not self.recipe_cap:
            return
        context = models.context_of(models.load_config(models.locate(self.model)))
        if context is not None and self.max_tokens + FORCED_ROOM >= context:
            raise ConfigError(
                f"{self.recipe}: its cap max_tokens={self.max_tokens} (a forced answer needs {FORCED_ROOM} "
                f"more) does not fit the context of {self.model}, {context} tokens; give max_tokens="
            )

    def explain(self, error: ConfigError) -> ConfigError:
        """The error, with the values that it names and that are the recipe's."""
        own = {n: v for n, v in self.recipe.values.items() if n not in self.set_by_caller}
        named = [f"{n}={v!r}" for n, v in own.items() if re.search(rf"\b{n}\b", str(error))]
        if not named:
            return error
        return ConfigError(f"{error}. The {self.recipe} has {', '.join(named)}; another value replaces it")

    def differences(self, problems: Dataset | None = None, template: str | None = None) -> list[Difference]:
        """What of the paper's experiment this training does not have; [] for a design without a paper.

        Args:
            problems: The training problems.
            template: Name of the template.
        """
        if self.design.NAME not in RECIPES:
            return []
        paper = recipe(self.design.NAME, "paper", self.model)
        here, there = self.design.parameters(), fit_design(paper.design, self.max_tokens, **paper.params)
        expected = there.parameters().items()
        params = {n: (_brief(v), _brief(here[n])) for n, v in expected if not _alike(v, here[n])}
        return paper.differences(
            self.training,
            self.max_tokens,
            params=params,
            model=self.model,
            sources=() if problems is None else set(problems["source"]),
            n_problems=None if problems is None else len(problems),
            question_suffix=None if template is None else prompts.template(template).question_suffix,
        )


def run_settings(
    design: str | Design | type[Design],
    profile: Profile,
    recipe: RecipeChoice = None,
    *,
    design_params: Mapping | None = None,
    max_tokens: int | None = None,
    model: str | None = None,
    training: Mapping[str, Any] | None = None,
) -> RunSettings:
    """Put the settings of a training together.

    Args:
        design: A name in `DESIGNS`, a class or NAME of your own, or a `Design` object, whose parameters and
            cap are taken as they are.
        profile: The profile.
        recipe: A kind of recipe ("paper", "pocket"), the name of a design whose paper's settings are used, a
            `Recipe`, a table of fields of `profiles.Training`, or None for what the profile names.
        design_params: Parameters of a design given by name, in tokens of this run; they win over the recipe.
        max_tokens: The cap; None: the recipe's for a design given by name, or else the profile's.
        model: The starting model; None: the profile's.
        training: Fields of `profiles.Training`, which win over the recipe.

    Raises:
        ConfigError: The recipe, a setting, the design or one of its parameters is not legal.
    """
    design = design_name(design)
    check_value("design", design, Text | Design)
    name = design if isinstance(design, str) else design.NAME
    start, caller_settings = model or profile.model, dict(training or {})
    chosen = choose(recipe, name, profile, start)
    settings = chosen.apply(profile.training, caller_settings)
    recipes_cap = chosen.max_tokens if max_tokens is None and isinstance(design, str) else None
    cap = next(c for c in (max_tokens, recipes_cap, profile.max_tokens) if c is not None)
    if isinstance(design, str):
        own = chosen.params if chosen.design == design else {}
        design = fit_design(design, cap, **{**own, **(design_params or {})})
    elif design_params:
        raise ConfigError("design_params need a design given by name; set them in the Design object")
    chosen_fields = frozenset(n for n, value in caller_settings.items() if value is not None)
    return RunSettings(chosen, settings, cap, design, start, recipes_cap is not None, chosen_fields)


def point_settings(
    point: Point,
    profile: Profile,
    *,
    model: str | None,
    recipe: RecipeChoice,
    caller_settings: Mapping[str, Any],
) -> RunSettings:
    """What a point is trained with whose design is no offline method.

    Args:
        point: The point.
        profile: The profile.
        model: The starting model; None: the profile's.
        recipe: As in `run_settings`.
        caller_settings: Fields of `profiles.Training`, and `max_tokens`, that win over the recipe; the
            point's own win over them.

    Raises:
        ConfigError: As in `run_settings`.
    """
    wins = overrides(point, caller_settings)
    return run_settings(point.design, profile, recipe, design_params=point.params, model=model, **wins)


def settings_of(point: Point, profile: Profile, **options: Any) -> RunSettings | OfflineSettings:
    """What a point is trained with, be it a design or an offline method.

    Args:
        point: The point.
        profile: The profile it is trained at.
        **options: Those of `point_settings`.

    Raises:
        ConfigError: A name or a value is not legal.
    """
    make = offline_settings if is_offline(point.design) else point_settings
    return make(point, profile, **options)


def of_design(run: RunSettings | OfflineSettings, purpose: str) -> RunSettings:
    """The settings, if they are of a design.

    Args:
        run: What `settings_of` gives.
        purpose: What needs a design, for the message.

    Raises:
        ConfigError: They are of an offline method.
    """
    if isinstance(run, OfflineSettings):
        raise ConfigError(
            f"{purpose} needs a design; {run.design.name} is an offline method: it learns from stored "
            "rollouts, without rewards"
        )
    return run


def needs_reference(point: Point) -> bool:
    """Whether a point, or one that is trained before it, compares with a frozen model in training."""
    if not is_offline(point.design) and find_design(point.design).needs_reference:
        return True
    return isinstance(point.after, Point) and needs_reference(point.after)


def takes_state(point: Point) -> bool:
    """Whether a point begins with what the design of the point before it has learned."""
    if not isinstance(point.after, Point) or is_offline(point.design):
        return False
    return point.after.design in find_design(point.design).takes_state_of


def check_point(point: Point, profile: Profile, **options: Any) -> RunSettings | OfflineSettings:
    """Refuse a point, or one that is trained before it, with an illegal name or value.

    Args:
        point: The point.
        profile: The profile it is trained at.
        **options: Those of `point_settings`.

    Returns:
        What the point is trained with.

    Raises:
        ConfigError: As `point_settings`, or the recipe's cap does not fit the model.
    """
    run = settings_of(point, profile, **options)
    if isinstance(run, RunSettings):
        run.check_context()
    if isinstance(point.after, Point):
        check_point(point.after, profile, **options)
    return run


def check_training(
    point: Point,
    problems: Dataset,
    reference: Mapping | None,
    monitor: Dataset | None,
    **options: Any,
) -> None:
    """Refuse what `train` would refuse about a point and those before it, so that none is trained in vain.

    A design that starts from the state of the point before cannot be tried without that state.

    Args:
        point: The point.
        problems: See `checks.check`.
        reference: See `checks.check`.
        monitor: See `checks.check`.
        **options: The profile and the options of `point_settings`.

    Raises:
        ConfigError: As `checks.check` does.
        DataError: As `checks.check` does.
    """
    if isinstance(point.after, Point):
        check_training(point.after, problems, reference, monitor, **options)
    if takes_state(point) or is_offline(point.design):
        return
    run = point_settings(point, **options)
    try:
        check(run.training, run.design, run.max_tokens, problems, reference, monitor)
    except ConfigError as error:
        raise run.explain(error) from None


def overrides(point: Point, caller_settings: Mapping[str, Any]) -> dict[str, Any]:
    """The `max_tokens` and the `training` that win over the recipe of a point."""
    own = {"max_tokens": point.max_tokens, **point.training}
    training = {**caller_settings, **{name: value for name, value in own.items() if value is not None}}
    return {"max_tokens": training.pop("max_tokens", None), "training": training}


def recipe_record(run: RunSettings, differences: Sequence[Difference]) -> dict[str, Any]:
    """What config.json says about the recipe, beside the identity."""
    return {
        "kind": run.recipe.kind,
        "paper": run.recipe.paper,
        "differences": {row.field: str(row) for row in differences},
        "open": dict(run.recipe.open),
    }


def recipe_lines(run: RunSettings, differences: Sequence[Difference]) -> list[str]:
    """What a training says about its recipe when it begins; on the pocket model that is one line."""
    if not differences:
        return []
    paper = RECIPES[run.design.NAME].paper
    if run.recipe.kind == "pocket":
        names = ", ".join(row.field for row in differences)
        return [f"{run.recipe}: one setting for all designs; not as in {paper}: {names}"]
    lines = [f"{run.recipe}; left open by the paper: {', '.join(run.recipe.open) or 'nothing'}"]
    return lines + [f"  not as in {paper}: {row}" for row in differences]


def _brief(value: Any) -> Any:
    """The value, or a digest of a frontier or a long table."""
    value = _without_tuples(value)
    return value if isinstance(value, bool | int | float | str | None) else short_value(value)


def _alike(a: Any, b: Any) -> bool:
    if hasattr(a, "budgets") or isinstance(a, Mapping):
        return a is b
    if hasattr(a, "tolist") or hasattr(b, "tolist"):
        a, b = (value.tolist() if hasattr(value, "tolist") else value for value in (a, b))
    return bool(_without_tuples(a) == _without_tuples(b))


def _without_tuples(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value  # a file knows no tuples
