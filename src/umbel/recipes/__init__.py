"""Recipes: studies that the command runs by name, and the methods behind them."""

from umbel.recipes.compare import COMPARE
from umbel.recipes.eleven import ELEVEN, Method
from umbel.recipes.recipe import Recipe

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (COMPARE,)}
"""Every recipe by the name that `umbel run` takes."""

__all__ = ["ELEVEN", "RECIPES", "Method", "Recipe"]
