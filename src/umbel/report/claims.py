"""What a study set out to show, and what the interval of its measurement says about it."""

import math
import operator
from dataclasses import dataclass, field

from umbel.core import unknown
from umbel.report.records import Record

SHOWN = "shown"
"""All of the interval is on the right side of the bar."""
NOT_SHOWN = "not shown"
"""The interval crosses the bar, or there is none."""
REFUTED = "refuted"
"""All of the interval is on the wrong side of the bar."""
_COMPARISONS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}


@dataclass(frozen=True)
class Claim(Record):
    """A statement that the study tests, judged by the whole interval of what was measured and never by the mean alone.

        shown       every value of the interval is on the right side of the bar
        refuted     every value of the interval is on the wrong side
        not shown   the interval crosses the bar, or there is none

    Attributes:
        name: Short name.
        statement: What is claimed, in words.
        bar: What the value is compared with.
        comparison: ">=", ">", "<=" or "<".
        value: What was measured; None when it could not be.
        interval: Its 95 % confidence interval; None when there is none (one repeat).
        state: `SHOWN`, `NOT_SHOWN` or `REFUTED`. It follows from the others; what is given here is not looked at.
        reason: Why nothing is shown, where it is not the interval.
        unit: Unit of value and bar.

    Raises:
        UmbelError: An unknown comparison.
    """

    name: str
    statement: str
    bar: float
    comparison: str = ">="
    value: float | None = None
    interval: tuple[float, float] | None = None
    state: str = field(default="")
    reason: str = ""
    unit: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.comparison not in _COMPARISONS:
            raise unknown("comparison", self.comparison, _COMPARISONS)
        object.__setattr__(self, "state", self._judged())

    def _judged(self) -> str:
        if self.value is None or self.interval is None:
            return NOT_SHOWN
        compare = _COMPARISONS[self.comparison]
        ends = {compare(end, self.bar) for end in self.interval}
        if len(ends) > 1:
            return NOT_SHOWN
        return SHOWN if ends == {True} else REFUTED

    @classmethod
    def measured(
        cls,
        name: str,
        statement: str,
        value: float,
        bar: float,
        comparison: str = ">=",
        half_width: float | None = None,
        unit: str = "",
    ) -> "Claim":
        """A claim with its value.

        Args:
            name: Short name.
            statement: What is claimed.
            value: What was measured. NaN makes the claim one that was not measured.
            bar: What it is compared with.
            comparison: ">=", ">", "<=" or "<".
            half_width: Of the 95 % confidence interval; None or NaN when there is none.
            unit: Unit of value and bar.
        """
        if comparison not in _COMPARISONS:
            raise unknown("comparison", comparison, _COMPARISONS)
        if math.isnan(value):
            return cls.not_measured(name, statement, bar, "the measured value is not a number", comparison, unit)
        known = half_width is not None and not math.isnan(half_width)
        interval = (float(value - half_width), float(value + half_width)) if half_width is not None and known else None
        return cls(name, statement, float(bar), comparison, float(value), interval, unit=unit)

    @classmethod
    def not_measured(
        cls, name: str, statement: str, bar: float, reason: str, comparison: str = ">=", unit: str = ""
    ) -> "Claim":
        """A claim that could not be tested, and why."""
        return cls(name, statement, float(bar), comparison, reason=reason, unit=unit)

    @property
    def doubt(self) -> str:
        """Why it is not shown; empty where the interval decides."""
        if self.state != NOT_SHOWN:
            return ""
        if self.reason:
            return self.reason
        return "one repeat has no interval" if self.interval is None else "the interval crosses the bar"


def count_states(claims: "tuple[Claim, ...] | list[Claim]") -> str:
    """The states of several claims in words: "3 shown, 2 not shown, 1 refuted"; empty without claims."""
    counts = {state: sum(claim.state == state for claim in claims) for state in (SHOWN, NOT_SHOWN, REFUTED)}
    return ", ".join(f"{count} {state}" for state, count in counts.items()) if claims else ""
