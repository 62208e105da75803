"""A trained run, used: predictions for new rows, pictures, arrays and films; and scikit-learn's fit and predict."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from umbel.inference.box_predictor import BoxPredictor, PictureBoxes
from umbel.inference.new_inputs import NewInputs
from umbel.inference.opening import load, load_any, load_detector
from umbel.inference.picture_stream import PictureStream
from umbel.inference.prediction_files import array_bytes, row_names, table_bytes
from umbel.inference.predictor import Predictor, RowsWarning

if TYPE_CHECKING:
    from umbel.inference.estimator import MultiTaskClassifier, MultiTaskEstimator, MultiTaskRegressor

__all__ = [
    "BoxPredictor",
    "MultiTaskClassifier",
    "MultiTaskEstimator",
    "MultiTaskRegressor",
    "NewInputs",
    "PictureBoxes",
    "PictureStream",
    "Predictor",
    "RowsWarning",
    "array_bytes",
    "load",
    "load_any",
    "load_detector",
    "row_names",
    "table_bytes",
]

_ESTIMATORS = ("MultiTaskClassifier", "MultiTaskEstimator", "MultiTaskRegressor")


def __getattr__(name: str) -> Any:
    if name not in _ESTIMATORS:  # they import scikit-learn, which predictions do not need
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.estimator"), name)
