"""Whether a classifier's confidence can be believed: temperature scaling, calibration error, reliability."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from umbel.arguments import tensors, whole_number
from umbel.core import UmbelError

_COLDEST, _HOTTEST = 0.02, 50.0
_HALVINGS = 40


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T that makes softmax(logits / T) most likely, on validation samples.

        T* = argmin over T of  -mean log softmax(z / T)[y],   0.02 <= T <= 50

    It is convex in b = 1 / T, with slope mean(sum_k p_k(b) z_k - z_y), whose zero is found by halving an interval
    of log b. The order of the classes stays, so predictions and accuracy do not change. Where all samples are
    right (or no better than chance) the best T lies on a bound, and the bound is returned.

    Source: Guo et al., "On calibration of modern neural networks", ICML 2017.

    Args:
        logits: Raw predictions [N, K].
        labels: int64 [N]; negative ones are missing and left out.

    Raises:
        UmbelError: Other shapes, no labelled sample, or logits that are not finite.
    """
    logits, labels = _labelled(logits, labels, "logits")
    right = logits.gather(1, labels.unsqueeze(1)).squeeze(1)

    def slope(inverse: float) -> float:
        return float(((logits * inverse).softmax(1) * logits).sum(1).sub(right).mean())

    low, high = torch.tensor([1 / _HOTTEST, 1 / _COLDEST], dtype=torch.float64).log().tolist()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if slope(float(torch.tensor(middle).double().exp())) <= 0:
            low = middle
        else:
            high = middle
    return float(torch.tensor(-(low + high) / 2, dtype=torch.float64).exp())


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy, over bins of confidence of equal width.

        ECE = sum over bins b of  n_b / N  | accuracy_b - confidence_b |

    Computed by torchmetrics. Source: Naeini et al., "Obtaining well calibrated probabilities using Bayesian
    binning", AAAI 2015.

    Args:
        probabilities: [N, K].
        labels: int64 [N]; negative ones are missing and left out.
        bins: Number of bins.

    Raises:
        UmbelError: Other shapes, no labelled sample, values that are not finite, or no bin.
    """
    _check_bins(bins)
    probabilities, labels = _labelled(probabilities, labels, "probabilities")
    classes = max(2, probabilities.shape[1])
    return float(multiclass_calibration_error(probabilities, labels, classes, n_bins=bins, validate_args=False))


class Reliability(NamedTuple):
    """Confidence against accuracy, for bins that hold samples.

    Attributes:
        confidence: Mean confidence in each bin, rising.
        accuracy: Part of its samples that are right.
        part: Part of all samples that it holds.
    """

    confidence: list[float]
    accuracy: list[float]
    part: list[float]


def reliability(probabilities: Tensor, labels: Tensor, bins: int = 10) -> Reliability:
    """What the reliability diagram shows, over bins of confidence of equal width; empty bins are left out.

    Args:
        probabilities: [N, K].
        labels: int64 [N]; negative ones are missing and left out.
        bins: Number of bins.

    Raises:
        UmbelError: See `expected_calibration_error`.
    """
    _check_bins(bins)
    probabilities, labels = _labelled(probabilities, labels, "probabilities")
    confidence, predicted = probabilities.max(1)
    right = (predicted == labels).double()
    place = (confidence * bins).long().clamp(0, bins - 1)
    size = torch.bincount(place, minlength=bins)
    kept = size > 0
    mean = (torch.bincount(place, values, bins)[kept] / size[kept] for values in (confidence, right))
    sure, accuracy = mean
    return Reliability(sure.tolist(), accuracy.tolist(), (size[kept] / len(labels)).tolist())


def _check_bins(bins: int) -> None:
    whole_number(bins, "bins", least=1)


def _labelled(values: Tensor, labels: Tensor, what: str) -> tuple[Tensor, Tensor]:
    """Rows with a label, in float64, checked."""
    tensors("calibration", **{what: values, "labels": labels})
    if values.ndim != 2 or labels.shape != values.shape[:1] or labels.is_floating_point():
        raise UmbelError(
            f"calibration: {what} of shape {tuple(values.shape)} and labels of shape {tuple(labels.shape)}; "
            "give [N, K] and whole numbers [N]"
        )
    known = labels >= 0
    values, labels = values[known].double(), labels[known]
    if not len(labels):
        raise UmbelError("calibration: no sample has a label")
    if not torch.isfinite(values).all():
        raise UmbelError(f"calibration: {what} that are not finite; did the training diverge?")
    return values, labels
