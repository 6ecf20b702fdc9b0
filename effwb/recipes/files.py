"""Read the TOML files of the recipes; whatever is wrong in one is an error that names the file.

A field of a recipe is a small table:

    learning_rate = { value = 5e-6, source = "2506.07104, Table 4" }     the paper's value
    train_source = { value = "deepscaler", paper = "...", why = "...", source = "..." }   ours differs
    steps = { open = "the paper prints none" }                           ours is the profile's
    kl = { value = 0.0, open = "the paper prints none; ..." }            ours, and why
    warmup_steps = { share = 0.1, source = "..." }                       a share of all steps

They stand in `[training]` (fields of `profiles.Training`), `[params]` (parameters of the design), `[run]`
(cap, template, models, problems) and `[differs]` (what effwb has nothing like). `[only.<design>.<section>]`
and `[size.<7b>.<section>]` hold what is different for one design of the paper, or for one size of model.
`[sources]` has short names for long sources: script = "owner/name, path", then source = "{script} (n = 8)".
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from effwb.designs import DESIGNS
from effwb.errors import ConfigError, one_of
from effwb.profiles import REAL_TRAINING, Training
from effwb.prompts import TEMPLATES
from effwb.recipes.values import METHOD_FIELDS, RUN_FIELDS, Difference, Recipe

FILE_KEYS = ("paper", "title", "designs", "sources", "training", "params", "run", "differs", "only", "size")
LEGAL: dict[str, Sequence[str]] = {"training": METHOD_FIELDS, "params": (), "run": RUN_FIELDS, "differs": ()}
FIELD_KEYS = ("value", "share", "source", "open", "paper", "why")
RUN_TYPES = {"max_tokens": int, "template": str, "model": list, "train_source": str}
KL_FIELDS = ("kl_estimator", "kl_place", "kl_bias_correction")  # without a KL term they decide nothing
NOT_PRINTED = "not printed; the profile's value"
ALL_SIZES = ""  # the recipe of models that no [size] section is about


def read_papers(folder: Path) -> dict[str, dict[str, Recipe]]:
    """Read all files of a directory.

    Args:
        folder: Directory with the .toml files.

    Returns:
        {design: {size of the model: recipe}}; the size "" stands for all others.

    Raises:
        ConfigError: A file is wrong, see `read_paper`, or two files have recipes of the same design.
    """
    recipes: dict[str, dict[str, Recipe]] = {}
    for file in sorted(folder.glob("*.toml")):
        for design, sizes in read_paper(file).items():
            if design in recipes:
                raise ConfigError(f"{file.name}: another file has a recipe of {design!r} already")
            recipes[design] = sizes
    return recipes


def read_paper(file: Path) -> dict[str, dict[str, Recipe]]:
    """Read the recipes of one paper, {design: {size of the model: recipe}}.

    Raises:
        ConfigError: The file is no TOML, a key, a section or a field is unknown, a value has the wrong type
            or no source, or a difference has no reason. The message names the file and the field.
    """
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        for key in data:
            one_of("key", key, FILE_KEYS)
        if missing := [key for key in ("paper", "title", "designs") if not data.get(key)]:
            raise ConfigError(f"lacks {', '.join(missing)}")
        sizes = (ALL_SIZES, *data.get("size", {}))
        return {design: {size: _recipe(data, design, size) for size in sizes} for design in data["designs"]}
    except (ConfigError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"recipe file {file.name}: {error}") from None


def merged_fields(
    data: Mapping[str, Any], name: str, names: Sequence[str], size: str, legal: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Put the sections of a file together: what holds for all, for one name, and for one size of model.

    Args:
        data: The file.
        name: The design or method.
        names: All designs or methods of the file.
        size: Size of the model; "" for models that no [size] section is about.
        legal: {section: its fields}; () for any.

    Returns:
        {section: {field: its entry}}, the sources written out.

    Raises:
        ConfigError: A section or field is unknown, or an entry has no source.
    """
    only = data.get("only", {})
    for other in only:
        one_of("design in [only]", other, names)
    layers = [{key: data.get(key, {}) for key in legal}, only.get(name, {})]
    layers.append(data.get("size", {}).get(size, {}))
    fields: dict[str, dict[str, Any]] = {section: {} for section in legal}
    for layer in layers:
        for section, entries in layer.items():
            one_of("section", section, legal)
            for field, entry in entries.items():
                if legal[section]:
                    one_of(f"field in [{section}]", field, legal[section])
                _check_entry(section, field, entry)
                fields[section][field] = _with_source(entry, data.get("sources", {}))
    return fields


def _recipe(data: Mapping[str, Any], design: str, size: str) -> Recipe:
    """The recipe of one design of a file, for one size of model."""
    fields = merged_fields(data, design, data["designs"], size, LEGAL)
    _check_values(fields, design)
    every = {name: entry for section in fields.values() for name, entry in section.items()}
    values = {name: e["value"] for name, e in fields["training"].items() if "value" in e}
    run = {name: e["value"] for name, e in fields["run"].items() if "value" in e}
    return Recipe(
        design=design,
        paper=data["paper"],
        values=values,
        sources={name: e["source"] for name, e in every.items() if "source" in e},
        open=_open(every, values),
        differs={
            name: Difference(name, e["paper"], e.get("value"), e["why"])
            for name, e in every.items()
            if "paper" in e
        },
        params={name: e["value"] for name, e in fields["params"].items() if "value" in e},
        warmup_share=fields["training"].get("warmup_steps", {}).get("share"),
        **{**run, "model": tuple(run.get("model", ()))},
    )


def _with_source(entry: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The field with the short names in its source written out."""
    if "source" not in entry:
        return entry
    try:
        return {**entry, "source": entry["source"].format_map(names)}
    except (KeyError, ValueError) as error:
        raise ConfigError(f"source {entry['source']!r}: {error} is not in [sources]") from None


def _check_entry(section: str, name: str, entry: Any) -> None:
    """Raise `ConfigError` unless a field of a recipe has the keys that belong together."""
    if not isinstance(entry, dict):
        raise ConfigError(f"{name} = {entry!r} has no source; write {{ value = ..., source = ... }}")
    for key, value in entry.items():
        one_of(f"key of {name}", key, FIELD_KEYS)
        if key not in ("value", "share", "paper") and not (isinstance(value, str) and value.strip()):
            raise ConfigError(f"{name}: {key} must be a text that is not empty, got {value!r}")
    if ("source" in entry) == ("open" in entry):
        raise ConfigError(f"{name} must have a source, or open with the reason of our choice")
    if ("paper" in entry) != ("why" in entry):
        raise ConfigError(f"{name}: paper (the paper's value) and why it differs come together")
    if "source" in entry and not {"value", "share", "paper"} & entry.keys():
        raise ConfigError(f"{name} has a source but no value")
    if section == "differs" and "paper" not in entry:
        raise ConfigError(f"{name} in [differs] needs the paper's value and why effwb has nothing like it")
    if "share" in entry and (name != "warmup_steps" or not isinstance(entry["share"], float)):
        raise ConfigError(f"{name}: share is for warmup_steps, a number such as 0.1")


def _check_values(fields: Mapping[str, Mapping[str, Any]], design: str) -> None:
    """Raise `ConfigError` for a value of the wrong type, or one that the design does not take."""
    Training(**{**REAL_TRAINING.as_dict(), **with_value(fields["training"])})
    for name, value in with_value(fields["run"]).items():
        if type(value) is not RUN_TYPES[name]:
            raise ConfigError(f"{name} must be {RUN_TYPES[name].__name__}, got {value!r}")
    if template := with_value(fields["run"]).get("template"):
        one_of("template", template, TEMPLATES)
    if params := with_value(fields["params"]):
        if in_tokens := DESIGNS[design].TOKEN_PARAMETERS.keys() & params.keys():
            raise ConfigError(f"{sorted(in_tokens)} of {design} are in tokens: the design holds the paper's")
        DESIGNS[design](**params)


def with_value(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The fields that have a value, {name: value}."""
    return {name: entry["value"] for name, entry in entries.items() if "value" in entry}


def _open(entries: Mapping[str, Mapping[str, Any]], values: Mapping[str, Any]) -> dict[str, str]:
    """What the paper leaves open: fields marked so, and those that its file does not have."""
    unused = set(KL_FIELDS) if values.get("kl") == 0 else set()
    if values.get("kl_estimator", "k3") != "k3" or values.get("kl_place") == "reward":
        unused.add("kl_bias_correction")
    reasons = {}
    for name in (*METHOD_FIELDS, *RUN_FIELDS):
        if name not in entries and name not in unused:
            reasons[name] = NOT_PRINTED
    return reasons | {name: entry["open"] for name, entry in entries.items() if "open" in entry}
