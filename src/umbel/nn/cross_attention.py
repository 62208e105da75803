"""Cross-task squeeze-excitation: shared features become different features for each task."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from umbel.arguments import names, real_number, whole_number
from umbel.core import Inputs, OperatingPoint, PointModule, UmbelError, at_point, unknown

_LEAST = 16
"""Numbers in a group: normalised alone, one number would always be 0, and two would be -1 and 1."""


class CrossTaskGates(nn.Module):
    """How much of each shared channel each task gets; the tasks compete for it.

        s = mean of the features over positions                             [B, C]
        p_k = ReLU(V_k s + v_k)                                             [B, H]
        q_k = p_k - b_k mean over j ≠ k of p_j,   b_k = softplus(β_k) ≥ 0    [B, H]
        a_k = sigmoid(W_k q_k + w_k)                                        [B, C]
        gate_k = K softmax over k of (a_k / temperature)                    [B, C]

    V and W squeeze and excite as in one task; b says how much of what the others see is taken away. At every channel
    the gates of all K tasks have the sum K, so what one task gains the others lose.

    All tasks are computed at once, in two products.

    Source: MetaMorphosis (arXiv 2305.07815) for the idea; Hu, Shen, Sun, "Squeeze-and-excitation networks", CVPR 2018.
    Differs from the paper: only its abstract was at hand, so all equations here are our own design.

    Args:
        channels: C, of the shared features.
        tasks: Names of the K tasks.
        reduction: H is C / reduction, at least 4.
        temperature: Above 0; the largest ratio of two gates at a channel is exp(1 / temperature).

    Attributes:
        tasks: As given.

    Raises:
        UmbelError: No task or one twice, or a number out of its range.
    """

    def __init__(self, channels: int, tasks: Sequence[str], reduction: int = 8, temperature: float = 0.2) -> None:
        super().__init__()
        self.tasks = names(tasks, "tasks of the gates")
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise UmbelError(f"gates for the tasks {', '.join(self.tasks) or '(none)'}: give at least one, each once")
        channels = whole_number(channels, "channels of the gates", least=1)
        hidden = max(4, channels // whole_number(reduction, "reduction of the gates", least=1))
        self.temperature = real_number(temperature, "temperature of the gates")
        if self.temperature <= 0:
            raise UmbelError(f"temperature of the gates is {self.temperature:g}; give a number above 0")
        self.squeeze = nn.Linear(channels, len(self.tasks) * hidden)
        self.excite = nn.Parameter(_as_in_a_linear(hidden, len(self.tasks), hidden, channels))
        self.excite_bias = nn.Parameter(_as_in_a_linear(hidden, len(self.tasks) * channels))
        self.cross = nn.Parameter(torch.zeros(len(self.tasks)))

    def forward(self, features: Float[Tensor, "B C *space"]) -> Float[Tensor, "B K C"]:
        """The gates of all tasks, in their order; from features [B, C] or [B, C, H, W]."""
        pooled = _mean_over_positions(features) if features.ndim > 2 else features
        seen = torch.relu(self.squeeze(pooled)).unflatten(1, (len(self.tasks), -1))
        taken = nn.functional.softplus(self.cross)[:, None] / max(1, len(self.tasks) - 1)
        left = seen - taken * (seen.sum(1, keepdim=True) - seen)
        bias = self.excite_bias.view(len(self.tasks), 1, -1).to(left.dtype)
        excited = torch.baddbmm(bias, left.transpose(0, 1), self.excite.to(left.dtype))
        return len(self.tasks) * torch.softmax(excited.float().sigmoid() / self.temperature, 0).transpose(0, 1)


class TaskProjection(nn.Module):
    """Shared features to a task's own: a linear map of the channels at each position, then group normalisation.

    Norms of groups, not of batches: what one sample's features are must not depend on the others', and gradients of
    single samples must exist. Groups have 16 numbers or more, or all there are; fewer than 4 in all stay as they are.
    Positions are kept: averaging them would hide what features give away, and their use.

    Args:
        feature_shape: (C,) or (C, h, w), of the shared features.
        channels: Of the task's features.

    Attributes:
        feature_shape: Of the task's features, for `build_head`.

    Raises:
        UmbelError: Features of another shape, or no channel.
    """

    def __init__(self, feature_shape: Sequence[int], channels: int) -> None:
        super().__init__()
        shape = _checked_shape(feature_shape)
        channels = whole_number(channels, "channels of a task's features", least=1)
        flat = len(shape) == 1
        self.project = nn.Linear(shape[0], channels) if flat else nn.Conv2d(shape[0], channels, 1)
        self.feature_shape = (channels, *shape[1:])
        self.norm = _group_norm(self.feature_shape)

    def forward(self, features: Float[Tensor, "B C *space"]) -> Float[Tensor, "B channels *space"]:
        """The task's features, at the same positions."""
        return self.norm(self.project(features))


class FlatProjection(nn.Module):
    """Shared features to a vector for one task: a linear map of all channels at all positions together.

    Positions are not averaged before: each has weights of its own.

    Args:
        feature_shape: (C,) or (C, h, w), of the shared features.
        size: Numbers in the vector.

    Attributes:
        feature_shape: (size,), for `build_head`.

    Raises:
        UmbelError: Features of another shape, or an empty vector.
    """

    def __init__(self, feature_shape: Sequence[int], size: int) -> None:
        super().__init__()
        shape = _checked_shape(feature_shape)
        self.project = nn.Linear(math.prod(shape), whole_number(size, "size of a task's vector", least=1))
        self.feature_shape = (size,)

    def forward(self, features: Float[Tensor, "B C *space"]) -> Float[Tensor, "B size"]:
        """The task's vector."""
        return self.project(features.flatten(1))


class GatedFeatures(NamedTuple):
    """What an encoder with gates gives: shared features, and how much of each channel each task gets.

    Attributes:
        features: [B, C] or [B, C, h, w].
        gates: [B, K, C], in the order of `CrossTaskGates.tasks`.
    """

    features: Tensor
    gates: Tensor


class GatedEncoder(PointModule):
    """An encoder with gates behind it, so that they are computed once for all tasks: inputs -> `GatedFeatures`.

    Since each task's gate depends on all tasks, gates are part of what tasks share. Links of the tasks are
    `CrossTaskExcitation`.

    Args:
        encoder: Inputs -> features, with a `feature_shape`.
        gates: For its channels.

    Attributes:
        feature_shape: Of the features, as the encoder's.
    """

    def __init__(self, encoder: nn.Module, gates: CrossTaskGates) -> None:
        super().__init__()
        self.encoder, self.gates = encoder, gates
        self.feature_shape = tuple(encoder.feature_shape)

    def forward(self, x: Inputs, point: OperatingPoint) -> GatedFeatures:
        """Features and gates of all tasks."""
        features = at_point(self.encoder, x, point)
        return GatedFeatures(features, self.gates(features))


class CrossTaskExcitation(nn.Module):
    """Cross-SEC: the shared features times a task's gates, projected; a link behind a `GatedEncoder`.

        features_k = projection_k(gate_k * features)

    Source: See `CrossTaskGates`.
    Differs from the paper: see `CrossTaskGates`; group normalisation behind the projection is our choice as well.

    Args:
        gates: Those of the encoder, for the order of the tasks; they are not kept.
        task: Whose link it is.
        projection: From the shared features to the task's, a `TaskProjection` or a `FlatProjection`.

    Attributes:
        feature_shape: Of the task's features, for `build_head`.

    Raises:
        UmbelError: The gates do not know the task.
    """

    def __init__(self, gates: CrossTaskGates, task: str, projection: nn.Module) -> None:
        super().__init__()
        if task not in gates.tasks:
            raise unknown("task of a link", task, gates.tasks)
        self.task, self.place, self.projection = task, gates.tasks.index(task), projection
        self.feature_shape = tuple(projection.feature_shape)

    def forward(self, shared: GatedFeatures) -> Float[Tensor, "B *features"]:
        """The task's own features."""
        features, gate = shared.features, shared.gates[:, self.place]
        return self.projection(features * gate.reshape(*gate.shape, *[1] * (features.ndim - 2)).to(features.dtype))


def _mean_over_positions(features: Tensor) -> Tensor:
    """As a product, which is faster than torch's mean over few positions."""
    positions = features.flatten(2)
    return positions @ positions.new_full((positions.shape[2],), 1 / positions.shape[2])


def _group_norm(feature_shape: tuple[int, ...]) -> nn.Module:
    channels, numbers = feature_shape[0], math.prod(feature_shape)
    if numbers < 4:
        return nn.Identity()
    groups = next(g for g in (8, 4, 2, 1) if channels % g == 0 and (numbers >= g * _LEAST or g == 1))
    return nn.GroupNorm(groups, channels)


def _checked_shape(feature_shape: Sequence[int]) -> tuple[int, ...]:
    shape = tuple(feature_shape)
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise UmbelError(f"features of a task are made from vectors (C,) or maps (C, h, w); the shape is {shape}")
    return shape


def _as_in_a_linear(inputs: int, *shape: int) -> Tensor:
    """The start that `nn.Linear` gives to weights and biases of a layer of so many inputs."""
    return torch.empty(*shape).uniform_(-1, 1) / math.sqrt(inputs)
