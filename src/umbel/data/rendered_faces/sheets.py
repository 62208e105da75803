"""Flat attacks: a photograph of a face on paper or on a screen, held before a camera."""

from dataclasses import dataclass

import torch
from torch import Tensor

from umbel.data.draws import Draw
from umbel.data.rendered_faces.domain import Domain
from umbel.data.rendered_faces.faces import Views
from umbel.data.rendered_faces.heads import normals_of, over_maps, pixel_middles, spread
from umbel.data.rendered_faces.light import Lights, diffuse, specular
from umbel.data.rendered_faces.materials import BACKGROUND, PAPER, SCREEN
from umbel.data.rendered_faces.paint import sample_maps

_SCREEN_SHININESS = 140.0


@dataclass(frozen=True)
class Sheets:
    """How N flat things are held. Their own coordinates run from -1 to 1 over the photograph.

    Attributes:
        size: Half size of the photograph, in half pictures [N].
        place: Its middle [N, 2].
        turn: Clockwise, radians [N].
        tilt: Slope across and down [N, 2].
        bend: How much it is bent, and about which direction (radians) [N, 2].
        fold: Slope at a fold, and where it is [N, 2]; slope 0 for none.
        margin: Width of the border around the photograph, in half photographs [N].
    """

    size: Tensor
    place: Tensor
    turn: Tensor
    tilt: Tensor
    bend: Tensor
    fold: Tensor
    margin: Tensor


def sheets(draw: Draw, bends: bool) -> Sheets:
    """Flat things as they are held; of two in five a border can be seen.

    Args:
        draw: For each by itself.
        bends: Paper bends and folds, a screen does not.
    """
    seen = draw.chance(0.4)
    size = torch.where(seen, draw.between(0.72, 1.0), draw.between(1.15, 1.5))
    loose = draw.between(0, 0.35, 2) * torch.tensor([1.0, 9.0])
    fold = torch.stack([draw.between(-0.3, 0.3) * draw.chance(0.3), draw.between(-0.5, 0.5)], 1)
    return Sheets(
        size=size,
        place=draw.between(-0.08, 0.08, 2),
        turn=draw.normal().clamp(-2, 2) * 0.08,
        tilt=draw.normal(2).clamp(-2, 2) * 0.16,
        bend=loose * float(bends),
        fold=fold * float(bends),
        margin=draw.between(0.0, 0.2),
    )


@dataclass(frozen=True)
class _Laid:
    """Places on the sheet [N, R, R] for each pixel, its height there, and what of it is seen."""

    x: Tensor
    y: Tensor
    height: Tensor
    photograph: Tensor
    sheet: Tensor


def _laid(held: Sheets, resolution: int) -> _Laid:
    x, y = pixel_middles(resolution)
    one, (left, top) = over_maps(held), spread(held.place)
    across, down = spread(held.tilt)
    far = (1 + 0.35 * (across * x + down * y)) / one["size"]
    cos, sin = one["turn"].cos() * far, one["turn"].sin() * far
    on_x, on_y = cos * (x - left) + sin * (y - top), cos * (y - top) - sin * (x - left)
    bend, about = spread(held.bend)
    along = on_x * about.cos() + on_y * about.sin()
    slope, where = spread(held.fold)
    height = across * x + down * y + bend * (1 - along.square()) + slope * (along - where).abs()
    reach = torch.maximum(on_x.abs(), on_y.abs())
    return _Laid(on_x + 0.12 * bend * along**3, on_y, height, reach < 1, reach < 1 + one["margin"])


def _muted(tones: Tensor, share: Tensor) -> Tensor:
    """Colours that are greyer by a share, or stronger where it is negative, as printers and screens like them."""
    return torch.lerp(tones, tones.mean(1, keepdim=True).expand_as(tones), share).clamp(0, 1)


def _tints(draw: Draw, spread_of: float) -> Tensor:
    return 1 + spread_of * draw.normal(3, 1, 1).clamp(-2, 2)


@dataclass(frozen=True)
class Place:
    """Where attacks are held before the camera.

    Attributes:
        domain: Whose printer and screens they are.
        lights: N lights.
        wall: Light from what is behind them [N, 3, R, R].
    """

    domain: Domain
    lights: Lights
    wall: Tensor


def printed(draw: Draw, held: Sheets, photograph: Tensor, place: Place) -> Views:
    """Photographs on paper.

    Args:
        draw: For each by itself.
        held: How the sheets are held.
        photograph: 0 to 1 as a screen shows it, [N, 3, Q, Q].
        place: Where.
    """
    domain, lights, wall = place.domain, place.lights, place.wall
    resolution = wall.shape[-1]
    laid = _laid(held, resolution)
    tones = sample_maps(photograph, laid.x, laid.y)
    dots = draw.between(*domain.dots)[:, None, None] * torch.pi
    angle = draw.between(0.2, 1.2)[:, None, None]
    across, down = laid.x * angle.cos() + laid.y * angle.sin(), laid.y * angle.cos() - laid.x * angle.sin()
    screen = torch.sin(dots / 2 * across) * torch.sin(dots / 2 * down)
    ink = draw.between(*domain.ink)[:, None, None]
    bands = 0.3 * ink * torch.sin(laid.y * draw.between(20, 70)[:, None, None])
    grain = (ink * screen + bands)[:, None] * (4 * tones * (1 - tones)).clamp(min=0.15)
    dull, black = draw.between(-0.35, 0.25, 1, 1, 1), draw.between(*domain.black, 1, 1, 1)
    tones = _muted(tones, dull)
    linear = (tones + grain).clamp(0, 1) ** draw.between(1.8, 2.6, 1, 1, 1)
    ink_colours = (black + (0.85 - black) * linear) * _tints(draw, domain.tint)
    paper = torch.where(laid.photograph[:, None], ink_colours, 0.85)
    normals = normals_of(laid.height, torch.full((len(wall),), 2 / resolution))
    gloss = draw.between(*domain.gloss)[:, None, None].expand_as(laid.height)
    shininess = draw.between(8, 60)[:, None, None].expand_as(laid.height)
    sheet = laid.sheet[:, None]
    shine = specular(normals, lights, gloss, shininess) * sheet
    light = torch.where(sheet, paper.clamp(0.004, 0.95) * diffuse(normals, lights) + shine, wall)
    return _flat(light, shine, torch.where(laid.sheet, PAPER, BACKGROUND))


def _flat(light: Tensor, shine: Tensor, material: Tensor) -> Views:
    return Views(light, torch.zeros_like(light[:, :1]), shine.mean(1, keepdim=True), material)


def replayed(draw: Draw, held: Sheets, photograph: Tensor, place: Place, mirrored: Tensor) -> Views:
    """Photographs on a screen.

    Args:
        draw: For each by itself.
        held: How the screens are held.
        photograph: 0 to 1 as a screen shows it, [N, 3, Q, Q].
        place: Where.
        mirrored: Light from what is before the screen, which its glass mirrors [N, 3, R, R].
    """
    domain, lights, wall = place.domain, place.lights, place.wall
    resolution = wall.shape[-1]
    laid = _laid(held, resolution)
    tones = sample_maps(photograph, laid.x, laid.y)
    tones = _muted(tones, draw.between(-0.4, 0.1, 1, 1, 1))
    turn, waves = draw.between(0, torch.pi)[:, None, None], draw.between(4, 34)[:, None, None]
    phase = waves * torch.pi * (laid.x * turn.cos() + laid.y * turn.sin() + 0.1 * laid.x * laid.y)
    shift = torch.tensor([0.0, 2.1, 4.2])[None, :, None, None] * draw.between(0, 1, 1, 1, 1)
    strength = draw.between(*domain.moire, 1, 1, 1) * draw.chance(0.7, 1, 1, 1)
    moire = 1 + strength * torch.sin(phase[:, None] + shift)
    rolling = 1 + draw.between(0, 0.12, 1, 1, 1) * torch.sin(
        pixel_middles(resolution)[1][None] * draw.between(1, 5, 1, 1, 1) + draw.between(0, 6.3, 1, 1, 1)
    )
    around = lights.ambient.mean(1) + 0.4 * lights.colour.sum((1, 2)) / 3
    glow = (draw.between(*domain.glow) * around)[:, None, None, None]
    shown = tones ** draw.between(1.9, 2.5, 1, 1, 1) * moire * rolling * _tints(draw, 1.6 * domain.tint)
    emitted = (0.006 + shown) * glow * laid.photograph[:, None]
    normals = normals_of(laid.height, torch.full((len(wall),), 2 / resolution))
    glass = draw.between(*domain.glass)[:, None, None]
    sharp = torch.full_like(laid.height, _SCREEN_SHININESS)
    sheet = laid.sheet[:, None]
    shine = (specular(normals, lights, glass.expand_as(sharp), sharp) + glass[:, None] * mirrored) * sheet
    light = torch.where(sheet, emitted + 0.02 * diffuse(normals, lights) + shine, wall)
    return _flat(light, shine, torch.where(laid.sheet, SCREEN, BACKGROUND))
