"""`umbel run controllable`: does one network serve every budget and preference?"""

from umbel.recipes.controllable.settings import QUICK, ControllableSettings
from umbel.recipes.recipe import Recipe

CONTROLLABLE = Recipe(
    name="controllable",
    title="One network for every budget and preference, against networks trained for one",
    settings=ControllableSettings,
    quick=QUICK,
    study="umbel.recipes.controllable.study:controllable_study",
    findings="umbel.recipes.controllable.findings:findings",
    about=(
        "Trains a network whose encoder and heads run at any width, and beside it: the same with other distillations, "
        "separate networks of several widths, and networks of fixed cost that take the preference as an input; same "
        "encoder, same steps, several seeds. Widths for a budget and a preference are searched on validation and "
        "judged on the test split: hypervolume, uniformity, response to preferences, budget error. The trained "
        "networks are what `umbel search` and `umbel export` take."
    ),
)

__all__ = ["CONTROLLABLE", "QUICK", "ControllableSettings"]
