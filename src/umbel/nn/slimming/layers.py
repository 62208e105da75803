"""Layers with weights of which a prefix is used: what comes in says how much is read, the width how much is written.

Each class is torch's own with another forward pass, so parameters, their names and hooks stay as they were. At full
width every layer does exactly what torch's does.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from umbel.core import UmbelError
from umbel.nn.slimming.grid import active_channels
from umbel.nn.slimming.setting import current

_ONEDNN_BLOCK = 16
"""Strided 1x1 convolutions of fewer channels pick their positions first: in channels_last, oneDNN's gradient of their
weights writes out of bounds otherwise (uxlfoundation/oneDNN issue 6035)."""

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class WeightedLayer(nn.Module):
    """A layer with weights from input channels to output channels.

    Attributes:
        divisor: Active outputs are a multiple of it.
        fixed_output: Always write all outputs (a prediction); only inputs are sliced.
    """

    divisor: int = 8
    fixed_output: bool = False

    def outputs_at(self, width: float, channels: int) -> int:
        """How many of `channels` outputs are active at a width."""
        return channels if self.fixed_output else active_channels(channels, width, self.divisor)


def first(parameter: Tensor | None, count: int) -> Tensor | None:
    """The first entries along axis 0; the parameter itself when that is all of it."""
    return parameter if parameter is None or len(parameter) == count else parameter[:count]


def _slice(weight: Tensor, first_axis: int, second_axis: int) -> Tensor:
    return weight if weight.shape[:2] == (first_axis, second_axis) else weight[:first_axis, :second_axis]


class _Convolution(WeightedLayer):
    """Slices of convolutions of any dimension.

    A grouped convolution keeps the size of its groups and has **fewer groups**, as many as the active inputs fill;
    depthwise is the case of size one. (Keeping the number of groups and thinning each would feed a channel to other
    weights at each width, so narrow nets would no longer be a prefix of wide ones.) Its outputs follow its groups.
    """

    channel_axis = 1

    def sizes(self, channels_in: int, width: float) -> tuple[int, int]:
        """Active outputs and groups.

        Raises:
            UmbelError: The active inputs end in the middle of a group.
        """
        if self.groups == 1:
            return self.outputs_at(width, self.out_channels), 1
        size = self.in_channels // self.groups
        if channels_in % size:
            raise UmbelError(
                f"{channels_in} active channels are no multiple of the {size} in a group of a grouped convolution; "
                f"use a divisor that is a multiple of {size}"
            )
        groups = channels_in // size
        return groups * (self.out_channels // self.groups), groups

    def forward(self, x: Tensor) -> Tensor:
        """The convolution with the active part of the weights."""
        setting = current()
        spatial = len(self.kernel_size)
        channels_in = x.shape[-1 - spatial]
        channels_out, groups = self.sizes(channels_in, setting.width)
        setting.note(self, channels_in, channels_out)
        padding, stride = self.padding, self.stride
        if self.padding_mode != "zeros":
            x, padding = F.pad(x, self._reversed_padding_repeated_twice, self.padding_mode), 0
        if self._is_pointwise and channels_in < _ONEDNN_BLOCK:
            x, stride = x[(..., *(slice(None, None, step) for step in stride))], 1
        weight = _slice(self.weight, channels_out, channels_in // groups)
        bias = first(self.bias, channels_out)
        return _CONVOLUTIONS[spatial](x, weight, bias, stride, padding, self.dilation, groups)

    @property
    def _is_pointwise(self) -> bool:
        """Whether it is strided and reads single positions, so that picking them first gives the same."""
        padded = self.padding != "valid" and any(self.padding)
        return max(self.kernel_size) == 1 and max(self.stride) > 1 and not padded


class SlimConv1d(_Convolution, nn.Conv1d):
    """A convolution over series [B, C, T] of which the first channels are active."""


class SlimConv2d(_Convolution, nn.Conv2d):
    """A convolution over maps [B, C, H, W] of which the first channels are active."""


class SlimConv3d(_Convolution, nn.Conv3d):
    """A convolution over volumes [B, C, D, H, W] of which the first channels are active."""


class SlimConvTranspose2d(WeightedLayer, nn.ConvTranspose2d):
    """A transposed convolution of which the first channels are active. Groups: only one, or depthwise."""

    channel_axis = 1
    sizes = _Convolution.sizes

    def forward(self, x: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """The transposed convolution with the active part of the weights."""
        setting = current()
        channels_in = x.shape[-3]
        channels_out, groups = self.sizes(channels_in, setting.width)
        setting.note(self, channels_in, channels_out)
        extra = self._output_padding(
            x, output_size, self.stride, self.padding, self.kernel_size, len(self.kernel_size), self.dilation
        )
        weight = _slice(self.weight, channels_in, channels_out // groups)
        bias = first(self.bias, channels_out)
        return F.conv_transpose2d(x, weight, bias, self.stride, self.padding, extra, groups, self.dilation)


class SlimLinear(WeightedLayer, nn.Linear):
    """A linear layer of which the first features are active.

    After a flattened map [B, C, H, W] the active inputs are the first c H W of C H W: torch flattens channel by
    channel, so a prefix of the channels is a prefix of the features.
    """

    channel_axis = -1

    def forward(self, x: Tensor) -> Tensor:
        """The linear map with the active part of the weights."""
        setting = current()
        channels_in = x.shape[-1]
        channels_out = self.outputs_at(setting.width, self.out_features)
        setting.note(self, channels_in, channels_out)
        return F.linear(x, _slice(self.weight, channels_out, channels_in), first(self.bias, channels_out))


class SlimPReLU(nn.PReLU):
    """PReLU with a slope for each channel, of which the first are active."""

    channel_axis = 1

    def forward(self, x: Tensor) -> Tensor:
        """The activation with the slopes of the active channels."""
        channels = x.shape[1] if x.ndim > 1 else 1
        current().note(self, channels, channels)
        return F.prelu(x, self.weight if self.num_parameters == 1 else first(self.weight, channels))
