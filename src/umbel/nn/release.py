"""Features that leave the device: clipped to a norm, with noise of the operating point's size."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from umbel.arguments import real_number
from umbel.core import Axes, Axis, OperatingPoint, PointModule, UmbelError, unknown
from umbel.privacy import Guarantee, Release, guarantee


class FeatureRelease(PointModule):
    """Clip each sample's features to norm C, add Gaussian noise at the point's ``sigma``: a link of a `MultiTaskModel`.

        y = x min(1, C / ||x||) + sigma C N(0, I),   ||x|| over all features of a sample

    What it guarantees for the one sample whose features are released, and with whom, says `guarantee`: this is local
    privacy of an input in use, and nothing about the samples that trained the network. Nor is it a promise that the
    features serve no other task: noise that is small enough for one task leaves something for others.

    A sample with a feature, or a norm, that is not finite is released as zeros and noise: NaN would come out as NaN.
    Noise is drawn in training and evaluation alike, from torch's default generator, as in a channel.

    Without a clip norm the noise has the standard deviation ``sigma`` itself. That is noise and no privacy: features
    may be as far apart as they like, so `guarantee` refuses.

    Source: Dwork, Roth, "The algorithmic foundations of differential privacy", 2014, for the Gaussian mechanism; the
    guarantee is that of Balle, Wang, ICML 2018.

    Args:
        clip_norm: C, above 0, in the features' units; None for noise alone.
        sigma: How the point's ``sigma`` is drawn in training and where it is evaluated, as in ``Uniform(0, 4)`` or
            ``OneOf((0.0, 1.2, 2.16))``. None leaves that to the learner.
        task: Whose noise it has, when the point's ``sigma`` is a mapping from tasks to numbers; with `sigma`, its entry
            in that mapping.

    Raises:
        UmbelError: A clip norm that is not above 0.
    """

    def __init__(self, clip_norm: float | None = 1.0, sigma: Axis | None = None, task: str = "") -> None:
        super().__init__()
        if clip_norm is not None:
            clip_norm = Release(clip_norm, 0.0).clip_norm
        self.clip_norm, self.sigma, self.task = clip_norm, sigma, task

    def axes(self) -> Axes:
        """How its noise is drawn, where that was given."""
        if self.sigma is None:
            return {}
        return {"sigma": {self.task: self.sigma} if self.task else self.sigma}

    def sigma_at(self, point: OperatingPoint) -> float:
        """Standard deviation of the noise on each feature, in multiples of the clip norm.

        Raises:
            UmbelError: The point has no ``sigma`` (for this task), or it is no number of 0 or more.
        """
        value = point.require("sigma")
        if isinstance(value, Mapping):
            if self.task not in value:
                raise unknown("task in sigma", self.task, value)
            value = value[self.task]
        sigma = real_number(value, "sigma of the operating point")
        if sigma < 0:
            raise UmbelError(f"sigma of the operating point is {sigma:g}; give a number, at least 0")
        return sigma

    def forward(self, features: Float[Tensor, "B *features"], point: OperatingPoint) -> Float[Tensor, "B *features"]:
        """What is sent: [B, ...] as given, in float32 (float64 stays).

        Raises:
            UmbelError: See `sigma_at`.
        """
        return self.noised(self.clipped(features), point)

    def clipped(self, features: Float[Tensor, "B *features"]) -> Float[Tensor, "B *features"]:
        """What would be sent without noise, in float32 (float64 stays)."""
        features = features if features.dtype == torch.float64 else features.float()
        return features if self.clip_norm is None else _clipped(features, self.clip_norm)

    def noised(self, clipped: Float[Tensor, "B *features"], point: OperatingPoint) -> Float[Tensor, "B *features"]:
        """What is sent, from what `clipped` gave.

        Raises:
            UmbelError: See `sigma_at`.
        """
        sigma, unit = self.sigma_at(point), 1.0 if self.clip_norm is None else self.clip_norm
        return clipped + sigma * unit * torch.randn_like(clipped) if sigma else clipped

    def guarantee(
        self,
        point: OperatingPoint,
        delta: float,
        neighbours: str = "replace-one",
        unit: str = "sample",
        times: int = 1,
    ) -> Guarantee:
        """What this link's releases at a point guarantee, to one who sees no other link's.

        Against receivers who put together what they got, give `umbel.privacy.guarantee` the `release_at` of all links.

        Args:
            point: Its ``sigma`` is read.
            delta: Above 0, below 1; well below 1 / number of samples.
            neighbours: "replace-one" or "add-remove".
            unit: What is protected, as in "image": all of its releases must be counted.
            times: How often features of the same unit are released, each time with new noise.

        Raises:
            UmbelError: Features are not clipped, or an argument out of its range.
        """
        return guarantee([self.release_at(point, times)], delta, neighbours, unit)

    def release_at(self, point: OperatingPoint, times: int = 1) -> Release:
        """What this link releases of one sample at a point, for `umbel.privacy.guarantee`.

        Args:
            point: Its ``sigma`` is read.
            times: How often, each time with new noise.

        Raises:
            UmbelError: Features are not clipped, or an argument out of its range.
        """
        if self.clip_norm is None:
            raise UmbelError(
                "features that are not clipped may be arbitrarily far apart, so noise guarantees nothing; "
                "give the release a clip_norm"
            )
        return Release(self.clip_norm, self.sigma_at(point), times)


class ReleasingLink(PointModule):
    """What makes a task's features, and how they leave the device: a link of a `MultiTaskModel`.

        shared features ──► projection ──► clip ──► (clean) ──► noise ──► what the task's receiver gets

    Args:
        projection: Shared features -> the task's, with a `feature_shape`.
        release: Clips and adds noise; None sends the features as they are.

    Attributes:
        projection: As given.
        release: As given.
        feature_shape: Of what is sent.
    """

    def __init__(self, projection: nn.Module, release: FeatureRelease | None = None) -> None:
        super().__init__()
        self.projection, self.release = projection, release
        self.feature_shape = tuple(projection.feature_shape)

    def forward(self, shared: Any, point: OperatingPoint) -> Tensor:
        """What the task's receiver gets, [B, *feature_shape]."""
        return self.sent(self.clean(shared), point)

    def clean(self, shared: Any) -> Tensor:
        """What it would get without noise: clipped, where features are."""
        features = self.projection(shared)
        return features if self.release is None else self.release.clipped(features)

    def sent(self, clean: Tensor, point: OperatingPoint) -> Tensor:
        """What it gets, from what `clean` gave: with noise, where there is any."""
        return clean if self.release is None else self.release.noised(clean, point)


def _clipped(features: Tensor, norm: float) -> Tensor:
    flat = features.flatten(1) if features.ndim > 1 else features[:, None]
    flat = torch.where(torch.isfinite(flat).all(1, keepdim=True), flat, 0)
    lengths = torch.linalg.vector_norm(flat, dim=1, keepdim=True)
    return (flat * (norm / lengths.clamp(min=norm))).reshape(features.shape)
