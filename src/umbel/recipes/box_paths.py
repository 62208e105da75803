"""Which data is boxes or frames of faces, told without reading it, and how a detector usually learns. Free of torch."""

import os
from pathlib import Path

from umbel.data import SETS
from umbel.data.antispoofing.prepared import is_prepared
from umbel.engine.settings import FitSettings
from umbel.recipes.settings import DataSettings

DETECTOR_FIT = FitSettings(batch_size=4, least_steps=1000, clip_norm=5.0, precision="float32")
"""How a detector learns where nothing else is said: few pictures in a step, and gradients that are clipped. For small
batches of small pictures bf16 is several times slower on CPUs; on a GPU try --precision bf16."""


def is_boxes(settings: DataSettings) -> bool:
    """Whether the data is a folder or file of boxes of the user's own."""
    path = Path(settings.data).expanduser()
    if settings.data in SETS or not settings.data or is_frames(settings):
        return False
    return path.is_dir() or path.suffix.lower() == ".json" or _means_a_folder(settings.data)


def is_frames(settings: DataSettings) -> bool:
    """Whether the data is a folder of live faces and attacks of the user's own, as `umbel prepare` makes them."""
    return settings.data not in SETS and is_prepared(Path(settings.data).expanduser())


def is_folder(settings: DataSettings) -> bool:
    """Whether the data is a folder of the user's own, of boxes or of frames."""
    return is_boxes(settings) or is_frames(settings)


def _means_a_folder(text: str) -> bool:
    """Whether a text is a path, even if nothing is there; sets have no such names, and tables have an ending."""
    return not Path(text).suffix and any(separator in text for separator in (os.sep, "/"))


def is_away(settings: DataSettings) -> bool:
    """Whether the data, which is no known set, is not where it was."""
    return settings.data not in SETS and not Path(settings.data).expanduser().exists()


def learns_boxes(settings: DataSettings) -> bool:
    """Whether a detector learns from the data: boxes of the user's own, or a known set of boxes."""
    return is_boxes(settings) or (settings.data in SETS and SETS[settings.data].of_boxes)
