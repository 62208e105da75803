"""What several releases of one sample guarantee together, with everything that must stand beside an epsilon."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from umbel.arguments import instance, one_of, real_number, text, whole_number
from umbel.errors import UmbelError
from umbel.privacy.gaussian import at_least_0, gaussian_epsilon, probability
from umbel.privacy.zcdp import gaussian_zcdp, zcdp_epsilon

NEIGHBOURS = ("replace-one", "add-remove")
"""What two neighbours differ in: one sample is another sample, or one sample is there or not (its features are 0)."""

MOST_TIMES = 10**12
"""Of one `Release`; more would only lose digits."""


@dataclass(frozen=True)
class Release:
    """Features of one sample, clipped to a norm, with Gaussian noise, sent once or several times.

    Attributes:
        clip_norm: Largest Euclidean norm of a sample's features, above 0.
        sigma: Standard deviation of the noise on each number, in multiples of `clip_norm`; 0 is no noise.
        times: How often features of the same sample are sent, each time with new noise (frames of one scene, retries).

    Raises:
        UmbelError: A number out of its range.
    """

    clip_norm: float
    sigma: float
    times: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "clip_norm", _clip_norm(self.clip_norm))
        object.__setattr__(self, "sigma", at_least_0(self.sigma, "sigma of a release"))
        object.__setattr__(self, "times", whole_number(self.times, "times of a release", least=1, most=MOST_TIMES))


@dataclass(frozen=True)
class Guarantee:
    """What releases guarantee, with all that an epsilon means nothing without. `str` gives it as one line.

    Attributes:
        epsilon: The smallest that holds at `delta`, for all releases together; infinite where one is without noise.
        delta: As asked for.
        neighbours: One of `NEIGHBOURS`.
        unit: What is protected, as in "image", "frame", "person".
        releases: What was released.
        rho: Of zero-concentrated differential privacy, for all releases together.
        zcdp_epsilon: What follows from `rho` alone; an upper bound of `epsilon`.
    """

    epsilon: float
    delta: float
    neighbours: str
    unit: str
    releases: tuple[Release, ...]
    rho: float
    zcdp_epsilon: float

    def __str__(self) -> str:
        each = "; ".join(f"{r.times} × clip norm {r.clip_norm:g}, sigma {r.sigma:g} × clip norm" for r in self.releases)
        protected = f"one {self.unit}, {self.neighbours} neighbours"
        if math.isinf(self.epsilon):
            return f"no guarantee: a release has next to no noise ({protected}; {each})"
        return f"epsilon {self.epsilon:.2f} at delta {self.delta:g} ({protected}; {each})"


def sensitivity(clip_norm: float, neighbours: str) -> float:
    """The largest distance between what two neighbours release of features that are clipped to a norm C.

        replace-one: 2 C,   add-remove: C

    Args:
        clip_norm: C, above 0.
        neighbours: One of `NEIGHBOURS`.

    Raises:
        UmbelError: No such norm or relation.
    """
    one_of(neighbours, "relation of neighbours", NEIGHBOURS)
    return _clip_norm(clip_norm) * (2 if neighbours == "replace-one" else 1)


def guarantee(
    releases: Sequence[Release], delta: float, neighbours: str = "replace-one", unit: str = "sample"
) -> Guarantee:
    """What all releases of one sample's features guarantee together, to whoever sees all of them.

        m_k = sensitivity_k / (sigma_k C_k),   m = sqrt(Σ_k times_k m_k²),   rho = m²/2

    Releases with Gaussian noise are together one release with Gaussian noise, of all features side by side, each in
    units of its noise: m is how far apart neighbours can be then. So the epsilon is exact, by `gaussian_epsilon` for
    noise 1 and sensitivity m; it is what numerical accountants (privacy loss distributions) approach. It holds as well
    where later features depend on what was released before.

    It says nothing of the samples that the network was trained on. It holds for noise of real numbers drawn at random;
    floating-point numbers and the generators of torch come close, but are no protection from one who attacks those.

    Args:
        releases: At least one: of every task, whoever receives it.
        delta: Above 0, below 1; well below 1 / number of samples.
        neighbours: One of `NEIGHBOURS`.
        unit: What is protected, as in "image", "frame", "person": all of its releases must be named.

    Raises:
        UmbelError: Nothing is released, or a number or name out of its range.

    Source: Dong, Roth, Su, "Gaussian differential privacy", JRSS B 2022, corollary 2 (composition of Gaussians); Balle,
    Wang, ICML 2018 (epsilon); Bun, Steinke, TCC 2016 (rho).
    """
    instance(releases, (list, tuple), "releases", "a list of Release(clip_norm, sigma)")
    for release in releases:
        instance(release, Release, "one of the releases", "a Release(clip_norm, sigma)")
    if not releases:
        raise UmbelError("nothing is released, so there is nothing to guarantee; give at least one Release")
    delta = probability(delta)
    furthest = sensitivity(1.0, neighbours)  # in multiples of the clip norm, as sigma is
    rho = sum(release.times * gaussian_zcdp(release.sigma, furthest) for release in releases)
    bounded = 0 < rho < math.inf
    epsilon = gaussian_epsilon(delta, 1.0, math.sqrt(2 * rho)) if bounded else rho
    return Guarantee(
        epsilon, delta, neighbours, text(unit, "unit of privacy"), tuple(releases), rho, zcdp_epsilon(rho, delta)
    )


def _clip_norm(value: float) -> float:
    number = real_number(value, "clip norm of a release")
    if number <= 0:
        raise UmbelError(f"clip norm of a release is {number:g}; give a number above 0")
    return number
