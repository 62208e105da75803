"""What chooses the best checkpoint: "improvement", or one of the scores that the learner offers."""

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from umbel.core import Evaluation, Learner, UmbelError
from umbel.engine.evaluation import evaluating
from umbel.engine.runtime import FabricRuntime
from umbel.metrics import relative_improvement

IMPROVEMENT = "improvement"
"""The one monitor that needs references: the mean relative change of the tasks' main metrics."""


def check_monitor(name: str, *offers: Iterable[str]) -> None:
    """Before training: see whether every network can be judged by a monitor.

        check_monitor(settings.monitor, learner.scores())      # or task_scores(data.tasks), without a learner

    Args:
        name: As in `FitSettings.monitor`.
        offers: For each network that will be trained, the names of its scores (`Learner.scores`, or
            `core.task_scores` of its tasks).

    Raises:
        UmbelError: Some network does not offer it; lists what all of them do.
    """
    first, *others = [list(offer) for offer in offers] or [[]]
    known = [IMPROVEMENT, *(n for n in first if all(n in other for other in others))]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UmbelError(f"unknown monitor {name!r}; {hint}known: {', '.join(known)}")


@dataclass(frozen=True)
class Monitor:
    """One number from an evaluation, greater is better: what chooses the best checkpoint.

    Attributes:
        name: "improvement", or one of the learner's scores.
        references: For "improvement": task -> main metric to compare with. A task whose reference is 0 or not
            finite is left out.
    """

    name: str
    references: Mapping[str, float]

    def check(self, learner: Learner) -> None:
        """Before training: see whether this can be computed for the learner.

        Raises:
            UmbelError: The learner offers no such score, or a task has no reference.
        """
        check_monitor(self.name, learner.scores())
        for task in learner.tasks:
            if self.name == IMPROVEMENT and self.references and task.name not in self.references:
                raise UmbelError(f"monitor 'improvement': task {task.name!r} has no reference; give one for each task")

    def score(self, evaluation: Evaluation, learner: Learner, runtime: FabricRuntime) -> float:
        """The number; -inf when it is not finite. Every process calls.

        Raises:
            UmbelError: See `check`; or the processes found different numbers.
        """
        self.check(learner)
        if self.name == IMPROVEMENT:
            value = self._improvement(evaluation, learner)
        else:
            with evaluating(learner, runtime, 0, runtime.rank):
                value = float(learner.scores()[self.name](evaluation, runtime))
        value = value if math.isfinite(value) else -math.inf
        self._check_agreement(value, runtime)
        return value

    def _improvement(self, evaluation: Evaluation, learner: Learner) -> float:
        main = evaluation.main()
        gains = [
            relative_improvement(main[t.name], self.references[t.name], t.higher_is_better)
            for t in learner.tasks
            if math.isfinite(self.references[t.name]) and self.references[t.name]
        ]
        return sum(gains) / len(gains) if gains else -evaluation.total_loss()

    def _check_agreement(self, value: float, runtime: FabricRuntime) -> None:
        """Processes that keep different checkpoints would part for good."""
        if runtime.world_size == 1:
            return
        values = torch.zeros(runtime.world_size, dtype=torch.float64, device=runtime.device)
        values[runtime.rank] = value
        values = runtime.sum(values)
        if not bool((values == values[0]).all()):
            raise UmbelError(
                f"monitor {self.name!r} is {' and '.join(f'{v:.9g}' for v in values.tolist())} on the processes; "
                "a score must be the same on all: add its parts up with runtime.sum"
            )
