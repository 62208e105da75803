"""Progress for a person: bars with losses and time left in a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Mapping
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)


class Reporter(Protocol):
    """What a run tells while it goes on."""

    def expect(self, runs: int, title: str = "all networks") -> None:
        """So many (more) runs will follow."""
        ...

    def begin(self, label: str, total: int, done: int = 0) -> None:
        """A run of `total` steps starts."""
        ...

    def step(self, done: int, losses: Mapping[str, float]) -> None:
        """`done` steps are over; the latest mean losses."""
        ...

    def end(self) -> None:
        """The run is over."""
        ...

    def say(self, line: str) -> None:
        """One line of text."""
        ...


class Silent:
    """Says nothing."""

    def expect(self, runs: int, title: str = "all networks") -> None:
        """Nothing."""

    def begin(self, label: str, total: int, done: int = 0) -> None:
        """Nothing."""

    def step(self, done: int, losses: Mapping[str, float]) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        """Nothing."""


def short(losses: Mapping[str, float], most: int = 4) -> str:
    """Losses in a few words: "left 0.41 · right 0.39 · 3 more, mean 0.52"."""
    shown = " · ".join(f"{name} {value:.3g}" for name, value in list(losses.items())[:most])
    rest = list(losses.values())[most:]
    return f"{shown} · {len(rest)} more, mean {sum(rest) / len(rest):.3g}" if rest else shown


class TerminalReporter:
    """Rich bars on stderr; without a terminal, a plain line every ten seconds. Use as a context manager.

    Args:
        runs: How many runs there will be, for the outer bar; None shows no outer bar.
        title: Label of the outer bar.
        quiet: Say nothing (for processes other than the main one).
    """

    def __init__(self, runs: int | None = None, title: str = "all networks", quiet: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=quiet)
        self._quiet = quiet
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}", markup=False),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
            transient=True,
        )
        self._outer: TaskID | None = None
        self._runs = 0
        if runs is not None:
            self.expect(runs, title)
        self._inner: TaskID | None = None
        self._label, self._total, self._spoken, self._began, self._from = "", 0, 0.0, 0.0, 0

    def __enter__(self) -> "TerminalReporter":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def expect(self, runs: int, title: str = "all networks") -> None:
        """Show an outer bar that counts runs; asked again, it counts so many more."""
        self._runs += runs
        if self._outer is None:
            self._outer = self._bars.add_task(title, total=self._runs, losses="")
        else:
            self._bars.update(self._outer, total=self._runs)

    def begin(self, label: str, total: int, done: int = 0) -> None:
        """Show a bar for one run."""
        self._label, self._total, self._from = label, total, done
        self._began = self._spoken = time.monotonic()
        self._inner = self._bars.add_task(label, total=total, completed=done, losses="")

    def step(self, done: int, losses: Mapping[str, float]) -> None:
        """Advance it."""
        if self.console.is_terminal and self._inner is not None:
            self._bars.update(self._inner, completed=done, losses=short(losses))
        elif not self._quiet and (now := time.monotonic()) - self._spoken >= 10:
            self._spoken = now
            left = (now - self._began) / max(done - self._from, 1) * (self._total - done)
            line = [f"{self._label}: step {done}/{self._total}", f"{left:.0f} s left", *filter(None, [short(losses)])]
            print(", ".join(line), file=sys.stderr, flush=True)

    def end(self) -> None:
        """Remove it and advance the outer bar."""
        if self._inner is not None:
            self._bars.remove_task(self._inner)
            self._inner = None
        if self._outer is not None:
            self._bars.advance(self._outer)

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self.console.print(line, markup=False)
