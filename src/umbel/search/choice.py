"""What a search answers: an operating point, with what it should do and what it costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from umbel.arguments import instance
from umbel.core import OperatingPoint
from umbel.errors import UmbelError
from umbel.search.budget import Budget, complete_preferences, format_cost, parse_budget, parse_preferences
from umbel.search.tables import GRID, ConfigurationTable

DIGITS = 10


@dataclass(frozen=True)
class Choice:
    """A configuration within a budget.

    Attributes:
        point: `width` of the encoder and `head_widths` by task.
        quality: Task -> predicted metric, as measured for the table.
        relative: Task -> change against the full configuration, higher is better; -0.03 is 3 % worse.
        value: Mean of `relative`, weighted by the preferences: what was maximised.
        cost: Kind of cost -> predicted cost, exact for the table.
        kind: Kind of cost that the budget limits.
        limit: The budget, in that kind's unit.
        preferences: Task -> preference, as asked.
        rule: How it was chosen: "exact", "proportional" or "equal".
        gap: By how much a better configuration could exceed `value`; 0 when the rule allows no better one. Above 0 only
            if the exact search met its limit of memory.
        seconds: How long the search took.
    """

    point: OperatingPoint
    quality: Mapping[str, float]
    relative: Mapping[str, float]
    value: float
    cost: Mapping[str, float]
    kind: str
    limit: float
    preferences: Mapping[str, float]
    rule: str
    gap: float = 0.0
    seconds: float = field(default=0.0, compare=False)

    @property
    def slack(self) -> float:
        """What is left of the budget, 0 or more."""
        return self.limit - self.cost[self.kind]


@dataclass(frozen=True)
class Question:
    """A table with a budget and preferences that were checked and fit it.

    Attributes:
        table: Quality and cost.
        kind: Kind of cost that is limited.
        limit: In the kind's unit.
        preferences: Task -> preference.
    """

    table: ConfigurationTable
    kind: str
    limit: float
    preferences: Mapping[str, float]

    @classmethod
    def of(
        cls,
        table: ConfigurationTable,
        budget: Budget | str,
        preferences: Mapping[str, float] | str | None,
        machine: str | None = None,
    ) -> "Question":
        """Read the budget and the preferences for a table.

        Raises:
            UmbelError: What `parse_budget`, `Budget.limit` and `parse_preferences` refuse, or latency of another
                machine when `machine` is given.
        """
        instance(table, ConfigurationTable, "the table of a search", "a ConfigurationTable")
        instance(budget, (str, Budget), "the budget of a search", "a text, as 30%, or a Budget")
        kind, limit = (parse_budget(budget) if isinstance(budget, str) else budget).limit(table)
        if machine is not None and kind == "latency_ms":
            table.check_machine(machine)
        if isinstance(preferences, str):
            return cls(table, kind, limit, parse_preferences(preferences, table.tasks))
        return cls(table, kind, limit, complete_preferences({} if preferences is None else preferences, table.tasks))

    @property
    def weights(self) -> np.ndarray:
        """Preferences against the largest [T], to ten digits, so that their common scale changes nothing."""
        values = np.array([self.preferences[task] for task in self.table.tasks])
        return np.round(values / values.max(), DIGITS)

    @property
    def steps(self) -> int:
        """The limit in whole steps of the cost's grid, rounded down."""
        return min(int(np.floor(self.limit * GRID[self.kind])), 2**60)

    def value(self, encoder: int, heads: Sequence[int]) -> float:
        """The preference-weighted mean of the relative qualities."""
        relative = self.table.relative_quality[range(len(heads)), encoder, list(heads)]
        return float(self.weights @ relative / self.weights.sum())

    def choice(self, rule: str, encoder: int, heads: Sequence[int], gap: float = 0.0, seconds: float = 0.0) -> Choice:
        """The answer for one configuration, given as places on the grids of widths, heads in the table's order."""
        table, tasks = self.table, self.table.tasks
        widths = {task: table.head_widths[head] for task, head in zip(tasks, heads, strict=True)}
        places = (range(len(tasks)), encoder, list(heads))
        return Choice(
            OperatingPoint(width=table.encoder_widths[encoder], head_widths=widths),
            dict(zip(tasks, table.quality[places].tolist(), strict=True)),
            dict(zip(tasks, table.relative_quality[places].tolist(), strict=True)),
            self.value(encoder, heads),
            {kind: table.cost(kind, encoder, heads) for kind in table.kinds},
            self.kind,
            self.limit,
            dict(self.preferences),
            rule,
            gap,
            seconds,
        )

    def impossible(self, smallest: Choice) -> UmbelError:
        """The error for a budget below the smallest possible cost."""
        heads = smallest.point["head_widths"]
        same = len(set(heads.values())) == 1
        named = (
            f"every head {next(iter(heads.values())):g}" if same else ", ".join(f"{t} {w:g}" for t, w in heads.items())
        )
        return UmbelError(
            f"nothing fits a budget of {format_cost(self.kind, self.limit)}; the smallest possible is "
            f"{format_cost(self.kind, smallest.cost[self.kind])} (encoder {smallest.point['width']:g}, {named})"
        )
