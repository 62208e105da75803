"""What the benchmarks of descents run on: a conv net, a ResNet-18, a transformer, each with T linear heads."""

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from umbel.core import Batch, Learner, MultiTaskModel
from umbel.engine import FabricRuntime, open_runtime
from umbel.nn import build_encoder, build_head, seeded_start
from umbel.tasks import classification

CLASSES = [str(i) for i in range(10)]
SIDE = 32


class Attention(nn.Module):
    """Attention of every token on every other, heads of 32 channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // 32
        self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x_BNC: Tensor) -> Tensor:
        query, key, value = self.into(x_BNC).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """x + attention(norm(x)), then x + two linear layers with GELU(norm(x))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before_attention, self.before_body = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width)
        self.body = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.before_attention(x))
        return x + self.body(self.before_body(x))


class TransformerEncoder(nn.Module):
    """Patches, learnt positions, pre-norm layers, the mean over the tokens: [B, C, H, W] -> [B, width]."""

    def __init__(self, input_shape: tuple[int, int, int], width: int = 192, layers: int = 4, patch: int = 8) -> None:
        super().__init__()
        channels, height, breadth = input_shape
        tokens = (height // patch) * (breadth // patch)
        self.embed = nn.Conv2d(channels, width, patch, patch)
        self.positions = nn.Parameter(0.02 * torch.randn(1, tokens, width))
        self.layers = nn.Sequential(*(Layer(width) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.feature_shape = (width,)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2) + self.positions
        return self.norm(self.layers(tokens)).mean(1)


@dataclass(frozen=True)
class Setting:
    """One net under one load.

    Attributes:
        net: What the rows call it.
        encoder: "transformer", or an encoder of `umbel.nn`.
        batch: Samples in a step.
        tasks: T.
        options: Of the encoder.
        bf16: Autocast to bf16 instead of float32.
        channels_last: Memory format of pictures and weights.
        compiled: The encoder goes through `torch.compile`.
        shape: Of a picture.
    """

    net: str
    encoder: str
    batch: int
    tasks: int = 4
    options: dict[str, Any] = field(default_factory=dict)
    bf16: bool = False
    channels_last: bool = False
    compiled: bool = False
    shape: tuple[int, int, int] = (3, SIDE, SIDE)

    def __str__(self) -> str:
        precision = "bf16" if self.bf16 else "float32"
        layout = " channels_last" if self.channels_last else ""
        return f"{self.net}{', compiled' * self.compiled}, {precision}{layout}, batch {self.batch}, T = {self.tasks}"

    def but(self, **changes: Any) -> "Setting":
        """The same with something changed."""
        return replace(self, **changes)

    def in_bf16(self) -> "Setting":
        """In the faster precision: bf16, for convolutions with channels_last."""
        return self.but(bf16=True, channels_last=self.encoder != "transformer")


CONV = Setting(
    "conv net (4 strided, 16-128 channels)", "conv", 64, options={"widths": (16, 32, 64, 128), "downsample": 16}
)


def resnet(width: int, batch: int) -> Setting:
    """ResNet-18 with the stem for small pictures; the true one has width 64."""
    return Setting(f"ResNet-18, width {width}", "resnet", batch, options={"width": width})


def transformer(tokens: int, batch: int, width: int = 192) -> Setting:
    """Four layers over 16 or 64 tokens."""
    patch = {16: 8, 64: 4}[tokens]
    name = f"transformer ({tokens} tokens, width {width})"
    return Setting(name, "transformer", batch, options={"width": width, "patch": patch})


def make_learner(setting: Setting, dtype: torch.dtype = torch.float32) -> Learner:
    """In training mode, the same start for the same setting, on the machine's device."""
    tasks = [classification(f"task{i}", CLASSES) for i in range(setting.tasks)]
    with seeded_start(0, setting.net):
        if setting.encoder == "transformer":
            trunk = TransformerEncoder(setting.shape, **setting.options)
        else:
            trunk = build_encoder(setting.encoder, setting.shape, **setting.options)
        heads = {task.name: build_head(task, trunk.feature_shape, setting.shape) for task in tasks}
    trunk = torch.compile(trunk) if setting.compiled else trunk
    model = MultiTaskModel(trunk, heads).to(runtime_of(setting).device, dtype)
    if setting.channels_last:
        model.to(memory_format=torch.channels_last)
    return Learner(model, tasks).train()


def make_batch(setting: Setting, dtype: torch.dtype = torch.float32, seed: int = 0) -> Batch:
    """Random pictures, random labels."""
    generator = torch.Generator().manual_seed(seed)
    pictures = torch.rand(setting.batch, *setting.shape, generator=generator, dtype=dtype)
    if setting.channels_last:
        pictures = pictures.contiguous(memory_format=torch.channels_last)
    targets = {f"task{i}": torch.randint(0, 10, (setting.batch,), generator=generator) for i in range(setting.tasks)}
    return Batch(pictures, targets).to(runtime_of(setting).device)


def runtime_of(setting: Setting) -> FabricRuntime:
    """One process in the setting's precision."""
    return _one_process().with_settings("bf16" if setting.bf16 else "float32", 1)


@cache
def _one_process() -> FabricRuntime:
    return open_runtime()
