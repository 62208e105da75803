"""What clipping and noise guarantee at an operating point, in sentences that hold all that an epsilon needs."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from umbel.arguments import one_of, whole_number
from umbel.core import MultiTaskModel, OperatingPoint, PointSequential, UmbelError
from umbel.nn import FeatureRelease
from umbel.privacy import NEIGHBOURS, Guarantee, Release, gaussian_sigma, guarantee, sensitivity, usual_delta

_MOST_DELTA = 1e-5


def delta_below(samples: int) -> float:
    """The delta that is taken where none is given: 1e-5, or the largest power of ten below 1 / samples if that is less.

    Args:
        samples: Of the set whose samples are protected.
    """
    return min(_MOST_DELTA, usual_delta(samples))


def release_guarantees(
    model: nn.Module,
    point: OperatingPoint,
    samples: int,
    *,
    delta: float | None = None,
    unit: str = "sample",
    releases: int = 1,
) -> tuple[str, ...]:
    """What the links of a network guarantee for the one input whose features they send.

    One sentence for each receiver and relation of neighbours, then the same for all receivers together. It speaks of
    clipping and noise alone: what attackers reach is no part of it, and neither are the samples of the training.

    Args:
        model: Of any kind; guarantees come from `FeatureRelease`, as a link of a `MultiTaskModel` (or in one that is a
            `PointSequential`, or that has it as its `release`), or at the end of its encoder.
        point: Its ``sigma`` is read.
        samples: How many samples the set has.
        delta: Of every guarantee; `delta_below` by default. 1 / samples or more is told to be too large.
        unit: What is protected, as in "image".
        releases: How often features of the same unit are sent, each time with new noise.

    Raises:
        UmbelError: An argument out of its range, or a point without ``sigma`` for a link with noise.
    """
    chosen = delta_below(samples) if delta is None else delta
    passed = _Passed.of(model)
    sentences = [] if passed.by else ["Nothing is guaranteed: this network has no receivers with a FeatureRelease."]
    for name, release in passed.by.items():
        sentences += [f"{name}: {told}" for told in _told(release, point, chosen, unit, releases)]
    if len(passed.by) > 1:
        sentences += [f"all together: {told}" for told in _told_of_all(passed, point, chosen, unit, releases)]
    if chosen * samples >= 1:
        sentences.append(
            f"delta {chosen:g} is not below 1/n = {1 / samples:g} (n = {samples:,} samples): who publishes one "
            f"{unit} in n outright would have it, too; take {delta_below(samples):g} or less."
        )
    return tuple(sentences)


def noise_for_epsilon(
    model: nn.Module, epsilon: float, delta: float, neighbours: str = "replace-one", releases: int = 1
) -> float:
    """The least ``sigma`` of the operating point at which all receivers together are held to an epsilon.

        sigma = least noise of one release with the sensitivity s sqrt(K releases)

    K links with the same noise, in multiples of their clip norms, are as one whose neighbours are sqrt(K) times as far
    apart: Gaussian noise composes exactly (see `umbel.privacy.guarantee`). s is 2 clip norms for "replace-one" and 1
    for "add-remove".

    Args:
        model: Every receiver's features must be clipped by a `FeatureRelease`; see `release_guarantees`.
        epsilon: At least 0, for all releases together.
        delta: Above 0, below 1.
        neighbours: One of `umbel.privacy.NEIGHBOURS`.
        releases: How often features of the same unit are sent.

    Returns:
        In multiples of the clip norm: what `point.with_values(sigma=...)` takes, for all links.

    Raises:
        UmbelError: A receiver's features are not clipped or have no noise, so that no epsilon holds; or an argument out
            of its range.
    """
    one_of(neighbours, "relation of neighbours", NEIGHBOURS)
    times = whole_number(releases, "releases", least=1)
    passed = _Passed.of(model)
    if not passed.by:
        raise UmbelError("no noise gives this network an epsilon: it has no receivers with a FeatureRelease")
    for name, release in passed.by.items():
        if release is None or release.clip_norm is None:
            lacks = "no FeatureRelease" if release is None else "a FeatureRelease without a clip_norm"
            raise UmbelError(
                f"no noise gives the features of {name!r} an epsilon: they have {lacks}, and features that are not "
                "clipped may be arbitrarily far apart; train with a clip_norm"
            )
    return gaussian_sigma(epsilon, delta, sensitivity(1.0, neighbours) * math.sqrt(len(passed.all) * times))


@dataclass(frozen=True)
class _Passed:
    """What features pass through on their way to receivers; nothing for a model of a kind that does not say.

    Attributes:
        by: Receiver -> the release that all of its features pass through; None where there is none.
        all: What happens to the features of all receivers together, each release counted as often as it draws noise.
    """

    by: dict[str, FeatureRelease | None]
    all: tuple[FeatureRelease | None, ...]

    @classmethod
    def of(cls, model: nn.Module) -> "_Passed":
        if not isinstance(model, MultiTaskModel):
            return cls({}, ())
        before = _gate(model.encoder)
        if before is not None:  # whatever links do to it afterwards cannot tell more
            return cls(dict.fromkeys(model.task_names, before), (before,))
        own = {name: _gate(model.links[name]) if name in model.links else None for name in model.task_names}
        return cls(own, tuple(own.values()))


def _gate(link: nn.Module) -> FeatureRelease | None:
    """The release that everything passes through on its way through a module, where that is known for sure."""
    if isinstance(link, FeatureRelease):
        return link
    if isinstance(link, PointSequential):
        gates = [gate for stage in link.stages if (gate := _gate(stage)) is not None]
        return gates[-1] if gates else None
    own = getattr(link, "release", None)
    return own if isinstance(own, FeatureRelease) else None


def _told(release: FeatureRelease | None, point: OperatingPoint, delta: float, unit: str, times: int) -> Iterator[str]:
    if release is None:
        yield "no guarantee: its features are sent without clipping and noise."
    elif release.clip_norm is None:
        yield (
            f"noise, not privacy: standard deviation {release.sigma_at(point):g} on features that are not clipped, so "
            "that no epsilon holds."
        )
    else:
        yield from _sentences([release.release_at(point, times)], delta, unit)


def _told_of_all(passed: _Passed, point: OperatingPoint, delta: float, unit: str, times: int) -> Iterator[str]:
    open_ones = [name for name, release in passed.by.items() if release is None or release.clip_norm is None]
    if open_ones:
        yield f"no guarantee, for the features of {', '.join(open_ones)} are not clipped, or have no noise."
        return
    yield from _sentences([one.release_at(point, times) for one in passed.all if one is not None], delta, unit)


def _sentences(releases: Sequence[Release], delta: float, unit: str) -> Iterator[str]:
    for neighbours in NEIGHBOURS:
        made: Guarantee = guarantee(releases, delta, neighbours, unit)
        yield f"{made}."
