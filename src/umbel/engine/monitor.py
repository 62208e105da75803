"""What chooses the best checkpoint: "improvement", or one of the scores that the learner offers."""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from umbel.core import Evaluation, Learner, Task, UmbelError
from umbel.engine.evaluation import evaluating
from umbel.engine.runtime import FabricRuntime
from umbel.metrics import relative_change, relative_improvement

IMPROVEMENT = "improvement"
"""The one monitor that compares: the mean relative change of the tasks' main metrics."""


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

    "improvement" compares with references where there are some:

        I = (1 / T) Σ over tasks t of  relative improvement of m_t over the reference of t.

    Without references, each evaluation is compared with the best one before it, b, whose number is I_b:

        I = I_b + (1 / T) Σ over tasks t of  relative change from m_t(b) to m_t,

    at most 200 % for a task (`umbel.metrics.relative_change`), so that neither a metric of 0 nor how a run began can
    decide. A task whose reference is 0 is judged in this way beside the others.

    Attributes:
        name: "improvement", or one of the learner's scores.
        references: For "improvement": task -> main metric to compare with; empty: none. A task whose reference is
            not finite is left out.
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

    def score(
        self,
        evaluation: Evaluation,
        learner: Learner,
        runtime: FabricRuntime,
        best: Evaluation | None = None,
        best_score: float = 0.0,
    ) -> float:
        """The number; -inf when it is not finite. Every process calls.

        Args:
            evaluation: What is judged.
            learner: Whose.
            runtime: Its processes.
            best: The best evaluation before this one, if there is one.
            best_score: Its number.

        Raises:
            UmbelError: See `check`; or the processes found different numbers.
        """
        self.check(learner)
        if self.name == IMPROVEMENT:
            value = self._improvement(evaluation, learner.tasks, best, best_score)
        else:
            with evaluating(learner, runtime, 0, runtime.rank):
                value = float(learner.scores()[self.name](evaluation, runtime))
        value = value if math.isfinite(value) else -math.inf
        self._check_agreement(value, runtime)
        return value

    def _improvement(
        self, evaluation: Evaluation, tasks: Sequence[Task], best: Evaluation | None, best_score: float
    ) -> float:
        """Relative to the references that are there, and from the best evaluation on for the other tasks."""
        referred = [t for t in tasks if self.references and math.isfinite(self.references[t.name])]
        moving = [t for t in (referred if self.references else tasks) if not self.references.get(t.name)]
        fixed = [t for t in referred if t not in moving]
        count = max(1, len(fixed) + len(moving))
        value = self._over_references(evaluation, fixed, count)
        if fixed and not moving:
            return value
        if best is None:
            return value
        before = self._over_references(best, fixed, count)
        since = best_score - before if math.isfinite(best_score) and math.isfinite(before) else 0.0
        return value + since + _change(evaluation, best, moving) / count

    def _over_references(self, evaluation: Evaluation, fixed: Sequence[Task], count: int) -> float:
        main = evaluation.main()
        gains = [relative_improvement(main[t.name], self.references[t.name], t.higher_is_better) for t in fixed]
        return sum(gains) / count

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


def _change(evaluation: Evaluation, best: Evaluation, tasks: Sequence[Task]) -> float:
    """The sum of the tasks' relative changes; of the losses where no main metric is known, -inf where one is lost."""
    main, before = evaluation.main(), best.main()
    known = [t for t in tasks if not math.isnan(main[t.name])]
    if any(t not in known and not math.isnan(before[t.name]) for t in tasks):
        return -math.inf
    if not known:
        return relative_change(evaluation.total_loss(), best.total_loss(), higher_is_better=False)
    return sum(relative_change(main[t.name], before[t.name], t.higher_is_better) for t in known)
