"""Staged models from a few words: which encoder, which stages, which goals, which channels."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from umbel.channels import Channel
from umbel.core import Task, UmbelError, unknown
from umbel.nn import PictureHead, PooledHead, build_encoder, build_head, default_encoder, seeded_start
from umbel.transmission.code import make_code
from umbel.transmission.decoder import MapDecoder, VectorDecoder
from umbel.transmission.goal import Goal, Stage
from umbel.transmission.model import Coherence, Combine, Receiver, StagedModel


def build_transmission(
    input_shape: Sequence[int],
    stages: Sequence[Stage],
    goals: Sequence[Goal],
    channels: Channel | Mapping[str, Channel],
    encoder: str | None = None,
    *,
    seed: int = 0,
    combine: Combine = "concatenate",
    coherence: Coherence = "stage",
    decoder_width: int | None = None,
    decoder_blocks: int = 2,
    **options: Any,
) -> StagedModel:
    """An encoder, a code for each stage, and for each receiver decoders and heads.

    Where any goal is a picture or a map, codes and decoders keep the places of a map (64 channels, residual blocks);
    otherwise they are dense (128 wide), as suits a few channel uses. Parts start from the seed and their own name, so
    models with other stages or receivers have the same encoder at the start.

    Args:
        input_shape: Of one sample.
        stages: Uses and power of each stage.
        goals: What is predicted by whom after which stage.
        channels: One channel, or one for each receiver by name.
        encoder: One of `umbel.nn.ENCODERS`; None takes "pixel" where a picture is wanted, else the usual one.
        seed: Of the random start.
        combine: What a decoder reads of the stages so far.
        coherence: How long a fading channel keeps its gain.
        decoder_width: Of the decoders; None takes 64 or 128.
        decoder_blocks: Residual blocks of a decoder that keeps places.
        **options: For the encoder (its `width` and `blocks`, say).

    Raises:
        UmbelError: No goal, a goal after a stage that is not sent, a receiver without channel, a picture too small
            to be shrunk so far, ...
    """
    _check(input_shape, stages, goals, combine)
    pictures = any(goal.task.output in ("picture", "map") for goal in goals)
    tasks = [goal.task for goal in goals if goal.task.output != "picture"]
    name = encoder or ("pixel" if any(goal.task.output == "picture" for goal in goals) else None)
    with seeded_start(seed, ""):
        trunk = build_encoder(name or default_encoder(input_shape, tasks), input_shape, **options)
    names = list(dict.fromkeys(goal.receiver for goal in goals))
    by_name = _channels(channels, names)
    complex_uses = all(channel.complex_uses for channel in by_name.values())
    codes = []
    for index, stage in enumerate(stages[:1] if combine == "maximum-ratio" else stages):
        with seeded_start(seed, f"code {index + 1}"):
            codes.append(make_code(trunk.feature_shape, stage.uses, pictures, complex_uses))
    shapes = [code.latent_shape for code in codes]
    parts = _Parts(
        tuple(input_shape), trunk.feature_shape, shapes, combine, decoder_width, decoder_blocks, pictures, seed
    )
    receivers = [parts.receiver(n, by_name[n], [goal for goal in goals if goal.receiver == n]) for n in names]
    return StagedModel(trunk, codes, stages, receivers, coherence)


class _Parts:
    """Makes receivers, their decoders and heads."""

    def __init__(self, input_shape, feature_shape, shapes, combine, width, blocks, pictures, seed) -> None:
        self.input_shape, self.shapes, self.combine, self.seed = input_shape, shapes, combine, seed
        self.width, self.blocks, self.pictures = width, blocks, pictures
        self.cells = tuple(feature_shape[1:]) if len(feature_shape) == 3 else (4, 4)

    def receiver(self, name: str, channel: Channel, goals: Sequence[Goal]) -> Receiver:
        repeats = self.combine == "maximum-ratio"
        decoders: dict[int, nn.Module] = {}
        shared: dict[str, nn.Module] = {}
        heads: dict[str, nn.Module] = {}
        for stage in sorted({goal.stage for goal in goals}):
            key = 1 if repeats else stage
            with seeded_start(self.seed, f"decoder {name} {key}"):
                known = next(iter(decoders.values())) if repeats and decoders else None
                decoders[stage] = known or self._decoder(stage)
            for goal in (goal for goal in goals if goal.stage == stage):
                with seeded_start(self.seed, f"head {name} {goal.task.name} {key}"):
                    owner = f"{goal.task.name} {key}"
                    shared.setdefault(owner, self._head(goal, decoders[stage].feature_shape))
                heads[goal.name] = shared[owner]
        return Receiver(name, channel, decoders, heads, goals, self.combine)

    def _decoder(self, stage: int) -> VectorDecoder | MapDecoder:
        heard = {"concatenate": self.shapes[:stage], "latest": self.shapes[stage - 1 : stage]}
        shapes = heard.get(self.combine, self.shapes)
        if self.pictures:
            return MapDecoder(shapes, self.cells, self.width or 64, self.blocks)
        return VectorDecoder(shapes, self.width or 128)

    def _head(self, goal: Goal, feature_shape: Sequence[int]) -> nn.Module:
        task: Task = goal.task
        if task.output == "picture":
            height, width = (side // goal.shrink for side in self.input_shape[1:])
            return PictureHead(feature_shape, task.outputs, (height, width))
        if task.output == "vector" and len(feature_shape) == 3:
            return PooledHead(feature_shape, task.outputs)
        return build_head(task, feature_shape, self.input_shape, norm="group")


def _channels(channels: Channel | Mapping[str, Channel], receivers: Sequence[str]) -> dict[str, Channel]:
    if isinstance(channels, Channel):
        return dict.fromkeys(receivers, channels)
    for name in channels:
        if name not in receivers:
            raise unknown("receiver of a channel", name, receivers)
    for name in receivers:
        if name not in channels:
            raise UmbelError(f"receiver {name!r} has no channel; there are channels for {', '.join(channels)}")
    return dict(channels)


def _check(input_shape: Sequence[int], stages: Sequence[Stage], goals: Sequence[Goal], combine: Combine) -> None:
    if not stages or not goals:
        raise UmbelError("a transmission needs at least one stage and one goal")
    names = [goal.name for goal in goals]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise UmbelError(f"two goals are called {min(repeated)!r}; a receiver predicts a task once after each stage")
    if combine == "maximum-ratio" and len(set(stages)) > 1:
        raise UmbelError("maximum-ratio combining repeats one latent: give every stage the same uses and power")
    for goal in goals:
        if goal.stage > len(stages):
            raise UmbelError(f"goal {goal.name!r} is after stage {goal.stage}, but {len(stages)} are sent")
        if goal.task.output != "vector" and len(input_shape) != 3:
            raise UmbelError(f"goal {goal.name!r}: the inputs have shape {tuple(input_shape)} and are no pictures")
        if goal.shrink > 1 and any(side % goal.shrink for side in input_shape[1:]):
            size = "x".join(map(str, input_shape[1:]))
            raise UmbelError(
                f"goal {goal.name!r}: a {size} picture cannot be shrunk {goal.shrink} times; use fewer layers"
            )
