"""Random changes of whole batches: flips and shifts of pictures, with the points and maps that belong to them.

Every augmentation follows the `Augmentation` protocol: it is handed the uniform random numbers it needs, so what it
does to a sample depends on that sample's numbers only, and not on which process or batch the sample sits in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from umbel.core import Batch, UmbelError
from umbel.data.source import Augmentation

Points = Mapping[str, Sequence[int]]
"""Target name -> the order of its points after mirroring: point k of the mirrored face was point order[k]."""


def _pictures(batch: Batch) -> Tensor:
    if not isinstance(batch.inputs, Tensor) or batch.inputs.ndim != 4:
        raise UmbelError("pictures are augmented as one tensor [B, C, H, W]; these inputs are not; leave `augment` out")
    return batch.inputs


def _chosen(mask: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """`yes` for the samples of `mask` [n], `no` for the others."""
    return torch.where(mask.view(-1, *[1] * (no.ndim - 1)), yes, no)


def _check_points(points: Points) -> dict[str, Tensor]:
    orders = {name: torch.as_tensor(order, dtype=torch.int64) for name, order in points.items()}
    for name, order in orders.items():
        if order.sort().values.tolist() != list(range(len(order))):
            raise UmbelError(f"mirrored order of {name!r} is not a permutation of 0 to {len(order) - 1}")
    return orders


def mirrored_points(target: Tensor, order: Tensor, width: int) -> Tensor:
    """Points of a picture that was flipped left to right.

    Args:
        target: [n, 2 K], x and y of K points in turn, in pixels (x of a pixel's centre is its column number).
        order: int64 [K]: point k of the mirrored picture was point order[k].
        width: Of the picture, in pixels.

    Returns:
        [n, 2 K]; missing points (NaN) stay missing, under their new number.
    """
    xy = target.view(len(target), -1, 2)[:, order.to(target.device)]
    return torch.stack([width - 1 - xy[..., 0], xy[..., 1]], -1).view_as(target)


class Flip:
    """Mirror half of the pictures left to right. Targets stay, except the points named.

    Args:
        points: Targets [B, 2 K] of points in pixels, with the order of their K points after mirroring.
    """

    draws = 1

    def __init__(self, points: Points | None = None) -> None:
        self._orders = _check_points(points or {})

    def __call__(self, batch: Batch, uniform: Tensor) -> Batch:
        """The batch with the samples whose number is below one half mirrored; see `Augmentation`."""
        pictures = _pictures(batch)
        mask = (uniform[:, 0] < 0.5).to(pictures.device)
        targets = dict(batch.targets)
        for name, order in self._orders.items():
            target = batch.target(name)
            targets[name] = _chosen(mask, mirrored_points(target, order, pictures.shape[-1]), target)
        return replace(batch, inputs=_chosen(mask, pictures.flip(-1), pictures), targets=targets)


class Shift:
    """Move each picture by up to `pixels` up, down, left and right: padding, then a random crop of the old size.

    Args:
        pixels: Largest shift, a whole number of pixels.
        points: Names of targets [B, 2 K] of points in pixels, which move along.
        fill: What comes in at the border: "zero", or "edge" to repeat the outermost pixels.
    """

    draws = 2

    def __init__(self, pixels: int, points: Sequence[str] = (), fill: str = "zero") -> None:
        if pixels < 0:
            raise UmbelError(f"a shift of {pixels} pixels; it must be 0 or more")
        if fill not in ("zero", "edge"):
            raise UmbelError(f'a border of {fill!r}; it is "zero" or "edge"')
        self.pixels, self.points, self.fill = pixels, tuple(points), fill

    def __call__(self, batch: Batch, uniform: Tensor) -> Batch:
        """The shifted batch; see `Augmentation`."""
        pictures = _pictures(batch)
        height, width = pictures.shape[-2:]
        mode = "constant" if self.fill == "zero" else "replicate"
        padded = torch.nn.functional.pad(pictures, [self.pixels] * 4, mode=mode)
        start = (uniform * (2 * self.pixels + 1)).long().to(pictures.device)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        every = torch.arange(len(pictures), device=pictures.device)
        targets = dict(batch.targets)
        moved = self.pixels - start.flip(1)
        for name in self.points:
            target = batch.target(name)
            targets[name] = (target.view(len(target), -1, 2) + moved[:, None].to(target)).view_as(target)
        return replace(batch, inputs=windows[every, :, start[:, 0], start[:, 1]], targets=targets)


class FlipMaps:
    """Mirror half of the pictures left to right, together with the maps that are predicted for them.

    Args:
        names: Targets with the pixels' columns along the last axis, as [B, H, W] or [B, K, H, W].
        mirrored_x: Those among `names` that hold vectors [B, K, H, W] whose first component points right: its sign
            changes (surface normals). Names that are not among `names` do not matter.
        mirrored_classes: Targets [B] of classes that mean another one in a mirrored picture ("left"), with what each
            class becomes: class k becomes order[k]. Missing labels stay missing.
    """

    draws = 1

    def __init__(
        self,
        names: Sequence[str],
        mirrored_x: Sequence[str] = ("normals",),
        mirrored_classes: Points | None = None,
    ) -> None:
        self.names, self.mirrored_x = tuple(names), tuple(mirrored_x)
        self._classes = _check_points(mirrored_classes or {})

    def __call__(self, batch: Batch, uniform: Tensor) -> Batch:
        """The batch with the samples whose number is below one half mirrored; see `Augmentation`."""
        pictures = _pictures(batch)
        mask = (uniform[:, 0] < 0.5).to(pictures.device)
        targets = dict(batch.targets)
        for name in self.names:
            target = batch.target(name)
            mirrored = target.flip(-1)
            if name in self.mirrored_x:
                mirrored[:, 0].neg_()
            targets[name] = _chosen(mask, mirrored, target)
        for name, order in self._classes.items():
            target = batch.target(name)
            becomes = order.to(target.device)[target.clamp(min=0)]
            targets[name] = torch.where(mask & (target >= 0), becomes, target)
        return replace(batch, inputs=_chosen(mask, pictures.flip(-1), pictures), targets=targets)


class Augmentations:
    """Several augmentations, one after the other; each gets its own random numbers.

    Args:
        parts: In the order in which they are applied.
    """

    def __init__(self, parts: Sequence[Augmentation]) -> None:
        self.parts = tuple(parts)
        self.draws = sum(part.draws for part in self.parts)

    def __call__(self, batch: Batch, uniform: Tensor) -> Batch:
        """The batch after all parts; see `Augmentation`."""
        pieces = uniform.split([part.draws for part in self.parts], dim=1)
        for part, piece in zip(self.parts, pieces, strict=True):
            batch = part(batch, piece)
        return batch


class CropAndFlip(Augmentations):
    """The usual augmentation of small pictures: zero padding, a random crop of the old size, a random flip.

    Args:
        padding: Pixels added on every side before cropping.
    """

    def __init__(self, padding: int) -> None:
        super().__init__([Shift(padding), Flip()])
