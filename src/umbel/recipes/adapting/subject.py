"""The detector that is adapted: of a run, or one of torchvision's with weights of the user's."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from umbel import tasks
from umbel.core import Task, UmbelError
from umbel.data.boxes.building import BOXES
from umbel.data.boxes.folder import RESOLUTION
from umbel.data.data_record import DataRecord
from umbel.data.padded_pictures import PaddedPictures
from umbel.data.task_records import TaskRecord
from umbel.engine import load_checkpoint, resolve
from umbel.nn.detection import DETECTORS, Detector, build_detector, load_weights
from umbel.recipes.adapting.settings import USUAL_THRESHOLD, SubjectSettings
from umbel.recipes.boxes import kept_thresholds
from umbel.recipes.build import Described
from umbel.recipes.settings import DataSettings, ModelSettings, names, options


@dataclass(frozen=True, eq=False)
class Subject:
    """A detector to adapt, and what is known of it.

    Attributes:
        detector: With the source's weights.
        task: Of its boxes.
        resolution: Longer side of pictures that it is made for.
        thresholds: From which score on a box teaches.
        about: What a checkpoint keeps so that it can be built again.
        notes: What the user should know, one line each.
    """

    detector: Detector
    task: Task
    resolution: int | None
    thresholds: tuple[float, ...]
    about: Mapping[str, Any]
    notes: tuple[str, ...]


def subject_of(run: str, settings: SubjectSettings) -> Subject:
    """The detector that is meant.

    Args:
        run: Folder of a training, or a checkpoint; empty where the settings name a model.
        settings: The model, its weights and labels.

    Raises:
        UmbelError: Neither a run nor a model, or both; no detector; weights that do not fit.
    """
    if bool(run) == bool(settings.model):
        raise UmbelError(
            "say which detector to adapt: the folder of a training (umbel adapt runs/cells --images ...), or one of "
            f"{', '.join(DETECTORS)} with --model, --weights and --labels"
        )
    return _of_run(run, settings) if run else _of_model(settings)


def _of_run(run: str, settings: SubjectSettings) -> Subject:
    for name in ("weights", "labels", "model_options"):
        if getattr(settings, name):
            raise UmbelError(f"--{name.replace('_', '-')} goes with --model; a run knows its own")
    saved = load_checkpoint(resolve(Path(run)))
    described = Described.read(saved.settings, str(saved.path))
    inputs = described.record.inputs
    if not isinstance(inputs, PaddedPictures):
        raise UmbelError(f"{saved.path} finds no boxes; give a detector, as `umbel train --data FOLDER` trains")
    learner = described.trained(saved)
    own = kept_thresholds(saved.path)
    note = () if own else (_without_thresholds(run),)
    resolution = settings.resolution or inputs.resolution
    read_at = replace(described.record, inputs=replace(inputs, resolution=resolution))
    kept = {name: saved.settings[name] for name in ("data", "model", "seed", "maps")}
    about = {**kept, "record": read_at.plain()}  # what it is adapted at, it will be used at
    thresholds = own or (USUAL_THRESHOLD,) * len(learner.boxes.labels)
    if learner.model.head_names:
        note += (f"the heads {', '.join(learner.model.head_names)} are not adapted, and answer from adapted features",)
    return Subject(learner.model, learner.boxes, resolution, thresholds, about, note)


def _of_model(settings: SubjectSettings) -> Subject:
    if not settings.weights:
        raise UmbelError(f"--model {settings.model}: an untrained detector has nothing to adapt; give its --weights")
    labels = names(settings.labels)
    if not labels:
        raise UmbelError("--model: say what its classes are called, in their order: --labels car,person")
    chosen, side = options(settings.model_options, "--model-options"), settings.resolution or RESOLUTION
    detector = build_detector(settings.model, labels, side, **chosen)
    load_weights(detector, settings.weights)
    task = tasks.boxes(BOXES, labels)
    record = DataRecord("", PaddedPictures((3, side, side), side), (TaskRecord.of(task),), {}, "")
    about = {
        "data": asdict(DataSettings(data=settings.weights, resolution=side)),
        "model": asdict(ModelSettings(encoder=settings.model, encoder_options=settings.model_options)),
        "record": record.plain(),
        "seed": 0,
        "maps": False,
    }
    thresholds = (USUAL_THRESHOLD,) * len(labels)
    return Subject(detector, task, side, thresholds, about, (_without_thresholds(settings.weights),))


def _without_thresholds(where: str) -> str:
    return (
        f"{where} does not say from which scores on its boxes are right; {USUAL_THRESHOLD:g} is taken for every class "
        "(--threshold gives others)"
    )
