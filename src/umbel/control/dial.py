"""`Dial`: a live slimmable model, turned by budget and preferences while it serves."""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from umbel.core import MultiTaskModel, OperatingPoint, UmbelError
from umbel.nn import Slimmable, check_widths
from umbel.search import Budget, Choice, ConfigurationTable, complete_preferences, parse_preferences, search

_REMEMBERED = 1024  # answers of the search
_WHOLE = "100%"

BudgetLike = Budget | str | None
Preferences = Mapping[str, float] | str | None


@dataclass(frozen=True)
class _Position:
    """What the dial shows: one object, so that a request reads all of it or none."""

    point: OperatingPoint
    choice: Choice | None
    budget: Budget | str
    preferences: Mapping[str, float]


class Dial:
    """A slimmable model that answers requests at the point that its dial shows, or at the request's own.

    A turn changes what later requests run at, nothing else: weights and buffers stay where they are, and requests
    that are running go on at their own point. Any number of threads may turn and call at the same time; none waits for
    another's forward pass, because the width of a pass is a context variable and what the dial shows is one object.

        dial = Dial(model, table, budget="30%")
        dial(inputs)                             at 30 % of the full latency
        dial.turn(prefer="depth=2")              from now on with depth preferred, at the same budget
        dial(inputs, budget="4ms")               this request alone

    Args:
        model: With `Slimmable` parts and calibrated statistics. It is switched to evaluation mode and must stay there.
        table: Quality and cost of its configurations.
        preferences: As `search` takes them; None treats all tasks alike.
        budget: As `search` takes it; None is the whole cost of the full configuration.
        point: Where to start instead of what the search says, until the first turn.
        machine: This machine, as `machine_name` says it, to refuse latency budgets with another machine's table.

    Raises:
        UmbelError: A table of other tasks or widths than the model's, a budget or preferences that `search` refuses,
            or a point without statistics.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        table: ConfigurationTable,
        *,
        preferences: Preferences = None,
        budget: BudgetLike = None,
        point: OperatingPoint | None = None,
        machine: str | None = None,
    ) -> None:
        self._model = model.eval()
        self._parts = tuple(model.modules())
        self._table, self._machine = table, machine
        self._answers: OrderedDict[Hashable, Choice] = OrderedDict()
        self._remembering, self._turning = threading.Lock(), threading.Lock()
        _check_table(model, table)
        budget, wanted = _WHOLE if budget is None else budget, self._complete(preferences)
        choice = self._answer(budget, wanted) if point is None else None
        self._position = self._checked(_Position(point or choice.point, choice, budget, wanted))

    @property
    def point(self) -> OperatingPoint:
        """Where requests run that do not say otherwise."""
        return self._position.point

    @property
    def choice(self) -> Choice | None:
        """What the search said about the current point; None while that is the one given at the start."""
        return self._position.choice

    def turn(self, budget: BudgetLike = None, prefer: Preferences = None) -> Choice:
        """Change the point for later requests; what is not given stays as it was.

        Args:
            budget: The new budget.
            prefer: The new preferences, of all tasks: those that are not named count 1.

        Returns:
            What the search says about the new point.

        Raises:
            UmbelError: As `search`, or a point without statistics; the dial stays where it was.
        """
        with self._turning:  # two turns at once, one of the budget and one of the preferences, must both count
            self._position = position = self._checked(self._asked(budget, prefer))
        return position.choice

    def __call__(self, inputs: Tensor, budget: BudgetLike = None, prefer: Preferences = None) -> dict[str, Tensor]:
        """Raw predictions of all tasks, at the current point or at this request's own.

        Args:
            inputs: [B, ...].
            budget: Of this request; None: that of the dial.
            prefer: Of this request; None: those of the dial.

        Returns:
            Task -> prediction, made in inference mode (no gradients can be taken of it).

        Raises:
            UmbelError: As `search`, a point without statistics, or a model that is in training mode.
        """
        if any(part.training for part in self._parts):
            raise UmbelError("the model of this dial is in training mode; call model.eval() before it serves")
        point = self.point if budget is None and prefer is None else self._asked(budget, prefer).point
        with torch.inference_mode():
            return self._model(inputs, point)

    def _asked(self, budget: BudgetLike, prefer: Preferences) -> _Position:
        """Where a budget and preferences lead; what is not given is the dial's."""
        current = self._position
        budget = current.budget if budget is None else budget
        preferences = current.preferences if prefer is None else self._complete(prefer)
        choice = self._answer(budget, preferences)
        return _Position(choice.point, choice, budget, preferences)

    def _complete(self, preferences: Preferences) -> Mapping[str, float]:
        if isinstance(preferences, str):
            return parse_preferences(preferences, self._table.tasks)
        return complete_preferences(preferences or {}, self._table.tasks)

    def _answer(self, budget: Budget | str, preferences: Mapping[str, float]) -> Choice:
        """The search's answer, from memory when it was asked before."""
        key = (budget, *preferences.values())
        with self._remembering:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]
        choice = search(self._table, budget, preferences, machine=self._machine)
        with self._remembering:
            self._answers[key] = choice
            while len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        return choice

    def _checked(self, position: _Position) -> _Position:
        """The position, if the model can be run there."""
        check_widths(self._model, position.point)
        for part in self._parts:
            if isinstance(part, Slimmable):
                part.check_calibrated(position.point)
        return position


def _check_table(model: MultiTaskModel, table: ConfigurationTable) -> None:
    """Refuse a table of another model, as far as can be seen."""
    if set(table.tasks) != set(model.task_names):
        raise UmbelError(
            f"the table has tasks {', '.join(table.tasks)}, the model {', '.join(model.task_names)}; calibrate this one"
        )
    for encoder_width in table.encoder_widths:
        for head_width in table.head_widths:
            heads = dict.fromkeys(table.tasks, head_width)
            check_widths(model, OperatingPoint(width=encoder_width, head_widths=heads))
