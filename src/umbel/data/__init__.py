"""Data sets, one place that finds them, and the sources that batch them."""

from umbel.data.source import Augmentation, MultiTaskData, Source, TensorSource, as_float, seeded

__all__ = ["Augmentation", "MultiTaskData", "Source", "TensorSource", "as_float", "seeded"]
