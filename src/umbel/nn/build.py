"""Whole models from a few words: which encoder, which tasks, which seed."""

import hashlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from umbel.arguments import check_options
from umbel.core import MultiTaskModel, Task, UmbelError, unknown
from umbel.nn.central_difference import CentralDifferenceEncoder
from umbel.nn.encoders import ConvEncoder, GRUEncoder, MLPEncoder, ResNetEncoder
from umbel.nn.heads import build_head
from umbel.nn.memory_bound import memory_bound
from umbel.nn.pixel import PixelEncoder
from umbel.nn.pretrained import torchvision_encoder

_MAP_DOWNSAMPLE = 4  # tasks that predict maps get features of at least a quarter of the resolution


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder that can be chosen by name.

    Attributes:
        factory: (input shape, options) -> encoder with a `feature_shape`.
        description: One line.
        axes: How many axes a sample of its inputs has; None for any.
    """

    factory: Callable[..., nn.Module]
    description: str
    axes: int | None = 3


def _mlp(input_shape: Sequence[int], width: int = 128, depth: int = 2) -> MLPEncoder:
    return MLPEncoder(math.prod(input_shape), width, depth)


def _gru(input_shape: Sequence[int], width: int = 64, layers: int = 1) -> GRUEncoder:
    return GRUEncoder(input_shape[1], width, layers)


def _torchvision(name: str) -> EncoderChoice:
    return EncoderChoice(
        partial(torchvision_encoder, name), f"torchvision's {name}, from scratch unless weights= is given"
    )


ENCODERS: Mapping[str, EncoderChoice] = MappingProxyType(
    {
        "conv": EncoderChoice(ConvEncoder, "small fast convolutional net, for pictures of 8x8 to 64x64"),
        "resnet": EncoderChoice(ResNetEncoder, "ResNet-18's layout with a stem for small pictures"),
        "pixel": EncoderChoice(PixelEncoder, "keeps detail, for pictures that a decoder reconstructs"),
        "central-difference": EncoderChoice(
            CentralDifferenceEncoder, "conv with differences from the middle pixel, for pictures in changing light"
        ),
        "mlp": EncoderChoice(_mlp, "fully connected layers, for tables", None),
        "gru": EncoderChoice(_gru, "gated recurrent unit, last state, for series", 2),
        "torchvision-resnet18": _torchvision("resnet18"),
        "torchvision-resnet50": _torchvision("resnet50"),
        "torchvision-mobilenet_v3_small": _torchvision("mobilenet_v3_small"),
        "torchvision-efficientnet_b0": _torchvision("efficientnet_b0"),
    }
)
"""The encoders that can be chosen by name."""


def default_encoder(input_shape: Sequence[int], tasks: Sequence[Task] = ()) -> str:
    """The name of a sensible encoder: "mlp" for tables (F,), "gru" for series (T, F), "conv" for pictures (C, H, W).

    Raises:
        UmbelError: Inputs of another shape, or a task that predicts a map from inputs that are no pictures.
    """
    names = {1: "mlp", 2: "gru", 3: "conv"}
    if len(input_shape) not in names:
        raise UmbelError(f"no usual encoder for inputs of shape {tuple(input_shape)}; give one of your own")
    for task in tasks:
        if task.output == "map" and len(input_shape) != 3:
            raise UmbelError(f"task {task.name!r} predicts a map, but the inputs have shape {tuple(input_shape)}")
    return names[len(input_shape)]


def build_encoder(name: str, input_shape: Sequence[int], **options: Any) -> nn.Module:
    """The encoder called `name`, for inputs of one shape.

    Its random start comes from torch's global generator; `build_model` takes a seed instead.

    Args:
        name: One of `ENCODERS`.
        input_shape: Of one sample.
        **options: What that encoder's factory takes besides.

    Raises:
        UmbelError: Unknown name or option, an option of the wrong kind, inputs of the wrong shape, or a network that
            does not fit into memory.
    """
    if name not in ENCODERS:
        raise unknown("encoder", name, ENCODERS)
    choice = ENCODERS[name]
    if choice.axes not in (None, len(input_shape)):
        kind = {2: "series (T, F)", 3: "pictures (C, H, W)"}[choice.axes]
        raise UmbelError(f"encoder {name!r} is for {kind}, the inputs have shape {tuple(input_shape)}")
    allowed = _options(choice)
    for option in options:
        if option not in allowed:
            raise unknown(f"option of encoder {name!r}", option, allowed)
    check_options(choice.factory, options, f"encoder {name!r}")
    with memory_bound(f"encoder {name!r}"):
        return choice.factory(input_shape, **options)


def _options(choice: EncoderChoice) -> list[str]:
    return [name for name in inspect.signature(choice.factory).parameters if name != "input_shape"]


def build_model(
    input_shape: Sequence[int],
    tasks: Sequence[Task],
    encoder: str | None = None,
    *,
    seed: int = 0,
    hidden: int | None = None,
    keep_maps: bool | None = None,
    vector_head: str = "linear",
    **options: Any,
) -> MultiTaskModel:
    """An encoder and the usual head for every task, the same for the same seed.

    The encoder's start depends on the seed only, and a head's on the seed and its task's name. A model of one task and
    a model of many therefore start from the same encoder and the same head. The global generator is left as it was.

    Args:
        input_shape: Of one sample.
        tasks: At least one.
        encoder: One of `ENCODERS`; None takes `default_encoder`.
        seed: Of the random start.
        hidden: Width of the heads' hidden layers; see `build_head`.
        keep_maps: Whether the encoder keeps a quarter of the resolution (`downsample=4`, where it is an option and is
            not given). None: when one of these tasks predicts a map. Say it where a network for some tasks of a set
            is to have the same encoder as the network for all of them.
        vector_head: See `build_head`.
        **options: For the encoder. `norm` goes to map heads too.

    Raises:
        UmbelError: As `build_encoder` and `build_head`.
    """
    name = default_encoder(input_shape, tasks) if encoder is None else encoder
    maps = any(task.output == "map" for task in tasks) if keep_maps is None else keep_maps
    if maps and name in ENCODERS and "downsample" in _options(ENCODERS[name]):
        options = {"downsample": _MAP_DOWNSAMPLE, **options}
    with seeded_start(seed, ""):
        trunk = build_encoder(name, input_shape, **options)
    heads = {}
    norm = options.get("norm", "batch")
    for task in tasks:
        with seeded_start(seed, task.name), memory_bound(f"the head of task {task.name!r}"):
            heads[task.name] = build_head(task, trunk.feature_shape, input_shape, hidden, norm, vector_head)
    return MultiTaskModel(trunk, heads)


@contextmanager
def seeded_start(seed: int, name: str) -> Iterator[None]:
    """Torch's global generator (the only one that modules draw from when made) at a state of its own, then back.

    A part of a model that is made under (seed, name) starts the same whatever else the model has.
    """
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int.from_bytes(digest) % 2**63)
        yield
