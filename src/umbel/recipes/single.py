"""`umbel train` and `umbel evaluate`: one network, without a study around it."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from umbel.core import Learner, OperatingPoint, Task
from umbel.data import Source
from umbel.data.padded_pictures import PaddedPictures
from umbel.engine import FabricRuntime, evaluate, fit, load_checkpoint, load_weights, resolve
from umbel.engine.checkpoint import latest
from umbel.engine.folder import check_folder, claimed
from umbel.engine.progress import Reporter
from umbel.errors import UmbelError
from umbel.methods.controllable import is_controllable
from umbel.nn.detection import DetectionLearner
from umbel.recipes.boxes import keep_thresholds, new_boxes
from umbel.recipes.build import Described, describe, make_learner, open_with_boxes, predicts_maps
from umbel.recipes.frame_folders import new_frames
from umbel.recipes.liveness import (
    check_liveness,
    keep_liveness,
    kept_errors,
    kept_liveness,
    liveness_errors,
    liveness_task,
)
from umbel.recipes.operating_point import parse_point
from umbel.recipes.settings import options
from umbel.recipes.teaching import prepare, weighed_descent
from umbel.recipes.train_settings import TrainSettings
from umbel.recipes.turnable import make_ready


@dataclass(frozen=True)
class Trained:
    """What `umbel train` and `umbel evaluate` print.

    Attributes:
        checkpoint: The checkpoint the numbers belong to.
        split: Which split was evaluated, or which new rows.
        samples: Its size.
        metrics: Task -> metric -> value.
        directions: Task -> whether its main metric is better when higher.
        units: Task -> unit of its main metric.
        seconds_per_step: Median time of a training step; None for an evaluation.
        statements: What must be said beside the numbers: how private the network is (after a training), and which
            threshold a detector of presentation attacks is judged at.
    """

    checkpoint: str
    split: str
    samples: int
    metrics: dict[str, dict[str, float]]
    directions: dict[str, bool]
    units: dict[str, str] = field(default_factory=dict)
    seconds_per_step: float | None = None
    statements: tuple[str, ...] = ()


def train(settings: TrainSettings, runtime: FabricRuntime, out: Path, resume: bool, reporter: Reporter) -> Trained:
    """Train one network for all tasks and evaluate its best weights on the test split."""
    check_folder(out, "run", runtime, resume)
    data = open_with_boxes(settings.data, say=reporter.say)
    _check_metrics(data.tasks)
    check_liveness(data)
    learner = make_learner(settings.model, data, settings.fit.seed)
    chosen = options(settings.descent_options, "--descent-options")
    descent = weighed_descent(settings.descent, chosen, settings.task_weights, data)
    resumed = resume and latest(out / "checkpoints", "step") is not None
    if text := prepare(learner, settings.teaching, start=not resumed):
        reporter.say(text)
    about = describe(settings.data, settings.model, data, settings.fit.seed, predicts_maps(data))
    about["descent"] = {"name": settings.descent, "task_weights": settings.task_weights, **chosen}
    about["teaching"] = dataclasses.asdict(settings.teaching)
    with claimed(out, "run", runtime, resume):
        fitted = fit(
            learner,
            descent,
            data.train,
            data.validation,
            settings.fit,
            out=out,
            resume=resume,
            runtime=runtime,
            reporter=reporter,
            label=f"{data.name}, {settings.descent}",
            describe=about,
        )
        here = runtime.with_settings(fitted.settings.precision, 1)
        if is_controllable(learner):
            reporter.say("measuring statistics and the table of all configurations")
            make_ready(out, learner, data, here)
        if isinstance(learner, DetectionLearner):
            reporter.say("measuring from which scores on boxes are right, on validation")
            keep_thresholds(out, learner, data, here)
        if liveness_task(data.tasks):
            reporter.say("measuring calibration and threshold of liveness, on validation")
            keep_liveness(out, learner, data, here)
        metrics, judged = _measured(learner, data.test, here, None, resolve(out))
        return Trained(
            checkpoint=str(resolve(out)),
            split="test",
            samples=len(data.test),
            metrics=metrics,
            directions={task.name: task.higher_is_better for task in data.tasks},
            units={task.name: task.unit for task in data.tasks},
            seconds_per_step=fitted.seconds_per_step,
            statements=(*fitted.statements, *judged),
        )


def _measured(
    learner: Learner, source: Source, runtime: FabricRuntime, point: OperatingPoint | None, checkpoint: Path
) -> tuple[dict[str, dict[str, float]], tuple[str, ...]]:
    """Metrics by task, with the errors of liveness at the threshold that is kept, and what is said of that."""
    metrics = evaluate(learner, source, runtime, point).metrics
    kept = kept_liveness(checkpoint) if liveness_task(learner.tasks) else None
    if kept is None or point is not None:  # the threshold is the full network's
        return metrics, ()
    errors = liveness_errors(kept, learner, source, runtime)
    return metrics | {kept.task: metrics[kept.task] | kept_errors(errors)}, (kept.sentence(errors),)


def _check_metrics(tasks: Sequence[Task]) -> None:
    """Make each metric once, so that one whose package is missing is told before the training and not after it."""
    for task in tasks:
        for make in task.metrics.values():
            make()


def learnt_boxes(path: Path) -> bool:
    """Whether a run is a detector's.

    Args:
        path: A checkpoint, or the folder of a training.

    Raises:
        UmbelError: The checkpoint is damaged or does not say how it was built.
    """
    saved = load_checkpoint(resolve(path))
    return isinstance(Described.read(saved.settings, str(saved.path)).record.inputs, PaddedPictures)


def evaluate_on_boxes(path: Path, folder: Path, runtime: FabricRuntime) -> tuple[Trained, tuple[str, ...]]:
    """Metrics of a detector on labelled pictures that are not the run's, and what is odd about these.

    Args:
        path: A checkpoint, or the folder of a training.
        folder: Of the pictures; see `umbel.data.boxes_folder`.
        runtime: Processes.

    Raises:
        UmbelError: The pictures cannot be read, or have none of the detector's classes.
    """
    saved = load_checkpoint(resolve(path))
    described = Described.read(saved.settings, str(saved.path))
    source, notes = new_boxes(described.record, folder)
    learner = described.trained(saved).to(runtime.device)
    here = runtime.with_settings(saved.settings["fit"]["precision"], 1)
    return (
        Trained(
            checkpoint=str(saved.path),
            split=f"new pictures of {folder}",
            samples=len(source),
            metrics=evaluate(learner, source, here).metrics,
            directions={task.name: task.higher_is_better for task in learner.tasks},
            units={task.name: task.unit for task in learner.tasks},
        ),
        notes,
    )


def evaluate_on_frames(path: Path, folder: Path, runtime: FabricRuntime) -> Trained:
    """Errors of a run on the live faces and attacks of a prepared folder, at the threshold of the run's own validation.

    Args:
        path: A checkpoint, or the folder of a training.
        folder: With `frames.csv`; all its frames are used, whatever part they are for.
        runtime: Processes.

    Raises:
        UmbelError: The frames cannot be read, or the run does not judge such.
    """
    saved = load_checkpoint(resolve(path))
    described = Described.read(saved.settings, str(saved.path))
    source = new_frames(described.record, folder)
    learner = described.trained(saved).to(runtime.device)
    learner.tasks = tuple(task for task in learner.tasks if task.name in source.samples.targets)
    here = runtime.with_settings(saved.settings["fit"]["precision"], 1)
    metrics, judged = _measured(learner, source, here, None, saved.path)
    return Trained(
        checkpoint=str(saved.path),
        split=f"new frames of {folder}",
        samples=len(source),
        metrics=metrics,
        directions={task.name: task.higher_is_better for task in learner.tasks},
        units={task.name: task.unit for task in learner.tasks},
        statements=judged,
    )


def evaluate_checkpoint(path: Path, split: str, runtime: FabricRuntime, point: str = "") -> Trained:
    """Metrics of a checkpoint that `umbel train` or a study wrote.

    Args:
        path: A checkpoint, or the folder of a training.
        split: "train", "validation" or "test".
        runtime: Processes.
        point: Widths of a controllable network, as `parse_point` reads them; empty for its full ones.

    Raises:
        UmbelError: No such split, widths that the network does not have, or the checkpoint is damaged or does not
            say how it was built.
    """
    if split not in ("train", "validation", "test"):
        raise UmbelError(f"split {split!r} is not known; use train, validation or test")
    saved = load_checkpoint(resolve(path))
    described = Described.read(saved.settings, str(saved.path))
    data = described.data()
    described.record.check_split(split, data, str(saved.path))
    learner = make_learner(described.model, data, described.seed, described.maps)
    load_weights(learner, saved)
    learner.to(runtime.device)
    source = getattr(data, split)
    at = None
    if point:
        if not is_controllable(learner):
            raise UmbelError(f"{saved.path} has one width only; leave --point out")
        at = parse_point(point, [task.name for task in data.tasks])
    here = runtime.with_settings(saved.settings["fit"]["precision"], 1)
    metrics, judged = _measured(learner, source, here, at, saved.path)
    return Trained(
        checkpoint=str(saved.path),
        split=split,
        samples=len(source),
        metrics=metrics,
        directions={task.name: task.higher_is_better for task in data.tasks},
        units={task.name: task.unit for task in data.tasks},
        statements=judged,
    )
