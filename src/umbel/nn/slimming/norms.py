"""Normalisations of which the first channels are active."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from umbel.core import UmbelError
from umbel.nn.slimming.layers import first
from umbel.nn.slimming.setting import Setting, Sums, current
from umbel.nn.sync_norm import normalise_over_processes, several_processes


class _BatchNormalisation(_BatchNorm):
    """Batch normalisation: one sliced scale and shift for all widths, statistics of its own for each configuration.

    The full configuration has the running statistics and is the ordinary layer. Every other one has a row in the
    buffers `means` and `variances`, which `recalibrate` fills. In training it uses the batch's statistics and leaves
    all stored ones alone.

    Source: Yu & Huang, "Universally slimmable networks and improved training techniques", ICCV 2019.

    Attributes:
        over_processes: Take the batch's statistics over all processes; `synchronise_norms` sets it.
    """

    channel_axis = 1
    over_processes: bool = False

    def add_tables(self, rows: int) -> None:
        """Make room for the statistics of `rows` configurations besides the full one."""
        if self.running_mean is not None:
            table = self.running_mean.new_zeros(rows, self.num_features)
            self.register_buffer("means", table)
            self.register_buffer("variances", torch.ones_like(table))

    def store(self, row: int, sums: Sums) -> None:
        """Keep the statistics that `sums` gives as those of a row."""
        mean, variance = sums.statistics()
        with torch.no_grad():
            self.means[row, : len(mean)] = mean.to(self.means)
            self.variances[row, : len(mean)] = variance.to(self.variances)

    def statistics_at(self, row: int | None, channels: int) -> tuple[Tensor, Tensor]:
        """Mean and variance [channels] of a configuration."""
        if row is None:
            return self.running_mean[:channels], self.running_var[:channels]
        return self.means[row, :channels], self.variances[row, :channels]

    def forward(self, x: Tensor) -> Tensor:
        """Normalised with the statistics of the batch (training) or of the configuration (evaluation)."""
        setting = current()
        channels = x.shape[1]
        setting.note(self, channels, channels)
        self._check_input_dim(x)
        if setting.sums is None and self.training and self.over_processes and several_processes():
            return normalise_over_processes(self, x, follow=setting.row is None)
        if setting.sums is None and setting.row is None:
            return super().forward(x)
        if setting.sums is not None and self.running_mean is not None:
            setting.sums.setdefault(self, Sums()).add(x)
        mean, variance = self._statistics(setting, channels)
        weight, bias = first(self.weight, channels), first(self.bias, channels)
        return F.batch_norm(x, mean, variance, weight, bias, mean is None, 0.0, self.eps)

    def _statistics(self, setting: Setting, channels: int) -> tuple[Tensor | None, Tensor | None]:
        of_the_batch = self.training or self.running_mean is None or setting.sums is not None
        return (None, None) if of_the_batch else self.statistics_at(setting.row, channels)


class SlimBatchNorm1d(_BatchNormalisation, nn.BatchNorm1d):
    """Batch normalisation of [B, C] or [B, C, T] with the first channels active."""


class SlimBatchNorm2d(_BatchNormalisation, nn.BatchNorm2d):
    """Batch normalisation of [B, C, H, W] with the first channels active."""


class SlimBatchNorm3d(_BatchNormalisation, nn.BatchNorm3d):
    """Batch normalisation of [B, C, D, H, W] with the first channels active."""


class SlimGroupNorm(nn.GroupNorm):
    """Group normalisation with the first channels active.

    Groups keep their size and there are fewer of them, so that an active channel is normalised with the same others as
    at full width. Where the size does not divide the active channels, the next larger size that does is taken.
    """

    channel_axis = 1

    def groups_at(self, channels: int) -> int:
        """The number of groups for so many active channels."""
        size = self.num_channels // self.num_groups
        return next(channels // s for s in range(min(size, channels), channels + 1) if channels % s == 0)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised over each group of channels of each sample."""
        channels = x.shape[1]
        current().note(self, channels, channels)
        weight, bias = first(self.weight, channels), first(self.bias, channels)
        return F.group_norm(x, self.groups_at(channels), weight, bias, self.eps)


class SlimLayerNorm(nn.LayerNorm):
    """Layer normalisation over (C,) last, or over (C, H, W), with the first channels active."""

    @property
    def channel_axis(self) -> int:
        """Where the channels are."""
        return -len(self.normalized_shape)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised over the active channels of each sample (and position)."""
        axis = self.channel_axis
        channels = x.shape[axis]
        current().note(self, channels, channels)
        if channels > self.normalized_shape[0]:
            raise UmbelError(f"layer normalisation of {self.normalized_shape[0]} channels was given {channels}")
        shape = (channels, *self.normalized_shape[1:])
        return F.layer_norm(x, shape, first(self.weight, channels), first(self.bias, channels), self.eps)


BATCH_NORMS = (SlimBatchNorm1d, SlimBatchNorm2d, SlimBatchNorm3d)
"""The batch normalisations among the layers."""
