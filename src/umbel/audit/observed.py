"""What an attacker holds: features as they were released, beside what they were made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from umbel.core import Learner, OperatingPoint, UmbelError
from umbel.data import Source
from umbel.engine import FabricRuntime
from umbel.engine.evaluation import evaluating


@dataclass(frozen=True, eq=False)
class Observed:
    """The features that a frozen network releases of one split, and the truth about its samples.

    Attributes:
        features: Receiver -> [n, ...] float32, in main memory. Receivers that get the same features share one tensor.
        serves: Receiver -> the tasks that its features are meant for.
        targets: Task -> target [n, ...], missing labels included.
        inputs: What went into the network, [n, ...].
    """

    features: Mapping[str, Tensor]
    serves: Mapping[str, tuple[str, ...]]
    targets: Mapping[str, Tensor]
    inputs: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def together(self, receivers: Sequence[str]) -> Tensor:
        """What receivers that put their features together have: [n, ...] of one, [n, numbers] of several."""
        parts = [self.features[name] for name in receivers]
        alike = list({id(part): part for part in parts}.values())
        return alike[0] if len(alike) == 1 else torch.cat([part.flatten(1) for part in alike], 1)


def observe(
    learner: Learner,
    source: Source,
    runtime: FabricRuntime,
    point: OperatingPoint | None = None,
    *,
    seed: int = 0,
    releases: int = 1,
    most: int | None = None,
    batch_size: int = 256,
) -> Observed:
    """Run a frozen network over a split and keep what it releases.

    Args:
        learner: Left in the mode it was in.
        source: The split.
        runtime: Device and precision; every process computes all of it.
        point: Operating point; by default the first of the learner's sweep.
        seed: Of the network's noise. Splits that are observed with different seeds have noise of their own.
        releases: How often each sample is released, each time with new noise; the features are the mean, all that
            those who average can know where the noise is Gaussian.
        most: Samples at most, from the beginning; None takes all.
        batch_size: Samples at a time.

    Raises:
        UmbelError: The inputs or the features are no tensors.
    """
    point = learner.sweep()[0] if point is None else point
    parts: dict[str, list[Tensor]] = {}
    serves: dict[str, tuple[str, ...]] = {}
    alike: dict[str, str] = {}
    targets: dict[str, list[Tensor]] = {task.name: [] for task in learner.tasks}
    inputs: list[Tensor] = []
    left = len(source) if most is None else most
    with evaluating(learner, runtime, seed):
        for whole in source.batches(batch_size):
            batch = whole[: max(left, 0)]
            if not len(batch):
                break
            left -= len(batch)
            sums, serves, alike = _released(learner, batch.to(runtime.device), runtime, point, releases)
            for name, features in sums.items():
                parts.setdefault(name, []).append((features / releases).cpu())
            for task in learner.tasks:
                targets[task.name].append(task.target_of(batch))
            if not isinstance(batch.inputs, Tensor):
                raise UmbelError("an audit needs inputs that are one tensor; this set has several by name")
            inputs.append(batch.inputs)
    if not inputs:
        raise UmbelError("nothing to observe: the split has no sample")
    joined = {name: torch.cat(some) for name, some in parts.items()}
    by_receiver = {name: joined[first] for name, first in alike.items()}
    return Observed(by_receiver, serves, {name: torch.cat(some) for name, some in targets.items()}, torch.cat(inputs))


def _released(
    learner: Learner, batch: Any, runtime: FabricRuntime, point: OperatingPoint, releases: int
) -> tuple[dict[str, Float[Tensor, "B ..."]], dict[str, tuple[str, ...]], dict[str, str]]:
    """The sum over releases, whom they serve, and receiver -> the first that gets the very same features."""
    sums: dict[str, Tensor] = {}
    serves: dict[str, tuple[str, ...]] = {}
    alike: dict[str, str] = {}
    for _ in range(releases):
        with runtime.autocast():
            released = learner.released(batch, point)
        first_of: dict[int, str] = {}
        for name, one in released.items():
            alike[name] = first_of.setdefault(id(one.features), name)
            serves[name] = one.serves
            if alike[name] == name:
                features = _one_tensor(one.features, name)
                sums[name] = features + sums[name] if name in sums else features
    return sums, serves, alike


def _one_tensor(features: Any, name: str) -> Tensor:
    """Float32 features; several tensors become one, [B, numbers]."""
    if isinstance(features, Tensor):
        return features.float()
    parts = list(features.values()) if isinstance(features, Mapping) else list(features)
    if not parts or not all(isinstance(part, Tensor) for part in parts):
        raise UmbelError(f"what {name!r} receives is no tensor; an audit cannot attack it")
    return torch.cat([part.float().flatten(1) for part in parts], 1)
