"""Interleaved timing: A and B take turns, so that a machine whose speed drifts slows both alike."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: What was measured.
        ours: Median of ours, in `unit`.
        other: Median of the other, in `unit`.
        other_name: What the other is.
        ratio: Median over the turns of ours / other.
        low: 10 % point of that ratio.
        high: 90 % point.
        unit: "ms", "MB", ...
        target: The ratio (or value) that must not be exceeded; None when there is none.
        turns: How many turns were counted.
    """

    what: str
    ours: float
    other: float
    other_name: str
    ratio: float
    low: float
    high: float
    unit: str
    target: float | None
    turns: int

    @property
    def met(self) -> str:
        """Whether the target is met."""
        return "–" if self.target is None else "yes" if self.ratio <= self.target else "NO"


@dataclass(frozen=True)
class Note:
    """A line of a table without numbers: what could not be measured, and why.

    Attributes:
        what: What was to be measured.
        text: Why there is no number.
    """

    what: str
    text: str


def say(text: str) -> None:
    """A line on the terminal while something takes long."""
    print(text, file=sys.stderr, flush=True)


def interleaved(ours: Callable[[], object], other: Callable[[], object], turns: int, warm_up: int) -> tuple[list, list]:
    """Seconds of every turn of both; which of the two goes first changes from turn to turn."""
    times: dict[int, list[float]] = {0: [], 1: []}
    both = (ours, other)
    for turn in range(warm_up + turns):
        for which in (turn % 2, 1 - turn % 2):
            began = time.perf_counter()
            both[which]()
            if turn >= warm_up:
                times[which].append(time.perf_counter() - began)
    return times[0], times[1]


def taking_turns(
    sides: Mapping[str, Callable[[], object]],
    seconds: float,
    fewest: int,
    most: int,
    warm_up: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of every turn of any number of sides; the order is turned and reversed from turn to turn.

    Args:
        sides: By name.
        seconds: About how long to measure; the last warm-up turn tells how many turns that is.
        fewest: Turns at the least.
        most: Turns at the most.
        warm_up: Turns before that do not count, at least one.
        clock: What tells the seconds of a turn; `time.process_time` leaves out what other processes take.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    turn, turns = 0, 0
    while turn < warm_up + turns or not turns:
        names = list(sides)
        names = (names[turn % len(names) :] + names[: turn % len(names)])[:: 1 if turn % 2 else -1]
        started = time.perf_counter()
        for name in names:
            began = clock()
            sides[name]()
            if turn >= warm_up:
                times[name].append(clock() - began)
        turn += 1
        if turn == warm_up:
            turns = round(min(max(seconds / (time.perf_counter() - started), fewest), most))
    return times


def compare(
    what: str, ours: list[float], other: list[float], other_name: str, target: float | None, scale: float, unit: str
) -> Row:
    """A row from the values of both, turn by turn.

    The ratio of medians is the figure; the spread is that of the turn-by-turn ratios.
    """
    ratios = sorted(a / b for a, b in zip(ours, other, strict=True))
    low, high = ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10]
    mine, theirs = statistics.median(ours), statistics.median(other)
    return Row(what, mine * scale, theirs * scale, other_name, mine / theirs, low, high, unit, target, len(ours))


def table(rows: list[Row | Note]) -> str:
    """Rows as Markdown."""
    lines = [
        "| what | ours | other | which | ratio of medians (10–90 % of turns) | target | met |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        if isinstance(r, Note):
            lines.append(f"| {r.what} | – | – | – | {r.text} |  | – |")
            continue
        target = "" if r.target is None else f"≤ {r.target:g}"
        ratio = f"{r.ratio:.3f} ({r.low:.3f}–{r.high:.3f}), {r.turns} turns"
        values = f"{r.ours:.3g} {r.unit} | {r.other:.3g} {r.unit} | {r.other_name}"
        lines.append(f"| {r.what} | {values} | {ratio} | {target} | {r.met} |")
    return "\n".join(lines)
