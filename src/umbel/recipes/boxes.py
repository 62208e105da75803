"""Folders of boxes as data of a run, and the detector that learns from them."""

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from umbel.arguments import check_options, one_of
from umbel.core import Learner, Task, UmbelError, unknown
from umbel.data import MultiTaskData, Source, TensorSource, boxes_folder
from umbel.data.boxes.building import Wanted, whole_batch
from umbel.data.boxes.folder import read_boxes
from umbel.data.data_record import DataRecord
from umbel.data.padded_pictures import PaddedPictures
from umbel.data.views import strong_view
from umbel.engine import FabricRuntime, predict_split, resolve
from umbel.files import read_json, write_atomically
from umbel.metrics import OperatingScore, best_f1
from umbel.nn.detection import DETECTORS, DetectionLearner, build_detector, load_weights
from umbel.recipes.settings import DataSettings, ModelSettings, options
from umbel.recipes.split_flags import OWN_TABLE, given
from umbel.report.schema import plain

USUAL_DETECTOR = "small-fasterrcnn"
"""The detector where none is named: one that a CPU can train."""
_VIEWS = {"strong": strong_view, "none": None}
_SPLIT_FLAGS = ("split_shares", "folds", "fold", "split_seed")
_OF_FLAGS = {
    "size": "--train-size",
    "resolution": "--resolution",
    "shares": "--split-shares",
    "folds": "--folds",
    "fold": "--fold",
    "seed": "--split-seed",
}
"""Options of a folder of boxes that are flags of their own."""
_NO_OPTIONS = {
    "weights": "give the file with --start-from",
    "fresh_classes": "give the weights with --start-from, whose classes may be others",
    "seed": "it has a flag of its own",
    **dict.fromkeys(("name", "labels", "resolution", "heads"), "it follows from the data and the settings"),
}


def own_boxes(settings: DataSettings) -> MultiTaskData:
    """The user's folder or file of boxes.

    Raises:
        UmbelError: It cannot be read, or a flag does not apply to it.
    """
    for flag in OWN_TABLE:
        if flag not in _SPLIT_FLAGS and given(settings, flag):
            raise UmbelError(f"--{flag.replace('_', '-')} is for own tables; {settings.data} is a folder of boxes")
    chosen = dict(options(settings.options, "--options"))
    for name in chosen:
        if name in _OF_FLAGS or name == "path":
            raise UmbelError(f"--options {settings.options}: {name} is what {_OF_FLAGS.get(name, '--data')} says")
    if settings.resolution is not None:
        chosen["resolution"] = settings.resolution
    shares = _shares(settings.split_shares)
    split = {"shares": shares, "folds": settings.folds, "fold": settings.fold, "seed": settings.split_seed}
    accepted = [name for name in inspect.signature(boxes_folder).parameters if name not in (*_OF_FLAGS, "path")]
    for name in chosen:
        if name not in (*accepted, "resolution"):
            raise unknown("option of a folder of boxes", name, accepted)
    check_options(boxes_folder, chosen, f"--options {settings.options}")
    return boxes_folder(settings.data, size=settings.train_size, **split, **chosen)


def new_boxes(record: DataRecord, folder: Path) -> tuple[TensorSource, tuple[str, ...]]:
    """Labelled pictures as a detector's own were read, and what is odd about them.

    Args:
        record: Of the data that the detector learnt from.
        folder: Of the pictures, in any layout that `boxes_folder` reads.

    Raises:
        UmbelError: They cannot be read, or have none of the detector's classes.
    """
    boxes = next(output for output in record.outputs if output.output == "boxes")
    names = [output.name for output in record.outputs]
    annotated = read_boxes(folder)
    resolution = record.inputs.resolution if isinstance(record.inputs, PaddedPictures) else None
    wanted = Wanted(boxes.labels, resolution, count="count" in names, presence="presence" in names)
    batch = whole_batch(annotated, wanted)
    present = batch.targets["boxes"][..., 4].unique().tolist()
    absent = [name for number, name in enumerate(boxes.labels) if number not in present]
    missing = (f"no box of {', '.join(absent)} in these pictures",) if absent else ()
    return TensorSource(batch), (*annotated.notes.sentences(), *missing)


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(share) for share in text.split("/")) if text else ()
    except ValueError:
        raise UmbelError(f"--split-shares {text}: write three fractions with / between, as in 0.7/0.15/0.15") from None


def detector_learner(
    settings: ModelSettings, tasks: Sequence[Task], inputs: PaddedPictures, seed: int
) -> DetectionLearner:
    """A fresh detector for boxes and what else is learnt of the same pictures.

    Args:
        settings: `encoder` names the detector; `encoder_options` are its options, and which "view" of the pictures it
            learns from: "strong" (colours, blur and sharpness changed at random, the default) or "none".
        tasks: One of boxes among them.
        inputs: How pictures are read.
        seed: Of the random start.

    Raises:
        UmbelError: No task of boxes, no such detector or option, or settings of other networks.
    """
    boxes = [task for task in tasks if task.output == "boxes"]
    if not boxes:
        raise UmbelError("a detector learns boxes, beside other tasks or alone; leave boxes among the --tasks")
    for name in ("widths", "proxies"):
        if getattr(settings, name, ""):
            raise UmbelError(f"--{name} is for networks that find no boxes; leave it out")
    plain = ModelSettings()
    for name in ("hidden", "vector_head"):
        if getattr(settings, name) != getattr(plain, name):
            raise UmbelError(f"--{name.replace('_', '-')} is for networks that find no boxes; leave it out")
    chosen = options(settings.encoder_options, "--encoder-options")
    for name in chosen:
        if name in _NO_OPTIONS:
            raise UmbelError(f"--encoder-options {name}: no option of a detector; {_NO_OPTIONS[name]}")
    name = settings.encoder or USUAL_DETECTOR
    if name not in DETECTORS:
        raise unknown("detector (--encoder)", name, DETECTORS)
    view = _VIEWS[one_of(chosen.pop("view", "strong"), "--encoder-options view", _VIEWS)]
    further = tuple(task for task in tasks if task is not boxes[0])
    side = max(inputs.shape[1:])  # of the pictures that it was built for; new ones may be read at another resolution
    try:
        detector = build_detector(name, boxes[0].labels, side, heads=further, seed=seed, **chosen)
    except TypeError as error:
        raise UmbelError(f"--encoder-options {settings.encoder_options}: no such option ({error})") from None
    return DetectionLearner(detector, tasks, view)


def start_detector(learner: Learner, path: str) -> str:
    """Give a fresh detector the weights of another one of the same kind; its classes may be others.

    Args:
        learner: Changed in place.
        path: A file of safetensors, a checkpoint, or the folder of a training.

    Returns:
        One line that says what was taken.

    Raises:
        UmbelError: It cannot be read, or is of another detector.
    """
    where = Path(path)
    file = where if where.is_file() else resolve(where) / "weights.safetensors"
    try:
        load_weights(learner.model, file)
    except UmbelError:
        load_weights(learner.model, file, fresh_classes=True)
        return f"Starts from {path}; its classes are others, so the last layers start afresh."
    return f"Starts from {path}."


_THRESHOLDS = "thresholds.json"


def operating_scores(learner: DetectionLearner, source: Source, runtime: FabricRuntime) -> tuple[OperatingScore, ...]:
    """From which scores on a detector's boxes are right, by the labels of a split: the best F1 of each class."""
    name = learner.boxes.name
    said = predict_split(learner, source, runtime, tasks=[name])
    return best_f1(said.raw[name], said.targets[name], len(learner.boxes.labels))


def keep_thresholds(out: Path, learner: DetectionLearner, data: MultiTaskData, runtime: FabricRuntime) -> None:
    """Write beside a training from which scores on the detector's boxes are right: the best F1 of each class.

    Adaptation takes its labels from there, and users may read it to choose a threshold.

    Args:
        out: The folder of the training.
        learner: With its best weights.
        data: Whose validation split decides.
        runtime: Of the training.
    """
    scores = operating_scores(learner, data.validation, runtime)
    kept = {label: asdict(score) for label, score in zip(learner.boxes.labels, scores, strict=True)}
    if runtime.is_main:
        write_atomically(out / _THRESHOLDS, json.dumps(plain(kept), indent=1))
    runtime.barrier()


def write_thresholds(out: Path, thresholds: Mapping[str, float]) -> None:
    """Keep thresholds that were taken over, by class, without what they are worth on other pictures."""
    kept = {label: {"threshold": value} for label, value in thresholds.items()}
    write_atomically(out / _THRESHOLDS, json.dumps(kept, indent=1))


def kept_thresholds(checkpoint: Path) -> tuple[float, ...]:
    """The thresholds that were kept beside the training that a checkpoint is of; none where there are none.

    Raises:
        UmbelError: Their file is damaged.
    """
    for folder in (checkpoint, *list(checkpoint.parents)[:2]):
        if (file := folder / _THRESHOLDS).is_file():
            try:
                return tuple(float(score["threshold"]) for score in read_json(file, "train again").values())
            except (AttributeError, KeyError, TypeError, ValueError):
                raise UmbelError(f"{file} is damaged; train again, or give --threshold and remove it") from None
    return ()
