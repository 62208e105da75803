"""A trained run, used: predictions for new rows of a table, pictures or arrays."""

from umbel.inference.new_inputs import NewInputs
from umbel.inference.prediction_files import row_names, table_bytes
from umbel.inference.predictor import Predictor, RowsWarning, load

__all__ = ["NewInputs", "Predictor", "RowsWarning", "load", "row_names", "table_bytes"]
