"""What may choose the best checkpoint: numbers with names, of which more is better."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from umbel.core.runtime import Runtime
from umbel.core.task import Task


@dataclass(frozen=True)
class Evaluation:
    """Results on one split.

    Attributes:
        metrics: Task -> metric -> value; NaN where the split has no label for the task, or where the model does not
            predict it at this point (after a stage that was not sent, say).
        losses: Task -> mean loss over the labelled elements; NaN where there are none, infinite where it diverged.
    """

    metrics: dict[str, dict[str, float]]
    losses: dict[str, float]

    def main(self) -> dict[str, float]:
        """Task -> its main metric."""
        return {task: next(iter(values.values())) for task, values in self.metrics.items()}

    def total_loss(self) -> float:
        """The sum of the losses that are there."""
        return sum(value for value in self.losses.values() if not math.isnan(value))


Score = Callable[[Evaluation, Runtime], float]
"""(evaluation of the validation split, runtime) -> a number that is greater when the network is better, the same on
every process. It is called in evaluation mode, without gradients, with random numbers that are the same each time."""


def task_scores(tasks: Sequence[Task]) -> dict[str, Score]:
    """The scores that any learner of these tasks offers: "loss" (the negative sum), and "task/metric" for each metric.

    A metric's direction is its own (`higher_is_better`); that of the main metric is the task's.
    """
    metrics = {f"{t.name}/{m}": partial(_metric, t, m) for t in tasks for m in t.metrics}
    return {"loss": _loss, **metrics}


def _loss(evaluation: Evaluation, runtime: Runtime) -> float:
    return -evaluation.total_loss()


def _metric(task: Task, metric: str, evaluation: Evaluation, runtime: Runtime) -> float:
    value = evaluation.metrics[task.name][metric]
    return value if _rises(task, metric) else -value


def _rises(task: Task, metric: str) -> bool:
    if metric == task.main_metric:
        return task.higher_is_better
    declared = getattr(task.metrics[metric](), "higher_is_better", None)
    return task.higher_is_better if declared is None else declared
