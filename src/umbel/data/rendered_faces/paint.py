"""What the heads are made of, and how much of each colour they throw back."""

from dataclasses import dataclass

import torch
from torch import Tensor

from umbel.data.rendered_faces.heads import Heads, Poses, bump, over_maps, spread
from umbel.data.rendered_faces.materials import BACKGROUND, EYE, HAIR, LIP, SKIN
from umbel.data.rendered_faces.people import People
from umbel.data.rendered_faces.photographs import EYES, MOUTH

_SOFT = 0.012
"""Width of the edge of a painted part, in head units."""


@dataclass(frozen=True)
class Paint:
    """Materials and albedo of N heads.

    Attributes:
        material: Index into `MATERIALS`, int64 [N, R, R].
        albedo: Share of the light thrown back in all directions, 0 to 1 [N, 3, R, R].
        cover: Whether the head or the neck hides the background, bool [N, R, R].
    """

    material: Tensor
    albedo: Tensor
    cover: Tensor


def sample_maps(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Maps [N, C, H, W] at places -1 to 1 [N, R, R], between pixels by straight lines: [N, C, R, R]."""
    return torch.nn.functional.grid_sample(maps, torch.stack([x, y], -1), padding_mode="border", align_corners=False)


def _inside(distance: Tensor) -> Tensor:
    """1 where a signed distance in head units is negative, 0 where it is positive, with a soft edge."""
    return torch.sigmoid((distance * (-1 / _SOFT)).clamp(-30, 30))


def _laid(albedo: Tensor, colour: Tensor, share: Tensor) -> Tensor:
    """A colour [N, 3] (or a map of colours) laid over the albedo, by a share [N, R, R]."""
    colour = colour[:, :, None, None] if colour.ndim == 2 else colour
    return torch.lerp(albedo, colour.expand_as(albedo), share[:, None])


def _skin(seen: Heads, who: People) -> Tensor:
    uneven = sample_maps(who.complexion, seen.x * 1.2, seen.y * 1.2)
    blood = bump(seen.x.abs() - 0.3, seen.y - 0.2, 0.14, 0.12) + 0.8 * bump(seen.x, seen.y - 0.16, 0.07, 0.07)
    blood = 0.10 * blood + 0.03 * uneven[:, 1]
    light = 1 + 0.07 * uneven[:, :1]
    tint = torch.tensor([0.3, -1.0, -0.9])[None, :, None, None]
    return who.skin[:, :, None, None] * light * (1 + blood[:, None] * tint)


def _strands(seen: Heads, who: People) -> Tensor:
    """Hair, in streaks that run down the head."""
    streaks = sample_maps(who.complexion, (seen.x * 2.6).clamp(-1, 1), seen.y * 0.25)[:, :1]
    return who.strands[:, :, None, None] * (1 + 0.30 * streaks).clamp(0.3, 2)


def _photographed(albedo: Tensor, seen: Heads, who: People, share: Tensor) -> Tensor:
    """The front of the face from a photograph, where there is one: its eyes and mouth lie upon the head's."""
    if who.photograph.shape[-1] == 1:
        return albedo
    apart, eye_y = spread(who.eyes[:, :2])
    mouth_y = who.mouth[:, :1, None]
    x = seen.x * (EYES[0] / apart)
    y = EYES[1] + (seen.y - eye_y) * ((MOUTH - EYES[1]) / (mouth_y - eye_y))
    skin = (who.skin[:, :, None, None] * sample_maps(who.photograph, x, y)).clamp(0.004, 0.95)
    inner = _faded(x.abs()) * _faded(y.abs()) * (seen.front * 2).clamp(max=1)
    return _laid(albedo, skin, inner * share)


def _faded(away: Tensor) -> Tensor:
    """1 inside a photograph, 0 from its edge on, where `away` is 1."""
    return ((1.0 - away) / 0.25).clamp(0, 1)


@dataclass(frozen=True)
class _Parts:
    """Shares 0 to 1 [N, R, R] of what is painted on the front of a head."""

    eye: Tensor
    iris: Tensor
    pupil: Tensor
    lid: Tensor
    brow: Tensor
    lip: Tensor
    gap: Tensor
    nostril: Tensor
    beard: Tensor
    frame: Tensor


def _parts(seen: Heads, who: People, held: Poses) -> _Parts:
    x, y, one, move = seen.x, seen.y, over_maps(who), over_maps(held)
    apart, eye_y, wide, high = spread(who.eyes)
    mouth_y, mouth_wide, lip = spread(who.mouth)
    _, nose_wide, nose_long = spread(who.nose)
    aside, gaze_x, gaze_y = x.abs() - apart, *spread(held.gaze)
    down = y - eye_y
    almond = down.abs() - high * (1 - (aside / wide).square())
    ball = ((x - x.sign() * apart - gaze_x).square() + (down - gaze_y).square()).sqrt()
    lips = y - mouth_y + move["smile"] * (x / mouth_wide).square() * 2
    full = 1 - (x / mouth_wide).square()
    bow = torch.where(lips < 0, -lips - lip * full * (1 - 0.35 * bump(x, lips, 0.03, 1.0)), lips - 1.15 * lip * full)
    arch = down + 0.125 - 0.05 * (1 - ((aside + 0.02) / 0.15).square())
    jaw = torch.minimum(y - 0.28 - 0.35 * (0.45 - x.abs()).clamp(min=0), 0.05 - bow)
    ring = ((aside / 0.17).square() + ((down - 0.01) / 0.125).square()).sqrt()
    bridge = torch.maximum((down + 0.02).abs() - 0.014, x.abs() - apart + 0.16)
    rim = torch.minimum((ring - 1).abs() * 0.14 - 0.016, bridge)
    return _Parts(
        eye=_inside(almond),
        iris=_inside(ball - 0.05) * _inside(almond),
        pupil=_inside(ball - 0.022) * _inside(almond),
        lid=bump(torch.zeros_like(down), almond.abs(), 1.0, 0.014) * (down < 0) * _inside(aside.abs() - wide),
        brow=_inside(torch.maximum(arch.abs() - 0.024, (aside + 0.01).abs() - 0.14)),
        lip=_inside(bow),
        gap=bump(torch.zeros_like(lips), lips, 1.0, 0.011) * _inside(x.abs() - mouth_wide),
        nostril=bump(x.abs() - 0.75 * nose_wide, y - eye_y - nose_long + 0.015, 0.026, 0.014),
        beard=_inside(-jaw) * one["beard"],
        frame=_inside(rim) * one["glasses"],
    )


def paint(seen: Heads, who: People, held: Poses) -> Paint:
    """Materials and colours of drawn heads. Frames of glasses keep the material of what is below them.

    Args:
        seen: The heads.
        who: The people.
        held: Their poses.
    """
    part, front = _parts(seen, who, held), seen.front > 0.02
    strands = _strands(seen, who)
    albedo = _laid(_skin(seen, who), strands, 0.85 * part.beard * front)
    albedo = _laid(albedo, strands, 0.8 * part.brow)
    albedo = _laid(albedo, who.lip, part.lip)
    albedo = albedo * (1 - 0.7 * torch.maximum(part.gap, part.nostril) * front)[:, None]
    albedo = _laid(albedo, torch.tensor([[0.72, 0.66, 0.63]]), part.eye)
    albedo = _laid(_laid(albedo, who.iris, part.iris), torch.full((1, 3), 0.01), part.pupil)
    albedo = albedo * (1 - 0.65 * part.lid)[:, None]
    albedo = _photographed(albedo, seen, who, 1 - part.beard)
    albedo = _laid(albedo, who.frame, part.frame * front)
    face = front & ~seen.on_hair
    material = torch.full(seen.x.shape, BACKGROUND)
    material[seen.on_head | seen.on_neck] = SKIN
    material[face & ((part.beard > 0.5) | (part.brow > 0.5))] = HAIR
    material[face & (part.lip > 0.5)] = LIP
    material[face & (part.eye > 0.5)] = EYE
    material[seen.on_hair] = HAIR
    albedo = torch.where(seen.on_hair[:, None], strands, albedo)
    shaded = torch.where(seen.on_neck[:, None], who.skin[:, :, None, None] * 0.75, albedo)
    return Paint(material, shaded.clamp(0.004, 0.95), seen.on_head | seen.on_neck)
