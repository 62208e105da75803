"""What the flags on weights, rates, warm starts and frozen parts say, applied to tasks and learners."""

import dataclasses
from collections.abc import Iterable

import torch
from torch import nn

from umbel.arguments import real_number
from umbel.core import Descent, Learner, UmbelError, freeze, named_part, unknown
from umbel.data import MultiTaskData
from umbel.descent import make_descent
from umbel.engine import warm_start
from umbel.nn.detection import DetectionLearner
from umbel.recipes.boxes import start_detector
from umbel.recipes.settings import names, options
from umbel.recipes.teaching_settings import TeachingSettings
from umbel.tasks import with_class_weights

_WEIGHED = ("classification", "segmentation")


def with_weighed_classes(data: MultiTaskData, text: str) -> MultiTaskData:
    """The data whose tasks weigh their classes as `--class-weights` says.

    Args:
        data: With its tasks.
        text: "balanced" for all tasks with classes; or "task=1/2/1,other=balanced". Empty leaves all as they are.

    Raises:
        UmbelError: An unknown task, one without classes, or weights that do not fit.
    """
    if not text:
        return data
    flag = "--class-weights"
    if text.strip() == "balanced":
        chosen: dict[str, object] = {task.name: "balanced" for task in data.tasks if task.kind in _WEIGHED}
        if not chosen:
            raise UmbelError(f"{flag} balanced: no task of {data.name!r} has classes to weigh")
    else:
        chosen = options(text, flag)
    _known(chosen, data, flag)
    tasks = tuple(
        with_class_weights(task, _weights(chosen[task.name], f"{flag} {task.name}")) if task.name in chosen else task
        for task in data.tasks
    )
    return dataclasses.replace(data, tasks=tasks)


def _weights(value: object, what: str) -> "torch.Tensor | str":
    if isinstance(value, str):
        return value
    numbers = value if isinstance(value, tuple) else (value,)
    return torch.tensor([real_number(number, what) for number in numbers])


def weighed_descent(name: str, chosen: dict[str, object], text: str, data: MultiTaskData) -> Descent:
    """The descent of a name and its options, with the task weights that `--task-weights` says.

    Args:
        name: Of the descent.
        chosen: Its options.
        text: "depth=2,seg=1"; tasks that are not named have weight 1. Empty for none.
        data: Whose tasks are meant.

    Raises:
        UmbelError: An unknown task, another descent than the sum of the losses, or no number.
    """
    if not text:
        return make_descent(name, **chosen)
    flag = "--task-weights"
    if name != "equal":
        raise UmbelError(f"{flag} is for --descent equal, the sum of the losses; {name!r} weighs the tasks by itself")
    if "weights" in chosen:
        raise UmbelError(f"{flag} {text}: --descent-options weights says the same; give one of the two")
    given = options(text, flag)
    _known(given, data, flag)
    weights = {task: real_number(value, f"{flag} {task}") for task, value in given.items()}
    if not any(weights.get(task.name, 1.0) for task in data.tasks):
        raise UmbelError(f"{flag} {text}: every weight is 0, so that nothing would be learnt")
    return make_descent(name, **{**chosen, "weights": weights})


def _known(chosen: Iterable[str], data: MultiTaskData, flag: str) -> None:
    tasks = [task.name for task in data.tasks]
    for name in chosen:
        if name not in tasks:
            raise unknown(f"task of {flag}", name, tasks)


def check_alike(settings: TeachingSettings) -> None:
    """Refuse parts of single tasks where networks with other tasks must be treated alike.

    Raises:
        UmbelError: A head is named.
    """
    for flag, parts in (("--freeze", names(settings.freeze)), ("--rates", options(settings.rates, "--rates"))):
        for part in parts:
            if part.startswith(("heads.", "links.")):
                raise UmbelError(
                    f"{flag} {part}: a comparison treats all its networks alike, and a reference has one task only; "
                    f"name the encoder, a part of it, or {part.partition('.')[0]}"
                )


def _trainable(learner: Learner, name: str) -> bool:
    part = named_part(learner.model, name)
    return isinstance(part, nn.Parameter) or any(True for _ in part.parameters())


def prepare(learner: Learner, settings: TeachingSettings, start: bool = True) -> str:
    """Start a fresh learner from earlier weights, freeze parts of it and set the rates of others.

    Args:
        learner: Changed in place.
        settings: What is asked for.
        start: Whether it still has to be started; a run that is resumed has its weights in its checkpoint.

    Returns:
        A line on what was taken from where; empty where nothing was.

    Raises:
        UmbelError: An unknown part, weights that do not fit, or a part that is frozen and has a rate.
    """
    frozen, rates = names(settings.freeze), options(settings.rates, "--rates")
    for flag, parts in (("--freeze", frozen), ("--rates", rates)):
        for part in parts:
            try:
                named_part(learner.model, part)
            except UmbelError as error:
                raise UmbelError(f"{flag}: {error}") from None
        if idle := [part for part in parts if not _trainable(learner, part)]:
            raise UmbelError(f"{flag} {idle[0]}: nothing in this part is trained")
    if both := [part for part in rates if any(f"{part}.".startswith(f"{name}.") for name in frozen)]:
        raise UmbelError(f"--rates {both[0]}: this part is frozen, so that its rate would do nothing")
    if frozen and hasattr(learner, "widths"):
        raise UmbelError("--freeze does not go with --widths: statistics of frozen parts cannot follow the widths")
    told = ""
    if settings.start_from and start:
        begin = start_detector if isinstance(learner, DetectionLearner) else warm_start
        told = begin(learner, settings.start_from)
    freeze(learner.model, frozen)
    learner.learn_at({part: real_number(value, f"--rates {part}") for part, value in rates.items()})
    return told
