"""Light: from everywhere and from a few directions, thrown back in all directions (Lambert) and mirrored (Blinn)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from umbel.data.rendered_faces.materials import MIRRORED, SHININESS

VIEW = (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Lights:
    """Lights of N scenes. L of them each come from one direction.

    Attributes:
        direction: Towards the light, unit vectors (x right, y down, z towards the camera) [N, L, 3].
        colour: Red, green, blue [N, L, 3]; zeros for an unused light. The first is the main light.
        ambient: Light from everywhere [N, 3].
        from_above: How much stronger it is from above than from below, 0 to 1 [N].
    """

    direction: Tensor
    colour: Tensor
    ambient: Tensor
    from_above: Tensor


def _dot(normals: Tensor, vector: Tensor) -> Tensor:
    """Normals [N, 3, R, R] times vectors [N, 3]: [N, R, R]."""
    x, y, z = vector[:, :, None, None].unbind(1)
    return normals[:, 0] * x + normals[:, 1] * y + normals[:, 2] * z


def diffuse(normals: Tensor, lights: Lights) -> Tensor:
    """Light that falls on a surface [N, 3, R, R]: ambient · (1 - a n_y) + Σ_l colour_l · max(0, n · l)."""
    sky = 1 - lights.from_above[:, None, None] * normals[:, 1]
    total = lights.ambient[:, :, None, None] * sky[:, None]
    for direction, colour in zip(lights.direction.unbind(1), lights.colour.unbind(1), strict=True):
        total = total + colour[:, :, None, None] * _dot(normals, direction).clamp(min=0)[:, None]
    return total


def specular(normals: Tensor, lights: Lights, mirrored: Tensor, shininess: Tensor) -> Tensor:
    """Light that a surface mirrors to the camera [N, 3, R, R].

    Σ_l colour_l · k (s + 8) / 25 · max(0, n · h_l)^s where n · l > 0, h_l halfway between light and camera.

    Args:
        normals: [N, 3, R, R].
        lights: N scenes.
        mirrored: k, [N, R, R].
        shininess: s, [N, R, R].
    """
    total = torch.zeros_like(normals)
    strength = mirrored * (shininess + 8) / 25
    for direction, colour in zip(lights.direction.unbind(1), lights.colour.unbind(1), strict=True):
        half = torch.nn.functional.normalize(direction + torch.tensor(VIEW), dim=1)
        near = _dot(normals, half)
        facing = (_dot(normals, direction) > 0) & (near > 0)
        power = (shininess * near.clamp(1e-4, 1).log()).clamp(min=-30)
        lobe = strength * torch.exp(power) * facing
        total = total + colour[:, :, None, None] * lobe[:, None]
    return total


def gloss_of(material: Tensor) -> tuple[Tensor, Tensor]:
    """Mirrored share and shininess of each pixel's material."""
    return MIRRORED[material], SHININESS[material]
