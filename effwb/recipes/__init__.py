"""Recipes: what each paper trains with, where it says so, and what it leaves open.

The values stand in `papers/`, one TOML file per paper, each with its source beside it.
"""

from effwb.recipes.choice import RECIPES, choose, recipe
from effwb.recipes.values import Difference, Recipe

__all__ = ["RECIPES", "Difference", "Recipe", "choose", "recipe"]
