"""Small slimmable models with statistics."""

import torch
from torch import nn

from umbel.core import MultiTaskModel, OperatingPoint
from umbel.nn import ConvEncoder, MapHead, VectorHead, recalibrate, seeded_start, slimmable

COARSE = (0.25, 0.5, 1.0)


def random_batch(shape: tuple[int, ...] = (3, 8, 8), samples: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.rand(samples, *shape, generator=torch.Generator().manual_seed(seed))


def slimmed(encoder: nn.Module, heads: dict[str, nn.Module], shape: tuple[int, ...], **options) -> MultiTaskModel:
    """The slimmable model of an encoder with `feature_shape` and its heads."""
    slim = slimmable(encoder, shape, COARSE, **options)
    parts = {n: slimmable(h, encoder.feature_shape, COARSE, head_of=n, **options) for n, h in heads.items()}
    return MultiTaskModel(slim, parts)


def small_model(points: list[OperatingPoint] | None = None, calibrated: bool = True) -> MultiTaskModel:
    """A convolutional encoder, a vector head "kind" and a map head "depth", with statistics at points (None: all)."""
    with seeded_start(0, "control"):
        encoder = ConvEncoder((3, 8, 8), (16, 32))
        heads = {"kind": VectorHead((32, 2, 2), 4, hidden=32), "depth": MapHead((32, 2, 2), 1, (8, 8), 32)}
    model = slimmed(encoder, heads, (3, 8, 8))
    if calibrated:
        recalibrate(model, [random_batch()], points)
    return model
