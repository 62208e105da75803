"""Data sets, one place that finds them, and the sources that batch them.

What needs torch is imported when it is first used: finding a set or listing the sets stays quick. Sets of one task
each are joined by `umbel.data.several.several`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from umbel.data.catalogue import SETS, DataSet, catalogue, load
from umbel.data.find import cache_folder, data_folders, find, need

if TYPE_CHECKING:
    from umbel.data.augment import Augmentations, CropAndFlip, Flip, FlipMaps, Shift
    from umbel.data.source import Augmentation, MultiTaskData, Source, TensorSource, as_float, seeded

__all__ = [
    "SETS",
    "Augmentation",
    "Augmentations",
    "CropAndFlip",
    "DataSet",
    "Flip",
    "FlipMaps",
    "MultiTaskData",
    "Shift",
    "Source",
    "TensorSource",
    "as_float",
    "cache_folder",
    "catalogue",
    "data_folders",
    "find",
    "load",
    "need",
    "seeded",
]

_FILES = {
    "augment": ("Augmentations", "CropAndFlip", "Flip", "FlipMaps", "Shift"),
    "source": ("Augmentation", "MultiTaskData", "Source", "TensorSource", "as_float", "seeded"),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_FILE_OF[name]}"), name)
    globals()[name] = value
    return value
