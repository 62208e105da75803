"""Turning a trained network: tables measured on it, the dial, export to a dense network."""

from umbel.control.dial import Dial
from umbel.control.export import Exported, available_formats, export
from umbel.control.latency import Latency, measure_latency
from umbel.control.timing import machine_name, time_model

__all__ = [
    "Dial",
    "Exported",
    "Latency",
    "available_formats",
    "export",
    "machine_name",
    "measure_latency",
    "time_model",
]
