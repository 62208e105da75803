"""`umbel adapt`: a detector, adapted to a folder of pictures without labels."""

from umbel.recipes.adapting.settings import AdaptationSettings

__all__ = ["AdaptationSettings"]
