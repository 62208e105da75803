"""How far the tasks' gradients agree."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from umbel.arguments import names, tensors
from umbel.core import Batch, Learner, Losses, OperatingPoint, Runtime, UmbelError
from umbel.descent.auxiliary import Rows, task_rows
from umbel.descent.passes import present_losses, task_gradients, untouched


def gradient_cosines(jacobian: Float[Tensor, "T P"]) -> Float[Tensor, "T T"]:
    """Cosine of the angle between every two rows: -1 opposed, 0 unrelated, 1 the same direction.

    Args:
        jacobian: A gradient for each task.

    Returns:
        Symmetric; NaN in the row and column of a gradient of length 0, which has no direction.
    """
    tensors("gradient_cosines", jacobian=jacobian)
    if jacobian.ndim != 2:
        raise UmbelError(f"gradient_cosines: the Jacobian has shape {list(jacobian.shape)}; give [T, P]")
    # Rows are scaled by their largest element first: squares of tiny float32 gradients would vanish.
    largest = jacobian.abs().amax(1, keepdim=True)
    rows = jacobian / largest
    rows = rows / rows.norm(dim=1, keepdim=True)
    return (rows @ rows.T).clamp(-1, 1)


class ConflictProbe:
    """Measures the cosines between the tasks' gradients of the shared parameters, during any training.

    A measurement costs one forward pass and T backward passes. It leaves no trace: `.grad`, running statistics and
    random states are as before.

    Args:
        tasks: The losses to compare, by name, auxiliary ones too; by default the learner's tasks.
    """

    def __init__(self, tasks: Sequence[str] | None = None) -> None:
        self.tasks = names(tasks, "the tasks of a conflict probe") if tasks is not None else None

    def measure(self, learner: Learner, batch: Batch, point: OperatingPoint, runtime: Runtime) -> Tensor:
        """Cosines [T, T] for the whole batch, the same on every process (all must call).

        NaN where a task has no label in the batch or a gradient of length 0.

        Raises:
            UmbelError: The learner has no shared parameters, or no such loss.
        """
        shared = learner.shared_parameters()
        if not shared:
            raise UmbelError("gradient conflict: the learner has no trainable shared parameters to compare")
        wanted = self.tasks if self.tasks is not None else learner.task_names

        def compared(learner: Learner, losses: Losses) -> Rows:
            return task_rows(learner, losses, wanted)

        with untouched(learner, runtime.device), torch.enable_grad():
            gradients = task_gradients(learner, batch, point, runtime, shared, choose=compared)
        if missing := set(wanted) - set(gradients.tasks):
            raise UmbelError(f"gradient conflict: the learner has no loss called {min(missing)!r}")
        present = present_losses(learner, batch, gradients.tasks, runtime)
        cosines = gradient_cosines(runtime.sum(gradients.jacobian))
        cosines = cosines.masked_fill(~(present[:, None] & present[None, :]), torch.nan)
        chosen = torch.tensor([gradients.tasks.index(name) for name in wanted], device=cosines.device)
        return cosines[chosen][:, chosen]
