"""The usual kinds of task. Each function gives a `Task`; missing labels are NaN (float) or negative (integer)."""

from umbel.tasks.classes import boundaries, classification, multilabel, segmentation, with_class_weights
from umbel.tasks.detection import boxes
from umbel.tasks.liveness import LIVE, liveness
from umbel.tasks.pictures import picture, reconstruction
from umbel.tasks.proxy_maps import proxy_map
from umbel.tasks.values import dense_regression, regression, surface_normals

__all__ = [
    "LIVE",
    "boundaries",
    "boxes",
    "classification",
    "dense_regression",
    "liveness",
    "multilabel",
    "picture",
    "proxy_map",
    "reconstruction",
    "regression",
    "segmentation",
    "surface_normals",
    "with_class_weights",
]
