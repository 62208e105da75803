"""Data sets, one place that finds them, and the sources that batch them.

What needs torch is imported when it is first used: finding a set or listing the sets stays quick. Sets of one task
each are joined by `umbel.data.several.several`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from umbel.data.catalogue import SETS, DataSet, catalogue, load_data
from umbel.data.find import cache_folder, data_folders, find, need

if TYPE_CHECKING:
    from umbel.data.antispoofing.sets import liveness_folder
    from umbel.data.augment import Augmentations, CropAndFlip, Flip, FlipMaps, Shift
    from umbel.data.boxes import FlipBoxes, UnlabelledPictures, boxes_folder, pictures_folder
    from umbel.data.camera_changes import CameraChanges
    from umbel.data.columns import Column, describe_columns
    from umbel.data.grid_samples import GridSamples
    from umbel.data.side_by_side import SideBySide
    from umbel.data.source import (
        Augmentation,
        MultiTaskData,
        PoissonSource,
        Source,
        TensorSource,
        as_float,
        first_samples,
        poisson,
        seeded,
    )
    from umbel.data.split_rules import ColumnSplit, Folds, RandomSplit, Shares, TimeSplit
    from umbel.data.stream import StreamSource, data_from_datasets, from_dataset, in_memory
    from umbel.data.table_description import TableDescription
    from umbel.data.table_rows import new_rows
    from umbel.data.tables import from_table

__all__ = [
    "SETS",
    "Augmentation",
    "Augmentations",
    "CameraChanges",
    "Column",
    "ColumnSplit",
    "CropAndFlip",
    "DataSet",
    "Flip",
    "FlipBoxes",
    "FlipMaps",
    "Folds",
    "GridSamples",
    "MultiTaskData",
    "PoissonSource",
    "RandomSplit",
    "Shares",
    "Shift",
    "SideBySide",
    "Source",
    "StreamSource",
    "TableDescription",
    "TensorSource",
    "TimeSplit",
    "UnlabelledPictures",
    "as_float",
    "boxes_folder",
    "cache_folder",
    "catalogue",
    "data_folders",
    "data_from_datasets",
    "describe_columns",
    "find",
    "first_samples",
    "from_dataset",
    "from_table",
    "in_memory",
    "liveness_folder",
    "load_data",
    "need",
    "new_rows",
    "pictures_folder",
    "poisson",
    "seeded",
]

_FILES = {
    "augment": ("Augmentations", "CropAndFlip", "Flip", "FlipMaps", "Shift"),
    "camera_changes": ("CameraChanges",),
    "antispoofing.sets": ("liveness_folder",),
    "boxes": ("FlipBoxes", "UnlabelledPictures", "boxes_folder", "pictures_folder"),
    "columns": ("Column", "describe_columns"),
    "grid_samples": ("GridSamples",),
    "side_by_side": ("SideBySide",),
    "source": (
        "Augmentation",
        "MultiTaskData",
        "PoissonSource",
        "Source",
        "TensorSource",
        "as_float",
        "first_samples",
        "poisson",
        "seeded",
    ),
    "stream": ("StreamSource", "data_from_datasets", "from_dataset", "in_memory"),
    "split_rules": ("ColumnSplit", "Folds", "RandomSplit", "Shares", "TimeSplit"),
    "table_description": ("TableDescription",),
    "table_rows": ("new_rows",),
    "tables": ("from_table",),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_FILE_OF[name]}"), name)
    globals()[name] = value
    return value
