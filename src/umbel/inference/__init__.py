"""A trained run, used: predictions for new rows of a table, pictures or arrays; and scikit-learn's fit and predict."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from umbel.inference.new_inputs import NewInputs
from umbel.inference.prediction_files import array_bytes, row_names, table_bytes
from umbel.inference.predictor import Predictor, RowsWarning, load

if TYPE_CHECKING:
    from umbel.inference.estimator import MultiTaskClassifier, MultiTaskEstimator, MultiTaskRegressor

__all__ = [
    "MultiTaskClassifier",
    "MultiTaskEstimator",
    "MultiTaskRegressor",
    "NewInputs",
    "Predictor",
    "RowsWarning",
    "array_bytes",
    "load",
    "row_names",
    "table_bytes",
]

_ESTIMATORS = ("MultiTaskClassifier", "MultiTaskEstimator", "MultiTaskRegressor")


def __getattr__(name: str) -> Any:
    if name not in _ESTIMATORS:  # they import scikit-learn, which predictions do not need
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.estimator"), name)
