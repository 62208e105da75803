"""Heads as height fields: an ellipsoid, seen along the z axis, with nose, brows, cheeks, lips and hair laid upon it.

View coordinates are head units: x right, y down, z towards the camera, the middle of the head at the origin. A head's
own coordinates turn with it. Shape letters: N samples, R rows and columns.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from umbel.data.draws import Draw
from umbel.data.rendered_faces.people import People

_STEEPEST = 4.0
_FAR = 60.0
"""Squared distance beyond which a Gaussian hill falls no more: still smaller numbers are slow to compute with."""


@dataclass(frozen=True)
class Poses:
    """How N heads are held and where they are in the picture.

    Attributes:
        yaw: To the picture's right, radians [N].
        pitch: Upwards, radians [N].
        roll: Clockwise in the picture, radians [N].
        place: Middle of the head, x and y, in half pictures from the picture's middle [N, 2].
        scale: Half pictures for a head unit [N].
        gaze: Where the eyes look, x and y, in head units [N, 2].
        smile: How far the corners of the mouth are raised, in head units [N].
        relief: Height of the features, as a share of a living face's [N]; masks are flatter.
    """

    yaw: Tensor
    pitch: Tensor
    roll: Tensor
    place: Tensor
    scale: Tensor
    gaze: Tensor
    smile: Tensor
    relief: Tensor


@dataclass(frozen=True)
class Heads:
    """What the camera sees of N heads. All maps are [N, R, R].

    Attributes:
        height: Towards the camera, in head units; continuous beyond the head's outline.
        x: Place on the head to its left or right, in head units.
        y: The same, down.
        front: 1 on the front of the head, 0 at its outline and behind.
        on_head: Whether the head is seen, hair included.
        on_hair: Whether the hair on top of the head is seen.
        on_neck: Whether the neck is seen.
        below: How far below the edge of the shoulders a pixel is, in head units; negative above.
    """

    height: Tensor
    x: Tensor
    y: Tensor
    front: Tensor
    on_head: Tensor
    on_hair: Tensor
    on_neck: Tensor
    below: Tensor


def poses(draw: Draw) -> Poses:
    """Heads turned by up to half a right angle or so, filling most of the picture."""
    return Poses(
        yaw=draw.between(-0.6, 0.6),
        pitch=draw.between(-0.35, 0.35),
        roll=draw.normal().clamp(-2, 2) * 0.08,
        place=torch.stack([draw.between(-0.1, 0.1), draw.between(-0.12, 0.06)], 1),
        scale=draw.between(0.74, 0.98),
        gaze=draw.normal(2).clamp(-2, 2) * 0.012,
        smile=draw.normal().clamp(-1.5, 2) * 0.02,
        relief=torch.ones(draw.count),
    )


def spread(values: Tensor) -> tuple[Tensor, ...]:
    """The columns of values [N, F], each as [N, 1, 1]."""
    return tuple(values[:, :, None, None].unbind(1))


def over_maps(part: object) -> dict[str, Tensor]:
    """The numbers [N] of a dataclass as [N, 1, 1], by name."""
    values = {field.name: getattr(part, field.name) for field in fields(part)}  # type: ignore[arg-type]
    return {name: value[:, None, None] for name, value in values.items() if value.ndim == 1}


def pixel_middles(resolution: int) -> tuple[Tensor, Tensor]:
    """X [1, 1, R] and y [1, R, 1] of the pixels, -1 to 1 over the picture."""
    middle = (torch.arange(resolution) + 0.5) * (2 / resolution) - 1
    return middle[None, None], middle[None, :, None]


def view_coordinates(held: Poses, resolution: int) -> tuple[Tensor, Tensor]:
    """X and y [N, R, R] of the pixels in the heads' view coordinates."""
    x, y = pixel_middles(resolution)
    left, top = spread(held.place)
    one = over_maps(held)
    cos, sin = one["roll"].cos() / one["scale"], one["roll"].sin() / one["scale"]
    return cos * (x - left) + sin * (y - top), cos * (y - top) - sin * (x - left)


@dataclass(frozen=True)
class _Ray:
    """Where rays along z meet an ellipsoid: z [N, R, R], whether they do, and the place in its own coordinates."""

    z: Tensor
    hit: Tensor
    place: tuple[Tensor, Tensor, Tensor]


def meet_ellipsoid(x: Tensor, y: Tensor, held: Poses, axes: Tensor) -> _Ray:
    """The nearer of the two places where the ray through (x, y) along z meets a turned ellipsoid.

    Where it passes by, the z of the ray's middle, which continues the surface.

    Args:
        x: View coordinates [N, R, R].
        y: The same, down.
        held: Yaw and pitch.
        axes: Half axes [N, 3].
    """
    one = over_maps(held)
    cos_yaw, sin_yaw, cos_pitch, sin_pitch = one["yaw"].cos(), one["yaw"].sin(), one["pitch"].cos(), one["pitch"].sin()
    start = (cos_yaw * x + sin_yaw * sin_pitch * y, cos_pitch * y, sin_yaw * x - cos_yaw * sin_pitch * y)
    along = (-sin_yaw * cos_pitch, sin_pitch, cos_yaw * cos_pitch)
    weights = spread(axes.square().reciprocal())
    a = sum(w * d * d for w, d in zip(weights, along, strict=True))
    b = sum(w * d * p for w, d, p in zip(weights, along, start, strict=True))
    c = sum((w * p * p for w, p in zip(weights, start, strict=True)), start=torch.tensor(-1.0))
    inside = b * b - a * c
    z = (inside.clamp(min=0).sqrt() - b) / a
    return _Ray(z, inside > 0, tuple(p + z * d for p, d in zip(start, along, strict=True)))  # type: ignore[arg-type]


def bump(x: Tensor, y: Tensor, wide: Tensor | float, high: Tensor | float) -> Tensor:
    """A Gaussian hill of height 1 at the origin."""
    return torch.exp(((x / wide).square() + (y / high).square()).clamp(max=_FAR) * -0.5)


def features(x: Tensor, y: Tensor, who: People, smile: Tensor) -> Tensor:
    """Height of the features over the ellipsoid, in head units.

    Args:
        x: Place on the head to its left or right [N, R, R]; both sides are alike.
        y: The same, down.
        who: The people.
        smile: As in `Poses`, [N, 1, 1].
    """
    one, (tall, wide, long) = over_maps(who), spread(who.nose)
    apart, eye_y = spread(who.eyes[:, :2])
    mouth_y, mouth_wide, lip = spread(who.mouth)
    aside = x.abs()
    down = (y - eye_y + 0.04) / long
    ridge = down.clamp(0, 1) * torch.sigmoid(((1 - down) * 14).clamp(-30, 30))
    height = tall * ridge * bump(x, torch.zeros(()), wide * (0.55 + 0.45 * down.clamp(0, 1)), 1.0)
    height += 0.35 * tall * bump(aside - 1.25 * wide, y - eye_y - 0.93 * long, 0.5 * wide, 0.035)
    height += one["brow"] * bump(aside - apart, y - eye_y + 0.12, 0.14, 0.045)
    height -= 0.055 * bump(aside - apart, y - eye_y, 0.12, 0.07)
    height += one["cheek"] * bump(aside - 0.33, y - 0.17, 0.12, 0.11)
    height += one["chin"] * bump(x, y - 0.68, 0.13, 0.09)
    lips = y - mouth_y + smile * (x / mouth_wide).square()
    height += 0.05 * bump(x, lips + 0.55 * lip, 0.65 * mouth_wide, 0.55 * lip)
    height += 0.055 * bump(x, lips - 0.6 * lip, 0.6 * mouth_wide, 0.6 * lip)
    return height


def heads(who: People, held: Poses, resolution: int) -> Heads:
    """The N heads as seen by a camera far away.

    Args:
        who: N people.
        held: N poses.
        resolution: Rows and columns.
    """
    x, y = view_coordinates(held, resolution)
    one, held_one = over_maps(who), over_maps(held)
    narrow = 1 - one["taper"] * ((y - 0.05) / 0.78).clamp(0, 1).square()
    skull = meet_ellipsoid(x / narrow, y, held, who.axes)
    place_x, place_y, place_z = skull.place
    depth = spread(who.axes)[2]
    front = ((place_z / depth) * 2.5).clamp(0, 1)
    height = skull.z + front * held_one["relief"] * features(place_x, place_y, who, held_one["smile"])
    line, side, thick = spread(who.hair)
    wig = meet_ellipsoid(x, y + 0.03, held, who.axes * who.hair[:, 2:])
    wig_x, wig_y, wig_z = wig.place
    width = spread(who.axes)[0]
    aside = ((wig_x / (width * thick)).abs() - 0.62).clamp(min=0) / 0.38
    edge = line + 0.05 * torch.sin(7 * wig_x) + (side - line) * aside.clamp(max=1).square()
    behind = (wig_z < -0.05 * depth) & (wig_y < side)
    on_hair = wig.hit & ~one["bald"] & ((wig_y < edge) | behind)
    neck = 0.30 * (1 - (x / 0.33).square()).clamp(min=0).sqrt() - 0.22
    on_neck = (x.abs() < 0.33) & (y > 0.2) & ~skull.hit & ~on_hair
    below = y - 1.02 - 0.30 * (x.abs() - 0.3).clamp(min=0).square() - 0.12 * x.abs()
    under = torch.where((x.abs() < 0.33) & (y > 0.2) & ~skull.hit, neck, height)
    return Heads(
        height=torch.where(on_hair, torch.maximum(wig.z, height), under),
        x=torch.where(on_hair, wig_x, place_x),
        y=torch.where(on_hair, wig_y, place_y),
        front=front,
        on_head=skull.hit | on_hair,
        on_hair=on_hair,
        on_neck=on_neck & (below < 0),
        below=below,
    )


def normals_of(height: Tensor, step: Tensor) -> Tensor:
    """Unit normals [N, 3, R, R] (x right, y down, z towards the camera) of height fields [N, R, R].

    From central differences, no steeper than 76 degrees.

    Args:
        height: In any unit.
        step: From one pixel to the next, in the same unit [N].
    """
    padded = torch.nn.functional.pad(height[:, None], [1, 1, 1, 1], mode="replicate")[:, 0]
    half = 0.5 / step[:, None, None]
    across = ((padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) * half).clamp(-_STEEPEST, _STEEPEST)
    down = ((padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) * half).clamp(-_STEEPEST, _STEEPEST)
    length = (1 + across * across + down * down).rsqrt()
    return torch.stack([-across * length, -down * length, length], 1)
