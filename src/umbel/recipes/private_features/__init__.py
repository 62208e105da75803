"""`umbel run private_features`: do features that are made for a task serve nothing else?"""

from umbel.recipes.private_features.settings import QUICK, PrivateFeaturesSettings
from umbel.recipes.recipe import Recipe

PRIVATE_FEATURES = Recipe(
    name="private_features",
    title="Features that serve their task and hide the rest",
    settings=PrivateFeaturesSettings,
    quick=QUICK,
    study="umbel.recipes.private_features.study:private_features_study",
    findings="umbel.recipes.private_features.findings:findings",
    about=(
        "Trains networks that send each task features of its own, made by gates across tasks and a loss of dependence "
        "(MetaMorphosis), and compares them at equal size of what is sent with plain links, features that all tasks "
        "share, adversarial training, encoders of their own, principal components and noise. Attackers that are "
        "retrained on each frozen network say what one task's features tell of another task and of the picture. "
        "Weights of all that have one are chosen on validation."
    ),
)

__all__ = ["PRIVATE_FEATURES", "QUICK", "PrivateFeaturesSettings"]
