"""Any trained network, written for other programs; one that can be turned, at widths or within a budget."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from umbel.control import Exported, export, export_detector
from umbel.core import Learner, OperatingPoint, UmbelError
from umbel.data.data_record import DataRecord
from umbel.data.padded_pictures import PaddedPictures
from umbel.engine import Checkpoint, FabricRuntime, load_checkpoint, resolve
from umbel.engine.progress import Reporter
from umbel.nn.slimming.statistics import check_widths
from umbel.recipes.boxes import kept_thresholds
from umbel.recipes.build import Described
from umbel.recipes.liveness import kept_liveness
from umbel.recipes.operating_point import answer, parse_point
from umbel.recipes.turnable import Turnable, turnable
from umbel.tasks.liveness import calibrated


@dataclass(frozen=True)
class Fixed:
    """A trained network of one size.

    Attributes:
        learner: With its weights, in evaluation mode.
        data: What is known of the data that it was trained on.
        saved: The checkpoint.
    """

    learner: Learner
    data: DataRecord
    saved: Checkpoint


def open_network(path: Path, runtime: FabricRuntime) -> Fixed | Turnable:
    """The network of a checkpoint or of a training's folder; the data set is not needed.

    Raises:
        UmbelError: Not a checkpoint, or one that does not say how its network was built.
    """
    saved = load_checkpoint(resolve(path))
    described = Described.read(saved.settings, str(saved.path))
    if getattr(described.model, "widths", ""):
        return turnable(saved, runtime)
    learner = described.trained(saved)
    learner.to(runtime.device).eval()
    return Fixed(learner, described.record, saved)


def export_network(
    network: Fixed | Turnable,
    out: Path,
    formats: Sequence[str],
    reporter: Reporter,
    *,
    point: str = "",
    budget: str = "",
    prefer: str = "",
    **timing: Any,
) -> Exported:
    """Write a network; of one that can be turned the configuration that `point` names, or the best for a budget.

    The record says what was learnt from, and the metrics on validation. A task of liveness answers with its calibrated
    probability where calibration is kept, which the record then holds beside the threshold.

    Args:
        network: What `open_network` or `umbel.recipes.turnable.open_turnable` gave.
        out: A new folder.
        formats: As `umbel.control.export` takes them.
        reporter: Hears when times are measured.
        point: As `parse_point` takes it; empty for a budget.
        budget: As `answer` takes it.
        prefer: Likewise.
        **timing: Likewise.

    Raises:
        UmbelError: A point or a budget for a network of one size, or neither or both for one that can be turned; what
            `parse_point`, `answer` and `export` refuse.
    """
    about: dict[str, Any] = {"checkpoint": str(network.saved.path), "data": network.data.name}
    chosen = None
    if isinstance(network, Turnable):
        chosen, search = _chosen(network, reporter, point, budget, prefer, timing)
        about |= search
    elif point or budget or prefer:
        raise UmbelError(f"{network.saved.path} has one width only; leave --point, --budget and --prefer out")
    about["validation"] = _metrics(network, chosen)
    learner, tasks = network.learner, network.learner.tasks
    if chosen is None and (kept := kept_liveness(network.saved.path)):  # which is of the full network
        about["liveness"] = asdict(kept)
        tasks = [calibrated(task, kept.scale, kept.shift) if task.name == kept.task else task for task in tasks]
    if isinstance(network.data.inputs, PaddedPictures):
        if thresholds := kept_thresholds(network.saved.path):
            about["thresholds"] = dict(zip(learner.model.labels, thresholds, strict=True))
        of_detector = learner.model, network.data.inputs, tasks, out
        return export_detector(*of_detector, formats=tuple(formats), about=about)
    return export(learner.model, network.data.inputs, tasks, out, point=chosen, formats=tuple(formats), about=about)


def _chosen(
    network: Turnable, reporter: Reporter, point: str, budget: str, prefer: str, timing: Mapping[str, Any]
) -> tuple[OperatingPoint, dict[str, Any]]:
    """A configuration, and how it was found."""
    if bool(point) == bool(budget):
        raise UmbelError("say which configuration with --point, or what it may cost with --budget; one of the two")
    if point:
        return parse_point(point, network.table.tasks), {}
    answered = answer(network, budget, prefer, "exact", reporter, **timing)
    return answered.choice.point, {"search": answered.record()}


def _metrics(network: Fixed | Turnable, point: OperatingPoint | None) -> dict[str, dict[str, float | None]]:
    """Task -> metric -> value on the validation split, as it was measured at the end of the training."""
    if isinstance(network, Turnable) and point is not None:
        check_widths(network.learner.model, point)
        table = network.table
        return {task: {table.metrics[task].name: value} for task, value in table.quality_at(point).items()}
    measured = network.saved.state.get("metrics", {})
    return {
        task: {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        for task, metrics in measured.items()
    }
