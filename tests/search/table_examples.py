"""Small random tables for Hypothesis, and the plain search over every configuration that ours must equal."""

import itertools
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from umbel.search import ConfigurationTable, TaskMetric

PREFERENCES = st.sampled_from([0.0, 0.3, 0.7, 1.0, 1.0, 2.0])


def table_of(quality, encoder, heads, kind="macs", metrics=None, **others) -> ConfigurationTable:
    """A table with one kind of cost, from nested lists."""
    quality, encoder = np.array(quality, dtype=float), np.array(encoder, dtype=float)
    tasks, encoders, widths = quality.shape
    names = [f"task{i}" for i in range(tasks)]
    return ConfigurationTable(
        [(i + 1) / encoders for i in range(encoders)],
        [(i + 1) / widths for i in range(widths)],
        names,
        metrics or {name: TaskMetric("accuracy") for name in names},
        quality,
        {kind: encoder},
        {kind: np.array(heads, dtype=float)},
        "this machine" if kind == "latency_ms" else "",
        **others,
    )


@st.composite
def tables(draw, exact: bool = False) -> ConfigurationTable:
    """Neither quality nor cost grows with the width, and ties abound.

    Args:
        draw: Of Hypothesis.
        exact: Qualities whose sums are the same in any order: eighths, and 1 at full width.
    """
    tasks, encoders, widths = draw(st.sampled_from([(1, 3, 4), (2, 1, 2), (2, 3, 4), (3, 2, 4), (4, 2, 3), (4, 1, 4)]))
    kind = "macs" if exact else draw(st.sampled_from(["macs", "latency_ms"]))
    cost = st.integers(0, 6) if kind == "macs" else st.one_of(st.integers(0, 6), st.floats(0, 6))
    quality = st.integers(0, 16).map(lambda x: x / 8) if exact else st.one_of(st.integers(1, 6), st.floats(0.1, 6))

    def numbers(of, *shape):
        count = int(np.prod(shape))
        return np.array(draw(st.lists(of, min_size=count, max_size=count)), dtype=float).reshape(shape)

    qualities = numbers(quality, tasks, encoders, widths)
    if exact:
        qualities[:, -1, -1] = 1
    better = [True] * tasks if exact else draw(st.lists(st.booleans(), min_size=tasks, max_size=tasks))
    metrics = {f"task{i}": TaskMetric("score" if up else "error", up) for i, up in enumerate(better)}
    heads = numbers(cost, tasks, encoders, widths)
    return table_of(qualities, numbers(cost, encoders), heads, kind, metrics)


def every_configuration(table: ConfigurationTable, kind: str, preferences: dict, ordered: bool):
    """(exact cost, value, encoder, heads) of all configurations that keep the order, by the definitions."""
    weights = [preferences[task] for task in table.tasks]
    found = []
    for encoder in range(len(table.encoder_widths)):
        for heads in itertools.product(range(len(table.head_widths)), repeat=len(table.tasks)):
            pairs = list(zip(weights, heads, strict=True))
            if ordered and any(r > s and w < v for r, w in pairs for s, v in pairs):
                continue
            cost = Fraction(float(table.encoder_costs[kind][encoder]))
            value = 0.0
            for task, head in enumerate(heads):
                cost += Fraction(float(table.head_costs[kind][task, encoder, head]))
                measured, full = table.quality[task, encoder, head], table.quality[task, -1, -1]
                sign = 1 if table.metrics[table.tasks[task]].higher_is_better else -1
                value += weights[task] * sign * (measured - full) / abs(full)
            found.append((cost, value / sum(weights), encoder, heads))
    return found
