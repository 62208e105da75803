"""Decoders that rebuild a picture from features without training: a linear one, the nearest neighbour, no features."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from umbel.core import UmbelError
from umbel.data.source import seeded
from umbel.metrics import picture_ssim

_WHOLE, _COMPONENTS = 1024, 512  # numbers of features that are used as they are; of more, so many components
_FOR_COMPONENTS = 4096  # samples that components are taken from
_STRENGTHS = tuple(10.0**power for power in range(-8, 3))  # of the ridge, in multiples of the number of samples
_CHUNK = 512  # pictures at a time


@dataclass(frozen=True, eq=False)
class Seen:
    """Features of n samples as decoders take them.

    Attributes:
        features: [n, ...] as they were released, but standardised: maps keep their positions.
        vectors: The same as [n, numbers], `Flattened`.
    """

    features: Tensor
    vectors: Tensor

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, index: slice | Tensor) -> "Seen":
        return Seen(self.features[index], self.vectors[index])


@dataclass(frozen=True, eq=False)
class Examples:
    """What a decoder learns from, or is chosen by: features beside pictures [n, C, H, W] in 0 to 1."""

    seen: Seen
    pictures: Tensor

    def __len__(self) -> int:
        return len(self.pictures)


class Decoder(Protocol):
    """What rebuilds pictures from features."""

    def __call__(self, seen: Seen) -> Tensor:
        """Pictures [n, C, H, W] in 0 to 1."""
        ...


class Standardised:
    """Features in units of their spread over the training samples.

    Vectors get a mean and a spread for each number, maps [C, h, w] for each channel. Features that never change are 0.

    Args:
        features: Of the training samples, [n, ...].

    Raises:
        UmbelError: There is no feature, or one is not finite.
    """

    def __init__(self, features: Tensor) -> None:
        if not features[0].numel():
            raise UmbelError("there are no features to rebuild pictures from: they have no number")
        if not torch.isfinite(features).all():
            raise UmbelError("features are not finite (NaN or infinite); audit a network that computes numbers")
        over = (0, *range(2, features.ndim)) if features.ndim == 4 else (0,)
        self.mean = features.mean(over, keepdim=True)
        spread = (features - self.mean).square().mean(over, keepdim=True).sqrt()
        still = spread <= 1e-6 * (self.mean.abs() + spread.max())  # what is left is rounding
        self.scale = torch.where(still, 0, 1 / spread)

    def __call__(self, features: Tensor) -> Tensor:
        """Standardised, in their shape."""
        return (features - self.mean) * self.scale


class Flattened:
    """Features as vectors of at most 1,024 numbers: of more, the 512 leading principal components, found at random.

    Args:
        features: Of the training samples, [n, ...], standardised.

    Source: Halko, Martinsson, Tropp, "Finding structure with randomness", SIAM Review 2011, algorithm 4.4.
    """

    def __init__(self, features: Tensor) -> None:
        flat = features.flatten(1)
        self.directions: Tensor | None = None  # [numbers, components]
        if flat.shape[1] > _WHOLE:
            some = flat[:_FOR_COMPONENTS]
            start = torch.randn(some.shape[1], min(_COMPONENTS, len(some)), generator=seeded(0))
            for _ in range(2):
                start = some.T @ torch.linalg.qr(some @ start.to(some)).Q
            self.directions = torch.linalg.qr(start).Q

    def __call__(self, features: Tensor) -> Tensor:
        """[n, numbers]."""
        flat = features.flatten(1)
        return flat if self.directions is None else flat @ self.directions


class LinearDecoder:
    """Each pixel a weighted sum of the features: ridge regression in closed form.

        W = (XᵀX + strength n I)⁻¹ XᵀY,   X the features, Y the pictures less the mean picture

    The strength is the one with the least squared error on validation.

    Args:
        train: With features of mean 0.
        validation: Chooses the strength.

    Attributes:
        mean: The mean picture, [C, H, W].
        weights: W, [d, C H W].
        strength: As chosen.
    """

    def __init__(self, train: Examples, validation: Examples) -> None:
        self.mean = train.pictures.mean(0)
        targets = (train.pictures - self.mean).flatten(1)
        products = train.seen.vectors.T @ targets
        vectors = train.seen.vectors.double()
        gram = vectors.T @ vectors
        values, axes = torch.linalg.eigh(gram)
        rotated = axes.T @ products.double()  # [d, pixels]
        errors = _errors(validation, self.mean, values, axes, rotated, len(train))
        self.strength = min(errors, key=errors.__getitem__)
        shrunk = axes / (values.clamp(min=0) + self.strength * len(train))
        self.weights = (shrunk @ rotated).to(targets)

    def __call__(self, seen: Seen) -> Tensor:
        """Pictures [n, C, H, W] in 0 to 1."""
        return self.raw(seen).clamp(0, 1)

    def raw(self, seen: Seen) -> Tensor:
        """The same before values are cut to 0 to 1."""
        return self.mean + (seen.vectors @ self.weights).unflatten(1, self.mean.shape)


def _errors(
    validation: Examples, mean: Tensor, values: Tensor, axes: Tensor, rotated: Tensor, count: int
) -> dict[float, float]:
    """Strength -> squared error on validation but for a constant, from d x d products: no picture is rebuilt."""
    turned = validation.seen.vectors.double() @ axes
    met = ((turned.T @ (validation.pictures - mean).flatten(1).double()) * rotated).sum(1)
    sizes = (rotated @ rotated.T) * (turned.T @ turned)
    errors = {}
    for strength in _STRENGTHS:
        shrink = 1 / (values.clamp(min=0) + strength * count)
        errors[strength] = float(shrink @ sizes @ shrink - 2 * (shrink @ met))
    return errors


class NearestDecoder:
    """Shows the training picture whose features are closest: what an attacker who keeps pictures would show.

    Args:
        train: The samples that it keeps.
    """

    def __init__(self, train: Examples) -> None:
        self.train = train

    def __call__(self, seen: Seen) -> Tensor:
        """Pictures of training samples, [n, C, H, W]."""
        kept = self.train.seen.vectors
        nearest = [torch.cdist(some, kept).argmin(1) for some in seen.vectors.split(_CHUNK)]
        return self.train.pictures[torch.cat(nearest)]


class BlindDecoder:
    """The same picture for every sample: the best that can be shown without any features.

    The mean picture, the median picture, or one that was descended from the mean on L1 + (1 - SSIM): whichever has the
    larger SSIM on validation.

    Args:
        train: Pictures [n, C, H, W].
        validation: Likewise.
        steps: Of the descent.

    Attributes:
        picture: [C, H, W].
    """

    def __init__(self, train: Tensor, validation: Tensor, steps: int) -> None:
        candidates = [train.mean(0), train.median(0).values]
        candidates.append(_descended(candidates[0], train, steps))
        scores = [float(similarity(one.expand_as(validation), validation).mean()) for one in candidates]
        self.picture = candidates[scores.index(max(scores))]

    def __call__(self, seen: Seen) -> Tensor:
        """The picture for each of n samples, [n, C, H, W]."""
        return self.picture.expand(len(seen), *self.picture.shape)


def _descended(picture: Tensor, train: Tensor, steps: int) -> Tensor:
    constant = picture.clone().requires_grad_()
    optimizer = torch.optim.Adam([constant], lr=0.02)
    generator = seeded(1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / steps)
        batch = train[torch.randint(len(train), (32,), generator=generator).to(train.device)]
        optimizer.zero_grad()
        rebuilding_loss(constant.expand_as(batch), batch).backward()
        optimizer.step()
    return constant.detach().clamp(0, 1)


def rebuilding_loss(rebuilt: Tensor, pictures: Tensor) -> Tensor:
    """L1 + (1 - SSIM), a mean over pictures."""
    return (rebuilt - pictures).abs().mean() + 1 - picture_ssim(rebuilt, pictures).mean()


def similarity(rebuilt: Tensor, pictures: Tensor) -> Tensor:
    """SSIM of each picture, [n], a few at a time."""
    pairs = zip(rebuilt.split(_CHUNK), pictures.split(_CHUNK), strict=True)
    return torch.cat([picture_ssim(*pair) for pair in pairs])
