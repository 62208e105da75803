"""Cross-task squeeze-excitation: shared features become different features for each task."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from umbel.arguments import names, real_number, whole_number
from umbel.core import UmbelError, unknown
from umbel.nn.build import seeded_start

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
        self.squeeze = nn.ModuleList(nn.Linear(channels, hidden) for _ in self.tasks)
        self.excite = nn.ModuleList(nn.Linear(hidden, channels) for _ in self.tasks)
        self.cross = nn.Parameter(torch.zeros(len(self.tasks)))

    def forward(self, features: Float[Tensor, "B C *space"]) -> Float[Tensor, "B K C"]:
        """The gates of all tasks, in their order; from features [B, C] or [B, C, H, W]."""
        pooled = features.flatten(2).mean(2) if features.ndim > 2 else features
        seen = torch.stack([torch.relu(layer(pooled)) for layer in self.squeeze], 1)
        others = (seen.sum(1, keepdim=True) - seen) / max(1, len(self.tasks) - 1)
        left = seen - nn.functional.softplus(self.cross)[:, None] * others
        excited = torch.stack([layer(left[:, k]) for k, layer in enumerate(self.excite)], 1).float().sigmoid()
        return len(self.tasks) * torch.softmax(excited / self.temperature, 1)


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


class CrossTaskExcitation(nn.Module):
    """Cross-SEC: the shared features times a task's gates, projected; a link of a `MultiTaskModel`.

        features_k = projection_k(gate_k * features)

    The links of all tasks share one `CrossTaskGates`, since each gate depends on all tasks. Each link computes it
    anew, from [B, C] numbers, which is little beside the projection; nothing is kept between calls.

    Source: See `CrossTaskGates`.
    Differs from the paper: see `CrossTaskGates`; group normalisation behind the projection is our choice as well.

    Args:
        gates: Those of all tasks.
        task: Whose link it is.
        projection: From the shared features to the task's.

    Attributes:
        feature_shape: Of the task's features, for `build_head`.

    Raises:
        UmbelError: The gates do not know the task.
    """

    def __init__(self, gates: CrossTaskGates, task: str, projection: TaskProjection) -> None:
        super().__init__()
        if task not in gates.tasks:
            raise unknown("task of a link", task, gates.tasks)
        self.gates, self.task, self.projection = gates, task, projection
        self.feature_shape = projection.feature_shape

    def forward(self, features: Float[Tensor, "B C *space"]) -> Float[Tensor, "B channels *space"]:
        """The task's own features."""
        gate = self.gates(features)[:, self.gates.tasks.index(self.task)]
        return self.projection(features * gate.reshape(*gate.shape, *[1] * (features.ndim - 2)).to(features.dtype))


def cross_task_links(
    feature_shape: Sequence[int],
    tasks: Sequence[str],
    channels: int,
    seed: int,
    reduction: int = 8,
    temperature: float = 0.2,
) -> dict[str, CrossTaskExcitation]:
    """A Cross-SEC link for every task, around one set of gates.

    Heads for them are built on the links' `feature_shape`.

    Args:
        feature_shape: (C,) or (C, h, w), of the shared features.
        tasks: Their names.
        channels: Of each task's features.
        seed: Of the random start; that of a task's projection depends on its name besides.
        reduction: See `CrossTaskGates`.
        temperature: See `CrossTaskGates`.

    Raises:
        UmbelError: See `CrossTaskGates` and `TaskProjection`.
    """
    shape = _checked_shape(feature_shape)
    with seeded_start(seed, "gates across tasks"):
        gates = CrossTaskGates(shape[0], tasks, reduction, temperature)
    links = {}
    for name in gates.tasks:
        with seeded_start(seed, f"projection of {name}"):
            links[name] = CrossTaskExcitation(gates, name, TaskProjection(shape, channels))
    return links


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
