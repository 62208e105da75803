"""Logs of trained networks as curves of a report."""

from collections.abc import Iterator

from umbel.core import Task
from umbel.recipes.study import Study
from umbel.report import Curve


def task_curves(study: Study, arm: str, key: str, seed: int, task: Task) -> Iterator[Curve]:
    """A network's training loss and validation metric of one task.

    Args:
        study: It kept the logs.
        arm: Key of the method in the results.
        key: Of the network.
        seed: Of the repetition.
        task: The task.
    """
    columns = (("train", "loss", task.name), ("validation", task.main_metric, f"{task.name}/{task.main_metric}"))
    for split, name, column in columns:
        rows = thinned([row for row in study.log(key, split) if column in row])
        if rows:
            yield Curve(
                arm, seed, name, [int(r["step"]) for r in rows], [r[column] for r in rows], split=split, task=task.name
            )


def thinned(rows: list[dict[str, float]], most: int = 60) -> list[dict[str, float]]:
    """At most so many rows, evenly spaced, the last one among them."""
    if len(rows) <= most:
        return rows
    return [rows[round((i + 1) * len(rows) / most) - 1] for i in range(most)]
