"""`umbel run compare`: do these tasks help or hurt each other, and which descent settles it best?"""

from umbel.recipes.compare.settings import QUICK, CompareSettings
from umbel.recipes.recipe import Recipe

COMPARE = Recipe(
    name="compare",
    title="Single-task references against joint training with several descents",
    settings=CompareSettings,
    quick=QUICK,
    study="umbel.recipes.compare.study:compare",
    findings="umbel.recipes.compare.findings:findings",
    about=(
        "Trains one network for each task alone, then one network for all tasks with each chosen descent and with "
        "fixed weights tuned on validation; same encoder, same passes over the labels, several seeds. Prints every "
        "task's metric, the mean relative improvement over the single-task references, and a plain verdict."
    ),
)

__all__ = ["COMPARE", "QUICK", "CompareSettings"]
