"""`umbel run source_free_detection`: a detector of one place, adapted to another without labels or its own data."""

from umbel.recipes.recipe import Recipe
from umbel.recipes.source_free_detection.settings import QUICK, SourceFreeSettings

SOURCE_FREE_DETECTION = Recipe(
    name="source_free_detection",
    title="A detector adapted to an unlabelled place, without the data it was trained on",
    settings=SourceFreeSettings,
    quick=QUICK,
    study="umbel.recipes.source_free_detection.study:source_free_study",
    findings="umbel.recipes.source_free_detection.findings:findings",
    about=(
        "Trains a detector of blood cells on one laboratory's pictures and adapts it to another's, of which no label "
        "is seen: a slow mean teacher, pseudo-labels, alignment of the pictures that dropout moves most with those "
        "that it moves least, mosaics. It is compared with the detector as it is, with batch norms re-estimated, fixed "
        "pseudo-labels, fast and slow mean teachers, random and reversed splits, the settings of the paper, and an "
        "oracle that sees the labels. Each repeat holds out another fold. Checkpoints are chosen without labels. The "
        "detection variance is also tested on weather of known strength. Needs pip install 'umbel[detect]'."
    ),
)

__all__ = ["QUICK", "SOURCE_FREE_DETECTION", "SourceFreeSettings"]
