"""The page docs/recipes.md, made from the papers' files: python -m effwb.recipes.page > docs/recipes.md."""

from __future__ import annotations

import sys

from effwb.recipes.choice import RECIPES, sizes
from effwb.recipes.files import NOT_PRINTED
from effwb.recipes.values import METHOD_FIELDS, RUN_FIELDS, Recipe, text

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


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join([INTRODUCTION, *(section(RECIPES[design]) for design in sorted(RECIPES))])


def section(recipe: Recipe) -> str:
    """The section of one recipe: its table, and in one line the fields that are the profile's."""
    heading = f"## {recipe.design}\n\n[{recipe.paper}](https://arxiv.org/abs/{recipe.paper})"
    plain = [name for name, why in recipe.open.items() if why == NOT_PRINTED]
    if len(plain) == len({*METHOD_FIELDS, *RUN_FIELDS}):
        return f"{heading}. No usable settings were found: all are the profile's.\n"
    table = recipe.table()
    rows = table[~table["field"].isin(plain)].itertuples(index=False)
    head = " | ".join(table.columns)
    lines = [f"| {head} |", "|" + "---|" * len(table.columns)]
    lines += [
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows
    ]
    rest = (
        f"\nLeft open, the profile's values: {', '.join(f'`{name}`' for name in plain)}.\n" if plain else ""
    )
    return "\n".join([heading, "", *lines, rest, *_other_sizes(recipe)])


def _other_sizes(recipe: Recipe) -> list[str]:
    """What is different for models of other sizes, a line for each."""
    lines, general = [], recipe.stated()
    for size, own in sizes(recipe.design).items():
        fields = [(name, value) for name, value in own.stated().items() if value != general.get(name)]
        said = ", ".join(f"`{n}` {text(value)} ({own.sources[n]})" for n, value in fields)
        lines.append(f"Models of {size.upper()}: {said}.\n")
    return lines


if __name__ == "__main__":
    sys.stdout.write(page())
