"""Metrics that torchmetrics lacks, and what is computed from several tasks' metrics."""

from umbel.metrics.angular_error import MeanAngularError
from umbel.metrics.improvement import confidence_interval, mean_relative_improvement, relative_improvement
from umbel.metrics.pictures import PicturePSNR, PictureSSIM

__all__ = [
    "MeanAngularError",
    "PicturePSNR",
    "PictureSSIM",
    "confidence_interval",
    "mean_relative_improvement",
    "relative_improvement",
]
