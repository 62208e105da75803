"""Semantic multi-resolution communications: pictures and labels sent in layers, each of which refines the last.

Source: Mortaheb, Khojastepour, Chakradhar, Ulukus, "Semantic multi-resolution communications", 2023, arXiv 2308.11604.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from umbel.channels import Channel
from umbel.core import Task, UmbelError, unknown
from umbel.tasks import picture
from umbel.transmission import Coherence, Combine, Goal, SnrRange, Stage, StagedLearner, build_transmission

Mode = Literal["quality", "resolution"]
"""What the layers refine: the full picture in each ("quality"), or pictures of doubling size ("resolution")."""
PICTURE = "picture"
"""Name of the picture task in the goals."""


def semantic_first(layers: int, first: float = 0.3, last: float = 0.7) -> tuple[float, ...]:
    """Weights of the picture that rise linearly from the first layer to the last: labels first, pixels later.

    Args:
        layers: How many, at least 1.
        first: Of layer 1, 0 to 1.
        last: Of the last layer (and of the only one).

    Raises:
        UmbelError: No layer.
    """
    if layers < 1:
        raise UmbelError(f"{layers} layers; at least 1 is needed")
    return tuple(last + (first - last) * left / max(1, layers - 1) for left in reversed(range(layers)))


def multires_goals(
    semantics: Sequence[Task],
    channels: int,
    picture_weights: Sequence[float],
    mode: Mode = "quality",
    picture_scale: float = 20.0,
    layer_weights: Sequence[float] | None = None,
) -> list[Goal]:
    """What a receiver wants after each layer: a picture, and labels.

        J = sum over l of  w_l [ lam_l · scale · MSE_l  +  (1 - lam_l) · mean over tasks of CE_l ]

    A layer with lam_l = 0 has labels only, one with lam_l = 1 a picture only. In mode "resolution" the picture of
    layer l of L is the original averaged over squares of 2^(L-l) pixels a side.

    Args:
        semantics: Tasks of the labels; any kind. None at all leaves pictures alone.
        channels: Of the pictures.
        picture_weights: lam_l of each layer, 0 to 1; see `semantic_first`.
        mode: See `Mode`.
        picture_scale: Of the squared error, so that its gradients are comparable with those of a cross-entropy.
        layer_weights: w_l; None is 1/L for each.

    Raises:
        UmbelError: Weights out of range, of different numbers, or a layer without any goal.
    """
    layers = len(picture_weights)
    weights = [1 / max(1, layers)] * layers if layer_weights is None else list(layer_weights)
    if mode not in get_args(Mode):
        raise unknown("mode of the layers", mode, get_args(Mode))
    if not layers or len(weights) != layers:
        raise UmbelError(f"{layers} picture weight(s) and {len(weights)} layer weight(s); give one of each for a layer")
    shown = picture(PICTURE, channels, picture_scale)
    goals = []
    for layer, (share, weight) in enumerate(zip(picture_weights, weights, strict=True), start=1):
        if not 0 <= share <= 1:
            raise UmbelError(f"the picture's weight in layer {layer} is {share}; give a number from 0 to 1")
        if (share == 0 and not semantics) or not 0 < weight < math.inf:
            raise UmbelError(f"layer {layer} has nothing to learn: picture weight {share:g}, layer weight {weight:g}")
        if share > 0:
            shrink = 2 ** (layers - layer) if mode == "resolution" else 1
            goals.append(Goal(shown, layer, weight=weight * share, shrink=shrink))
        if share < 1:
            part = weight * (1 - share) / max(1, len(semantics))
            goals += [Goal(task, layer, weight=part) for task in semantics]
    return goals


def attribute_first(goals: Sequence[Goal], first: Sequence[str]) -> list[Goal]:
    """The same goals, but layer 1 holds nothing but the named tasks: attributes that must survive first.

    The weight of what leaves layer 1 goes to what stays.

    Args:
        goals: As `multires_goals` gives them.
        first: Names of tasks.

    Raises:
        UmbelError: A name that layer 1 does not have.
    """
    of_first = [goal for goal in goals if goal.stage == 1]
    for name in first:
        if name not in (known := [goal.task.name for goal in of_first if goal.task.name != PICTURE]):
            raise unknown("task that is to survive first", name, known)
    kept = [goal for goal in of_first if goal.task.name in first]
    total = sum(goal.weight for goal in of_first)
    return [replace(goal, weight=total / len(kept)) for goal in kept] + [goal for goal in goals if goal.stage > 1]


def multires_jscc(
    input_shape: Sequence[int],
    goals: Sequence[Goal],
    uses: Sequence[int],
    channel: Channel,
    snr_db: SnrRange = (0.0, 10.0),
    encoder: str | None = None,
    *,
    seed: int = 0,
    powers: Sequence[float] | None = None,
    combine: Combine = "concatenate",
    coherence: Coherence = "stage",
    **options: Any,
) -> StagedLearner:
    """A transmitter of layers and one receiver, whose decoder after layer l reads the layers 1 to l.

        x ─► shared encoder ─┬► code 1 ─► channel ─► y1          ─► decoder 1 ─► picture 1, labels 1
                             ├► code 2 ─► channel ─► y1, y2      ─► decoder 2 ─► picture 2, labels 2
                             └► code L ─► channel ─► y1, ..., yL ─► decoder L ─► picture L, labels L

    All layers are trained at once, each goal as a task of its own ("picture@2", "digit@1"). A receiver that stops
    after layer l is evaluated at an operating point with ``stages=l``.

    Differs from the paper (only its abstract was at hand): networks, weights and the range of SNRs are ours.

    Args:
        input_shape: (C, H, W).
        goals: See `multires_goals` and `attribute_first`.
        uses: Channel uses of each layer.
        channel: Between transmitter and receiver.
        snr_db: Lowest and highest SNR in training.
        encoder: One of `umbel.nn.ENCODERS`; None takes one that keeps detail.
        seed: Of the random start.
        powers: Mean power per use of each layer; None is 1.
        combine: "latest" makes decoders that forget the layers before.
        coherence: "stage": every layer has a fade of its own; "picture": all layers of a picture share it.
        **options: For the encoder, or `build_transmission`.

    Raises:
        UmbelError: A layer without channel use, goals after layers that are not sent, pictures that are too small.
    """
    powers = [1.0] * len(uses) if powers is None else list(powers)
    if len(powers) != len(uses):
        raise UmbelError(f"{len(uses)} layers but {len(powers)} powers; give one for each layer")
    stages = [Stage(use, power) for use, power in zip(uses, powers, strict=True)]
    made = {"seed": seed, "combine": combine, "coherence": coherence}
    model = build_transmission(input_shape, stages, goals, channel, encoder, **made, **options)
    return StagedLearner(model, snr_db)


@dataclass(frozen=True)
class LayeredUser:
    """A receiver of a layered broadcast.

    Attributes:
        snr_db: Of its channel.
        layers: How many layers it listens to, from the first.
        uses: Channel uses that takes.
    """

    snr_db: float
    layers: int
    uses: int


def layered_users(
    quality: Mapping[float, Sequence[float]], uses: Sequence[int], least_gain: float = 0.5
) -> list[LayeredUser]:
    """Where users on channels of different SNRs stop: when no further layer adds enough.

    Args:
        quality: SNR in dB -> what layer 1, 2, ... gave there on validation, greater is better (PSNR, say).
        uses: Channel uses of each layer.
        least_gain: A user listens on while a later layer is better by at least so much.

    Raises:
        UmbelError: Numbers of layers differ.
    """
    users = []
    for snr_db in sorted(quality):
        values = quality[snr_db]
        if len(values) != len(uses):
            raise UmbelError(f"{len(values)} values at {snr_db:g} dB for {len(uses)} layers")
        stop = 0
        while better := [later for later in range(stop + 1, len(uses)) if values[later] >= values[stop] + least_gain]:
            stop = better[0]
        users.append(LayeredUser(snr_db, stop + 1, sum(uses[: stop + 1])))
    return users
