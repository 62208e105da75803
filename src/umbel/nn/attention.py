"""Attention of tasks on shared features: each task looks at the encoder's map through a mask of its own."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from umbel.core import MultiTaskModel, UmbelError
from umbel.nn.build import seeded_start
from umbel.nn.encoders import normalisation


class TaskAttention(nn.Module):
    """Features times a soft mask that is computed from them, for one task.

        mask = sigmoid(norm(conv 1x1(features))) in (0, 1),   output = mask * features

    Source: Liu, Johns, Davison, "End-to-end multi-task learning with attention" (MTAN), CVPR 2019.
    Differs from the paper: one mask, on the encoder's last map, of one convolution; the paper has one at every stage,
    of two convolutions each, and passes masked features on to the next.

    Args:
        feature_shape: (C, h, w).
        norm: "batch" or "group".

    Raises:
        UmbelError: Features that are no map.
    """

    def __init__(self, feature_shape: Sequence[int], norm: str = "batch") -> None:
        super().__init__()
        if len(feature_shape) != 3:
            raise UmbelError(
                f"attention of a task needs feature maps (C, h, w), the features have shape {tuple(feature_shape)}"
            )
        channels = feature_shape[0]
        self.mask = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), normalisation(norm, channels))

    def forward(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """The masked features."""
        return torch.sigmoid(self.mask(features)) * features


def with_attention(model: MultiTaskModel, seed: int, norm: str = "batch") -> MultiTaskModel:
    """The same encoder and heads, with a `TaskAttention` before every head.

    Args:
        model: Its encoder has a `feature_shape` (C, h, w); its parts become those of the result.
        seed: Of the masks' random start; that of a mask depends on its task's name besides.
        norm: "batch" or "group".

    Raises:
        UmbelError: Features that are no map.
    """
    heads = {}
    for name in model.task_names:
        with seeded_start(seed, f"attention of {name}"):
            heads[name] = nn.Sequential(TaskAttention(model.encoder.feature_shape, norm), model.heads[name])
    return MultiTaskModel(model.encoder, heads)
