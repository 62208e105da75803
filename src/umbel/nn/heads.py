"""Heads: shared features -> one task's raw prediction."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from umbel.core import Task, UmbelError, unknown
from umbel.nn.encoders import block

VECTOR_HEADS = ("linear", "conv")
"""What can predict vectors."""

_FINEST = 4  # what one pixel shuffle undoes; coarser maps are interpolated up to this first


class VectorHead(nn.Module):
    """Features -> [B, outputs]: global average pooling (of maps), then one linear layer or two.

    Args:
        feature_shape: (C, H, W) or (C,), of one sample.
        outputs: Size of the prediction.
        hidden: Width of a layer with ReLU before the last one; 0 for none.

    Raises:
        UmbelError: Features of another shape.
    """

    def __init__(self, feature_shape: Sequence[int], outputs: int, hidden: int = 0) -> None:
        super().__init__()
        if len(feature_shape) not in (1, 3):
            raise UmbelError(f"features of shape {tuple(feature_shape)}; a vector head takes (C, H, W) or (C,)")
        width = feature_shape[0]
        layers = [nn.Linear(width, hidden), nn.ReLU(inplace=True)] if hidden else []
        self.pooled = len(feature_shape) == 3
        self.layers = nn.Sequential(*layers, nn.Linear(hidden or width, outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Raw predictions [B, outputs]; features [B, T, C] of a sequence give [B, T, outputs]."""
        return self.layers(features.mean((-2, -1)) if self.pooled else features)


class ConvHead(nn.Module):
    """Feature map -> [B, outputs]: conv 3x3, norm, ReLU, global average pooling, one linear layer.

    A head with work of its own, for tasks that want more of the features than their mean.

    Args:
        feature_shape: (C, h, w).
        outputs: Size of the prediction.
        hidden: Channels of the convolution.
        norm: "batch" or "group".

    Raises:
        UmbelError: Features that are no map.
    """

    def __init__(self, feature_shape: Sequence[int], outputs: int, hidden: int = 32, norm: str = "batch") -> None:
        super().__init__()
        if len(feature_shape) != 3 or hidden < 1:
            raise UmbelError(
                f"a conv head needs feature maps (C, h, w) and hidden channels; it was given "
                f"{tuple(feature_shape)} and {hidden}"
            )
        self.body = block(feature_shape[0], hidden, norm)
        self.predict = nn.Linear(hidden, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Raw predictions [B, outputs]."""
        return self.predict(self.body(features).mean((-2, -1)))


class MapHead(nn.Module):
    """Feature map -> [B, outputs, H, W] at the input's resolution.

        [B, C, h, w] -> (to 1/4 of the picture if coarser) -> conv 3x3, norm, ReLU -> conv 3x3 -> pixel shuffle

    All convolutions run at the low resolution; the last one predicts the r x r pixels under each of its own, which
    the shuffle puts in place (Shi et al., "Real-time single image and video super-resolution ...", CVPR 2016).
    A resolution that is no multiple is met by bilinear interpolation.

    Args:
        feature_shape: (C, h, w).
        outputs: Channels of the prediction.
        resolution: (H, W) of the input. A picture of another size gets a map scaled likewise.
        hidden: Channels of the convolution.
        norm: "batch" or "group".

    Raises:
        UmbelError: Features that are no map.
    """

    def __init__(
        self,
        feature_shape: Sequence[int],
        outputs: int,
        resolution: tuple[int, int],
        hidden: int = 64,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        if len(feature_shape) != 3:
            raise UmbelError(f"a map head needs feature maps (C, h, w), the features have shape {tuple(feature_shape)}")
        if hidden < 1:
            raise UmbelError(f"map head: hidden is {hidden}; it must be at least 1")
        channels, *self.feature_size = feature_shape
        self.resolution = tuple(resolution)
        factor = max(1, -(-resolution[0] // self.feature_size[0]))
        self.enlarge = factor > _FINEST
        self.factor = min(factor, _FINEST)
        self.body = block(channels, hidden, norm)
        self.predict = nn.Conv2d(hidden, outputs * self.factor**2, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Raw predictions [B, outputs, H, W]."""
        pairs = zip(features.shape[-2:], self.feature_size, self.resolution, strict=True)
        size = [round(now * full / usual) for now, usual, full in pairs]
        if self.enlarge:
            features = _interpolated(features, [-(-side // self.factor) for side in size])
        prediction = F.pixel_shuffle(self.predict(self.body(features)), self.factor)
        return prediction if list(prediction.shape[-2:]) == size else _interpolated(prediction, size)


def _interpolated(maps: Tensor, size: list[int]) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def build_head(
    task: Task,
    feature_shape: Sequence[int],
    input_shape: Sequence[int],
    hidden: int | None = None,
    norm: str = "batch",
    vector_head: str = "linear",
) -> nn.Module:
    """The usual head for a task, by its `output`: "vector" or "map".

    Args:
        task: What is predicted.
        feature_shape: The encoder's (C, H, W) or (C,).
        input_shape: Of one sample; a map has its last two axes.
        hidden: Width of the head's hidden layer; None takes no hidden layer for vectors, 64 channels for maps.
        norm: "batch" or "group", for maps.
        vector_head: What predicts vectors: "linear" layers on pooled features, or a "conv" head.

    Raises:
        UmbelError: A map task on features without a map, or an output that has no usual head.
    """
    if vector_head not in VECTOR_HEADS:
        raise unknown("vector head", vector_head, VECTOR_HEADS)
    if task.output == "vector" and vector_head == "conv":
        return ConvHead(feature_shape, task.outputs, hidden or 32, norm)
    if task.output == "vector":
        return VectorHead(feature_shape, task.outputs, hidden or 0)
    if task.output != "map":
        raise UmbelError(f"task {task.name!r}: no usual head gives output {task.output!r}; write a head for it")
    if len(feature_shape) != 3 or len(input_shape) != 3:
        raise UmbelError(
            f"task {task.name!r} predicts a map, but the encoder's features have shape {tuple(feature_shape)}; "
            "use an encoder that keeps maps, as 'conv'"
        )
    return MapHead(feature_shape, task.outputs, (input_shape[1], input_shape[2]), hidden or 64, norm)
