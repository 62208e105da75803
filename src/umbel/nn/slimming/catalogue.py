"""Which ordinary layer becomes which slimmable one, and back."""

from collections.abc import Mapping
from types import MappingProxyType

from torch import nn

from umbel.nn.slimming.layers import SlimConv1d, SlimConv2d, SlimConv3d, SlimConvTranspose2d, SlimLinear, SlimPReLU
from umbel.nn.slimming.norms import SlimBatchNorm1d, SlimBatchNorm2d, SlimBatchNorm3d, SlimGroupNorm, SlimLayerNorm

SLIM: Mapping[type[nn.Module], type[nn.Module]] = MappingProxyType(
    {
        nn.Conv1d: SlimConv1d,
        nn.Conv2d: SlimConv2d,
        nn.Conv3d: SlimConv3d,
        nn.ConvTranspose2d: SlimConvTranspose2d,
        nn.Linear: SlimLinear,
        nn.PReLU: SlimPReLU,
        nn.BatchNorm1d: SlimBatchNorm1d,
        nn.BatchNorm2d: SlimBatchNorm2d,
        nn.BatchNorm3d: SlimBatchNorm3d,
        nn.GroupNorm: SlimGroupNorm,
        nn.LayerNorm: SlimLayerNorm,
    }
)
"""The slimmable class of every ordinary layer that has one."""

PLAIN: Mapping[type[nn.Module], type[nn.Module]] = MappingProxyType({slim: plain for plain, slim in SLIM.items()})
"""The ordinary class of every slimmable layer."""
