"""What the noise of a network guarantees, at the operating points of an audit."""

from collections.abc import Sequence

from torch import nn

from umbel.audit import EncoderLearner, delta_below, noise_for_epsilon, release_guarantees
from umbel.audit.encoder import RECEIVER
from umbel.core import Learner, MultiTaskModel, OperatingPoint, UmbelError
from umbel.nn import FeatureRelease
from umbel.recipes.auditing.settings import AuditSettings
from umbel.recipes.auditing.subject import Subject

_NOTHING = "No privacy is guaranteed: features are sent as they are, without clipping and noise."


def promises(settings: AuditSettings, subject: Subject, point: OperatingPoint, releases: int) -> Sequence[str]:
    """Sentences of what the releases at a point guarantee.

    Args:
        settings: Of the audit.
        subject: The network.
        point: Its noise.
        releases: How many releases of the same input there are.

    Raises:
        UmbelError: A delta was given, and features are not clipped, so that no epsilon holds.
    """
    released = _releases(subject.learner)
    if settings.delta is not None:
        check_clipped(subject.learner, "--delta")
    if not released:
        return (_NOTHING,)
    model, samples = _model(subject.learner), _samples(subject)
    return release_guarantees(model, point, samples, delta=settings.delta, unit=_unit(subject), releases=releases)


def sigmas_of(settings: AuditSettings, subject: Subject) -> tuple[float, ...]:
    """The noise levels that are asked for, by themselves and by an epsilon.

    Raises:
        UmbelError: An epsilon is asked for, and the features of a receiver are not clipped or have no noise.
    """
    if not settings.epsilons:
        return settings.sigmas
    check_clipped(subject.learner, "--epsilon")
    delta = settings.delta or delta_below(_samples(subject))
    model = _model(subject.learner)
    return (*settings.sigmas, *(noise_for_epsilon(model, epsilon, delta) for epsilon in settings.epsilons))


def check_clipped(learner: Learner, flag: str) -> None:
    """Refuse an epsilon for a network that does not clip what it releases.

    Raises:
        UmbelError: As said.
    """
    released = _releases(learner)
    if not released:
        raise UmbelError(f"{flag}: this network sends its features without clipping and noise, so no epsilon holds")
    if any(one.clip_norm is None for one in released):
        raise UmbelError(
            f"{flag}: features that are not clipped may be arbitrarily far apart, so noise guarantees no epsilon; "
            "leave it out, or train with a clip_norm"
        )


def _releases(learner: Learner) -> list[FeatureRelease]:
    return [module for module in learner.modules() if isinstance(module, FeatureRelease)]


def _model(learner: Learner) -> nn.Module:
    """The model as guarantees look at it: an encoder of the user's own has one receiver."""
    if isinstance(learner, EncoderLearner) and learner.released_whole:
        return MultiTaskModel(learner.model.encoder, {RECEIVER: nn.Identity()})
    return learner.model


def _samples(subject: Subject) -> int:
    return sum(len(getattr(subject.data, split)) for split in ("train", "validation", "test"))


def _unit(subject: Subject) -> str:
    return "picture" if len(subject.data.input_shape) == 3 else "sample"
