"""Random rooms and courtyards with boxes and spheres, in front of a random camera."""

import torch
from torch import Tensor

from umbel.data.draws import Draw
from umbel.data.raycast import Boxes, Cameras, Planes, Spheres, Surfaces
from umbel.data.shading import Lights, Materials, Scenes

KINDS = ("sky", "floor", "wall", "ceiling", "box", "sphere")
BOXES, SPHERES, LIGHTS = 4, 3, 2
_PLANE_KINDS = (1, 2, 2, 2, 2, 3)
_GROUND_M = 10.0
_SLACK_M = 1e-2
_CLEARANCE_M = 1.3


def _about_z(angle: Tensor) -> Tensor:
    """Rotations [..., 3, 3] whose rows are the x, y and z axes turned by `angle` radians about z."""
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = [torch.stack(row, -1) for row in ([cos, sin, zero], [-sin, cos, zero], [zero, zero, zero + 1])]
    return torch.stack(rows, -2)


def look(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Camera rotations [N, 3, 3] (rows x right, y down, z forward) from angles in radians [N].

    Args:
        yaw: Direction of view on the ground, counter-clockwise from the world's x axis.
        pitch: Above the horizon.
        roll: Clockwise turn of the camera about its axis of view.
    """
    zero = torch.zeros_like(yaw)
    forward = torch.stack([pitch.cos() * yaw.cos(), pitch.cos() * yaw.sin(), pitch.sin()], -1)
    right = torch.stack([yaw.sin(), -yaw.cos(), zero], -1)
    down = torch.linalg.cross(forward, right)
    cos, sin = roll.cos()[:, None], roll.sin()[:, None]
    return torch.stack([cos * right + sin * down, cos * down - sin * right, forward], -2)


def _cameras(draw: Draw, half_size: Tensor) -> tuple[Cameras, Tensor]:
    """Cameras that look across the middle of the floor, and their yaw."""
    yaw = draw.between(0, 2 * torch.pi)
    forward = torch.stack([yaw.cos(), yaw.sin()], -1)
    aside = torch.stack([-yaw.sin(), yaw.cos()], -1)
    ground = -forward * draw.between(0.2, 0.85, 1) * half_size.amin(1, keepdim=True)
    ground = ground + aside * draw.between(-0.25, 0.25, 1) * half_size.amin(1, keepdim=True)
    position = torch.cat([ground, draw.between(0.9, 1.9, 1)], 1)
    rotation = look(yaw, torch.deg2rad(draw.between(-25, 2)), torch.deg2rad(draw.between(-6, 6)))
    field = torch.deg2rad(draw.between(50, 78))
    return Cameras(position, rotation, 0.5 / torch.tan(field / 2)), yaw


def _planes(draw: Draw, half_size: Tensor, height: Tensor, indoor: Tensor) -> Planes:
    """Floor, four walls (some missing outdoors), ceiling (indoors only)."""
    count = draw.count
    axes = torch.tensor([[0.0, 0, 1], [1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]])
    x, y = half_size.unbind(1)
    offset = torch.stack([torch.zeros_like(x), -x, x, -y, y, height], 1)
    present = torch.cat([draw.chance(2, 1), draw.chance(0.45, 4) | indoor[:, None], indoor[:, None]], 1)
    reach = torch.where(indoor[:, None], half_size, _GROUND_M)
    room = torch.cat([half_size, height[:, None]], 1) + _SLACK_M
    lower = torch.cat([-room[:, :2], torch.full_like(room[:, 2:], -_SLACK_M)], 1)[:, None].repeat(1, 6, 1)
    upper = room[:, None].repeat(1, 6, 1)
    lower[:, 0, :2], upper[:, 0, :2] = -reach - _SLACK_M, reach + _SLACK_M
    across = axes > 0  # a plane needs no bounds along its own normal
    lower, upper = lower.masked_fill(across, -torch.inf), upper.masked_fill(across, torch.inf)
    return Planes(axes.repeat(count, 1, 1), torch.where(present, offset, torch.nan), lower, upper)


def _objects(draw: Draw, cameras: Cameras, yaw: Tensor, half_size: Tensor) -> tuple[Boxes, Spheres]:
    """Boxes and spheres on the floor in front of the camera, clear of it, of the walls and of each other."""
    each = BOXES + SPHERES
    half = draw.between(0.15, 0.6, BOXES, 3) * draw.between(0.6, 1.3, BOXES, 1)
    radius = draw.between(0.18, 0.6, SPHERES)
    reach = torch.cat([half[..., :2].norm(dim=-1), radius], 1)
    angle = yaw[:, None] + torch.deg2rad(draw.between(-32, 32, each))
    away = draw.between(1.6, 5.0, each)
    ground = cameras.position[:, None, :2] + away[..., None] * torch.stack([angle.cos(), angle.sin()], -1)
    limit = (half_size[:, None] - reach[..., None] - 0.05).clamp(min=0)
    ground = ground.clamp(-limit, limit)
    kept = draw.chance(0.75, each)
    kept &= (ground - cameras.position[:, None, :2]).norm(dim=-1) > _CLEARANCE_M + reach
    for k in range(1, each):
        gap = (ground[:, k, None] - ground[:, :k]).norm(dim=-1) - reach[:, k, None] - reach[:, :k]
        kept[:, k] &= ((gap > 0) | ~kept[:, :k]).all(1)
    height = torch.cat([half[..., 2], radius + draw.chance(0.2, SPHERES) * draw.between(0.2, 1.0, SPHERES)], 1)
    centre = torch.cat([ground, height[..., None]], -1)
    small = torch.minimum(radius[:, 0], half[:, 0, :2].amin(1))
    stacked = draw.chance(0.35) & kept[:, 0] & (half[:, 0, 2] + small < 1.1)
    radius[:, 0] = torch.where(stacked, small, radius[:, 0])
    on_top = torch.cat([centre[:, 0, :2], (2 * half[:, 0, 2] + radius[:, 0])[:, None]], 1)
    centre[:, BOXES] = torch.where(stacked[:, None], on_top, centre[:, BOXES])
    kept[:, BOXES] |= stacked
    centre = torch.where(kept[..., None], centre, torch.nan)
    turned = _about_z(draw.between(0, torch.pi / 2, BOXES))
    return Boxes(centre[:, :BOXES], half, turned), Spheres(centre[:, BOXES:], radius)


def _colours(draw: Draw, *shape: int) -> Tensor:
    """Random colours [N, ..., 3]: a hue, washed out and darkened by chance."""
    hue = draw.between(0, 1, *shape, 1)
    thirds = torch.tensor([0.0, 1 / 3, 2 / 3])
    pure = (((hue - thirds + 0.5) % 1 - 0.5).abs() * 6 - 1).clamp(0, 1).neg().add(1)
    return torch.lerp(torch.ones(()), pure, draw.between(0, 0.8, *shape, 1)) * draw.between(0.45, 1, *shape, 1)


def _materials(draw: Draw, surfaces: Surfaces) -> Materials:
    count, planes, every = draw.count, surfaces.first_box, surfaces.count
    colours = _colours(draw, every, 2)
    # The two colours of a texture are related more often than not.
    blend = draw.between(0.0, 0.8, every, 1)
    colours[:, :, 1] = torch.lerp(colours[:, :, 1], colours[:, :, 0] * draw.between(0.4, 0.9, every, 1), blend)
    turned = _about_z(draw.between(0, torch.pi / 2, 1)).repeat(1, planes, 1, 1)
    turned[:, 1:-1] = torch.eye(3)
    frame = torch.cat([turned, surfaces.boxes.rotation, draw.rotations(SPHERES)], 1)
    per_metre = torch.cat([draw.between(0.8, 3.0, planes), draw.between(2.0, 7.0, every - planes)], 1)
    frame = frame * per_metre[..., None, None]
    # Which axis stripes run across: any of the three, so a third of striped floors and walls come out plain.
    order = torch.stack([torch.arange(3).roll(k) for k in range(3)])
    shift = torch.randint(3, (count, every), generator=draw.generator)
    frame = frame.gather(2, order[shift][..., None].expand(-1, -1, -1, 3))
    centres = torch.cat([torch.zeros(count, planes, 3), surfaces.boxes.centre, surfaces.spheres.centre], 1)
    phase = draw.between(0, 8, every, 3) - torch.einsum("nkij,nkj->nki", frame, centres)
    pattern = torch.randint(4, (count, every), generator=draw.generator)
    return Materials(pattern, colours, frame, phase)


def _lights(draw: Draw, half_size: Tensor, height: Tensor, indoor: Tensor) -> Lights:
    """Indoors one or two lamps below the ceiling; outdoors a sun 60 m away."""
    lamp_ground = draw.between(-0.8, 0.8, LIGHTS, 2) * half_size[:, None]
    lamps = torch.cat([lamp_ground, (height[:, None] * draw.between(0.75, 0.95, LIGHTS))[..., None]], -1)
    azimuth, elevation = draw.between(0, 2 * torch.pi, LIGHTS), torch.deg2rad(draw.between(25, 70, LIGHTS))
    flat = elevation.cos()
    sun = 60 * torch.stack([flat * azimuth.cos(), flat * azimuth.sin(), elevation.sin()], -1)
    strength = draw.between(0.5, 0.9, LIGHTS, 1)
    second = torch.where(indoor, draw.chance(0.6).float() * 0.7, 0)
    strength = strength * torch.stack([torch.ones_like(second), second], 1)[..., None]
    tint = 1 - draw.between(0, 1, LIGHTS, 1) * torch.tensor([0.0, 0.08, 0.22])
    ambient = draw.between(0.2, 0.45, 1) * torch.tensor([0.95, 0.98, 1.0])
    horizon = torch.tensor([0.75, 0.83, 0.92]) * draw.between(0.75, 1.05, 1)
    overhead = torch.tensor([0.3, 0.5, 0.85]) * draw.between(0.6, 1.1, 1)
    grey = draw.between(0, 1, 1) ** 2
    overhead = torch.lerp(overhead, 0.8 * horizon, grey)
    position = torch.where(indoor[:, None, None], lamps, sun)
    return Lights(position, strength * tint, ambient, torch.stack([horizon, overhead], 1))


def random_scenes(count: int, generator: torch.Generator) -> Scenes:
    """Scenes with cameras, float32, on the generator's own numbers only.

    The room's walls follow the world's x and y axes, its middle is the origin, the floor is z = 0.

    Args:
        count: How many.
        generator: Source of all randomness.
    """
    draw = Draw(count, generator)
    indoor = draw.chance(0.5)
    half_size = draw.between(2.2, 5.0, 2)
    height = torch.where(indoor, draw.between(2.3, 3.4), draw.between(0.5, 4.0))
    cameras, yaw = _cameras(draw, half_size)
    planes = _planes(draw, half_size, height, indoor)
    boxes, spheres = _objects(draw, cameras, yaw, half_size)
    surfaces = Surfaces(planes, boxes, spheres)
    kinds = torch.tensor([*_PLANE_KINDS, *[4] * BOXES, *[5] * SPHERES]).repeat(count, 1)
    materials, lights = _materials(draw, surfaces), _lights(draw, half_size, height, indoor)
    return Scenes(cameras, surfaces, kinds, materials, lights)
