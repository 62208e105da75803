"""The parts of a network whose main task reads what its proxies see; see `physical_proxies`."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from umbel.core import ByTask, Inputs, OperatingPoint, PointModule, UmbelError, at_point
from umbel.nn import Fused, TaskFusion


class ProxyReading(NamedTuple):
    """What a `ProxyEncoder` gives.

    Attributes:
        features: The encoder's, [B, C, h, w] or [B, C].
        branches: By task, the features of the main task's branch and of each proxy's.
        fused: All branches, weighed and joined: what the main task's head reads.
    """

    features: Tensor
    branches: dict[str, Tensor]
    fused: Fused


class ProxyEncoder(PointModule):
    """An encoder, and behind it a branch for the main task and for each proxy, computed once for all heads.

                            ┌► branch m ─► h_m ─► attention m ─┐
        inputs ─► encoder ──┼► branch d ─► h_d ─► attention d ─┼► joined
                            └► branch r ─► h_r ─► attention r ─┘

    Since the main task reads every branch, branches are part of what tasks share. Links of the tasks are `BranchLink`.

    Args:
        encoder: Inputs -> features, with a `feature_shape`.
        branches: Task -> module: features -> the task's features.
        fusion: For those same tasks.

    Attributes:
        feature_shape: Of the features, as the encoder's.

    Raises:
        UmbelError: Branches and attention are of different tasks.
    """

    def __init__(self, encoder: nn.Module, branches: Mapping[str, nn.Module], fusion: TaskFusion) -> None:
        super().__init__()
        if tuple(branches) != fusion.tasks:
            names = [", ".join(tasks) or "(none)" for tasks in (branches, fusion.tasks)]
            raise UmbelError(f"branches of {names[0]} and attention for {names[1]}; give both the same tasks")
        self.encoder, self.branches, self.fusion = encoder, ByTask(branches), fusion
        self.feature_shape = tuple(encoder.feature_shape)

    def forward(self, x: Inputs, point: OperatingPoint) -> ProxyReading:
        """Features, branches, and the joined vector."""
        features = at_point(self.encoder, x, point)
        branches = {name: self.branches[name](features) for name in self.fusion.tasks}
        return ProxyReading(features, branches, self.fusion(branches))


class BranchLink(nn.Module):
    """What a task's head reads behind a `ProxyEncoder`: the joined vector, its own branch, or the plain features.

    Args:
        task: Whose link it is.
        main: The main task, which reads the joined vector.
    """

    def __init__(self, task: str, main: str) -> None:
        super().__init__()
        self.task, self.joined = task, task == main

    def forward(self, reading: ProxyReading) -> Tensor:
        """The joined vector [B, sum of channels] for the main task, else features as they are in the reading."""
        return reading.fused.vector if self.joined else reading.branches.get(self.task, reading.features)
