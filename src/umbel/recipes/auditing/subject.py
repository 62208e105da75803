"""What is audited: the network of a run on its own data, or an encoder of the user's own on a set that they name."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from umbel.audit.encoder import EncoderLearner, first_colours
from umbel.core import Learner, OperatingPoint, Task, UmbelError, unknown
from umbel.data import MultiTaskData
from umbel.data.source import first_samples
from umbel.engine import load_checkpoint, resolve
from umbel.engine.settings import Precision
from umbel.methods.controllable import is_controllable
from umbel.nn import FeatureRelease
from umbel.recipes.auditing.settings import AuditSettings
from umbel.recipes.auditing.users_encoder import users_encoder
from umbel.recipes.build import Described, open_data
from umbel.recipes.operating_point import parse_point
from umbel.recipes.settings import options

_FEW = 2


@dataclass(frozen=True)
class Subject:
    """A frozen network and its data.

    Attributes:
        title: What it is, in words.
        learner: The network.
        data: With the tasks of the learner.
        wanted: The tasks that are inferred.
        precision: Of its evaluations.
        answers: Names of the tasks that it predicts; none for an encoder without heads.
        notes: What a reader must know.
        made: What the checkpoint of a run says of its making; None for an encoder of the user's own.
    """

    title: str
    learner: Learner
    data: MultiTaskData
    wanted: tuple[Task, ...]
    precision: Precision
    answers: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    made: Mapping[str, Any] | None = None


def subject_of(settings: AuditSettings, say: Callable[[str], object]) -> Subject:
    """The network that the settings name, with its data, before anything is written.

    Args:
        settings: Of the audit.
        say: Hears what was made of a table's columns, and what else to know.

    Raises:
        UmbelError: It cannot be built, its data cannot be had, or the two do not fit.
    """
    settings.check_subject()
    return _of_run(settings) if settings.run else _of_encoder(settings, say)


def _of_run(settings: AuditSettings) -> Subject:
    saved = load_checkpoint(resolve(Path(settings.run)))
    described = Described.read(saved.settings, str(saved.path))
    learner = described.trained(saved)
    answers = tuple(task.name for task in learner.tasks)
    data = described.data()
    for split in ("train", "validation", "test"):
        described.record.check_split(split, data, str(saved.path))
    if set(settings.wanted) - set(answers):  # of other tasks of its set
        data = open_data(dataclasses.replace(described.settings, tasks=""), described.record.inputs)
        learner.tasks = (*learner.tasks, *(task for task in _wanted(settings, data.tasks) if task.name not in answers))
    tasks = _wanted(settings, learner.tasks)
    precision: Precision = saved.settings["fit"].get("precision", "float32")
    return Subject(f"network {settings.run}", learner, data, tasks, precision, answers, made=saved.settings)


def _of_encoder(settings: AuditSettings, say: Callable[[str], object]) -> Subject:
    own = settings.own
    size = own.size
    encoder = users_encoder(own.encoder, own.weights)
    data = open_data(settings.data, say=say)
    serves = tuple(part.strip() for part in own.serves.split(",") if part.strip())
    learner = EncoderLearner(encoder, data.tasks, own.layer, serves, size, own.normalise)
    learner.check(first_samples(data.test, _FEW), f"data set {data.name!r}")
    title = f"encoder {own.encoder}" + (f", layer {own.layer}" if own.layer else "")
    notes = tuple(_encoder_notes(settings, data, first_colours(encoder)))
    return Subject(title, learner, data, data.tasks, "float32", notes=notes)


def _encoder_notes(settings: AuditSettings, data: MultiTaskData, colours: int | None) -> list[str]:
    own, shape = settings.own, data.input_shape
    notes = []
    if not own.weights:
        notes.append(f"No --weights were given: the encoder has those with which {own.encoder} makes it.")
    if colours == 3 and len(shape) == 3 and shape[0] == 1:
        notes.append("The pictures are grey and the encoder wants three colours: it gets the grey one three times.")
    return notes


def _wanted(settings: AuditSettings, tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    known = {task.name: task for task in tasks}
    for name in settings.wanted:
        if name not in known:
            raise unknown("task", name, known)
    return tuple(known[name] for name in settings.wanted) or tasks


# -- operating points ------------------------------------------------------------------------------------------------


def points_of(text: str, learner: Learner, sigmas: Sequence[float] = ()) -> list[OperatingPoint]:
    """The operating points of an audit: the one that was asked for, or the learner's first, at each noise level.

    Args:
        text: Values of the point that are to be others: "name=value,name=value"; widths of a controllable network.
        learner: The network.
        sigmas: Noise levels; none takes the point's own.

    Raises:
        UmbelError: The network has no such value, or no noise that could be turned.
    """
    point = learner.sweep()[0]
    noisy = "sigma" in point or any(isinstance(module, FeatureRelease) for module in learner.modules())
    if text and is_controllable(learner):
        point = parse_point(text, [task.name for task in learner.tasks])
    elif text:
        known = dict.fromkeys((*point, *(["sigma"] if noisy else [])))
        for name, value in options(text, "--point").items():
            if name not in known:
                raise unknown("value of the operating point in --point", name, known)
            point = point.with_values(**{name: value})
    if not sigmas:
        return [point]
    if not noisy:
        raise UmbelError("--sigma: this network releases its features without noise of its own; leave --sigma out")
    return [point.with_values(sigma=_alike(point.get("sigma"), sigma)) for sigma in dict.fromkeys(sigmas)]


def _alike(before: object, sigma: float) -> float | dict[str, float]:
    """One noise level, or the same for each task where each has its own."""
    return dict.fromkeys(before, sigma) if isinstance(before, Mapping) else sigma
