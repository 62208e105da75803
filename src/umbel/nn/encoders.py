"""Encoders: inputs -> features that every task shares. Each says the shape of its features in `feature_shape`."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from umbel.core import UmbelError


class Standardise(nn.Module):
    """(x - mean) / std, for each channel of pictures [B, C, H, W] or of vectors [B, C].

    Args:
        mean: A number, or one for each channel.
        std: Likewise, positive. The defaults bring pictures in 0 to 1 to about -2 to 2.
        channels: How many there are, where that is known.

    Raises:
        UmbelError: A number that is not finite, a std that is not positive, or as many as there are not channels.
    """

    def __init__(
        self, mean: float | Sequence[float] = 0.5, std: float | Sequence[float] = 0.25, channels: int | None = None
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32).reshape(-1))
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float32).reshape(-1))
        if not bool((self.std > 0).all() and self.std.isfinite().all() and self.mean.isfinite().all()):
            raise UmbelError("standardise: every mean must be a finite number, and every std a positive one")
        for what, given in (("mean", self.mean), ("std", self.std)):
            if channels is not None and len(given) not in (1, channels):
                raise UmbelError(f"standardise: {what} has {len(given)} numbers for {channels} channels; give one each")

    def forward(self, x: Tensor) -> Tensor:
        """The standardised input, in its own shape."""
        shape = (-1, *[1] * (x.ndim - 2))
        return (x - self.mean.view(shape)) / self.std.view(shape)


def normalisation(kind: str, channels: int) -> nn.Module:
    """A normalisation layer for feature maps.

    Args:
        kind: "batch" (statistics of the batch), or "group" (of each sample: for very small batches and for
            per-sample gradients, which batch statistics make meaningless).
        channels: Of the feature map.

    Raises:
        UmbelError: Another kind.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(groups_of(channels), channels)
    raise UmbelError(f"unknown normalisation {kind!r}; use 'batch' or 'group'")


def groups_of(channels: int) -> int:
    """Into how many groups a group normalisation cuts so many channels: 8, or as many as divide them."""
    return next(groups for groups in (8, 4, 2, 1) if channels % groups == 0)


def strides(downsample: int, stages: int) -> list[int]:
    """The stride of each stage, 1 or 2, so that together they shrink a picture `downsample` times.

    Early stages keep the resolution and late ones halve it.

        >>> strides(4, stages=3)
        [1, 2, 2]

    Raises:
        UmbelError: `downsample` is no power of two, or more than the stages can do.
    """
    halvings = downsample.bit_length() - 1
    if downsample < 1 or downsample != 2**halvings or halvings > stages:
        raise UmbelError(f"downsample is {downsample}; with {stages} stages use a power of two from 1 to {2**stages}")
    return [1] * (stages - halvings) + [2] * halvings


def picture_shape(input_shape: Sequence[int]) -> tuple[int, int, int]:
    """`input_shape` as (channels, height, width).

    Raises:
        UmbelError: It is not the shape of a picture.
    """
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise UmbelError(f"this encoder needs pictures (C, H, W), the inputs have shape {tuple(input_shape)}")
    channels, height, width = input_shape
    return channels, height, width


def shrunk(size: int, downsample: int) -> int:
    """What is left of `size` pixels after shrinking with padding: the quotient, rounded up."""
    return -(-size // downsample)


def block(channels_in: int, channels_out: int, norm: str, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False),
        normalisation(norm, channels_out),
        nn.ReLU(inplace=True),
    )


class ConvEncoder(nn.Module):
    """A small, fast convolutional net for pictures of about 8x8 to 64x64.

        [B, C, H, W] in 0..1 -> standardise -> (conv 3x3, norm, ReLU) x stages -> [B, widths[-1], H/d, W/d]

    Args:
        input_shape: (C, H, W).
        widths: Channels of each stage.
        norm: "batch" or "group".
        downsample: How many times smaller than the picture the feature map is: 1, 2, 4, ... 2^stages. None: 8 for
            pictures from 16 pixels on, 4 for smaller ones, as far as the stages reach.
        mean: Of the pictures, for the standardisation.
        std: Likewise.

    Attributes:
        feature_shape: (widths[-1], H/d, W/d), rounded up.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        widths: Sequence[int] = (32, 64, 128),
        norm: str = "batch",
        downsample: int | None = None,
        mean: float | Sequence[float] = 0.5,
        std: float | Sequence[float] = 0.25,
    ) -> None:
        super().__init__()
        channels, height, width = picture_shape(input_shape)
        if not widths or min(widths) < 1:
            raise UmbelError(f"convolutional encoder: widths are {tuple(widths)}; give at least one, each at least 1")
        if downsample is None:
            downsample = min(8 if min(height, width) >= 16 else 4, 2 ** len(widths))
        steps = strides(downsample, len(widths))
        pairs = zip([channels, *widths], widths, steps, strict=False)
        self.standardise = Standardise(mean, std, channels)
        self.stages = nn.Sequential(*(block(c_in, c_out, norm, step) for c_in, c_out, step in pairs))
        self.feature_shape = (widths[-1], shrunk(height, downsample), shrunk(width, downsample))

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps [B, *feature_shape]."""
        return self.stages(self.standardise(x))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut: ReLU(x + f(x)), the basic block of ResNet (He et al., CVPR 2016).

    Where the shortcut shrinks the map, every other pixel is picked before its 1x1 convolution: the same numbers as
    from a strided one. (With fewer than 16 channels in channels_last, oneDNN's weight gradient of a strided 1x1
    convolution writes out of bounds: uxlfoundation/oneDNN issue 6035.)
    """

    def __init__(self, channels_in: int, channels_out: int, norm: str = "batch", stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            block(channels_in, channels_out, norm, stride),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
            normalisation(norm, channels_out),
        )
        self.stride = stride
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, bias=False), normalisation(norm, channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, channels_out, H/stride, W/stride]."""
        picked = x if self.stride == 1 else x[..., :: self.stride, :: self.stride]
        return torch.relu(self.body(x) + self.shortcut(picked))


class ResNetEncoder(nn.Module):
    """ResNet-18's layout with a stem for small pictures: one 3x3 convolution, no pooling.

        [B, C, H, W] in 0..1 -> standardise -> stem -> stages of width, 2, 4, 8 times width -> [B, 8 width, H/d, W/d]

    Source: He et al., "Deep residual learning for image recognition", CVPR 2016.
    Differs from the paper: the stem, as usual for 32x32 pictures; width, blocks and downsampling can be chosen;
    `blocks=(2, 2, 2, 2)` and `width=64` are ResNet-18's.

    Args:
        input_shape: (C, H, W).
        width: Channels of the first stage; each later stage has twice as many as the one before.
        blocks: Residual blocks in each stage.
        norm: "batch" or "group".
        downsample: How many times smaller than the picture the feature map is: a power of two.
        mean: Of the pictures, for the standardisation.
        std: Likewise.

    Attributes:
        feature_shape: (channels, H/d, W/d), rounded up.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        width: int = 64,
        blocks: Sequence[int] = (2, 2, 2, 2),
        norm: str = "batch",
        downsample: int = 8,
        mean: float | Sequence[float] = 0.5,
        std: float | Sequence[float] = 0.25,
    ) -> None:
        super().__init__()
        channels, height, breadth = picture_shape(input_shape)
        if not blocks or min(blocks) < 1 or width < 1:
            raise UmbelError(f"residual encoder: width {width} and blocks {tuple(blocks)} must all be at least 1")
        layers, current = [], width
        for stage, (count, stride) in enumerate(zip(blocks, strides(downsample, len(blocks)), strict=True)):
            for index in range(count):
                layers.append(ResidualBlock(current, width * 2**stage, norm, stride if index == 0 else 1))
                current = width * 2**stage
        self.standardise = Standardise(mean, std, channels)
        self.stem = block(channels, width, norm)
        self.stages = nn.Sequential(*layers)
        self.feature_shape = (current, shrunk(height, downsample), shrunk(breadth, downsample))

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps [B, *feature_shape]."""
        return self.stages(self.stem(self.standardise(x)))


class MLPEncoder(nn.Module):
    """Fully connected layers with ReLU, for tables. Inputs of more axes are flattened.

    Args:
        features_in: Values in one sample. They should be about standardised; missing ones filled.
        width: Of each layer.
        depth: Number of layers.

    Attributes:
        feature_shape: (width,).
    """

    def __init__(self, features_in: int, width: int = 128, depth: int = 2) -> None:
        super().__init__()
        if min(features_in, width, depth) < 1:
            raise UmbelError(f"mlp encoder: features {features_in}, width {width}, depth {depth} must be at least 1")
        layers: list[nn.Module] = []
        for index in range(depth):
            layers += [nn.Linear(width if index else features_in, width), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.feature_shape = (width,)

    def forward(self, x: Tensor) -> Tensor:
        """Features [B, width]."""
        return self.layers(x.flatten(1))


class GRUEncoder(nn.Module):
    """A gated recurrent unit over a series, for [B, T, F].

    Args:
        features_in: F, values at each time.
        width: Of the state.
        layers: Stacked recurrent layers.
        sequence: Keep the state of every time instead of the last one only.

    Attributes:
        feature_shape: (width,), for each time when `sequence` is set.
    """

    def __init__(self, features_in: int, width: int = 64, layers: int = 1, sequence: bool = False) -> None:
        super().__init__()
        if min(features_in, width, layers) < 1:
            raise UmbelError(f"gru encoder: features {features_in}, width {width}, layers {layers} must be at least 1")
        self.recurrent = nn.GRU(features_in, width, layers, batch_first=True)
        self.sequence = sequence
        self.feature_shape = (width,)

    def forward(self, x: Tensor) -> Tensor:
        """The last state [B, width], or with `sequence` all of them [B, T, width]."""
        states, _ = self.recurrent(x)
        return states if self.sequence else states[:, -1]
