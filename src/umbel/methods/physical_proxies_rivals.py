"""What physical proxies are compared with: a depth map alone, and one side of the classes pulled together over domains.

Sources: Yu et al., "Searching central difference convolutional networks for face anti-spoofing", CVPR 2020
(`central_difference`); Jia et al., "Single-side domain generalization for face anti-spoofing", CVPR 2020
(`single_side`).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from umbel.arguments import real_number, whole_number
from umbel.core import (
    Batch,
    Inputs,
    Learner,
    Losses,
    MultiTaskModel,
    OperatingPoint,
    ParameterGroup,
    PointModule,
    Task,
    UmbelError,
    at_point,
    unknown,
)
from umbel.losses import group_triplets
from umbel.nn import VectorHead, build_model, reversed_gradient, seeded_start

TRIPLETS = "triplets"
"""Name of the loss that gathers what is live and keeps domains' attacks apart."""
DOMAINS = "domains"
"""Name of what the discriminator of domains loses."""


class MeanOfMap(nn.Module):
    """A logit from the mean of a map: exp(scale) mean + shift, two numbers that the main task's loss fits.

    Their gradient stops at the map, so that the map learns from its own labels alone.

    Args:
        natural: From raw maps to natural units, as the task's `decode`.
    """

    def __init__(self, natural: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.natural = natural
        self.scale = nn.Parameter(torch.zeros(()))
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, maps: Tensor) -> Tensor:
        """[B, 1], rising with the mean of maps [B, 1, H, W]."""
        return self.scale.exp() * self.natural(maps.detach()).flatten(1).mean(1, keepdim=True) + self.shift


class Mapped(NamedTuple):
    """What a `MapEncoder` gives.

    Attributes:
        features: The encoder's.
        maps: Raw predictions of the task with a map, [B, 1, H, W].
    """

    features: Tensor
    maps: Tensor


class MapEncoder(PointModule):
    """An encoder and the head of a map behind it, computed once for the map's task and for what is scored by its mean.

    Args:
        encoder: Inputs -> features, with a `feature_shape`.
        head: Features -> maps.

    Attributes:
        feature_shape: Of the features, as the encoder's.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.feature_shape = tuple(encoder.feature_shape)

    def forward(self, x: Inputs, point: OperatingPoint) -> Mapped:
        """Features and maps."""
        features = at_point(self.encoder, x, point)
        return Mapped(features, at_point(self.head, features, point))


class MappedLink(nn.Module):
    """What a head reads behind a `MapEncoder`.

    Args:
        maps: Whether it reads the maps; else the features.
    """

    def __init__(self, maps: bool) -> None:
        super().__init__()
        self.maps = maps

    def forward(self, given: Mapped) -> Tensor:
        """Maps or features, as they are."""
        return given.maps if self.maps else given.features


def central_difference(
    input_shape: Sequence[int],
    tasks: Sequence[Task],
    encoder: str | None = "central-difference",
    *,
    main: str,
    depth: str,
    seed: int = 0,
    hidden: int | None = None,
    **options: Any,
) -> Learner:
    """A depth map alone, as in CDCN: what is flat is no face, and the score is the mean of the map.

    Args:
        input_shape: Of one sample, a picture.
        tasks: The main one, the depth, and others with ordinary heads.
        encoder: One of `umbel.nn.ENCODERS`.
        main: Name of the main task, which has one output.
        depth: Name of the task with a map of one channel.
        seed: Of the random start.
        hidden: Width of the heads' hidden layers.
        **options: For the encoder; see `build_model`.

    Raises:
        UmbelError: A name that is no task's, or a task of another kind of output.
    """
    by_name = {task.name: task for task in tasks}
    for name, output in ((main, "vector"), (depth, "map")):
        if name not in by_name:
            raise unknown("task", name, by_name)
        if (by_name[name].output, by_name[name].outputs) != (output, 1):
            raise UmbelError(f"task {name!r} must predict one number of a {output} to be scored by the mean of a map")
    plain = build_model(input_shape, tasks, encoder, seed=seed, hidden=hidden, **options)
    heads = {name: plain.heads[name] for name in plain.task_names}
    heads |= {main: MeanOfMap(by_name[depth].decode), depth: nn.Identity()}
    links = {name: MappedLink(maps=name in (main, depth)) for name in heads}
    return Learner(MultiTaskModel(MapEncoder(plain.encoder, plain.heads[depth]), heads, links), tasks)


class UnitEmbedding(nn.Module):
    """Features -> a vector of a fixed length, √size, so that its numbers are of size about 1: a link.

    Args:
        feature_shape: (C, h, w) or (C,); maps are averaged.
        size: Of the vector.

    Attributes:
        feature_shape: (size,).
    """

    def __init__(self, feature_shape: Sequence[int], size: int) -> None:
        super().__init__()
        self.project = VectorHead(feature_shape, whole_number(size, "size of the embedding", least=1))
        self.feature_shape = (size,)

    def forward(self, features: Tensor) -> Tensor:
        """[B, size]."""
        return F.normalize(self.project(features), dim=1) * math.sqrt(self.feature_shape[0])


class SingleSideLearner(Learner):
    """What is live is one class over all domains; attacks of each domain are left where they are.

        J = Σ_k L_k + triplet T(e) + CE(D(R(e_live)), domain),   R the identity, with gradient times -adversary

    e is what the main task's link sends, at length 1. T gathers what is live, and keeps it and each domain's attacks
    apart (`losses.group_triplets`). The discriminator D tells the domain of what is live and learns from it; the
    features unlearn it. Domains come from `Batch.domain`; without them, all samples are of one.

    Differs from the paper: the factor of the reversed gradient is a constant, where theirs grows over the training.

    Args:
        model: The main task has a `UnitEmbedding` as its link.
        tasks: At least the main one.
        main: Name of the main task, whose target is 0 for live, above 0 for attacks.
        domains: How many there are, seen or not.
        triplet: Weight of T, at least 0.
        adversary: Factor of the reversed gradient, at least 0.
        margin: Of the triplets.
        seed: Of the discriminator's start.
        rate: The discriminator learns at this multiple of the learning rate.

    Raises:
        UmbelError: A task called like a loss, a model of other parts, or a number out of its range.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        tasks: Sequence[Task],
        main: str,
        domains: int,
        triplet: float = 1.0,
        adversary: float = 0.1,
        margin: float = 0.1,
        seed: int = 0,
        rate: float = 1.0,
    ) -> None:
        super().__init__(model, tasks)
        for task in tasks:
            if task.name in (TRIPLETS, DOMAINS):
                raise UmbelError(f"a task is called {task.name!r}, as a loss of single sides is; rename it")
        if main not in model.links or not isinstance(model.links[main], UnitEmbedding):
            raise UmbelError(f"single sides: the link of task {main!r} is no UnitEmbedding")
        self.main, self.domains = main, whole_number(domains, "domains", least=1)
        self.triplet, self.adversary = real_number(triplet, "triplet"), real_number(adversary, "adversary")
        if min(self.triplet, self.adversary) < 0:
            raise UmbelError(f"triplet {self.triplet:g} and adversary {self.adversary:g} must be at least 0")
        self.margin, self.rate = margin, rate
        size = model.links[main].feature_shape[0]
        with seeded_start(seed, "discriminator of domains"):
            self.discriminator = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, self.domains))

    def losses(self, batch: Batch, point: OperatingPoint) -> Losses:
        """The tasks' losses, "triplets" and "domains".

        Raises:
            UmbelError: A domain beyond those that were said.
        """
        model = self.model
        features = at_point(model.encoder, batch.inputs, point)
        sent = {name: at_point(link, features, point) for name, link in self._links()}
        predictions = {
            task.name: at_point(model.heads[task.name], sent.get(task.name, features), point) for task in self.tasks
        }
        live = self._live(batch)
        domain = self._domain(batch, live)
        e = F.normalize(sent[self.main].float(), dim=1)
        groups = torch.where(live > 0, 0, torch.where(live == 0, 1 + domain, -1))
        told = self.discriminator(reversed_gradient(e[live > 0], self.adversary))
        confusion = F.cross_entropy(told, domain[live > 0], reduction="sum") / (live > 0).sum().clamp(min=1)
        return Losses(
            {
                **self.task_losses(predictions, batch),
                TRIPLETS: self.triplet * group_triplets(e, groups, self.margin),
                DOMAINS: confusion,
            }
        )

    def parameter_groups(self) -> list[ParameterGroup]:
        """The discriminator at a rate of its own."""
        return [*super().parameter_groups(), ParameterGroup(self.discriminator.parameters(), rate=self.rate)]

    def _links(self) -> list[tuple[str, nn.Module]]:
        return [(task.name, self.model.links[task.name]) for task in self.tasks if task.name in self.model.links]

    def _live(self, batch: Batch) -> Tensor:
        """1 for live, 0 for attacks, -1 where it is not known."""
        target = next(task for task in self.tasks if task.name == self.main).target_of(batch)
        if target.is_floating_point() or target.ndim != 1:
            raise UmbelError(f"single sides need class numbers, and task {self.main!r} has values")
        return torch.where(target < 0, -1, (target == 0).long())

    def _domain(self, batch: Batch, live: Tensor) -> Tensor:
        domain = torch.zeros_like(live) if batch.domain is None else batch.domain
        if len(domain) and int(domain.max()) >= self.domains:
            most = int(domain.max())
            raise UmbelError(f"single sides: a sample is of domain {most}, of {self.domains} from 0; say more domains")
        return domain


def single_side(
    input_shape: Sequence[int],
    tasks: Sequence[Task],
    encoder: str | None = None,
    *,
    main: str,
    domains: int,
    size: int = 64,
    triplet: float = 1.0,
    adversary: float = 0.1,
    margin: float = 0.1,
    seed: int = 0,
    hidden: int | None = None,
    **options: Any,
) -> SingleSideLearner:
    """A network for the main task that pulls what is live together over domains, as in SSDG.

    Args:
        input_shape: Of one sample.
        tasks: The main one, and others with ordinary heads.
        encoder: One of `umbel.nn.ENCODERS`; None takes one that suits the inputs.
        main: Name of the main task, which predicts a vector.
        domains: How many there are, seen or not.
        size: Of the embedding.
        triplet: See `SingleSideLearner`, and so are the next two.
        adversary: See there.
        margin: See there.
        seed: Of the random start; the encoder starts as that of `build_model`.
        hidden: Width of the heads' hidden layers.
        **options: For the encoder; see `build_model`.

    Raises:
        UmbelError: A name that is no task's, a task that predicts a map, or a number out of its range.
    """
    by_name = {task.name: task for task in tasks}
    if main not in by_name:
        raise unknown("task", main, by_name)
    if by_name[main].output != "vector":
        raise UmbelError(f"main task {main!r} predicts a {by_name[main].output}; it must be one that predicts a vector")
    plain = build_model(input_shape, tasks, encoder, seed=seed, hidden=hidden, **options)
    with seeded_start(seed, f"link of {main}"):
        link = UnitEmbedding(plain.encoder.feature_shape, size)
    heads = {name: plain.heads[name] for name in plain.task_names}
    with seeded_start(seed, main):
        heads[main] = VectorHead(link.feature_shape, by_name[main].outputs, hidden or 0)
    model = MultiTaskModel(plain.encoder, heads, {main: link})
    return SingleSideLearner(model, tasks, main, domains, triplet, adversary, margin, seed)
