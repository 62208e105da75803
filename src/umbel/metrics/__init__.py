"""Metrics that torchmetrics lacks, and what is computed from several tasks' metrics."""

from umbel.metrics.age import Age, age_of_information
from umbel.metrics.angular_error import MeanAngularError
from umbel.metrics.box_matching import OperatingScore, best_f1, recalls, right_boxes
from umbel.metrics.boxes import BoxPrecision, BoxPrecision50
from umbel.metrics.calibration import Reliability, expected_calibration_error, fit_temperature, reliability
from umbel.metrics.confidence import MeanConfidence
from umbel.metrics.guessing import guess_accuracy
from umbel.metrics.improvement import (
    as_loss,
    confidence_interval,
    mean_relative_improvement,
    relative_change,
    relative_improvement,
)
from umbel.metrics.pictures import PicturePSNR, PictureSSIM, picture_psnr, picture_ssim
from umbel.metrics.platt import PlattScaling, fit_platt
from umbel.metrics.presentation_attacks import (
    AttackErrors,
    DetCurve,
    PresentationAttackErrors,
    Threshold,
    attack_errors,
    by_video,
    det_curve,
    eer_threshold,
)
from umbel.metrics.ranking import AreaUnderROC, AveragePrecision, rank_correlation
from umbel.metrics.sample_mean import SampleMean

__all__ = [
    "Age",
    "AreaUnderROC",
    "AttackErrors",
    "AveragePrecision",
    "BoxPrecision",
    "BoxPrecision50",
    "DetCurve",
    "MeanAngularError",
    "MeanConfidence",
    "OperatingScore",
    "PicturePSNR",
    "PictureSSIM",
    "PlattScaling",
    "PresentationAttackErrors",
    "Reliability",
    "SampleMean",
    "Threshold",
    "age_of_information",
    "as_loss",
    "attack_errors",
    "best_f1",
    "by_video",
    "confidence_interval",
    "det_curve",
    "eer_threshold",
    "expected_calibration_error",
    "fit_platt",
    "fit_temperature",
    "guess_accuracy",
    "mean_relative_improvement",
    "picture_psnr",
    "picture_ssim",
    "rank_correlation",
    "recalls",
    "relative_change",
    "relative_improvement",
    "reliability",
    "right_boxes",
]
