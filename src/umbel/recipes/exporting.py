"""A trained network's configuration, chosen by widths or by a budget, written for other programs."""

from collections.abc import Sequence
from pathlib import Path

from umbel.control import Exported, export
from umbel.engine.progress import Reporter
from umbel.recipes.operating_point import answer, parse_point
from umbel.recipes.turnable import Turnable


def export_network(
    network: Turnable,
    out: Path,
    formats: Sequence[str],
    reporter: Reporter,
    *,
    point: str = "",
    budget: str = "",
    prefer: str = "",
    **timing,
) -> Exported:
    """Write a configuration of a network: the one that `point` names, or the best one for a budget and preferences.

    The record says what the tasks' raw outputs mean: their kind, labels, unit, and the quality on validation.

    Args:
        network: A trained, calibrated network.
        out: A new folder.
        formats: As `umbel.control.export` takes them.
        reporter: Hears when times are measured.
        point: As `parse_point` takes it; empty for a budget.
        budget: As `answer` takes it.
        prefer: Likewise.
        **timing: Likewise.

    Raises:
        UmbelError: What `parse_point`, `answer` and `export` refuse.
    """
    if point:
        chosen, how = parse_point(point, network.table.tasks), {}
    else:
        answered = answer(network, budget, prefer, "exact", reporter, **timing)
        chosen, how = answered.choice.point, {"search": answered.record()}
    tasks = {
        task.name: {"kind": task.kind, "labels": list(task.labels), "unit": task.unit} for task in network.learner.tasks
    }
    about = {"checkpoint": str(network.saved.path), "data": network.data.name, "tasks": tasks, **how}
    model = network.learner.model
    return export(model, chosen, network.data.input_shape, out, formats=tuple(formats), about=about)
