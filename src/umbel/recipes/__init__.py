"""Recipes: studies that the command runs by name, and the methods behind them."""

from umbel.recipes.auditing import AUDIT
from umbel.recipes.broadcast import BROADCAST
from umbel.recipes.compare import COMPARE
from umbel.recipes.controllable import CONTROLLABLE
from umbel.recipes.eleven import ELEVEN, Method
from umbel.recipes.gradsplit import GRADSPLIT
from umbel.recipes.multi_receiver import MULTI_RECEIVER
from umbel.recipes.multi_round import MULTI_ROUND
from umbel.recipes.multires_jscc import MULTIRES_JSCC
from umbel.recipes.physical_proxies import PHYSICAL_PROXIES
from umbel.recipes.power_flow import POWER_FLOW
from umbel.recipes.private_features import PRIVATE_FEATURES
from umbel.recipes.recipe import Recipe
from umbel.recipes.source_free_detection import SOURCE_FREE_DETECTION

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        COMPARE,
        CONTROLLABLE,
        GRADSPLIT,
        MULTIRES_JSCC,
        MULTI_RECEIVER,
        MULTI_ROUND,
        BROADCAST,
        PRIVATE_FEATURES,
        POWER_FLOW,
        SOURCE_FREE_DETECTION,
        PHYSICAL_PROXIES,
    )
}
"""Every recipe by the name that `umbel run` takes."""

CONCLUDED: dict[str, Recipe] = {**RECIPES, AUDIT.name: AUDIT}
"""Every study whose findings can be computed again from its results file, whatever command runs it."""

__all__ = ["ELEVEN", "RECIPES", "Method", "Recipe"]
