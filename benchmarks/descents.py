"""Time of a step by Umbel's engines, against a plain step and TorchJD's best, on three nets.

Sides take turns within one run; with one thread it is the processor's time of this process that counts. TorchJD's best
is the faster (by its median in that run) of its default and of one task at a time. Where a side raises, the table says
so.
"""

import statistics

from benchmarks.descent_nets import CONV, Setting, resnet, transformer
from benchmarks.descent_peers import (
    CLOCK,
    ENGINES,
    ONE_BY_ONE,
    PLAIN,
    TIMED,
    UNIT,
    available,
    check_agreement,
    sides_of,
    working,
)
from benchmarks.measure import Note, Row, compare, say, taking_turns

TASKS = (2, 4, 8, 16, 40)
SECONDS, FEWEST, MOST, WARM_UP = 8.0, 5, 24, 2
HEAVY_FEWEST, HEAVY_WARM_UP = 3, 1
AIMED = ("auto", "sketched")
"""The engines with a target: compared with TorchJD's best, and the only ones where a step takes long."""

SKETCHED_FROM = 8
TRUE_RESNET, NARROW_RESNET = resnet(64, 8), resnet(32, 8)
SHORT, LONG = transformer(16, 16), transformer(64, 32)
LONG_MANY = transformer(64, 8)
"""For T = 40: a batch of 32 would take minutes."""
KEPT = transformer(16, 64, width=128)
KEPT_TURNS, NOISE = 30, 1.02
"""Turns that tell a few percent, and what counts as none."""


def target_of(setting: Setting, engine: str) -> float | None:
    """How much of the time of TorchJD's best an engine may take."""
    if engine == "auto":
        return 0.9 if setting.compiled or setting.encoder == "transformer" else 1.0
    return 0.8 if engine == "sketched" and setting.tasks >= SKETCHED_FROM else None


def measured(setting: Setting, heavy: bool = False, aggregator: str = "aligned-mtl") -> list[Row | Note]:
    """All rows of one setting.

    Args:
        setting: Net, precision, batch, T.
        heavy: Fewer turns and engines.
        aggregator: Of the catalogue.
    """
    engines = AIMED if heavy else ENGINES
    ways = (ONE_BY_ONE,) if setting.compiled else TIMED
    sides, rows = working(sides_of(setting, engines, ways, aggregator), str(setting))
    fewest, warm_up = (HEAVY_FEWEST, HEAVY_WARM_UP) if heavy else (FEWEST, WARM_UP)
    times = taking_turns(sides, SECONDS, fewest, MOST, warm_up, CLOCK)
    medians = {name: statistics.median(values) for name, values in times.items()}
    turns = len(times[PLAIN])
    told = ", ".join(f"{name} {value / medians[PLAIN]:.2f}" for name, value in medians.items() if name != PLAIN)
    say(f"{setting}: plain {1e3 * medians[PLAIN]:.0f} ms; in plain steps: {told} ({turns} turns)")
    best = min((name for name in TIMED if name in times), key=medians.get)
    rule = "" if aggregator == "aligned-mtl" else f", {aggregator}"
    for name in times:
        what = f"{setting}{rule}: {name}"
        if name != PLAIN:
            rows.append(compare(what, times[name], times[PLAIN], PLAIN, None, 1e3, UNIT))
        if name in AIMED:
            rows.append(compare(what, times[name], times[best], best, target_of(setting, name), 1e3, UNIT))
    return rows


def over_tasks(setting: Setting, tasks: tuple[int, ...] = TASKS, heavy: bool = False) -> list[Row | Note]:
    """One net at several T, after a look whether all sides agree."""
    check_agreement(setting)
    return [row for count in tasks for row in measured(setting.but(tasks=count), heavy)]


def conv() -> list[Row | Note]:
    """The conv net; with UPGrad too where TorchJD's solver for it is there."""
    rows = over_tasks(CONV) + over_tasks(CONV.in_bf16())
    if available("upgrad"):
        return rows + measured(CONV.but(tasks=8), aggregator="upgrad")
    return [*rows, Note(f"{CONV.but(tasks=8)}, upgrad", "TorchJD's UPGrad needs quadprog, which is not installed")]


def residual() -> list[Row | Note]:
    """ResNet-18: half its width at every T, the true width at two of them."""
    rows: list[Row | Note] = []
    for setting in (NARROW_RESNET, NARROW_RESNET.in_bf16()):
        rows += over_tasks(setting, (2, 4, 8)) + over_tasks(setting, (16, 40), heavy=True)
    return rows + over_tasks(TRUE_RESNET, (4, 16), heavy=True)


def transformers() -> list[Row | Note]:
    """Short sequences in small batches, and long ones in larger batches."""
    rows = over_tasks(SHORT) + over_tasks(SHORT.in_bf16(), (4, 16))
    return rows + over_tasks(LONG, (2, 4, 8, 16), heavy=True) + over_tasks(LONG_MANY, (40,), heavy=True)


def kept_rows() -> list[Row | Note]:
    """A plain transformer whose rows are small: `auto` must not be slower than `rows`, nor either than TorchJD.

    TorchJD's best is one task at a time here; its default takes 1.3 to 1.6 times as long.
    """
    rows: list[Row | Note] = []
    for count in (8, 16):
        setting = KEPT.but(tasks=count)
        sides = sides_of(setting, ("auto", "rows"), (ONE_BY_ONE,))
        times = taking_turns(sides, 1e9, KEPT_TURNS, KEPT_TURNS, WARM_UP, CLOCK)
        pairs = (("auto", "rows", NOISE), ("auto", ONE_BY_ONE, 1.0), ("rows", ONE_BY_ONE, 1.0))
        for ours, other, target in pairs:
            rows.append(compare(f"{setting}: {ours}", times[ours], times[other], other, target, 1e3, UNIT))
    return rows
