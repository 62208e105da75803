"""Power flows a second of several candidates, timed in turns on one machine."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from umbel.arguments import whole_number
from umbel.errors import UmbelError
from umbel.grids import States
from umbel.report import describe_environment

OFF_PU = 1e-3
"""A row is off where its |V| is wrong by more than this at some bus."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """What is timed.

    Attributes:
        name: For the table.
        run: Answers all its rows.
        truth: [rows, n], the solved states of these rows; NaN where there is no solution.
        note: What a reader must know, as where it starts.
    """

    name: str
    run: Callable[[], States]
    truth: States
    note: str = ""

    @property
    def rows(self) -> int:
        """Power flows of one run."""
        return len(self.truth.magnitude)


@dataclass(frozen=True)
class Rate:
    """How fast a candidate is, and how right.

    Attributes:
        name: Of the candidate.
        per_second: Rows a second, by the median of its runs.
        slowest: By the slowest run.
        quickest: By the quickest.
        rows: Of one run.
        runs: How many were timed.
        error_pu: Root mean square error of |V| over what it answered; NaN where it answered nothing.
        worst_pu: The greatest.
        off: Rows that it answered with |V| off by more than `OFF_PU` somewhere, as by another solution.
        unanswered: Rows that have a solution and got none (not converged).
        note: Of the candidate.
    """

    name: str
    per_second: float
    slowest: float
    quickest: float
    rows: int
    runs: int
    error_pu: float
    worst_pu: float
    off: int
    unanswered: int
    note: str


@dataclass(frozen=True)
class Throughput:
    """Rates of candidates that were timed together.

    Attributes:
        rates: In the candidates' order.
        machine: Processor and threads of torch.
    """

    rates: tuple[Rate, ...]
    machine: str

    def ratio(self, name: str, other: str) -> float:
        """How many times faster one candidate is than another.

        Raises:
            UmbelError: No candidate has this name.
        """
        per_second = {rate.name: rate.per_second for rate in self.rates}
        for wanted in (name, other):
            if wanted not in per_second:
                raise UmbelError(f"no candidate is called {wanted!r}; there are {', '.join(per_second)}")
        return per_second[name] / per_second[other]


def measure_throughput(
    candidates: Sequence[Candidate],
    runs: int = 5,
    say: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Throughput:
    """Time candidates in turns, so that what else the machine does meets all alike.

    Each runs once unmeasured, which warms it up and tells how right it is; then all run one after the other, forwards
    and backwards by turns. The number of threads is the caller's: what `torch.set_num_threads` says holds for NumPy's
    and SciPy's libraries as well while this runs.

    Args:
        candidates: With names that differ.
        runs: That are timed of each.
        say: Told how far it is.
        clock: Seconds that have passed; another one for tests.

    Raises:
        UmbelError: Two of one name, or no run.
    """
    runs = whole_number(runs, "runs", least=1)
    names = [candidate.name for candidate in candidates]
    if len(set(names)) < len(names):
        raise UmbelError(f"candidates are called {', '.join(names)}; give each a name of its own")
    threads = torch.get_num_threads()
    with threadpool_limits(threads):
        answers = [candidate.run() for candidate in candidates]
        seconds = _in_turns(candidates, runs, say, clock)
    rates = [_rate(*each) for each in zip(candidates, answers, seconds, strict=True)]
    return Throughput(tuple(rates), f"{describe_environment()['cpu']}, {threads} thread{'s' * (threads > 1)}")


def _in_turns(
    candidates: Sequence[Candidate], runs: int, say: Callable[[str], None] | None, clock: Callable[[], float]
) -> list[list[float]]:
    """The seconds of every run of every candidate."""
    seconds: list[list[float]] = [[] for _ in candidates]
    for turn in range(runs):
        places = range(len(candidates))
        for place in places if turn % 2 == 0 else reversed(places):
            began = clock()
            candidates[place].run()
            seconds[place].append(max(clock() - began, 1e-9))
        if say is not None:
            say(f"throughput: {turn + 1} of {runs} rounds")
    return seconds


def _rate(candidate: Candidate, answer: States, seconds: list[float]) -> Rate:
    errors = np.abs(answer.magnitude - candidate.truth.magnitude)
    judged = np.isfinite(errors).all(1)
    errors = errors[judged]
    solvable = np.isfinite(candidate.truth.magnitude).all(1)
    unanswered = solvable & ~np.isfinite(answer.magnitude).all(1)
    return Rate(
        name=candidate.name,
        per_second=candidate.rows / float(np.median(seconds)),
        slowest=candidate.rows / max(seconds),
        quickest=candidate.rows / min(seconds),
        rows=candidate.rows,
        runs=len(seconds),
        error_pu=math.sqrt(float(np.mean(errors**2))) if errors.size else math.nan,
        worst_pu=float(errors.max()) if errors.size else math.nan,
        off=int((errors.max(1, initial=0) > OFF_PU).sum()),
        unanswered=int(unanswered.sum()),
        note=candidate.note,
    )
