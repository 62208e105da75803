"""The search over widths: against every configuration where that can be done, and 8 x 8 widths with 20 tasks."""

import itertools
from collections.abc import Callable

import numpy as np

from benchmarks.measure import Row, compare, interleaved
from umbel.search import ConfigurationTable, TaskMetric, search

LIMIT_SECONDS, TURNS, WARM_UP = 0.05, 40, 3
BUDGETS = ("20%", "40%", "60%", "80%")
SMALL_TASKS, SMALL_WIDTHS, SMALL_TURNS = 5, 6, 12
PREFERENCES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "all different": lambda generator, tasks: generator.permutation(tasks) + 1.0,
    "four groups": lambda generator, tasks: generator.permutation(np.arange(tasks) % 4) * 1.0,
    "all alike": lambda generator, tasks: np.ones(tasks),
}


def make_table(tasks: int, widths: int, generator: np.random.Generator) -> ConfigurationTable:
    """Qualities that saturate with the width and milliseconds that grow with it, both with noise."""
    grid = np.arange(1, widths + 1) / widths
    shape, names = (tasks, widths, widths), [f"task{i}" for i in range(tasks)]
    by_encoder = generator.uniform(0.1, 0.3, (tasks, 1, 1)) * np.exp(-2.5 * grid)[:, None]
    by_head = generator.uniform(0.03, 0.3, (tasks, 1, 1)) * np.exp(-3 * grid)
    quality = 0.8 - by_encoder - by_head + generator.normal(0, 0.005, shape)
    encoder = 2 * grid**1.7 * generator.uniform(0.95, 1.05, widths)
    heads = generator.uniform(0.05, 0.2, (tasks, 1, 1)) * (0.2 + grid[:, None] * grid) ** 1.3
    heads = heads * generator.uniform(0.95, 1.05, shape)
    metrics = {name: TaskMetric("accuracy") for name in names}
    return ConfigurationTable(
        grid, grid, names, metrics, quality, {"latency_ms": encoder}, {"latency_ms": heads}, "none: made up"
    )


def every_configuration(table: ConfigurationTable, budget: str, preferences: dict[str, float]) -> float:
    """The best value by trying everything, vectorised, with the rule of order."""
    limit = float(budget.removesuffix("%")) / 100 * table.full_cost("latency_ms")
    weights = np.array([preferences[task] for task in table.tasks])
    heads = np.array(list(itertools.product(range(len(table.head_widths)), repeat=len(weights))))
    for one, other in itertools.permutations(range(len(weights)), 2):
        if weights[one] > weights[other]:
            heads = heads[heads[:, one] >= heads[:, other]]
    best = -np.inf
    tasks = np.arange(len(weights))
    for encoder, cost in enumerate(table.encoder_costs["latency_ms"]):
        fits = cost + table.head_costs["latency_ms"][tasks, encoder, heads].sum(1) <= limit
        values = table.relative_quality[tasks, encoder, heads[fits]] @ weights
        best = max(best, float(values.max(initial=-np.inf)) / weights.sum())
    return best


def _against_everything() -> list[Row]:
    rows = []
    for name, draw in PREFERENCES.items():
        generator = np.random.default_rng(0)
        table = make_table(SMALL_TASKS, SMALL_WIDTHS, generator)
        preferences = dict(zip(table.tasks, draw(generator, SMALL_TASKS).tolist(), strict=True))
        answers: list[list[float]] = [[], []]

        def ours(table=table, preferences=preferences, answers=answers) -> None:
            answers[0].append(search(table, "40%", preferences).value)

        def everything(table=table, preferences=preferences, answers=answers) -> None:
            answers[1].append(every_configuration(table, "40%", preferences))

        mine, theirs = interleaved(ours, everything, SMALL_TURNS, WARM_UP)
        if not np.allclose(answers[0], answers[1], rtol=0, atol=1e-12):
            raise AssertionError("the exact search and the search over everything disagree")
        what = f"{SMALL_WIDTHS} x {SMALL_WIDTHS} widths, {SMALL_TASKS} tasks, preferences {name}"
        rows.append(compare(what, mine, theirs, "every configuration, in numpy", None, 1e3, "ms"))
    return rows


def _full_size() -> list[Row]:
    rows = []
    for name, draw in PREFERENCES.items():
        for ordered in (True, False):
            generator = np.random.default_rng(0)
            seconds = []
            for turn in range(WARM_UP + TURNS):
                table = make_table(20, 8, generator)
                preferences = dict(zip(table.tasks, draw(generator, 20).tolist(), strict=True))
                choice = search(table, BUDGETS[turn % len(BUDGETS)], preferences, ordered=ordered)
                if choice.gap:
                    raise AssertionError("the search was cut short")
                seconds += [choice.seconds] if turn >= WARM_UP else []
            rule = "" if ordered else ", no rule of order"
            what = f"8 x 8 widths, 20 tasks, preferences {name}{rule}"
            limit = [LIMIT_SECONDS] * len(seconds)
            rows.append(compare(what, seconds, limit, "the limit", 1.0, 1e3, "ms"))
            print(f"{what}: slowest of {TURNS} tables and budgets {1e3 * max(seconds):.1f} ms")
    return rows


def measure() -> list[Row]:
    return _against_everything() + _full_size()
