"""The Gramian of a batch, for one who wants to look at it."""

import torch
from jaxtyping import Float
from torch import Tensor

from umbel.arguments import one_of, whole_number
from umbel.core import Batch, Learner, OperatingPoint, Runtime, UmbelError
from umbel.descent.auxiliary import task_rows
from umbel.descent.exchange import gramian as product
from umbel.descent.gramian.passes import DIRECTIONS, gramian_pass
from umbel.descent.passes import task_gradients, untouched

_ENGINES = ("rows", "ghost", "sketched", "features")


def measure_gramian(
    learner: Learner,
    batch: Batch,
    point: OperatingPoint,
    runtime: Runtime,
    engine: str = "rows",
    directions: int = DIRECTIONS,
    seed: int = 0,
) -> Float[Tensor, "T T"]:
    """G = J Jᵀ of the tasks' gradients, float64; no trace is left: `.grad`, statistics, random states are as before.

    Args:
        learner: In the mode it is in.
        batch: This process's part of the batch.
        point: The operating point.
        runtime: Every process must call.
        engine: "rows" and "ghost" (exact), "sketched" (an unbiased estimate) or "features" (of the gradients at the
            encoder's output).
        directions: Of the sketch.
        seed: Of its directions.

    Raises:
        UmbelError: No such engine, nothing is shared, or several processes or pieces where the engine has none.
    """
    one_of(engine, "engine for a Gramian", _ENGINES)
    directions = whole_number(directions, "directions", least=1)
    shared = learner.shared_parameters()
    if not shared:
        raise UmbelError("the learner has no trainable shared parameters, so its tasks have no Gramian")
    if engine != "rows" and (runtime.accumulate > 1 or (engine == "ghost" and runtime.world_size > 1)):
        raise UmbelError(f"engine {engine!r} measures a whole batch of one process at once; use engine='rows'")
    kept = [(p, p.grad) for p in learner.parameters()]
    try:
        with untouched(learner, runtime.device), torch.enable_grad():
            if engine == "rows":
                found = task_gradients(learner, batch, point, runtime, shared, choose=task_rows)
                return product(runtime.sum(found.jacobian))
            for parameter, _ in kept:
                parameter.grad = None
            _, tasks, passed = gramian_pass(engine, learner, batch, point, runtime, directions=directions, seed=seed)
            return passed.gramian[: len(tasks), : len(tasks)].detach()
    finally:
        for parameter, gradient in kept:
            parameter.grad = gradient
