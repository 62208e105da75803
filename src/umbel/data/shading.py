"""Colours for ray-cast scenes: procedural textures, point lights with hard shadows, a sky."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from umbel.data.raycast import Cameras, Surfaces, camera_rays, lit, nearest_hit, outward_normals

PATTERNS = ("plain", "checker", "stripes", "noise")
OFF_SURFACE_M = 1e-3
"""Shadow rays start this far above the surface."""


@dataclass(frozen=True)
class Materials:
    """A two-coloured texture for each surface, a function of texture coordinates q = frame · x + phase.

    Attributes:
        pattern: Index into `PATTERNS`, int64 [N, K].
        colours: The two colours, 0 to 1 [N, K, 2, 3].
        frame: From metres to texture units [N, K, 3, 3].
        phase: [N, K, 3].
    """

    pattern: Tensor
    colours: Tensor
    frame: Tensor
    phase: Tensor


@dataclass(frozen=True)
class Lights:
    """Point lights that do not fade with distance, and light from everywhere.

    Attributes:
        position: [N, L, 3] in metres.
        colour: [N, L, 3]; zeros for an unused light.
        ambient: [N, 3].
        sky: Colours at the horizon and overhead [N, 2, 3].
    """

    position: Tensor
    colour: Tensor
    ambient: Tensor
    sky: Tensor


@dataclass(frozen=True)
class Scenes:
    """N scenes with cameras.

    Attributes:
        cameras: Where they are seen from.
        surfaces: What can be hit.
        kinds: Class of each surface, int64 [N, K].
        materials: Their textures.
        lights: What lights them.
    """

    cameras: Cameras
    surfaces: Surfaces
    kinds: Tensor
    materials: Materials
    lights: Lights


@dataclass(frozen=True)
class Views:
    """What the cameras see.

    Attributes:
        picture: Float 0 to 1 [N, 3, H, W].
        surface: Index of the surface seen, -1 for the sky, int64 [N, H, W].
        depth: Metres along the camera's z axis [N, 1, H, W]; NaN for the sky.
        normals: Unit vectors in camera coordinates, x right, y down, z forward, hence z <= 0 near the middle of the
            picture [N, 3, H, W]; NaN for the sky.
    """

    picture: Tensor
    surface: Tensor
    depth: Tensor
    normals: Tensor


def texture(pattern: Int[Tensor, "*at"], q: Float[Tensor, "3 *at"]) -> Float[Tensor, "*at"]:
    """Share of the second colour, 0 to 1, at texture coordinates q."""
    cells = q.floor()
    checker = cells.sum(0).remainder(2)
    stripes = cells[0].remainder(2)
    x, y, z = q
    waves = torch.sin(2.1 * x + 1.3 * y + 0.7 * z) + 0.6 * torch.sin(3.9 * y - 2.7 * z - 1.9 * x)
    waves += 0.5 * torch.sin(7.1 * z + 5.3 * x + 1.1 * y) + 0.3 * torch.sin(11.3 * x - 9.7 * y + 8.9 * z)
    noise = (0.5 + waves / 3).clamp(0, 1)
    return torch.where(pattern == 1, checker, torch.where(pattern == 2, stripes, torch.where(pattern == 3, noise, 0)))


def _of_hit(values_NK: Tensor, index: Tensor) -> Tensor:
    """Values [N, K, F] of the surfaces hit: [F, N, P]."""
    picked = values_NK.gather(1, index[..., None].expand(-1, -1, values_NK.shape[2]))
    return picked.permute(2, 0, 1).contiguous()


def _albedo(materials: Materials, index: Tensor, place: Tensor) -> Tensor:
    scene, index = materials.pattern.shape[0], index.clamp(min=0)
    frame = _of_hit(materials.frame.flatten(2), index).reshape(3, 3, scene, -1)
    q = (frame * place).sum(1) + _of_hit(materials.phase, index)
    share = texture(materials.pattern.gather(1, index), q)
    first, second = _of_hit(materials.colours.flatten(2), index).reshape(2, 3, scene, -1)
    return torch.lerp(first, second, share)


def _sky(sky: Tensor, direction: Tensor) -> Tensor:
    """A gradient by the sine of the elevation."""
    sine = (direction[2] / direction.square().sum(0).sqrt()).clamp(0, 1)
    horizon, overhead = sky.permute(1, 2, 0)[..., None]
    return torch.lerp(horizon, overhead, sine.sqrt())


def render(scenes: Scenes, height: int, width: int) -> Views:
    """Cast one ray through each pixel's centre.

    Lambert's law for each light that is not hidden, plus ambient light:
    colour = albedo · (ambient + Σ_l light_l · max(0, n · l) · visible_l), cut off at 1.

    Args:
        scenes: Any number of them; memory grows with it (about 1 kB for each pixel).
        height: Rows.
        width: Columns.
    """
    cameras, surfaces, lights = scenes.cameras, scenes.surfaces, scenes.lights
    direction = camera_rays(cameras, height, width)
    origin = cameras.position.T[..., None]
    depth, index = nearest_hit(surfaces, origin, direction)
    seen = index >= 0
    place = torch.where(seen, origin + depth * direction, 0)
    normals = outward_normals(surfaces, index, place, direction)
    light = _light(surfaces, lights, place, torch.where(seen, normals, 0))
    colour = _albedo(scenes.materials, index, place) * light
    colour = torch.where(seen, colour, _sky(lights.sky, direction)).clamp(0, 1)
    in_camera = torch.einsum("nij,jnp->nip", cameras.rotation, normals)
    shape = (len(index), -1, height, width)
    return Views(
        picture=colour.transpose(0, 1).reshape(shape),
        surface=index.reshape(-1, height, width),
        depth=torch.where(seen, depth, torch.nan).reshape(shape),
        normals=in_camera.reshape(shape),
    )


def _light(surfaces: Surfaces, lights: Lights, place: Tensor, normals: Tensor) -> Tensor:
    """Light that falls on each place [3, N, P]."""
    light = lights.ambient.T[..., None].expand_as(place).clone()
    raised = place + OFF_SURFACE_M * normals
    for position, colour in zip(lights.position.unbind(1), lights.colour.unbind(1), strict=True):
        towards = position.T[..., None] - place
        cosine = (normals * towards).sum(0) / towards.square().sum(0).sqrt()
        cosine = torch.where(lit(surfaces, raised, position), cosine.clamp(min=0), 0)
        light += colour.T[..., None] * cosine
    return light
