"""What narrow widths gain when they are exported, what turning costs, and whether a budget in milliseconds is kept."""

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.measure import Row, compare
from umbel.control import Dial, measure_latency
from umbel.control.timing import clocked, interleave, runners, typical_ms
from umbel.core import MultiTaskModel, OperatingPoint
from umbel.nn import WIDTHS, MapHead, ResNetEncoder, dense_model, model_cost, recalibrate, seeded_start, slimmable
from umbel.search import ConfigurationTable, TaskMetric, search

SHAPE, COARSE = (3, 32, 32), (0.25, 0.5, 0.75, 1.0)
NAMES = {0.25: "1/4", 0.5: "1/2", 0.75: "3/4", 1.0: "1"}
TASKS = {"segmentation": 7, "depth": 1}
THREE = TASKS | {"normals": 3}
BATCHES = (1, 16)
TARGETS = {(0.5, 1): 2.5, (0.5, 16): 3.0, (0.25, 1): 5.0, (0.25, 16): 9.0}
TURNS = {1: 40, 16: 12}
BUDGETS = (20, 35, 55, 75, 90)
WITHIN = 1.10
LIMIT_SECONDS = 20.0
Run = Callable[[], Any]


def make_model(widths: Sequence[float] = COARSE, tasks: Mapping[str, int] = TASKS) -> MultiTaskModel:
    """A residual encoder of 64, 128 and 256 channels in six blocks, and map heads with a hidden convolution."""
    with seeded_start(0, "controllable"):
        encoder = ResNetEncoder(SHAPE, 64, (2, 2, 2), downsample=4)
        heads = {n: MapHead(encoder.feature_shape, outputs, SHAPE[1:], 128) for n, outputs in tasks.items()}
    slim = slimmable(encoder, SHAPE, widths)
    parts = {n: slimmable(head, encoder.feature_shape, widths, head_of=n) for n, head in heads.items()}
    model = MultiTaskModel(slim, parts)
    samples = torch.rand(16, *SHAPE, generator=torch.Generator().manual_seed(0))
    recalibrate(model, [samples])
    return model.eval()


def uniform(width: float) -> OperatingPoint:
    return OperatingPoint(width=width, head_widths=dict.fromkeys(TASKS, width))


def inputs(batch_size: int) -> torch.Tensor:
    return torch.rand(batch_size, *SHAPE, generator=torch.Generator().manual_seed(1))


def in_turns(runs: Mapping[Any, Run], turns: int) -> dict[Any, list[float]]:
    """Seconds of each in every turn; each runs a few times in a row, and a turn's figure is the median of those."""
    with torch.inference_mode():
        found = interleave([clocked(run) for run in runs.values()], turns)
    by_turn = {key: passes[:, 0].reshape(turns, -1) for key, passes in zip(runs, found, strict=True)}
    return {key: np.median(passes, axis=1).tolist() for key, passes in by_turn.items()}


def _exported(model: MultiTaskModel, batch_size: int, backend: str) -> dict[float, Run]:
    """Passes of the network of each width, as it is exported."""
    x = inputs(batch_size)
    networks = [dense_model(model, uniform(width)) for width in COARSE]
    found = zip(COARSE, *runners(networks, [x] * len(COARSE), backend), strict=True)
    return {width: (lambda run=run, given=given: run(given)) for width, run, given in found}


def _speed_ups(model: MultiTaskModel) -> list[Row]:
    """The time of narrow exported networks against the full one, with the ratio of multiply-accumulates."""
    rows = []
    macs = {width: model_cost(model, uniform(width)).total.macs for width in COARSE}
    for backend in ("torch", "onnxruntime"):
        for batch_size in BATCHES:
            seconds = in_turns(_exported(model, batch_size, backend), TURNS[batch_size])
            for width in reversed(COARSE[:-1]):
                limit = macs[1.0] / macs[width]
                gained = statistics.median(seconds[1.0]) / statistics.median(seconds[width])
                what = (
                    f"exported width {NAMES[width]}, {backend}, batch {batch_size}: {gained:.2f} times as fast, "
                    f"{gained / limit:.0%} of the {limit:.2f} times fewer MACs"
                )
                wanted = TARGETS.get((width, batch_size))
                target = round(1 / wanted, 4) if wanted else None
                rows.append(compare(what, seconds[width], seconds[1.0], "width 1, exported", target, 1e3, "ms"))
    return rows


def _live(model: MultiTaskModel) -> list[Row]:
    """The slimmable model as a dial serves it, against the exported network; and a request right after a turn."""
    rows = []
    table = _made_up_table(COARSE, {"macs": 1e6 * np.array(COARSE)}, {"macs": np.zeros((2, 4, 4))})
    dial = Dial(model, table)
    for batch_size in BATCHES:
        x = inputs(batch_size)
        for width in (0.25, 0.5, 1.0):
            exported = _exported(model, batch_size, "torch")[width]
            budget = f"{100 * width:g}% macs"
            dial.turn(budget)
            assert dial.point == OperatingPoint(width=width, head_widths=dict.fromkeys(TASKS, 1.0)), dial.point
            point = uniform(width)
            seconds = in_turns({"live": lambda point=point, x=x: model(x, point), "dense": exported}, TURNS[batch_size])
            what = f"live slimmable model at width {NAMES[width]}, batch {batch_size}"
            rows.append(compare(what, seconds["live"], seconds["dense"], "exported, torch", None, 1e3, "ms"))
        rows.append(_after_a_turn(dial, x))
    turned = []
    for turn in range(200):
        began = time.perf_counter()
        dial.turn(("25% macs", "50% macs")[turn % 2])
        turned.append(time.perf_counter() - began)
    limit = [1e-3] * len(turned)
    return [*rows, compare("a turn to budgets asked before", turned, limit, "1 ms", 1.0, 1e3, "ms")]


def _after_a_turn(dial: Dial, x: torch.Tensor) -> Row:
    """Requests at width 1/2: one right after a turn from width 1/4, and one after another of width 1/2."""
    first: list[float] = []
    second: list[float] = []
    for turn in range(3 + TURNS[len(x)]):
        dial.turn("25% macs")
        dial(x)
        dial.turn("50% macs")
        times = []
        for _ in range(2):
            began = time.perf_counter()
            dial(x)
            times.append(time.perf_counter() - began)
        if turn >= 3:
            first.append(times[0])
            second.append(times[1])
    what = f"the first request after a turn from width 1/4 to 1/2, batch {len(x)}"
    return compare(what, first, second, "the second request", None, 1e3, "ms")


def _made_up_table(
    widths: Sequence[float], encoder: Mapping[str, np.ndarray], heads: Mapping[str, np.ndarray], **latency: Any
) -> ConfigurationTable:
    """Qualities that rise with the widths, more for the second task; costs as given."""
    grid = np.array(widths)
    by_task = [1 - a * np.exp(-3 * grid)[:, None] - b * np.exp(-3 * grid) for a, b in ((0.5, 0.2), (0.3, 0.4))]
    metrics = {task: TaskMetric("accuracy") for task in TASKS}
    return ConfigurationTable(grid, grid, tuple(TASKS), metrics, np.stack(by_task), encoder, heads, **latency)


def _calibration(backend: str, batch_size: int) -> Row:
    began = time.perf_counter()
    measure_latency(make_model(COARSE, THREE), batch_size=batch_size, backend=backend)
    seconds = time.perf_counter() - began
    what = f"calibrating 4 x 4 widths of 3 tasks, {backend}, batch {batch_size}"
    return compare(what, [seconds], [LIMIT_SECONDS], f"{LIMIT_SECONDS:g} s", 1.0, 1, "s")


def _asked_and_got(model: MultiTaskModel, batch_size: int, backend: str) -> list[Row]:
    """Budgets in percent of the full latency, with preferences drawn: what the chosen network takes when it is built.

    Predictions and measurements are lower quartiles; the ranges are of the turns.
    """
    found = measure_latency(model, batch_size=batch_size, backend=backend)
    latency = {"latency_ms": found.encoder}, {"latency_ms": found.heads}
    table = _made_up_table(WIDTHS, *latency, machine=found.machine, batch_size=batch_size)
    chance = random.Random(batch_size)
    choices = {p: search(table, f"{p}%", {task: chance.uniform(0.2, 5) for task in TASKS}) for p in BUDGETS}
    networks = [dense_model(model, choice.point) for choice in choices.values()]
    runs, given = runners(networks, [inputs(batch_size)] * len(networks), backend)
    passes = zip(choices, runs, given, strict=True)
    got = in_turns({p: (lambda run=run, x=x: run(x)) for p, run, x in passes}, TURNS[batch_size])
    rows, off = [], []
    for percent, choice in choices.items():
        predicted, measured = choice.cost["latency_ms"], typical_ms(np.array(got[percent]))
        off.append(abs(predicted - measured) / measured)
        what = (
            f"budget {percent} % of the full latency, {backend}, batch {batch_size}: predicted {predicted:.3g} ms, "
            f"measured {measured:.3g} ms"
        )
        budget = [choice.limit / 1e3] * len(got[percent])
        rows.append(compare(what, got[percent], budget, "the budget", WITHIN, 1e3, "ms"))
    what = f"largest |predicted - measured| / measured of {len(off)} budgets, {backend}, batch {batch_size}"
    return [*rows, compare(what, [max(off)], [WITHIN - 1], "10 %", 1.0, 100, "%")]


def measure() -> list[Row]:
    model = make_model()
    rows = _speed_ups(model) + _live(model)
    rows += [_calibration("torch", 1), _calibration("onnxruntime", 1)]
    fine = make_model(WIDTHS)
    for backend, batch_size in (("torch", 1), ("torch", 16), ("onnxruntime", 1)):
        rows += _asked_and_got(fine, batch_size, backend)
    return rows
