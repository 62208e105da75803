"""Modules to make slimmable, and a small multi-task model of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from umbel.core import MultiTaskModel, OperatingPoint
from umbel.nn import (
    ConvEncoder,
    MapHead,
    MLPEncoder,
    PictureHead,
    PixelEncoder,
    PooledHead,
    ResNetEncoder,
    Slimmable,
    VectorHead,
    build_encoder,
    seeded_start,
    slimmable,
)

FULL = OperatingPoint()
COARSE = (0.25, 0.5, 1.0)


class OwnEncoder(nn.Module):
    """What users write: attributes instead of sequences, depthwise, PReLU, a flattened map, norms of all kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, 2, padding=1, padding_mode="reflect")
        self.slope = nn.PReLU(32)
        self.depthwise = nn.Conv2d(32, 64, 3, padding="same", groups=32, bias=False)
        self.norm = nn.BatchNorm2d(64, momentum=None)
        self.bigger = nn.ConvTranspose2d(64, 32, 3, 2, output_padding=1)
        self.across = nn.LayerNorm((32, 18, 18))
        self.temperature = nn.Parameter(torch.tensor(1.5))
        self.down = nn.Conv2d(32, 16, 5, 4, groups=4)
        self.narrow = nn.Linear(16 * 4 * 4, 48)
        self.flat_norm = nn.BatchNorm1d(48, affine=False)
        self.last = nn.Linear(48, 40)
        self.layer_norm = nn.LayerNorm(40)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.depthwise(self.slope(self.first(x)) * self.temperature))
        x = self.down(self.across(self.bigger(x, output_size=(18, 18))))
        return self.layer_norm(self.last(torch.relu(self.flat_norm(self.narrow(x.flatten(1))))))


@dataclass(frozen=True)
class Case:
    """A module and how to make it slimmable."""

    make: Callable[[], nn.Module]
    input_shape: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def pair(self, **options: Any) -> tuple[nn.Module, Slimmable]:
        """The ordinary module, with weights and statistics that are not the usual start, and the slimmable one."""
        with seeded_start(0, "slim"):
            module = self.make()
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for part in module.modules():
                if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                    part.running_mean.copy_(torch.randn(part.num_features, generator=generator) * 0.1)
                    part.running_var.copy_(torch.rand(part.num_features, generator=generator) + 0.5)
                if getattr(part, "bias", None) is not None and part.bias is not False:
                    part.bias.add_(torch.randn(part.bias.shape, generator=generator) * 0.1)
        return module, slimmable(module, self.input_shape, **self.options, **options)

    def inputs(self, width: float = 1.0, samples: int = 6, seed: int = 0) -> Tensor:
        """Samples as an encoder of that width gives them to a head; an encoder's own are always the same."""
        x = torch.rand(samples, *self.input_shape, generator=torch.Generator().manual_seed(seed))
        return x[:, : round(width * self.input_shape[0])] if "head_of" in self.options else x

    def points(self, widths: tuple[float, ...] = COARSE) -> list[OperatingPoint]:
        """Configurations: one for each width; a head's with the encoder at another width."""
        if "head_of" not in self.options:
            return [OperatingPoint(width=w) for w in widths]
        return [OperatingPoint(width=w, head_widths={"t": v}) for w, v in zip(widths, reversed(widths), strict=True)]


HEAD = {"head_of": "t"}
SMALL = {
    "conv": Case(lambda: ConvEncoder((3, 16, 16), (16, 32, 48)), (3, 16, 16)),
    "resnet": Case(lambda: ResNetEncoder((3, 16, 16), 16, (1, 1, 1)), (3, 16, 16)),
    "resnet-group": Case(lambda: ResNetEncoder((3, 8, 8), 32, (1, 2), "group", 4), (3, 8, 8)),
    "pixel": Case(lambda: PixelEncoder((3, 9, 8), 32), (3, 9, 8)),
    "mlp": Case(lambda: MLPEncoder(12, 64), (12,)),
    "own": Case(OwnEncoder, (3, 16, 16)),
    "vector-head": Case(lambda: VectorHead((64, 4, 4), 5, hidden=32), (64, 4, 4), HEAD),
    "linear-head": Case(lambda: VectorHead((64,), 5), (64,), HEAD),
    "map-head": Case(lambda: MapHead((64, 4, 4), 3, (24, 24), hidden=32), (64, 4, 4), HEAD),
    "pooled-head": Case(lambda: PooledHead((64, 4, 4), 3, width=32), (64, 4, 4), HEAD),
    "picture-head": Case(lambda: PictureHead((64, 4, 4), 3, (10, 9)), (64, 4, 4), HEAD),
}
LARGE = {
    "resnet18": Case(lambda: torchvision.models.resnet18(num_classes=10), (3, 32, 32), {"fixed_output": ["fc"]}),
    "resnet-trunk": Case(lambda: build_encoder("torchvision-resnet18", (1, 32, 32), downsample=8), (1, 32, 32)),
    "mobilenet": Case(lambda: build_encoder("torchvision-mobilenet_v3_small", (3, 32, 32)), (3, 32, 32)),
    "efficientnet": Case(lambda: build_encoder("torchvision-efficientnet_b0", (3, 32, 32)), (3, 32, 32)),
    "resnext": Case(
        lambda: torchvision.models.ResNet(
            torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], groups=16, width_per_group=4
        ),
        (3, 32, 32),
    ),
}
CASES = SMALL | LARGE


def small_model(**options: Any) -> MultiTaskModel:
    """A slimmable encoder and two slimmable heads, all with batch normalisation."""
    _, encoder = Case(lambda: ConvEncoder((3, 8, 8), (16, 32)), (3, 8, 8), options).pair(widths=COARSE)
    _, kind = Case(lambda: VectorHead((32, 2, 2), 4, hidden=32), (32, 2, 2), {"head_of": "kind"}).pair(widths=COARSE)
    _, depth = Case(lambda: MapHead((32, 2, 2), 1, (8, 8), 32), (32, 2, 2), {"head_of": "depth"}).pair(widths=COARSE)
    return MultiTaskModel(encoder, {"kind": kind, "depth": depth})
