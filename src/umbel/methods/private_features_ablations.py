"""What private features are compared with, where nothing attacks in training; each releases numbers of the same count.

Those with adversaries in training are in `private_features_adversaries` and `private_features_min_max`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from umbel.core import (
    Axis,
    ByTask,
    Inputs,
    Learner,
    MultiTaskModel,
    OperatingPoint,
    PointModule,
    PointSequential,
    Task,
    UmbelError,
    at_point,
)
from umbel.data import Source
from umbel.methods.private_features import (
    Kind,
    PrivateFeaturesLearner,
    private_model,
    projection_of,
    receivers_heads,
    release_of,
)
from umbel.nn import FlatProjection, ReleasingLink, TaskProjection, build_model, seeded_start


def plain_links(
    input_shape: Sequence[int], tasks: Sequence[Task], encoder: str | None = None, **settings: Any
) -> Learner:
    """A link for each task, and nothing that keeps tasks' features apart: no gates, no loss of dependence.

    Args:
        input_shape: Of one sample.
        tasks: At least one.
        encoder: One of `umbel.nn.ENCODERS`.
        **settings: Of `private_model`, but `gated`.

    Raises:
        UmbelError: What `private_model` refuses.
    """
    return Learner(private_model(input_shape, tasks, encoder, gated=False, **settings), tasks)


def noise_only(
    input_shape: Sequence[int],
    tasks: Sequence[Task],
    encoder: str | None = None,
    *,
    sigma: Axis,
    clip_norm: float | None = 1.0,
    **settings: Any,
) -> Learner:
    """Plain links, and clipping and noise on what they release.

    Args:
        input_shape: Of one sample.
        tasks: At least one.
        encoder: One of `umbel.nn.ENCODERS`.
        sigma: How noise is drawn and swept.
        clip_norm: To which norm features are clipped.
        **settings: Of `private_model`, but `gated`.

    Raises:
        UmbelError: What `private_model` refuses.
    """
    return plain_links(input_shape, tasks, encoder, sigma=sigma, clip_norm=clip_norm, **settings)


def without_gates(
    input_shape: Sequence[int],
    tasks: Sequence[Task],
    encoder: str | None = None,
    *,
    decorrelation: float = 100.0,
    kind: Kind = "hsic",
    **settings: Any,
) -> PrivateFeaturesLearner:
    """Private features less Cross-SEC: plain links, and the loss of dependence.

    Args:
        input_shape: Of one sample.
        tasks: At least two.
        encoder: One of `umbel.nn.ENCODERS`.
        decorrelation: As in `private_features`.
        kind: As in `private_features`.
        **settings: Of `private_model`, but `gated`.

    Raises:
        UmbelError: What `private_features` refuses.
    """
    model = private_model(input_shape, tasks, encoder, gated=False, **settings)
    return PrivateFeaturesLearner(model, tasks, decorrelation, kind)


def without_decorrelation(
    input_shape: Sequence[int],
    tasks: Sequence[Task],
    encoder: str | None = None,
    *,
    overlap: float = 0.0,
    **settings: Any,
) -> PrivateFeaturesLearner:
    """Private features less the loss of dependence: Cross-SEC alone.

    Args:
        input_shape: Of one sample.
        tasks: At least two.
        encoder: One of `umbel.nn.ENCODERS`.
        overlap: As in `private_features`.
        **settings: Of `private_model`, but `gated`.

    Raises:
        UmbelError: What `private_features` refuses.
    """
    return PrivateFeaturesLearner(private_model(input_shape, tasks, encoder, **settings), tasks, 0.0, overlap=overlap)


def universal(
    input_shape: Sequence[int],
    tasks: Sequence[Task],
    encoder: str | None = None,
    *,
    released: int = 16,
    seed: int = 0,
    clip_norm: float | None = None,
    sigma: Axis | None = None,
    hidden: int = 64,
    **options: Any,
) -> Learner:
    """Universal features: what is released is the same for all tasks, and as large as what one task has elsewhere.

        inputs ──► encoder ──► projection ──► (clip, noise) ──┬──► head a ──► prediction a
                                                              └──► head b ──► prediction b

    It is released once, so its noise is drawn once. Where one of the tasks predicts a map, it is a map.

    Args:
        input_shape: Of one sample.
        tasks: At least one.
        encoder: One of `umbel.nn.ENCODERS`.
        released: Numbers of the vector, or channels of the map.
        seed: Of the random start.
        clip_norm: As in `private_features`.
        sigma: As in `private_features`.
        hidden: Width of the heads' hidden layers.
        **options: For the encoder.

    Raises:
        UmbelError: An argument out of its range.
    """
    trunk = build_model(input_shape, tasks, encoder, seed=seed, **options).encoder
    maps = any(task.output != "vector" for task in tasks)
    with seeded_start(seed, "projection for all tasks"):
        projection = (TaskProjection if maps else FlatProjection)(tuple(trunk.feature_shape), released)
    link = ReleasingLink(projection, release_of(clip_norm, sigma))
    shapes = {task.name: link.feature_shape for task in tasks}
    heads = receivers_heads(tasks, shapes, input_shape, seed, hidden, options)
    return Learner(MultiTaskModel(PointSequential(trunk, link), heads), tasks)


class OwnEncoders(PointModule):
    """An encoder for each task: inputs -> features by task name.

    Args:
        encoders: Task name -> encoder, all with the same `feature_shape`.
    """

    def __init__(self, encoders: dict[str, nn.Module]) -> None:
        super().__init__()
        self.names = tuple(encoders)
        self.encoders = ByTask(encoders)
        self.feature_shape = tuple(next(iter(encoders.values())).feature_shape)

    def forward(self, x: Inputs, point: OperatingPoint) -> dict[str, Tensor]:
        """The features of every task."""
        return {name: at_point(self.encoders[name], x, point) for name in self.names}


class _Own(nn.Module):
    """A task's projection, of the features of its own encoder."""

    def __init__(self, task: str, projection: nn.Module) -> None:
        super().__init__()
        self.task, self.projection, self.feature_shape = task, projection, projection.feature_shape

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        return self.projection(features[self.task])


def single_encoders(
    input_shape: Sequence[int],
    tasks: Sequence[Task],
    encoder: str | None = None,
    *,
    released: int = 16,
    seed: int = 0,
    clip_norm: float | None = None,
    sigma: Axis | None = None,
    hidden: int = 64,
    keep_maps: bool | None = None,
    **options: Any,
) -> Learner:
    """An encoder for each task, which learns from nothing but its task's loss; it costs as many encoders.

    All start alike, and as the shared one of `private_features` does.

    Args:
        input_shape: Of one sample.
        tasks: At least one.
        encoder: One of `umbel.nn.ENCODERS`.
        released: As in `private_features`, and so are the others.
        seed: See there.
        clip_norm: See there.
        sigma: See there.
        hidden: See there.
        keep_maps: See `build_model`; None looks at all tasks, so that all encoders are alike.
        **options: For the encoders.

    Raises:
        UmbelError: An argument out of its range.
    """
    if keep_maps is None:
        keep_maps = any(task.output == "map" for task in tasks)
    given = {"seed": seed, "keep_maps": keep_maps, **options}
    trunks = {task.name: build_model(input_shape, [task], encoder, **given).encoder for task in tasks}
    joint = OwnEncoders(trunks)
    links = {}
    for task in tasks:
        own = _Own(task.name, projection_of(task, joint.feature_shape, released, seed))
        links[task.name] = ReleasingLink(own, release_of(clip_norm, sigma))
    shapes = {name: link.feature_shape for name, link in links.items()}
    heads = receivers_heads(tasks, shapes, input_shape, seed, hidden, options)
    return Learner(MultiTaskModel(joint, heads, links), tasks)


class PrincipalComponents(Learner):
    """The first principal components of a trained network's features, and heads that learn to read them.

    Encoder and components stay as they are; only heads are trained. Components are directions of largest variance over
    training samples, scaled to variance 1: what the network says most about, whichever task it serves.

    Args:
        trained: A network of all tasks whose encoder gives one tensor of features, as `build_model` makes it.
        tasks: Its tasks; all predict vectors.
        source: Training samples.
        input_shape: Of one of them.
        released: How many components.
        seed: Of the heads' random start.
        hidden: Width of the heads' hidden layers.
        most: Samples that components are measured on, at most.

    Raises:
        UmbelError: More components than features or samples, or a task that predicts a map.
    """

    def __init__(
        self,
        trained: MultiTaskModel,
        tasks: Sequence[Task],
        source: Source,
        input_shape: Sequence[int],
        released: int = 16,
        seed: int = 0,
        hidden: int = 64,
        most: int = 4096,
    ) -> None:
        if any(task.output != "vector" for task in tasks):
            raise UmbelError("principal components are vectors, and a task that predicts a map cannot read them")
        features = _features_of(trained, source, most)
        if released > min(features.shape[1], len(features) - 1):
            raise UmbelError(
                f"{released} components of {features.shape[1]} features of {len(features)} samples; take fewer"
            )
        projection = FlatProjection(tuple(trained.encoder.feature_shape), released)
        with seeded_start(seed, "principal components"), torch.no_grad():
            centre = features.mean(0)
            directions = torch.pca_lowrank(
                features - centre, min(released + 16, *features.shape), center=False, niter=4
            )[2]
            directions = directions[:, :released]
            spread = ((features - centre) @ directions).std(0).clamp(min=1e-6)
            projection.project.weight.copy_((directions / spread).T)
            projection.project.bias.copy_(-projection.project.weight @ centre)
        shapes = {task.name: projection.feature_shape for task in tasks}
        heads = receivers_heads(tasks, shapes, input_shape, seed, hidden, {})
        frozen = nn.Sequential(trained.encoder, projection).requires_grad_(False).eval()
        super().__init__(MultiTaskModel(frozen, heads), tasks)


@torch.no_grad()
def _features_of(model: MultiTaskModel, source: Source, most: int) -> Tensor:
    """Flat features [n, d] of up to `most` samples, in evaluation mode."""
    model.encoder.eval()
    device = next(model.encoder.parameters()).device
    parts, count = [], 0
    for batch in source.batches(256):
        parts.append(model.encoder(batch.to(device).inputs).flatten(1).float().cpu())
        count += len(batch)
        if count >= most:
            break
    return torch.cat(parts)[:most]
