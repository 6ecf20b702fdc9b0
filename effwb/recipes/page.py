"""The page docs/recipes.md, made from the papers' files: python -m effwb.recipes.page > docs/recipes.md."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from effwb.recipes.choice import RECIPES, sizes
from effwb.recipes.files import NOT_PRINTED
from effwb.recipes.offline import OFFLINE_RECIPES, OfflineRecipe, offline_sizes
from effwb.recipes.values import METHOD_FIELDS, RUN_FIELDS, Recipe, text

if TYPE_CHECKING:
    import pandas as pd

# ruff: noqa: E501  (the lines of a page)
INTRODUCTION = """\
# Recipes: the papers' settings

<!-- Made by: python -m effwb.recipes.page > docs/recipes.md. Change the files in effwb/recipes/papers instead. -->

A recipe holds what a paper trains its method with: optimizer, batch, clipping, KL, cap, start model, data. Each value stands with its source in
`effwb/recipes/papers/`. On the real profiles a design trains with its paper's recipe; on `pocket` and `smollm2` all designs train with the profile's
settings, so that they can be compared.

```python
from effwb.recipes import recipe

own = recipe("reo_rl")  # or recipe("reo_rl", "pocket")
own.training  # a profiles.Training
own.sources["learning_rate"]  # "2506.07104, Table 4"
own.open  # what the paper leaves open, with our choice
own.table()  # the table below
```

`train(design, ..., recipe="paper")` and `Study.open(..., recipe="paper")` choose it, and `recipe={"kl": 0.001}` gives fields by name. With
`recipe="lapo_discovery"`, the name of a design, all designs train with that paper's settings: a fair comparison of methods needs one recipe for all. The
default is what `profile.recipe` names. What is set later wins: the profile's training settings, then the recipe's values, then `Study.open(training=...)` or the keywords
of `train`, then `Point.training`.

- **A recipe sets** the training settings, the cap of the rollouts that train, and parameters of the design that differ from its defaults.
- **It only compares** start model, training problems and template. They belong to the whole experiment, which is evaluated with them too.
- A training says first in which points it is not the paper's experiment. The list is kept in `config.json`, and `Study.differences(point)` is a table of it.

The unit of `steps` is an optimizer update. Papers count rounds of rollouts; with `updates_per_round` above 1 their numbers are multiplied by it. Where
the column *paper* has a dash, the paper prints nothing.
"""

OFFLINE = """\
# Offline methods

They learn from rollouts that were sampled before ([what each learns](guides/offline-baselines.md)). `training` sets the fields of `OfflineTraining` and
the parameters of the rule; what a paper says of the pool (rollouts per problem, cap, temperature, model, problems) is printed here and only compared.

```python
from effwb.recipes import offline_recipe

own = offline_recipe("simpo_dast", model="DeepSeek-R1-Distill-Qwen-7B")
own.training  # an OfflineTraining
own.pool, own.params, own.sources, own.open
```
"""


def page() -> str:
    """The whole page, as Markdown."""
    offline = (offline_section(OFFLINE_RECIPES[method]) for method in sorted(OFFLINE_RECIPES))
    return "\n".join(
        [INTRODUCTION, *(section(RECIPES[design]) for design in sorted(RECIPES)), OFFLINE, *offline]
    )


def section(recipe: Recipe) -> str:
    """The section of one recipe: its table, and in one line the fields that are the profile's."""
    heading = f"## {recipe.design}\n\n[{recipe.paper}](https://arxiv.org/abs/{recipe.paper})"
    plain = [name for name, why in recipe.open.items() if why == NOT_PRINTED]
    if len(plain) == len({*METHOD_FIELDS, *RUN_FIELDS}):
        return f"{heading}. No usable settings were found: all are the profile's.\n"
    rest = (
        f"\nLeft open, the profile's values: {', '.join(f'`{name}`' for name in plain)}.\n" if plain else ""
    )
    lines = _markdown(recipe.table(), plain)
    return "\n".join([heading, "", *lines, rest, *_other_sizes(recipe, sizes(recipe.design))])


def offline_section(recipe: OfflineRecipe) -> str:
    """The section of an offline method: its table, and in one line the fields that the paper leaves open."""
    plain = [name for name, why in recipe.open.items() if why == NOT_PRINTED]
    heading = f"## {recipe.method}\n\n[{recipe.paper}](https://arxiv.org/abs/{recipe.paper}), loss `{recipe.objective}`"
    rest = f"\nLeft open: {', '.join(f'`{name}`' for name in plain)}.\n"
    lines = _markdown(recipe.table(), plain)
    return "\n".join([heading, "", *lines, rest, *_other_sizes(recipe, offline_sizes(recipe.method))])


def _markdown(table: pd.DataFrame, left_out: Sequence[str]) -> list[str]:
    """The lines of a table, without some of its fields."""
    rows = table[~table["field"].isin(left_out)].itertuples(index=False)
    lines = [f"| {' | '.join(table.columns)} |", "|" + "---|" * len(table.columns)]
    return lines + [
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows
    ]


def _other_sizes(recipe: Recipe | OfflineRecipe, by_size: Mapping[str, Recipe | OfflineRecipe]) -> list[str]:
    """What is different for models of other sizes, a line for each."""
    lines, general = [], recipe.stated()
    for size, own in by_size.items():
        fields = [(name, value) for name, value in own.stated().items() if value != general.get(name)]
        said = ", ".join(f"`{n}` {text(value)} ({own.sources[n]})" for n, value in fields)
        lines.append(f"Models of {size.upper()}: {said}.\n")
    return lines


if __name__ == "__main__":
    sys.stdout.write(page())
