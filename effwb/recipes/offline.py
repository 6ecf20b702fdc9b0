"""`OFFLINE_RECIPES`: what each paper trains its offline method with, and what it leaves open.

The values stand in `offline_papers/`, in the form of `papers/` (see `files`). `[training]` holds fields of
`OfflineTraining`, `[pool]` how the rollouts are sampled, `[params]` parameters of the rule that chooses.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from effwb.errors import ConfigError, one_of
from effwb.recipes.choice import KINDS, fitting_size
from effwb.recipes.files import ALL_SIZES, NOT_PRINTED, merged_fields, with_value
from effwb.recipes.offline_training import LOSS_FIELDS, Objective, OfflineTraining
from effwb.recipes.values import COLUMNS, Difference, text

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).parent
FILE_KEYS = ("paper", "title", "methods", "objective", "sources", "training", "pool", "params", "differs")
POOL_FIELDS = ("n_samples", "max_tokens", "temperature", "top_p", "n_problems", "model", "train_source")


@dataclass(frozen=True)
class OfflineRecipe:
    """The settings of one offline method: those of its paper, or those of the pocket model.

    Attributes:
        method: Name of the method.
        objective: Its loss: "sft", "simpo", "dpo" or "o1_pruner".
        kind: "paper" or "pocket".
        paper: The arXiv number of the paper.
        values: Fields of `OfflineTraining` that the recipe states.
        pool: How the paper samples the rollouts: n_samples (per problem and prompt), max_tokens, temperature,
            top_p, n_problems, model, train_source. It is compared, not set.
        params: Parameters of the rule.
        sources: Where the paper or its code says so, by field.
        open: What the paper leaves open, each with our choice and its reason.
        differs: By field: the paper's value, and why effwb does something else.
    """

    method: str
    objective: str
    kind: str = "paper"
    paper: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    pool: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    open: Mapping[str, str] = field(default_factory=dict)
    differs: Mapping[str, Difference] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"recipe {self.kind!r} of {self.method}" + (f" ({self.paper})" if self.paper else "")

    @property
    def training(self) -> OfflineTraining:
        """The settings: the recipe's values, and the defaults of `OfflineTraining` for what is open."""
        return OfflineTraining(**self.values)

    def stated(self) -> dict[str, Any]:
        """All that the recipe says, by field: settings, parameters of the rule, pool."""
        return {**self.values, **self.params, **self.pool}

    def table(self) -> pd.DataFrame:
        """The recipe beside its paper: field, paper, recipe, what differs and why, source."""
        import pandas as pd

        defaults, stated, rows = self.training.as_dict(), self.stated(), []
        for name in dict.fromkeys((*stated, *self.open, *self.differs)):
            differs, here = self.differs.get(name), stated.get(name, defaults.get(name))
            paper = differs.paper if differs else None if name in self.open else here
            here, why = (differs.here, differs.why) if differs else (here, self.open.get(name, ""))
            rows.append((name, text(paper), text(here), why, self.sources.get(name, "")))
        return pd.DataFrame(rows, columns=list(COLUMNS))


def offline_fields(objective: str) -> tuple[str, ...]:
    """The fields of `OfflineTraining` that a loss has."""
    foreign = {name for fields in LOSS_FIELDS.values() for name in fields} - {*LOSS_FIELDS[objective]}
    return tuple(name for name in OfflineTraining.model_fields if name not in foreign)


def offline_recipe(method: str, kind: str = "paper", model: str = "") -> OfflineRecipe:
    """Return the recipe of an offline method.

    Args:
        method: Name in `OFFLINE_RECIPES`.
        kind: "paper": what its paper trains with. "pocket": the same for all methods with one loss.
        model: Name of the starting model, for papers that print other values for other sizes; "": the
            smallest of them.

    Raises:
        ConfigError: The method or the kind is unknown.

    >>> offline_recipe("simpo_dast", model="DeepSeek-R1-Distill-Qwen-7B").training.learning_rate
    3e-06
    """
    one_of("offline method", method, OFFLINE_RECIPES)
    one_of("recipe", kind, KINDS)
    sizes = _PAPERS[method]
    paper = sizes[fitting_size(model, sizes)]
    if kind == "paper":
        return paper
    stored = tomllib.loads((FOLDER / "offline_pocket.toml").read_text(encoding="utf-8"))
    entries = {**stored["all"], **stored[paper.objective]}
    return OfflineRecipe(
        method,
        paper.objective,
        "pocket",
        paper.paper,
        values={name: entry["value"] for name, entry in entries.items()},
        params=paper.params,
        sources={name: entry["why"] for name, entry in entries.items()},
    )


def offline_sizes(method: str) -> dict[str, OfflineRecipe]:
    """The recipes of a method for the sizes of model that have one of their own, such as "7b"."""
    return {size: own for size, own in _PAPERS[method].items() if size != ALL_SIZES}


def read_offline_paper(file: Path) -> dict[str, dict[str, OfflineRecipe]]:
    """Read the recipes of one file, {method: {size of the model: recipe}}.

    Raises:
        ConfigError: As `files.read_paper`; the message names the file and the field.
    """
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
        for key in data:
            one_of("key", key, (*FILE_KEYS, "only", "size"))
        if missing := [key for key in ("paper", "title", "methods", "objective") if not data.get(key)]:
            raise ConfigError(f"lacks {', '.join(missing)}")
        one_of("objective", data["objective"], get_args(Objective))
        sizes = (ALL_SIZES, *data.get("size", {}))
        return {method: {size: _recipe(data, method, size) for size in sizes} for method in data["methods"]}
    except (ConfigError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"recipe file {file.name}: {error}") from None


def _recipe(data: Mapping[str, Any], method: str, size: str) -> OfflineRecipe:
    own = offline_fields(data["objective"])
    legal = {"training": own, "pool": POOL_FIELDS, "params": (), "differs": ()}
    fields = merged_fields(data, method, data["methods"], size, legal)
    OfflineTraining(**with_value(fields["training"]))
    every = {name: entry for section in fields.values() for name, entry in section.items()}
    unstated = {name: NOT_PRINTED for name in (*own, *POOL_FIELDS) if name not in every}
    return OfflineRecipe(
        method,
        data["objective"],
        paper=data["paper"],
        values=with_value(fields["training"]),
        pool=with_value(fields["pool"]),
        params=with_value(fields["params"]),
        sources={name: e["source"] for name, e in every.items() if "source" in e},
        open=unstated | {name: e["open"] for name, e in every.items() if "open" in e},
        differs={
            name: Difference(name, e["paper"], e.get("value"), e["why"])
            for name, e in every.items()
            if "paper" in e
        },
    )


_PAPERS = {
    method: sizes
    for file in sorted((FOLDER / "offline_papers").glob("*.toml"))
    for method, sizes in read_offline_paper(file).items()
}
OFFLINE_RECIPES: dict[str, OfflineRecipe] = {method: sizes[ALL_SIZES] for method, sizes in _PAPERS.items()}
