"""`RECIPES`, and which recipe a training uses."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from effwb.designs import DESIGNS
from effwb.errors import ConfigError, one_of
from effwb.profiles import PROFILES, Profile
from effwb.recipes.files import ALL_SIZES, read_papers
from effwb.recipes.values import METHOD_FIELDS, Difference, Recipe

FOLDER = Path(__file__).parent
KINDS = ("paper", "pocket")

_PAPERS = read_papers(FOLDER / "papers")
RECIPES: dict[str, Recipe] = {design: sizes[ALL_SIZES] for design, sizes in _PAPERS.items()}


def recipe(design: str, kind: str = "paper", model: str = "") -> Recipe:
    """Return the recipe of a design.

    Args:
        design: Name in `DESIGNS`.
        kind: "paper": what its paper trains with. "pocket": the settings of the profile, the same for all
            designs so that they can be compared, except for what a design cannot do without.
        model: Name of the starting model, for papers that print other values for other sizes; "": the
            smallest of them.

    Raises:
        ConfigError: The design or the kind is unknown.

    >>> recipe("reo_rl").values["learning_rate"], recipe("reo_rl").sources["learning_rate"]
    (5e-06, '2506.07104, Table 4')
    """
    one_of("design", design, RECIPES)
    one_of("recipe", kind, KINDS)
    if kind == "pocket":
        return _pocket(design)
    return _PAPERS[design][fitting_size(model, sizes(design))]


def fitting_size(model: str, sizes: Iterable[str]) -> str:
    """The size of a model, such as "7b", among those that a paper has settings for; "" for none of them."""
    # "7b" is a size of "Qwen-7B", not of "Qwen3-1.7B"
    names = (size for size in sizes if size and re.search(rf"(?<![\d.]){re.escape(size)}\b", model.lower()))
    return next(names, ALL_SIZES)


def sizes(design: str) -> dict[str, Recipe]:
    """The paper's recipes of a design for the sizes of model that have one of their own, such as "7b"."""
    return {size: own for size, own in _PAPERS[design].items() if size != ALL_SIZES}


def _pocket(design: str) -> Recipe:
    """The pocket profile's settings, and what this design cannot do without."""
    own = tomllib.loads((FOLDER / "pocket.toml").read_text(encoding="utf-8")).get(design, {})
    values = {name: entry["value"] for name, entry in own.items() if name in METHOD_FIELDS}
    params = {name: entry["value"] for name, entry in own.items() if name not in METHOD_FIELDS}
    sources = {name: entry["why"] for name, entry in own.items()}
    losses = DESIGNS[design].losses if design in DESIGNS else None
    training = PROFILES["pocket"].training
    if losses and training.loss not in losses:
        values["loss"], sources["loss"] = losses[0], f"{design} needs it"
    used, paper = training.override(**values), RECIPES[design]
    differs = {}
    for name, value in paper.values.items():
        if getattr(used, name) != value:
            why = sources.get(name, "the pocket model's setting for all designs")
            differs[name] = Difference(name, value, getattr(used, name), why)
    shared = {name: "effwb.profiles: pocket" for name in METHOD_FIELDS}
    return Recipe(
        design,
        "pocket",
        values=values,
        sources={**shared, **sources},
        differs=differs,
        params=params,
        base=training,
    )


def choose(
    wanted: str | Recipe | Mapping[str, Any] | None, design: str, profile: Profile, model: str = ""
) -> Recipe:
    """Return the recipe that a training uses.

    Args:
        wanted: A kind of recipe, the name of a design whose paper's settings are used, a `Recipe`, fields of
            `profiles.Training` by name, or None: the kind that the profile names, or nothing for a design of
            your own.
        design: Name of the design.
        profile: The profile.
        model: Name of the starting model.

    Raises:
        ConfigError: The kind is unknown, a design of your own has no recipe, or `wanted` is something else.
    """
    if isinstance(wanted, Recipe):
        return wanted
    if isinstance(wanted, Mapping):
        return Recipe(design, "own", values=dict(wanted))
    if wanted is None and design not in RECIPES:
        return Recipe(design, "own")
    if not isinstance(wanted, str | None):
        legal = '"paper", "pocket", the name of a design, a Recipe, a table of fields or None'
        raise ConfigError(f"recipe must be {legal}, got {wanted!r}")
    one_of("recipe", wanted or profile.recipe, (*KINDS, *RECIPES))
    if wanted in RECIPES:
        return recipe(wanted, "paper", model)
    if design not in RECIPES and wanted == "pocket":  # the settings of the profile, as for all designs
        return Recipe(design, "own")
    if design not in RECIPES:
        raise ConfigError(
            f"unknown design {design!r} of recipe='paper': a design of your own has no paper; give "
            "recipe=None for the profile's settings, or the name of a design whose paper's settings it has"
        )
    return recipe(design, wanted or profile.recipe, model)
