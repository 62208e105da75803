"""Budgets and preferences as a user writes them: "4ms", "30%", "50MFLOPs"; "depth=2,seg=1"."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from umbel.arguments import instance, names, one_of, real_number
from umbel.errors import UmbelError, unknown
from umbel.search.tables import COST_KINDS, ConfigurationTable

_PREFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_COUNTED = {
    "macs": ("macs", Fraction(1)),
    "mac": ("macs", Fraction(1)),
    "flops": ("macs", Fraction(1, 2)),
    "flop": ("macs", Fraction(1, 2)),
    "params": ("parameters", Fraction(1)),
    "parameters": ("parameters", Fraction(1)),
    "b": ("bytes", Fraction(1)),
    "bytes": ("bytes", Fraction(1)),
}
_UNITS = {
    prefix + unit: (kind, scale * f) for unit, (kind, f) in _COUNTED.items() for prefix, scale in _PREFIXES.items()
}
_UNITS |= {f"{prefix}ib": ("bytes", Fraction(1024**power)) for power, prefix in enumerate("kmgt", start=1)}
_UNITS |= {"s": ("latency_ms", Fraction(1000)), "ms": ("latency_ms", Fraction(1))}
_UNITS |= {name: ("latency_ms", Fraction(1, 1000)) for name in ("us", "µs", "μs")}
_OF = {"latency": "latency_ms", "time": "latency_ms", "ms": "latency_ms", "memory": "bytes", "size": "bytes"}
_OF |= {kind: kind for kind in COST_KINDS} | {name: kind for name, (kind, _) in _COUNTED.items() if name != "b"}

UNITS = "s, ms, us; MACs, FLOPs, params, B (each with K, M, G or T before it); KiB, MiB, GiB; %"
"""The units of a budget, for messages."""

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(.*?)\s*", re.IGNORECASE | re.DOTALL)
_SHOWN = {"macs": "MACs", "parameters": "params", "bytes": "B"}


@dataclass(frozen=True)
class Budget:
    """The most that a configuration may cost.

    Attributes:
        amount: In milliseconds, MACs, parameters or bytes; or in percent of the full configuration.
        kind: Of the cost. None, for percent only, is latency where it was measured, otherwise MACs.
        percent: Whether `amount` is a percentage.
    """

    amount: float
    kind: str | None = None
    percent: bool = False

    def __post_init__(self) -> None:
        real_number(self.amount, "a budget")
        instance(self.percent, bool, "percent of a budget", "True or False")
        if not (math.isfinite(self.amount) and self.amount > 0):
            raise UmbelError(f"a budget must be above 0; it is {self.amount:g}")
        if self.kind is not None:
            one_of(self.kind, "kind of cost", COST_KINDS)
        if self.kind is None and not self.percent:
            raise UmbelError(f"a budget of {self.amount:g} without a unit; units: {UNITS}")

    def limit(self, table: ConfigurationTable) -> tuple[str, float]:
        """Kind of cost and limit for one table.

        Raises:
            UmbelError: The table does not have that cost.
        """
        kind = self.kind
        if kind is None:
            kind = next((known for known in ("latency_ms", "macs") if known in table.kinds), None)
        if kind is None:
            raise UmbelError(
                f"{self.amount:g}% of what? say {' or '.join(f'{self.amount:g}% {k}' for k in table.kinds)}"
            )
        table.require(kind)
        if not self.percent:
            return kind, self.amount
        return kind, float(Fraction(self.amount) * Fraction(table.full_cost(kind)) / 100)


def parse_budget(text: str) -> Budget:
    """A budget from text such as "4ms", "30%", "30% macs", "50MFLOPs", "20 MMACs", "200KB", "1.5Mparams".

    Capitals do not matter. One multiply-accumulate is two FLOPs; KB is 1000 bytes, KiB 1024. Latency is that of one
    batch of the size that it was calibrated with. A bare percentage is of the full configuration's latency where it
    was measured, otherwise of its MACs.

    Examples:
        >>> parse_budget("50MFLOPs")
        Budget(amount=25000000.0, kind='macs', percent=False)

    Raises:
        UmbelError: Not a number, no unit, an unknown unit, or not above 0.
    """
    instance(text, str, "a budget", "a text, as 4ms or 30%")
    match = _NUMBER.fullmatch(text)
    if not match:
        raise UmbelError(f"budget {text!r}: write a number and a unit, as in 4ms, 30% or 50MFLOPs; units: {UNITS}")
    number, unit = Fraction(match[1]), match[2].casefold()
    if number <= 0:
        raise UmbelError(f"budget {text!r}: a budget must be above 0")
    if unit.startswith("%"):
        of = unit[1:].removeprefix(" of").strip()
        if of and of not in _OF:
            raise UmbelError(f"budget {text!r}: a percentage of {of!r} is unknown; {', '.join(COST_KINDS)}")
        return Budget(_amount(number, text), _OF.get(of), percent=True)
    if not unit:
        raise UmbelError(f"budget {text!r} has no unit; units: {UNITS}")
    if unit not in _UNITS:
        raise UmbelError(f"budget {text!r}: unknown unit {match[2]!r}; units: {UNITS}")
    kind, scale = _UNITS[unit]
    return Budget(_amount(number * scale, text), kind)


def _amount(number: Fraction, text: str) -> float:
    try:
        return float(number)
    except OverflowError as error:
        raise UmbelError(f"budget {text!r} is too large") from error


def format_cost(kind: str, amount: float) -> str:
    """A cost as people read it: "3.2 ms", "25 MMACs", "200 KB".

    Examples:
        >>> format_cost("macs", 25e6)
        '25 MMACs'
    """
    one_of(kind, "kind of cost", COST_KINDS)
    amount = real_number(amount, "a cost")
    if kind == "latency_ms":
        return f"{amount:.4g} ms"
    for prefix, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if amount >= scale:
            return f"{amount / scale:.4g} {prefix}{_SHOWN[kind]}"
    return f"{amount:.4g} {_SHOWN[kind]}"


def complete_preferences(preferences: Mapping[str, float], tasks: Sequence[str]) -> dict[str, float]:
    """A preference for every task, in the order of `tasks`; 1 for those that are not named.

    1 is ordinary: "depth=2" makes depth count twice as much as every other task. A task is given up with "task=0".

    Raises:
        UmbelError: An unknown task, a preference that is negative or not finite, or all of them 0.
    """
    instance(preferences, Mapping, "preferences", "a mapping from task to number, or a text")
    tasks = names(tasks, "tasks")
    for task, value in preferences.items():
        value = real_number(value, f"preference of {task!r}")  # noqa: PLW2901 - the same value, as a number
        if task not in tasks:
            raise unknown("task", task, tasks)
        if not (math.isfinite(value) and value >= 0):
            raise UmbelError(f"preference {task}={value:g}: give 0 or more")
    complete = {task: float(preferences.get(task, 1.0)) for task in tasks}
    if not any(complete.values()):
        raise UmbelError("every preference is 0; at least one task must count")
    return complete


def parse_preferences(text: str, tasks: Sequence[str]) -> dict[str, float]:
    """Preferences from text such as "depth=2,seg=1".

    Only ratios count. A task that is not named counts 1 (see `complete_preferences`), so the empty text treats all
    tasks alike; whoever writes fractions ("depth=0.7,seg=0.3") should name every task.

    Raises:
        UmbelError: Text of another form, a task named twice, and what `complete_preferences` refuses.
    """
    instance(text, str, "preferences", "a text, as depth=2,seg=1")
    tasks = names(tasks, "tasks")
    given: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        task, sign, value = (piece.strip() for piece in part.partition("="))
        if not sign or not task:
            raise UmbelError(f"preference {part!r}: write task=number, as in {tasks[0]}=2")
        if task in given:
            raise UmbelError(f"preferences name {task!r} twice")
        try:
            given[task] = float(value)
        except ValueError as error:
            raise UmbelError(f"preference {part!r}: {value!r} is not a number") from error
    return complete_preferences(given, tasks)
