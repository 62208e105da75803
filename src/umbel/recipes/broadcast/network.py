"""The composition: stages x receivers x tasks in one network, and how its receivers leave early."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from umbel.channels import parse_channel
from umbel.core import OperatingPoint, Task, UmbelError
from umbel.data import MultiTaskData, Source
from umbel.engine import predict_split
from umbel.engine.runtime import FabricRuntime
from umbel.methods.multi_round import check_classification
from umbel.recipes.broadcast.settings import PICTURES, BroadcastSettings, Wish
from umbel.recipes.settings import options
from umbel.tasks import picture
from umbel.transmission import (
    Goal,
    Stage,
    StagedLearner,
    at_stop,
    build_transmission,
    choose_thresholds,
    confidence_of,
    delay_of,
    stop_round,
)


def wanted_task(name: str, data: MultiTaskData, scale: float) -> Task:
    """The task that a receiver's word means.

    Raises:
        UmbelError: No task of the set, or pictures of inputs that are none.
    """
    if name not in PICTURES:
        return data.task(name)
    if len(data.input_shape) != 3:
        raise UmbelError(f"{data.name} has inputs of shape {tuple(data.input_shape)}; nobody can want a {name} of them")
    return picture(name, data.input_shape[0], scale)


def goals_of(wishes: Sequence[Wish], data: MultiTaskData, stages: int, scale: float) -> list[Goal]:
    """Every task of every receiver after every stage; a pyramid's picture is half as large a stage before."""
    goals = []
    for stage in range(1, stages + 1):
        for wish in wishes:
            for name in wish.tasks:
                shrink = 2 ** (stages - stage) if name == "pyramid" else 1
                goals.append(Goal(wanted_task(name, data, scale), stage, wish.name, shrink=shrink))
    return goals


def make_learner(
    settings: BroadcastSettings, data: MultiTaskData, wishes: Sequence[Wish], uses: Sequence[int], seed: int
) -> StagedLearner:
    """A fresh network for these receivers; the same seed gives every network the same encoder, where it can be.

    Raises:
        UmbelError: A task, channel, encoder or option that is not there, ...
    """
    goals = goals_of(wishes, data, len(uses), settings.picture_scale)
    channels = {wish.name: parse_channel(wish.channel) for wish in wishes}
    chosen = options(settings.encoder_options, "--encoder-options")
    everyone = [wanted_task(name, data, 1.0) for wish in settings.wishes for name in wish.tasks]
    encoder = settings.encoder or ("pixel" if any(task.output == "picture" for task in everyone) else None)
    try:
        model = build_transmission(
            data.input_shape, [Stage(count) for count in uses], goals, channels, encoder, seed=seed, **chosen
        )
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, UmbelError) or not chosen:
            raise
        raise UmbelError(f"--encoder-options {settings.encoder_options}: no such network ({error})") from error
    return StagedLearner(model, {wish.name: wish.snr_db for wish in wishes})


def middle_point(wishes: Sequence[Wish]) -> OperatingPoint:
    """Every receiver at the middle of its SNRs."""
    return OperatingPoint(snr_db={wish.name: wish.middle_db for wish in wishes})


def leave_early(
    learner: StagedLearner,
    wishes: Sequence[Wish],
    uses: Sequence[int],
    data: MultiTaskData,
    runtime: FabricRuntime,
    draws: int,
    spare: float,
) -> dict[str, Any]:
    """When each receiver leaves at the middle of its SNRs, and what that costs; thresholds come from validation.

    A receiver's confidence is the least one over its tasks. One that wants a picture or a number stays to the end.

    Returns:
        "receivers": name -> mean uses heard ("delay"), "thresholds" and accuracy of each task at its stop; "air": mean
        uses until the last receiver has left.
    """
    leaving = [wish for wish in wishes if _has_confidence(wish, data)]
    point, found, stops = middle_point(wishes), {}, []
    validation, test = (
        _judged(learner, leaving, len(uses), source, runtime, point, draws) for source in (data.validation, data.test)
    )
    for wish in leaving:
        confidence, correct = validation[wish.name]
        right = torch.stack(list(correct.values())).double().mean(0)
        wanted = float(right[-1].mean()) - spare
        thresholds = choose_thresholds(confidence, right, uses, least_accuracy=wanted)
        confidence, correct = test[wish.name]
        stop = stop_round(confidence, thresholds)
        accuracy = {name: float(at_stop(values.double(), stop).mean()) for name, values in correct.items()}
        found[wish.name] = {"delay": float(delay_of(stop, uses).mean()), "thresholds": thresholds, "accuracy": accuracy}
        stops.append(stop)
    for wish in wishes:
        found.setdefault(wish.name, {"delay": float(sum(uses)), "thresholds": [], "accuracy": {}})
    together = torch.stack(stops).amax(0) if stops and len(leaving) == len(wishes) else None
    air = float(sum(uses)) if together is None else float(delay_of(together, uses).mean())
    return {"receivers": found, "air": air}


def _has_confidence(wish: Wish, data: MultiTaskData) -> bool:
    """Whether all that it wants are classes."""
    try:
        for name in wish.tasks:
            check_classification(wanted_task(name, data, 1.0))
    except UmbelError:
        return False
    return True


def _judged(
    learner: StagedLearner,
    wishes: Sequence[Wish],
    stages: int,
    source: Source,
    runtime: FabricRuntime,
    point: OperatingPoint,
    draws: int,
) -> Mapping[str, tuple[Tensor, dict[str, Tensor]]]:
    """Receiver -> least confidence over its tasks [S, N], and for each task which decisions are right [S, N].

    Samples without a label of one of these tasks are left out.
    """
    names = [f"{wish.name}/{task}@{s + 1}" for wish in wishes for task in wish.tasks for s in range(stages)]
    if not names:
        return {}
    seen = predict_split(learner, source, runtime, point, tasks=names, draws=draws)
    kept = torch.stack([seen.targets[name] >= 0 for name in names]).all(0)
    judged = {}
    for wish in wishes:
        confidences, correct = [], {}
        for task in wish.tasks:
            logits = torch.stack([seen.raw[f"{wish.name}/{task}@{s + 1}"][kept] for s in range(stages)])
            confidences.append(confidence_of(logits))
            correct[task] = logits.argmax(2) == seen.targets[f"{wish.name}/{task}@1"][kept]
        judged[wish.name] = torch.stack(confidences).amin(0), correct
    return judged
