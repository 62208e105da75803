"""What a trained network is turned into: tables measured on it, the dial, files that stand alone."""

from umbel.control.dial import Dial
from umbel.control.exports.write import Exported, available_formats, export
from umbel.control.exports.write_detector import export_detector
from umbel.control.latency import Latency, measure_latency
from umbel.control.tables import (
    calibrate,
    configuration_table,
    grid_points,
    main_metrics,
    quality_table,
    training_inputs,
    with_latency,
    with_quality,
)
from umbel.control.timing import machine_name, time_model

__all__ = [
    "Dial",
    "Exported",
    "Latency",
    "available_formats",
    "calibrate",
    "configuration_table",
    "export",
    "export_detector",
    "grid_points",
    "machine_name",
    "main_metrics",
    "measure_latency",
    "quality_table",
    "time_model",
    "training_inputs",
    "with_latency",
    "with_quality",
]
