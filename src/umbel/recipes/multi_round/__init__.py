"""`umbel run multi_round`: do rounds on the receiver's feedback save channel uses?"""

from umbel.recipes.multi_round.settings import QUICK, MultiRoundSettings
from umbel.recipes.recipe import Recipe

MULTI_ROUND = Recipe(
    name="multi_round",
    title="Rounds until the receiver is sure, against single rounds of the same mean delay",
    settings=MultiRoundSettings,
    quick=QUICK,
    study="umbel.recipes.multi_round.study:multi_round_study",
    findings="umbel.recipes.multi_round.findings:findings",
    about=(
        "Trains a transmitter that adds channel uses until the receiver is sure, and beside it single-round networks "
        "of several lengths, rounds without combining, repetition with maximum-ratio combining and one latent that "
        "is cut; same encoder, same steps, several seeds, each channel on its own. Thresholds and temperatures are "
        "chosen on validation. Reports accuracy against mean delay, age of task information, calibration, and what "
        "feedback costs."
    ),
)

__all__ = ["MULTI_ROUND", "QUICK", "MultiRoundSettings"]
