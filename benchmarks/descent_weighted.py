"""Descents that only weigh the losses, against the plain sum: one backward pass, so they should cost the same."""

import torch

from benchmarks.descent_nets import CONV, Setting, make_batch, make_learner, runtime_of
from benchmarks.descent_peers import CLOCK, PLAIN, POINT, UNIT, Side, descent_step
from benchmarks.descents import SHORT
from benchmarks.measure import Row, compare, say, taking_turns
from umbel.core import Batch, Descent, Learner, Runtime
from umbel.descent import WeightedSum, make_descent
from umbel.descent.passes import untouched

NAMES = ("uncertainty", "dwa", "famo", "geometric-mean", "random-weights")
TARGET, SECONDS, FEWEST, MOST, WARM_UP = 1.05, 10.0, 10, 80, 3
FORWARD = "one more forward pass"


def _with_after_step(descent: Descent, learner: Learner, batch: Batch, runtime: Runtime) -> Side:
    """A step and what comes after the optimizer's: a second look at the batch, for FAMO."""
    step = descent_step(descent, learner, batch, runtime)

    def both() -> None:
        step()
        descent.after_step(learner, batch, POINT, runtime)

    return both


def _forward(learner: Learner, batch: Batch, runtime: Runtime) -> Side:
    """Losses without gradients and without a trace in running statistics: the least that FAMO needs besides."""

    def look() -> None:
        with torch.no_grad(), untouched(learner, runtime.device), runtime.autocast():
            learner.losses(batch, POINT)

    return look


def of_setting(setting: Setting) -> list[Row]:
    """Each of the weighted descents; FAMO against the plain step plus a forward pass too, which is its limit."""
    batch, runtime = make_batch(setting), runtime_of(setting)
    sides = {PLAIN: descent_step(WeightedSum(), make_learner(setting), batch, runtime)}
    sides |= {name: _with_after_step(make_descent(name), make_learner(setting), batch, runtime) for name in NAMES}
    sides[FORWARD] = _forward(make_learner(setting), batch, runtime)
    times = taking_turns(sides, SECONDS, FEWEST, MOST, WARM_UP, CLOCK)
    plain, rows = times[PLAIN], []
    for name in NAMES:
        limited = name == "famo"
        target = None if limited else TARGET
        rows.append(compare(f"{setting}: {name}", times[name], plain, PLAIN, target, 1e3, UNIT))
        if limited:
            limit = [a + b for a, b in zip(plain, times[FORWARD], strict=True)]
            what = f"{setting}: famo, which looks at the batch again"
            rows.append(compare(what, times[name], limit, f"plain and {FORWARD}", TARGET, 1e3, UNIT))
    say(f"{setting}: " + ", ".join(f"{row.what.split(': ')[-1]} {row.ratio:.3f}" for row in rows))
    return rows


def measure() -> list[Row]:
    return [row for setting in (CONV, SHORT) for tasks in (4, 16) for row in of_setting(setting.but(tasks=tasks))]
