"""From settings to a learner that adapts a detector, and the pictures that it learns from."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from umbel.core import Batch, Inputs, Task, UmbelError
from umbel.data.source import ready
from umbel.methods.source_free_alignment import Alignment
from umbel.methods.source_free_detection import Answer, SelfTraining, SourceFreeLearner, per_class
from umbel.methods.source_free_target import TargetPictures, divide
from umbel.methods.source_free_watch import Watch
from umbel.nn.detection import Detector, live_norms, reestimate_norms, variance_scores
from umbel.recipes.adapting.settings import AdaptationSettings

_FINE = ("encoder.blocks.1", "encoder.body.layer1", "encoder.body.0")
"""Modules with fine maps (stride 4, as in the paper), of our small backbone and of torchvision's."""
_TOGETHER = 8
NONE = "none"


@dataclass(frozen=True, eq=False)
class Adaptation:
    """A learner and what it learns from.

    Attributes:
        learner: Its teacher is the adapted detector.
        pictures: A source of unlabelled pictures.
        variances: Of the pictures, [N]; None where they were not divided.
        similar: Bool [N].
        start: The detector before the first step, with batch norms' statistics of the pictures: step 0.
    """

    learner: SourceFreeLearner
    pictures: TargetPictures
    variances: Tensor | None
    similar: Tensor
    start: Detector


def in_batches(samples: Batch) -> list[Inputs]:
    """Pictures as a detector takes them, a few at a time."""
    return [ready(samples[start : start + _TOGETHER]).inputs for start in range(0, len(samples), _TOGETHER)]


def fine_maps(detector: Detector, named: str) -> str:
    """The module that the local discriminator reads; empty for none.

    Raises:
        UmbelError: Nothing was named, and no module of this backbone is known to have fine maps.
    """
    if named:
        return "" if named == NONE else named
    present = dict(detector.named_modules())
    for name in _FINE:
        if name in present:
            return name
    raise UmbelError(
        "no module with fine maps is known of this backbone; name one with --local-at (as detector.named_modules() "
        "calls it), or leave it out with --local-at none"
    )


def adaptation(
    detector: Detector,
    task: Task,
    samples: Batch,
    settings: AdaptationSettings,
    thresholds: Sequence[float],
    steps: int,
    seed: int = 0,
    similar: Tensor | None = None,
    answer: Answer = "teacher",
) -> Adaptation:
    """What adapts a detector to pictures.

    Args:
        detector: Of the source; it stays as it is.
        task: Of its boxes.
        samples: The target's pictures; their labels, if there are any, are not looked at.
        settings: How.
        thresholds: From which score on a box teaches, where the settings do not say.
        steps: Of the training.
        seed: Of the discriminators' start and of dropout.
        similar: Bool [N], which pictures count as similar; None: those that dropout moves most.
        answer: Whether the teacher or the student is the adapted detector.

    Raises:
        UmbelError: Fewer than two pictures to divide, or a module that is not there.
    """
    detector = copy.deepcopy(detector)
    batches, variances = in_batches(samples), None
    if not settings.align:
        similar = torch.ones(len(samples), dtype=torch.bool)
    elif similar is None:
        variances = variance_scores(detector, batches, settings.passes, settings.variance, seed)
        similar = divide(variances, settings.share)
    if settings.norms and live_norms(detector.encoder):
        reestimate_norms(detector, batches)
    chosen = settings.thresholds or tuple(thresholds)
    teaching = SelfTraining(
        chosen,
        settings.least,
        settings.most_per_class,
        settings.decay,
        settings.every,
        flips=settings.flips,
        taught=settings.taught,
    )
    alignment = None
    if settings.align:
        coarse = "" if settings.global_at == NONE else settings.global_at
        alignment = Alignment(fine_maps(detector, settings.local_at), coarse, settings.align)
    watch = Watch(batches, per_class(chosen, detector.labels))
    learner = SourceFreeLearner(detector, [task], teaching, alignment, watch, seed=seed, answer=answer)
    pictures = TargetPictures(samples, similar, steps, 1 - settings.simulate, task.name)
    return Adaptation(learner, pictures, variances, similar, copy.deepcopy(detector))
