"""Which losses have rows in a Jacobian: the tasks'. The auxiliary ones are added to the update as they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

from torch import Tensor

from umbel.core import Learner, Losses, UmbelError


@dataclass(frozen=True)
class Rows:
    """The losses whose gradients are rows.

    Attributes:
        tasks: Names of the T losses that are settled.
        losses: These T scalars, and behind them, where there are auxiliary losses, the sum of those: T or T + 1.
    """

    tasks: list[str]
    losses: list[Tensor]


def rows_of(learner: Learner, losses: Losses) -> Rows:
    """A row for each task, one more for all auxiliary losses together.

    Args:
        learner: Says which losses are auxiliary.
        losses: What it returned; a task may be missing.

    Raises:
        UmbelError: No loss is a task's.
    """
    tasks = task_rows(learner, losses)
    added = [loss for name, loss in losses.items() if learner.is_auxiliary(name)]
    return Rows(tasks.tasks, [*tasks.losses, reduce(add, added)]) if added else tasks


def task_rows(learner: Learner, losses: Losses, others: Sequence[str] = ()) -> Rows:
    """A row for each task, and none for auxiliary losses.

    Args:
        learner: As for `rows_of`.
        losses: As for `rows_of`.
        others: Auxiliary losses that are looked at as if they were tasks'.

    Raises:
        UmbelError: No loss is a task's.
    """
    names = [name for name in losses if not learner.is_auxiliary(name) or name in others]
    if not names:
        raise UmbelError(
            f"the learner returned no loss of a task (its tasks are {', '.join(learner.task_names)}, its losses "
            f"{', '.join(losses)}); name each task's loss as the task"
        )
    return Rows(names, [losses[name] for name in names])
