"""One batch through an engine: the Gramian over all processes, then the update for the weights that it gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from umbel.core import Batch, Learner, Losses, OperatingPoint, Runtime, UmbelError, shares
from umbel.descent.auxiliary import rows_of
from umbel.descent.exchange import gramian
from umbel.descent.gramian.exact import ExactPass, weighted_walk
from umbel.descent.gramian.features import Feature, FeaturesPass, FeatureTape
from umbel.descent.gramian.loads import WHOLE, Layout
from umbel.descent.gramian.plan import Plan, make_plan
from umbel.descent.gramian.segments import is_changed_at
from umbel.descent.gramian.sketched import SketchedPass
from umbel.descent.graph import Graph, refuse_hidden

DIRECTIONS = 16
"""Of a sketch, by default."""


@dataclass(frozen=True)
class Given:
    """What every engine is given.

    Attributes:
        losses: R scalars of this process, which add up over the processes: the T tasks', and behind them, where there
            are auxiliary losses, the sum of those. Their graph is used up.
        tasks: T.
        shared: What the tasks compete for.
        own: All else that is trained.
        runtime: Every process must call.
    """

    losses: Sequence[Tensor]
    tasks: int
    shared: Sequence[nn.Parameter]
    own: Sequence[nn.Parameter]
    runtime: Runtime

    def graph(self) -> Graph:
        """Below the losses.

        Raises:
            UmbelError: Parameters are hidden in a checkpoint of the kind that can only be walked as a whole.
        """
        graph = Graph([loss for loss in self.losses if loss.requires_grad], [*self.shared, *self.own])
        refuse_hidden(graph)
        return graph


@runtime_checkable
class GramianPass(Protocol):
    """An engine's work on one batch.

    Attributes:
        gramian: [R, R], of the whole batch over all processes; float64.
    """

    gramian: Tensor

    def write(self, weights: Tensor) -> None:
        """Set `.grad` of the shared parameters to this process's part of Σ_r w_r g_r; weights [R]."""
        ...


class Ghost:
    """`ExactPass` with the plan that suits the batch; one process.

    Args:
        given: The batch.
        layout: The one that suited an earlier batch of this kind; None to look for the best. The graph is not cut
            where a hook of the user's would then act twice.

    Attributes:
        plan: What it did.
    """

    def __init__(self, given: Given, layout: Layout | None = None) -> None:
        graph = given.graph()
        walks = len(given.losses)
        self.plan: Plan = make_plan(graph, given.shared, walks, layout)
        bottoms = [segment.bottom for segment in self.plan.segments if segment.bottom is not None]
        if any(map(is_changed_at, bottoms)):
            self.plan = make_plan(graph, given.shared, walks, WHOLE)
        self._pass = ExactPass(given.losses, graph, self.plan, given.shared, given.own)
        self.gramian = self._pass.gramian

    def write(self, weights: Tensor) -> None:
        """See `GramianPass`."""
        self._pass.write(weights)


class Sketched:
    """`SketchedPass` over all processes, which draw the same directions.

    Args:
        given: The batch.
        directions: For every layer.
        seed: Of the directions.
    """

    def __init__(self, given: Given, directions: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self._pass = SketchedPass(given.losses, given.graph(), given.shared, given.own, directions, generator)
        rows = _summed(self._pass.rows, given.runtime)
        self.gramian = gramian(rows)

    def write(self, weights: Tensor) -> None:
        """See `GramianPass`."""
        self._pass.write(weights)


class Features:
    """`FeaturesPass` over all processes: their samples are other features, so products add up.

    Args:
        given: The batch.
        calls: The features.
    """

    def __init__(self, given: Given, calls: Sequence[Sequence[Feature]]) -> None:
        self._pass = FeaturesPass(given.losses, given.tasks, calls, given.shared, given.own)
        self.gramian = given.runtime.sum(self._pass.gramian.to(given.runtime.device))

    def write(self, weights: Tensor) -> None:
        """See `GramianPass`."""
        self._pass.write(weights)


class Weighted:
    """For weights that do not depend on gradients: one walk, as for a weighted sum of the losses.

    Args:
        given: The batch.

    Attributes:
        gramian: Not known: zeros.
    """

    def __init__(self, given: Given) -> None:
        self._given = given
        self.gramian = given.losses[0].new_zeros(len(given.losses), len(given.losses), dtype=torch.float64)

    def write(self, weights: Tensor) -> None:
        """See `GramianPass`."""
        given = self._given
        for parameter in given.shared:
            parameter.grad = None
        weighted_walk(given.losses, torch.ones_like(weights), given.own, keep=True)
        weighted_walk(given.losses, weights, given.shared, keep=False)
        known = [p.grad for p in given.shared if p.grad is not None]
        largest = nn.utils.get_total_norm(known, torch.inf) if known else weights.abs().max()
        if float(given.runtime.sum((~torch.isfinite(largest)).float())):  # all processes stop, or none
            raise UmbelError(
                "the gradient of a task is not finite (engine='rows' says of which); lower the learning rate or look "
                "at the inputs"
            )


def gramian_pass(
    engine: str,
    learner: Learner,
    batch: Batch,
    point: OperatingPoint,
    runtime: Runtime,
    *,
    directions: int = DIRECTIONS,
    seed: int = 0,
    layout: Layout | None = None,
) -> tuple[Losses, list[str], GramianPass]:
    """A forward pass, and what an engine finds on the way back.

    Args:
        engine: "ghost", "sketched", "features" or "weighted".
        learner: What is taught; the `.grad` of its own parameters gets the gradient of the sum of the losses.
        batch: This process's part of the batch, in one piece.
        point: The operating point.
        runtime: Every process must call.
        directions: Of a sketch.
        seed: Of the directions.
        layout: Of "ghost"; see there.

    Returns:
        This process's shares of all losses, detached; the T tasks; and the pass, of T rows or, with auxiliary losses,
        T + 1.

    Raises:
        UmbelError: No loss is a task's; or "features", and the learner's model has no encoder, or tasks reach it
            otherwise.
    """
    encoder = encoder_module(learner) if engine == "features" else None
    with FeatureTape(encoder) as tape:
        (share,) = shares(learner, batch, point, runtime)
    rows = rows_of(learner, share)
    given = Given(rows.losses, len(rows.tasks), learner.shared_parameters(), learner.own_parameters(), runtime)
    values = Losses.of(list(share), share.stack())
    if engine == "sketched":
        return values, rows.tasks, Sketched(given, directions, seed)
    if engine == "features":
        return values, rows.tasks, Features(given, tape.calls)
    return values, rows.tasks, Weighted(given) if engine == "weighted" else Ghost(given, layout)


def encoder_module(learner: Learner) -> nn.Module:
    """Where the features come from.

    Raises:
        UmbelError: The model has no part called encoder.
    """
    encoder = getattr(learner.model, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise UmbelError(
            f"engine 'features': {type(learner.model).__name__} has no part called encoder, so that it is not known "
            "what the features are; use engine='auto'"
        )
    return encoder


def _summed(rows: Tensor, runtime: Runtime) -> Tensor:
    """Rows of all processes added up, which must be of the same layers everywhere.

    Raises:
        UmbelError: They are not.
    """
    if runtime.world_size == 1:
        return rows
    width = torch.tensor([rows.shape[1], rows.shape[1] ** 2], dtype=torch.float64, device=rows.device)
    total = runtime.sum(width)
    if float(total[0]) ** 2 != float(total[1]) * runtime.world_size:
        raise UmbelError(
            "engine 'sketched': the processes do not see the same layers (has one of them no labels at all?); use "
            "larger batches, or engine='auto'"
        )
    return runtime.sum(rows.clone())  # the sum may overwrite what it is given
