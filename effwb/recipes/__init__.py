"""Recipes: what each paper trains with, where it says so, and what it leaves open.

The values stand in `papers/` and, for offline methods, in `offline_papers/`, each with its source beside it.
"""

from effwb.recipes.choice import RECIPES, choose, recipe
from effwb.recipes.offline import OFFLINE_RECIPES, OfflineRecipe, offline_recipe
from effwb.recipes.offline_training import OfflineTraining
from effwb.recipes.values import Difference, Recipe

__all__ = [
    "OFFLINE_RECIPES",
    "RECIPES",
    "Difference",
    "OfflineRecipe",
    "OfflineTraining",
    "Recipe",
    "choose",
    "offline_recipe",
    "recipe",
]
