"""Distances between what a narrow network and the full one compute: one number for each sample."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from umbel.arguments import tensors
from umbel.core import UmbelError


def prefix_distance(features: Float[Tensor, "B *narrow"], full: Float[Tensor, "B *full"]) -> Float[Tensor, " B"]:
    """Squared distance between narrow features and the same channels of the full ones, both of length 1.

        d = || n(z) - n(z1[:c]) ||²,   n(v) = v / ||v|| over all channels and positions of a sample

    Channels of a slimmable network are nested: the c channels of a narrow one are meant to be the full one's first c.

    Args:
        features: Of the narrow network, [B, c, ...]; c may be on another axis, but on one only.
        full: Of the full network, [B, C, ...] with C >= c.

    Returns:
        [B], from 0 to 4.

    Raises:
        UmbelError: The shapes differ in more than one axis, or in that of the samples.
    """
    tensors("prefix_distance", features=features, full=full)
    pairs = enumerate(zip(features.shape, full.shape, strict=False))
    differing = [axis for axis, (narrow, wide) in pairs if narrow != wide]
    if features.ndim != full.ndim or len(differing) > 1 or features.shape[0] != full.shape[0]:
        raise UmbelError(f"features {tuple(features.shape)} are not a prefix of the full features {tuple(full.shape)}")
    for axis in differing:
        full = full.narrow(axis, 0, features.shape[axis])
    return (_unit(features) - _unit(full)).square().sum(1)


def relational_distance(features: Float[Tensor, "B *narrow"], full: Float[Tensor, "B *full"]) -> Float[Tensor, " B"]:
    """How differently two networks relate the samples of a batch; it needs no common channels.

        d_i = mean over j of (G_ij - G1_ij)²,   G_ij = cosine of the features of samples i and j

    Its mean over the batch is ||G - G1||² / B².

    Args:
        features: [B, ...].
        full: [B, ...], of any other width.

    Returns:
        [B], from 0 to 4.

    Raises:
        UmbelError: Features of different samples.
    """
    tensors("relational_distance", features=features, full=full)
    if not features.ndim or features.shape[:1] != full.shape[:1]:
        raise UmbelError(
            f"relations need the same samples; the features are {tuple(features.shape)} and {tuple(full.shape)}"
        )
    gram, full_gram = (unit @ unit.T for unit in (_unit(features), _unit(full)))
    return (gram - full_gram).square().mean(1)


def attention_distance(features: Float[Tensor, "B c *space"], full: Float[Tensor, "B C *space"]) -> Float[Tensor, " B"]:
    """Squared distance between where two networks are active, as maps of length 1.

        d = || n(a) - n(a1) ||²,   a = mean over channels of z²

    Source: Zagoruyko & Komodakis, "Paying more attention to attention", ICLR 2017.

    Args:
        features: Maps [B, c, H, W] (or series [B, c, T]).
        full: Maps [B, C, H, W] of the same size.

    Returns:
        [B], from 0 to 4.

    Raises:
        UmbelError: Features without positions, or of another size.
    """
    tensors("attention_distance", features=features, full=full)
    if features.ndim < 3 or features.shape[:1] + features.shape[2:] != full.shape[:1] + full.shape[2:]:
        raise UmbelError(
            f"attention compares maps of one size; the features are {tuple(features.shape)} and {tuple(full.shape)}"
        )
    maps = [_unit(_full_precision(z).square().mean(1)) for z in (features, full)]
    return (maps[0] - maps[1]).square().sum(1)


def class_divergence(logits: Float[Tensor, "B C *space"], full: Float[Tensor, "B C *space"]) -> Float[Tensor, " B"]:
    """KL(p1 || p) of class probabilities p = softmax(logits), its mean over positions.

    Args:
        logits: Of the narrow network, [B, C] or [B, C, H, W].
        full: Of the full one, the same shape.

    Returns:
        [B], 0 or more.

    Raises:
        UmbelError: Shapes that differ, or no axis of classes.
    """
    tensors("class_divergence", logits=logits, full=full)
    if logits.ndim < 2 or logits.shape != full.shape:
        raise UmbelError(f"class_divergence: logits of shape {tuple(logits.shape)} and {tuple(full.shape)}")
    log_p, log_full = (F.log_softmax(_full_precision(x), 1) for x in (logits, full))
    divergence = (log_full.exp() * (log_full - log_p)).sum(1)
    return divergence.reshape(len(logits), -1).mean(1)


def _full_precision(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _unit(x: Tensor) -> Tensor:
    """Each sample as a vector of length 1: [B, n]."""
    return F.normalize(_full_precision(x).flatten(1), dim=1)
