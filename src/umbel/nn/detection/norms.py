"""Which normalisation a detector's backbone has: of batches, of groups of channels, or frozen."""

import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from umbel.nn.without_batch_norm import without_batch_norm

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
