"""Convolutions of how pixels differ from their middle one: what is left of a picture when its lighting changes."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from umbel.arguments import real_number, whole_number
from umbel.core import UmbelError
from umbel.nn.encoders import ConvEncoder


class CentralDifferenceConv2d(nn.Module):
    """A convolution of pixels less theta times the middle one.

        y(p) = Σ over offsets o of w(o) (x(p + o) - theta x(p))
             = (w * x)(p) - theta x(p) Σ over o of w(o)

    With theta 0 it is an ordinary convolution; with theta 1 it sees differences alone, and what is the same everywhere
    gives 0. It is computed as one convolution whose kernel has theta times its own sum taken from its middle.

    Source: Yu et al., "Searching central difference convolutional networks for face anti-spoofing", CVPR 2020.

    Args:
        channels_in: Of the maps.
        channels_out: Likewise.
        kernel_size: Odd; maps are padded with zeros so that they keep their size at stride 1.
        stride: Of the convolution.
        bias: Whether there is one.
        theta: 0 to 1.

    Raises:
        UmbelError: A number out of its range.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel_size: int = 3,
        stride: int = 1,
        bias: bool = False,
        theta: float = 0.7,
    ) -> None:
        super().__init__()
        size = whole_number(kernel_size, "kernel_size of a central difference convolution", least=1)
        if size % 2 == 0:
            raise UmbelError(f"kernel_size of a central difference convolution is {size}; an even one has no middle")
        self.theta = real_number(theta, "theta of a central difference convolution")
        if not 0 <= self.theta <= 1:
            raise UmbelError(f"theta of a central difference convolution is {self.theta:g}; give a number from 0 to 1")
        ordinary = nn.Conv2d(channels_in, channels_out, size, stride, padding=size // 2, bias=bias)
        self.weight, self.bias = ordinary.weight, ordinary.bias
        self.stride, self.padding = ordinary.stride, ordinary.padding

    def forward(self, x: Float[Tensor, "B channels_in H W"]) -> Float[Tensor, "B channels_out h w"]:
        """Maps, smaller by the stride."""
        middle = self.padding[0]
        taken = F.pad(self.theta * self.weight.sum((2, 3), keepdim=True), [middle] * 4)
        return F.conv2d(x, self.weight - taken, self.bias, self.stride, self.padding)


class CentralDifferenceEncoder(ConvEncoder):
    """`ConvEncoder` with central difference convolutions; of one seed, its weights start as those of that one.

    Source: See `CentralDifferenceConv2d`.
    Differs from the paper: the layout is that of our small encoder; theirs joins features of three levels.

    Args:
        input_shape: (C, H, W).
        widths: As in `ConvEncoder`, and so are the others.
        norm: See there.
        downsample: See there.
        mean: See there.
        std: See there.
        theta: How much of the middle pixel is taken away.

    Attributes:
        feature_shape: See there.

    Raises:
        UmbelError: As `ConvEncoder`, or a theta out of its range.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        widths: Sequence[int] = (32, 64, 128),
        norm: str = "batch",
        downsample: int | None = None,
        mean: float | Sequence[float] = 0.5,
        std: float | Sequence[float] = 0.25,
        theta: float = 0.7,
    ) -> None:
        super().__init__(input_shape, widths, norm, downsample, mean, std)
        for stage in self.stages:
            plain = stage[0]
            central = CentralDifferenceConv2d(
                plain.in_channels, plain.out_channels, plain.kernel_size[0], plain.stride[0], theta=theta
            )
            with torch.no_grad():
                central.weight.copy_(plain.weight)
            stage[0] = central
