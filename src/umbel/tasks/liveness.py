"""Whether what a camera sees is a living face or a presentation attack: a print, a screen, a mask."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from umbel import losses
from umbel.arguments import text
from umbel.core import Task, UmbelError
from umbel.metrics import PresentationAttackErrors
from umbel.tasks.arguments import labels_of

LIVE = "live"
"""Label of what is no attack, in every task of liveness; its number is 0."""


def liveness(name: str = "liveness", attacks: Sequence[str] = ("print", "replay", "mask")) -> Task:
    """Live or attacked: one yes/no answer, of which the types of the no are known.

    Prediction: the logit of live, [B, 1]; greater is surer. Target: int64 [B]: 0 is live, k the k-th type of attack,
    negative missing. Loss: binary cross-entropy of live; which attack it is only counts in the errors.

    Metrics: AUC, of live against all attacks together; EER, the equal error rate, whose threshold is taken from the
    very samples that are judged, so that it is a lower bound; and HTER, APCER, BPCER and ACER at probability 0.5. See
    `metrics.attack_errors`. Errors at the threshold of the validation split, which is what a report must have, are
    printed by `umbel train` and `umbel evaluate`.

    Args:
        name: Name of the task.
        attacks: Names of the types of attack, in the order of their numbers.

    Raises:
        UmbelError: No type of attack, or one called "live".
    """
    text(name, "the name of a task")
    types = labels_of(attacks, 1, name)
    if LIVE in types:
        raise UmbelError(f"task {name!r}: an attack cannot be called {LIVE!r}, which is what is no attack")
    at_half = {
        f"{value} at 0.5": partial(PresentationAttackErrors, value) for value in ("HTER", "APCER", "BPCER", "ACER")
    }
    return Task(
        name=name,
        outputs=1,
        loss=_live_or_not,
        metrics={**{value: partial(PresentationAttackErrors, value) for value in ("AUC", "EER")}, **at_half},
        higher_is_better=True,
        decode=_probability,
        labels=(LIVE, *types),
        kind="liveness",
    )


def calibrated(task: Task, scale: float, shift: float) -> Task:
    """The same task, whose decoded predictions are calibrated: sigmoid(scale · logit + shift).

    Args:
        task: Of liveness.
        scale: As `metrics.PlattScaling` has it.
        shift: Likewise.
    """
    return replace(task, decode=partial(calibrated_probability, scale=scale, shift=shift))


def calibrated_probability(logits: Tensor, scale: float, shift: float) -> Tensor:
    """The probability of live after Platt scaling, of logits of any shape."""
    return (logits.float() * scale + shift).sigmoid()


def _live_or_not(prediction: Tensor, target: Tensor) -> Tensor:
    if prediction.shape != (*target.shape, 1) or target.is_floating_point():
        raise UmbelError(
            f"a prediction of shape {list(prediction.shape)} for a target of shape {list(target.shape)} and type "
            f"{str(target.dtype).split('.')[1]}; give [B, 1] and whole numbers [B], 0 for live"
        )
    return losses.bernoulli(prediction.squeeze(1), (target == 0).to(prediction))


def _probability(logits: Tensor) -> Tensor:
    return logits.float().sigmoid()
