"""Networks without batch normalisation: every sample by itself, as private training needs it."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from umbel.core import UmbelError
from umbel.nn.encoders import groups_of
from umbel.nn.slimming.norms import BATCH_NORMS


def without_batch_norm(module: nn.Module) -> nn.Module:
    """Exchange every batch normalisation in a module for a group normalisation of as many channels.

    Group normalisation takes its statistics from one sample, so that samples do not mix. Scales and shifts that were
    learnt are kept; statistics of batches are not, so a trained network has to be trained on.

    Args:
        module: Changed in place.

    Returns:
        The same module; another one where it is itself a batch normalisation.

    Raises:
        UmbelError: A batch normalisation that cannot be exchanged: its number of channels is still open, or it can be
            slimmed.
    """
    if isinstance(module, _BatchNorm):
        return _group_norm(module, type(module).__name__)
    for name, part in list(module.named_modules()):
        for key, child in list(part.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(part, key, _group_norm(child, f"{name}.{key}" if name else key))
    return module


def _group_norm(norm: _BatchNorm, name: str) -> nn.GroupNorm:
    if isinstance(norm, BATCH_NORMS) or norm.num_features < 1:
        raise UmbelError(
            f"{name} is a {type(norm).__name__}, which cannot be exchanged; build the network with norm=group instead"
        )
    group = nn.GroupNorm(groups_of(norm.num_features), norm.num_features, norm.eps, norm.affine)
    if norm.affine:
        with torch.no_grad():
            group.weight.copy_(norm.weight)
            group.bias.copy_(norm.bias)
        group.weight.requires_grad_(norm.weight.requires_grad)
        group.bias.requires_grad_(norm.bias.requires_grad)
    return group.to(norm.weight.device, norm.weight.dtype) if norm.affine else group
