"""Which normalisation a detector's backbone has: of batches, of groups of channels, or frozen."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.ops import FrozenBatchNorm2d

from umbel.core import Inputs, UmbelError
from umbel.core.modes import modes_kept
from umbel.nn.without_batch_norm import without_batch_norm

if TYPE_CHECKING:
    from umbel.nn.detection.detector import Detector

NORMS = ("batch", "group", "frozen")
"""Batch norms that learn and can be estimated anew; group norms; batch norms that stay as they were loaded."""


def with_norm(module: nn.Module, norm: str) -> nn.Module:
    """Exchange the batch norms in a module, in place.

    Args:
        module: With batch norms.
        norm: One of `NORMS`.
    """
    if norm == "group":
        return without_batch_norm(module)
    if norm == "frozen":
        for name, part in list(module.named_modules()):
            if isinstance(part, nn.BatchNorm2d):
                module.set_submodule(name, _frozen(part))
    return module


def _frozen(norm: nn.BatchNorm2d) -> FrozenBatchNorm2d:
    frozen = FrozenBatchNorm2d(norm.num_features, norm.eps)
    with torch.no_grad():
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(frozen, name).copy_(getattr(norm, name))
    return frozen


def live_norms(module: nn.Module) -> list[_BatchNorm]:
    """The batch norms that keep statistics of their own, which can be estimated anew; frozen ones do not."""
    return [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]


@torch.no_grad()
def reestimate_norms(detector: "Detector", inputs: Sequence[Inputs]) -> None:
    """Take the batch norms' statistics of a detector's backbone from other pictures; weights stay.

    Source: Li et al., "Revisiting batch normalization for practical domain adaptation" (AdaBN), ICLR workshop 2017.
    Means and variances are averages over the batches, each normalised by its own statistics, as in training.

    Args:
        detector: Changed in place.
        inputs: Batches of pictures; the more of them, and the larger, the better the estimate.

    Raises:
        UmbelError: No batch, or a backbone without batch norms that are not frozen.
    """
    norms = live_norms(detector.encoder)
    if not norms:
        raise UmbelError(
            "this detector's backbone has no batch norm that could be estimated anew (frozen ones keep their "
            "statistics, group norms have none); build it with norm=batch, or leave the re-estimation out"
        )
    if not inputs:
        raise UmbelError("no picture to estimate batch norms from; give at least one batch")
    momenta = [norm.momentum for norm in norms]
    with modes_kept(detector):
        detector.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over the batches
            norm.train()
        for batch in inputs:
            detector.features(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
