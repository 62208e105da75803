"""Faces before a camera, living or masked: light that reaches the camera, with the maps that explain it."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from umbel.data.draws import Draw
from umbel.data.rendered_faces.backgrounds import Behind, background, dressed
from umbel.data.rendered_faces.heads import Heads, Poses, heads, normals_of
from umbel.data.rendered_faces.light import Lights, diffuse, gloss_of, specular
from umbel.data.rendered_faces.materials import BACKGROUND, EYE, HAIR, LIP, PLASTIC, SKIN
from umbel.data.rendered_faces.paint import Paint, paint
from umbel.data.rendered_faces.people import People


@dataclass(frozen=True)
class Views:
    """What reaches the camera, and why. R is the resolution.

    Attributes:
        light: Linear [N, 3, R, R].
        depth: Height towards the camera in head units, 0 for flat things and the background [N, 1, R, R].
        reflection: Mirrored part of the light, mean of the colours [N, 1, R, R].
        material: Index into `MATERIALS`, int64 [N, R, R].
    """

    light: Tensor
    depth: Tensor
    reflection: Tensor
    material: Tensor


def masked_poses(draw: Draw, held: Poses) -> Poses:
    """The same poses with the flatter features of a mask, which does not smile by itself."""
    return replace(held, relief=draw.between(0.6, 0.95), smile=held.smile * 0.3)


def as_mask(draw: Draw, painted: Paint, seen: Heads) -> Paint:
    """A mask over the face: plastic, with paler and more even colours. Some leave the hair and the eyes bare.

    Args:
        draw: For each mask by itself.
        painted: The face that it copies.
        seen: The head.
    """
    whole, bare_eyes = draw.chance(0.35)[:, None, None], draw.chance(0.6)[:, None, None]
    face = (painted.material == SKIN) | (painted.material == LIP) | ((painted.material == HAIR) & ~seen.on_hair)
    covered = (face & ~seen.on_neck) | (whole & seen.on_head & (painted.material != EYE))
    covered |= ~bare_eyes & (painted.material == EYE)
    weight = covered[:, None].float()
    mean = (painted.albedo * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp(min=1)
    even, tint = draw.between(0.08, 0.4, 1, 1, 1), 1 + 0.05 * draw.normal(3, 1, 1)
    copy = (torch.lerp(painted.albedo, mean.expand_as(painted.albedo), even) * tint).clamp(0.004, 0.95)
    return Paint(
        torch.where(covered, PLASTIC, painted.material),
        torch.where(covered[:, None], copy, painted.albedo),
        painted.cover,
    )


def view(seen: Heads, painted: Paint, held: Poses, lights: Lights, behind: Behind) -> Views:
    """Light from heads before backgrounds.

    Args:
        seen: The heads.
        painted: Their materials and colours.
        held: Their poses.
        lights: Of the place.
        behind: Of the place.
    """
    resolution = seen.height.shape[-1]
    normals = normals_of(seen.height, 2 / (resolution * held.scale))
    gloss, shininess = gloss_of(painted.material)
    cover = painted.cover[:, None]
    shine = specular(normals, lights, gloss, shininess) * cover
    wall = dressed(background(behind, resolution), behind, seen.below)
    flat = lights.ambient + 0.4 * lights.colour.sum(1)
    light = torch.where(cover, painted.albedo * diffuse(normals, lights) + shine, wall * flat[:, :, None, None])
    depth = torch.where(painted.cover, seen.height, 0).clamp(min=0)
    material = torch.where(painted.cover, painted.material, BACKGROUND)
    return Views(light, depth[:, None], shine.mean(1, keepdim=True), material)


def living(who: People, held: Poses, lights: Lights, behind: Behind, resolution: int) -> Views:
    """Living faces with drawn skin."""
    seen = heads(who, held, resolution)
    return view(seen, paint(seen, who, held), held, lights, behind)


def masks(draw: Draw, who: People, held: Poses, lights: Lights, behind: Behind, resolution: int) -> Views:
    """Masks that copy the people's faces."""
    held = masked_poses(draw, held)
    seen = heads(who, held, resolution)
    return view(seen, as_mask(draw, paint(seen, who, held), seen), held, lights, behind)
