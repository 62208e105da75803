"""A main task that reads what tasks with a physical meaning see, weighed by how sure they are.

Source: Wu, Yu, Liu, Wang, Chandraker, "Uncertainty-aware physically-guided proxy tasks for unseen domain face
anti-spoofing", 2020, arXiv 2011.14054.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from umbel.arguments import names, real_number, whole_number
from umbel.core import (
    Batch,
    Learner,
    Losses,
    MultiTaskModel,
    OperatingPoint,
    Task,
    UmbelError,
    at_point,
    unknown,
)
from umbel.losses import attribute_mining
from umbel.methods.physical_proxies_model import BranchLink, ProxyEncoder, ProxyReading
from umbel.nn import (
    AttentionKind,
    TaskFusion,
    VectorHead,
    build_head,
    build_model,
    kl_to_standard_normal,
    seeded_start,
)
from umbel.nn.encoders import block

UNCERTAINTY = "uncertainty"
"""Name of the loss that keeps the attention unsure."""
MINING = "mining"
"""Name of the loss over hard pairs."""


class ProxyLearner(Learner):
    """The tasks' losses, how unsure the attention is, and hard pairs of the main task.

        J = Σ_k L_k + kl mean over samples and branches of KL(N(mean, sigma²) || N(0, I)) + mining L_pairs

    The last two are losses called "uncertainty" (where the attention is Gaussian) and "mining", which belong to no
    task. Pairs are chosen by `losses.mined_pairs` among the samples of the batch, or of each piece of it, with the
    attributes that the batch has as targets. Their embedding is a linear map of what the main head reads, of length 1.

    The main task's classes say who is of one kind. A task with one output whose target is a class number (liveness: 0
    for live, and the kinds of attack) has two: 0 and everything else.

    Args:
        model: Its encoder is a `ProxyEncoder`, its links are `BranchLink`.
        tasks: At least the main one.
        main: Name of the main task.
        kl: Weight of the first, at least 0; 0 leaves it out.
        mining: Weight of the second, likewise.
        attributes: Names of targets that hold attributes: whole numbers [B], negative where missing.
        margin: Of the pairs' loss, at least 0.
        seed: Of the embedding's start.

    Raises:
        UmbelError: A model of other parts, no such main task, a task called like a loss, a weight out of range, or
            attributes and no mining.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        tasks: Sequence[Task],
        main: str,
        kl: float = 1e-3,
        mining: float = 0.5,
        attributes: Sequence[str] = (),
        margin: float = 0.3,
        seed: int = 0,
    ) -> None:
        super().__init__(model, tasks)
        if not isinstance(model.encoder, ProxyEncoder):
            raise UmbelError("physical proxies need a model whose encoder is a ProxyEncoder; see physical_proxies")
        if main not in self.task_names or main not in model.encoder.fusion.tasks:
            raise unknown("main task", main, [name for name in self.task_names if name in model.encoder.fusion.tasks])
        self.main = main
        for task in tasks:
            if task.name in (UNCERTAINTY, MINING):
                raise UmbelError(f"a task is called {task.name!r}, as a loss of physical proxies is; rename it")
        self.kl = _at_least_0(kl, "the weight of uncertainty")
        self.mining = _at_least_0(mining, "the weight of mining")
        self.margin = _at_least_0(margin, "the margin of mining")
        self.attributes = names(attributes, "attributes")
        if self.attributes and not self.mining:
            raise UmbelError(
                f"attributes ({self.attributes[0]}, ...) are for mining, whose weight is 0; set it above 0"
            )
        width = model.encoder.fusion.feature_shape[0]
        with seeded_start(seed, "embedding of pairs"):
            self.embedding = nn.Linear(width, min(width, 128), bias=False) if self.mining else nn.Identity()

    def losses(self, batch: Batch, point: OperatingPoint) -> Losses:
        """The tasks' losses, and those called "uncertainty" and "mining" where they have a weight.

        Raises:
            UmbelError: The batch has no attribute of a name, or values where classes or attributes are needed.
        """
        reading = at_point(self.model.encoder, batch.inputs, point)
        losses = dict(self.task_losses(self.model.decode(reading, point), batch))
        if self.kl and (gaussians := reading.fused.gaussians.values()):
            each = [kl_to_standard_normal(one.mean, one.log_variance).sum() for one in gaussians]
            losses[UNCERTAINTY] = self.kl * torch.stack(each).mean() / max(1, len(batch))
        if self.mining:
            classes = self._classes(batch)
            attributes = self._attributes(batch, classes)
            losses[MINING] = self.mining * attribute_mining(self.embedded(reading), classes, attributes, self.margin)
        return Losses(losses)

    def embedded(self, reading: ProxyReading) -> Tensor:
        """What pairs are compared by: [B, e], each of length 1."""
        return F.normalize(self.embedding(reading.fused.vector).float(), dim=1)

    def sigmas(self, batch: Batch, point: OperatingPoint) -> dict[str, Tensor]:
        """How unsure the attention is of each branch: the mean of sigma over its channels, [B], by task.

        Raises:
            UmbelError: The attention has no uncertainty.
        """
        gaussians = at_point(self.model.encoder, batch.inputs, point).fused.gaussians
        if not gaussians:
            kind = self.model.encoder.fusion.kind
            raise UmbelError(f'attention of kind {kind!r} has no sigma; build the network with attention="gaussian"')
        return {name: (0.5 * one.log_variance).exp().mean(1) for name, one in gaussians.items()}

    def _classes(self, batch: Batch) -> Tensor:
        task = next(task for task in self.tasks if task.name == self.main)
        target = task.target_of(batch)
        if target.is_floating_point() or target.ndim != 1:
            raise UmbelError(f"mining needs classes, and task {task.name!r} has values; set the weight of mining to 0")
        target = target.long()
        return torch.where(target > 0, 1, target) if task.outputs == 1 else target

    def _attributes(self, batch: Batch, classes: Tensor) -> Tensor:
        columns = []
        for name in self.attributes:
            if name not in batch.targets:
                raise unknown("attribute", name, batch.targets)
            column = batch.target(name)
            if column.is_floating_point() or column.ndim != 1:
                raise UmbelError(f"attribute {name!r} is {column.dtype} {list(column.shape)}; give whole numbers [B]")
            columns.append(column.long())
        return torch.stack(columns, 1) if columns else classes.new_zeros(len(classes), 0)


def physical_proxies(
    input_shape: Sequence[int],
    tasks: Sequence[Task],
    encoder: str | None = None,
    *,
    main: str,
    proxies: Sequence[str],
    attention: AttentionKind = "gaussian",
    kl: float = 1e-3,
    mining: float = 0.5,
    attributes: Sequence[str] = (),
    margin: float = 0.3,
    branch: int = 64,
    seed: int = 0,
    hidden: int | None = None,
    **options: Any,
) -> ProxyLearner:
    """A network whose main task reads what its proxies see.

                            ┌► branch m ─► h_m ─┬────────────────► attention m ─┐
        inputs ─► encoder ──┼► branch d ─► h_d ─┼► head d          attention d ─┼► joined ─► head m ─► main prediction
                            ├► branch r ─► h_r ─┴► head r          attention r ─┘
                            └► head of a task that is neither main nor proxy

    Each proxy (depth, reflection, material; any task) has a branch of its own, which it alone teaches beside the main
    task. Its features are weighed by an attention that knows how sure it is, and joined with the main task's own. So
    the main task decides by what the proxies are taught to see, and not by what happens to tell its classes apart in
    the training data. Samples without a proxy's label teach the others. A task that is neither main nor proxy (a
    pretext as identity) has an ordinary head on the encoder's features.

    The encoder, and the heads of tasks that are neither, start as those of `build_model` of the same seed.

    Differs from the paper: only its abstract, a patent of its authors and reviews were at hand, so equations and sizes
    are ours; see `nn.GaussianAttention`, `losses.attribute_mining` and `ProxyLearner`.

    Args:
        input_shape: Of one sample.
        tasks: All of them; the main one, the proxies, and others.
        encoder: One of `umbel.nn.ENCODERS`; None takes one that suits the inputs.
        main: Name of the main task, which predicts a vector.
        proxies: Names of the proxies; none leaves the main task's own branch alone.
        attention: See `nn.TaskFusion`.
        kl: Weight of "uncertainty"; see `ProxyLearner`.
        mining: Weight of "mining".
        attributes: Names of targets by which pairs are chosen.
        margin: Of the pairs' loss.
        branch: Channels of each branch.
        seed: Of the random start.
        hidden: Width of the heads' hidden layers; see `build_head`.
        **options: For the encoder, and `keep_maps` and `vector_head` of `build_model`. `norm` goes to branches too.

    Raises:
        UmbelError: A name that is no task's, a main task that predicts a map, or an argument out of its range.
    """
    by_name = _checked(tasks, main, proxies)
    plain = build_model(input_shape, tasks, encoder, seed=seed, hidden=hidden, **options)
    shape, norm = tuple(plain.encoder.feature_shape), options.get("norm", "batch")
    branch = whole_number(branch, "channels of a branch", least=1)
    branches = {}
    for name in (main, *proxies):
        with seeded_start(seed, f"branch of {name}"):
            branches[name] = _branch(shape, branch, norm)
    with seeded_start(seed, "attention"):
        fusion = TaskFusion(dict.fromkeys(branches, branch), attention)
    heads = {name: plain.heads[name] for name in plain.task_names}
    for name in branches:
        with seeded_start(seed, name):
            heads[name] = (
                VectorHead(fusion.feature_shape, by_name[name].outputs, hidden or 0)
                if name == main
                else build_head(
                    by_name[name],
                    (branch, *shape[1:]),
                    input_shape,
                    hidden,
                    norm,
                    options.get("vector_head", "linear"),
                )
            )
    links = {name: BranchLink(name, main) for name in heads}
    model = MultiTaskModel(ProxyEncoder(plain.encoder, branches, fusion), heads, links)
    return ProxyLearner(model, tasks, main, kl, mining, attributes, margin, seed)


def _branch(feature_shape: Sequence[int], channels: int, norm: str = "batch") -> nn.Module:
    """From an encoder's features to a task's own: convolution, norm, ReLU for maps; linear layer, ReLU for vectors.

    Args:
        feature_shape: (C, h, w) or (C,).
        channels: Of the task's features.
        norm: "batch" or "group", for maps.
    """
    if len(feature_shape) == 1:
        return nn.Sequential(nn.Linear(feature_shape[0], channels), nn.ReLU())
    return block(feature_shape[0], channels, norm)


def _checked(tasks: Sequence[Task], main: str, proxies: Sequence[str]) -> dict[str, Task]:
    by_name = {task.name: task for task in tasks}
    for name in (main, *names(proxies, "proxies")):
        if name not in by_name:
            raise unknown("task", name, by_name)
    if main in proxies or len(set(proxies)) < len(tuple(proxies)):
        raise UmbelError(f"main task {main!r} and proxies {', '.join(proxies)}: name each task once")
    if by_name[main].output != "vector":
        raise UmbelError(f"main task {main!r} predicts a {by_name[main].output}; it must be one that predicts a vector")
    return by_name


def _at_least_0(value: object, what: str) -> float:
    number = real_number(value, what)
    if number < 0:
        raise UmbelError(f"{what} is {number:g}; give a number, at least 0")
    return number
