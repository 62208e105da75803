"""Jacobian descent: the tasks' gradients of the shared parameters, settled by an aggregator."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from umbel.arguments import seed_number, whole_number
from umbel.core import Batch, Descent, Learner, Losses, OperatingPoint, Runtime, UmbelError, sum_gradients, total, write
from umbel.descent.aggregation import Aggregation
from umbel.descent.aggregator_state import make_room, pack, unpack
from umbel.descent.compiled import allow_several_walks, explained_walks
from umbel.descent.exchange import combined_rows
from umbel.descent.gradient_aggregation import GradientAggregation
from umbel.descent.gramian import DIRECTIONS, Engine, EngineChoice, Ghost, gramian_pass
from umbel.descent.passes import TaskGradients, present_losses, task_gradients

MOST_DIRECTIONS = 65_536
"""Of a sketch: with so many its error is below half a percent, and more would only cost memory."""


class Jacobian(Descent):
    """The shared parameters follow the aggregation of the tasks' gradients, all others the gradient of the losses' sum.

        J = [∂L_1/∂θ; ...; ∂L_T/∂θ]  [T, P],   θ = shared_parameters()
        θ.grad = aggregate(J) + ∂A/∂θ,     own.grad = Σ_t ∂L_t/∂own + ∂A/∂own

    with A the sum of the auxiliary losses, those that bear no task's name (`Learner.is_auxiliary`): they take no part
    in what is settled, and cost one more walk where there are any.

    Most aggregators are weighted sums, aggregate(J) = Σ_t w_t g_t, with weights from the Gramian G = J Jᵀ alone. Then
    J itself need not be known, and the engine says how G and the sum are computed:

    - `rows`: T backward passes; exact for any model and aggregator.
    - `ghost`: exact; products of layers' inputs and output gradients where those are less work than rows, and rows
      that would need much memory are not kept (see `ExactPass`). One process, no pieces; `rows` otherwise.
    - `sketched`: an unbiased estimate of G from random directions, and exactly the weighted sum for the weights that
      it gives (see `SketchedPass`). The update differs from that of the exact engines as far as the weights do.
    - `features`: G at the encoder's output instead (see `FeaturesPass`), which gives a different update.
    - `auto`: the cheapest exact one; the log says which and why.

    Rows are summed over pieces and processes *before* aggregation. A task without a label in the whole batch is left
    out: the aggregator sees the other rows only. An aggregator that keeps state for each row, or was given one number
    for each row, cannot do that; it is a clear error then.

    Aggregators that draw (PCGrad's order, GradDrop, ...) draw from `seed` + number of steps so far, the same on every
    process and without moving the default generators. State of aggregators is part of the `state_dict`; load it
    into a descent whose aggregator has the same settings.

    Args:
        aggregator: Any `torchjd.aggregation` Aggregator or Weighting, or a `GramianWeighting`.
        seed: For aggregators and sketches that draw.
        engine: See above.
        directions: Random directions of a sketch; its error falls with their square root.

    Raises:
        UmbelError: Not an aggregator, its solver is missing, or an engine that cannot serve it. While training: a
            gradient or an update is not finite, or the aggregator failed.

    Reference: Quinton, Rey, "Jacobian descent for multi-objective optimization", 2024.
    """

    steps: Tensor

    def __init__(
        self, aggregator: nn.Module, seed: int = 0, engine: Engine = "auto", directions: int = DIRECTIONS
    ) -> None:
        super().__init__()
        aggregation = Aggregation(aggregator)
        self._choice = EngineChoice(aggregation, engine)
        directions = whole_number(directions, "directions", least=1, most=MOST_DIRECTIONS)
        seed = seed_number(seed, "the seed of a Jacobian descent")
        self.gradient_aggregation = GradientAggregation(aggregation, seed)
        self.aggregator = aggregator
        self.seed, self.directions = seed, directions
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def prepare(self, learner: Learner) -> None:
        """Check that there is something for the tasks to compete for; let compiled parts be walked for every task.

        Raises:
            UmbelError: The learner has no shared parameters that can be trained, or the aggregator was given one number
                for each of other tasks.
        """
        if not learner.shared_parameters():
            raise UmbelError(
                "Jacobian descent: the learner has no trainable shared parameters (is the encoder frozen or empty?); "
                "use a weighted sum, or override shared_parameters()"
            )
        self.gradient_aggregation.aggregation.check_tasks(learner.task_names)
        allow_several_walks(learner)

    def forward(self, learner: Learner, batch: Batch, point: OperatingPoint, runtime: Runtime) -> Losses:
        """One batch through the engine that serves it."""
        with explained_walks():
            return self._step(learner, batch, point, runtime)

    def _step(self, learner: Learner, batch: Batch, point: OperatingPoint, runtime: Runtime) -> Losses:
        shared, own = learner.shared_parameters(), learner.own_parameters()
        engine = self._choice.engine(batch, runtime)

        def present() -> list[bool]:
            return present_losses(learner, batch, tasks, runtime).tolist()

        if engine == "rows":
            gradients = task_gradients(learner, batch, point, runtime, shared, own)
            names, values, tasks = gradients.names, gradients.values, gradients.tasks
            self._write_rows(gradients, present, shared, runtime)
        else:
            share, tasks, passed = gramian_pass(
                engine,
                learner,
                batch,
                point,
                runtime,
                directions=self.directions,
                seed=self.seed + int(self.steps),
                layout=self._choice.layout(batch),
            )
            names, values = list(share), share.stack()
            weights = self.gradient_aggregation.weights(passed.gramian, tasks, present, int(self.steps))
            passed.write(weights)
            if isinstance(passed, Ghost):
                self._choice.learn(batch, passed.plan)
            sum_gradients(shared, runtime)
        sum_gradients(own, runtime)
        self.steps += 1
        return total(values, names, runtime)

    def _write_rows(
        self,
        gradients: TaskGradients,
        present: Callable[[], list[bool]],
        shared: Sequence[nn.Parameter],
        runtime: Runtime,
    ) -> None:
        """Settle the rows of all processes."""
        step = int(self.steps)
        if self.gradient_aggregation.aggregation.needs_rows:
            vector = self.gradient_aggregation.vector(runtime.sum(gradients.rows), gradients.tasks, present, step)
        else:

            def weigh(gramian: Tensor) -> Tensor:
                return self.gradient_aggregation.weights(gramian, gradients.tasks, present, step)

            vector = combined_rows(gradients.rows, weigh, runtime)
        write(vector, shared)
        used = runtime.sum(torch.tensor(gradients.used, dtype=torch.float32, device=runtime.device)).tolist()
        for parameter, count in zip(shared, used, strict=True):
            if not count:
                parameter.grad = None

    def get_extra_state(self) -> Tensor:
        """What the aggregator keeps outside buffers, uint8."""
        return pack(self.aggregator)

    def set_extra_state(self, state: Tensor) -> None:
        """Take it back."""
        unpack(self.aggregator, state)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        make_room(self.aggregator, f"{prefix}aggregator.", state_dict)
        super()._load_from_state_dict(state_dict, prefix, *arguments)
