"""Exact ray casting of planes, boxes and spheres, many scenes at once.

World: metres, z up. Camera: x right, y **down**, z forward, as in OpenCV. Rays have a z-component of 1 in camera
coordinates, so the ray's parameter *is* the depth along the camera's z axis.

Shape letters: N scenes, K surfaces (planes, then boxes, then spheres), P pixels. Rays put the vector first, [3, N, P].
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

Some = TypeVar("Some")
NEAR_M = 1e-4
"""Hits nearer than this (as a fraction of the ray's direction) do not count: a surface does not hide itself."""
_TINY = 1e-30
"""Keeps the distance to a slab that the ray runs along finite (and huge)."""


@dataclass(frozen=True)
class Cameras:
    """Pinhole cameras with the principal point in the middle of the picture.

    Attributes:
        position: [N, 3] in metres.
        rotation: [N, 3, 3]; its rows are the camera's x, y and z axes in world coordinates.
        focal: Focal length in picture widths [N].
    """

    position: Tensor
    rotation: Tensor
    focal: Tensor


@dataclass(frozen=True)
class Planes:
    """Parts of planes {x : normal · x = offset, lower <= x <= upper}; both sides can be seen.

    Attributes:
        normal: Unit vectors [N, K, 3].
        offset: [N, K] in metres; NaN where there is no plane.
        lower: Least coordinates [N, K, 3]; -inf for no bound, as along the normal of a plane that follows an axis.
        upper: Greatest coordinates [N, K, 3].
    """

    normal: Tensor
    offset: Tensor
    lower: Tensor
    upper: Tensor


@dataclass(frozen=True)
class Boxes:
    """Cuboids.

    Attributes:
        centre: [N, K, 3] in metres; NaN where there is no box.
        half_size: Half the edge lengths [N, K, 3].
        rotation: [N, K, 3, 3]; its rows are the box's axes in world coordinates.
    """

    centre: Tensor
    half_size: Tensor
    rotation: Tensor


@dataclass(frozen=True)
class Spheres:
    """Spheres.

    Attributes:
        centre: [N, K, 3] in metres; NaN where there is no sphere.
        radius: [N, K].
    """

    centre: Tensor
    radius: Tensor


@dataclass(frozen=True)
class Surfaces:
    """All that a ray can hit. Their index counts planes first, then boxes, then spheres."""

    planes: Planes
    boxes: Boxes
    spheres: Spheres

    @property
    def first_box(self) -> int:
        """Index of the first box."""
        return self.planes.offset.shape[1]

    @property
    def first_sphere(self) -> int:
        """Index of the first sphere."""
        return self.first_box + self.boxes.centre.shape[1]

    @property
    def count(self) -> int:
        """Number of surfaces of each scene, absent ones included."""
        return self.first_sphere + self.spheres.radius.shape[1]


def converted(part: Some, function: Callable[[Tensor], Tensor]) -> Some:
    """A dataclass of tensors (or of such dataclasses) with `function` applied to each tensor."""
    if isinstance(part, Tensor):
        return function(part)
    assert is_dataclass(part)
    return type(part)(**{field.name: converted(getattr(part, field.name), function) for field in fields(part)})


def camera_rays(cameras: Cameras, height: int, width: int) -> Float[Tensor, "3 N P"]:
    """Directions in world coordinates through the pixels' centres, row by row; 1 long along the camera's z axis."""
    kind = {"dtype": cameras.focal.dtype, "device": cameras.focal.device}
    across = (torch.arange(width, **kind) + 0.5 - width / 2) / width
    down = (torch.arange(height, **kind) + 0.5 - height / 2) / width
    x_NP = across.repeat(height) / cameras.focal[:, None]
    y_NP = down.repeat_interleave(width) / cameras.focal[:, None]
    axes = cameras.rotation.movedim(-1, 0)[..., None]
    return axes[:, :, 0] * x_NP + axes[:, :, 1] * y_NP + axes[:, :, 2]


def _dot(vector_N3: Tensor, ray_3NP: Tensor) -> Tensor:
    x, y, z = vector_N3.unbind(1)
    return torch.addcmul(torch.addcmul(x[:, None] * ray_3NP[0], y[:, None], ray_3NP[1]), z[:, None], ray_3NP[2])


def _where_hit(distance: Tensor, hit: Tensor) -> Tensor:
    return torch.where(hit, distance, torch.inf)


def _to_plane(planes: Planes, k: int, origin: Tensor, direction: Tensor) -> Tensor:
    normal = planes.normal[:, k]
    distance = (planes.offset[:, k, None] - _dot(normal, origin)) / _dot(normal, direction)
    hit = distance > NEAR_M
    for axis in range(3):
        lower, upper = planes.lower[:, k, axis, None], planes.upper[:, k, axis, None]
        if bool(torch.isinf(lower).all()) and bool(torch.isinf(upper).all()):
            continue
        place = torch.addcmul(origin[axis], distance, direction[axis])
        hit &= (place >= lower) & (place <= upper)
    return _where_hit(distance, hit)


def _to_box(boxes: Boxes, k: int, origin: Tensor, direction: Tensor) -> Tensor:
    """Slab test (Kay & Kajiya, 1986) in the box's own axes."""
    enter, leave = None, None
    start = origin - boxes.centre[:, k].T[..., None]
    for axis in range(3):
        turned = boxes.rotation[:, k, axis]
        step = 1 / (_dot(turned, direction) + _TINY)
        middle, reach = -_dot(turned, start) * step, boxes.half_size[:, k, axis, None] * step.abs()
        near, far = middle - reach, middle + reach
        enter = near if enter is None else torch.maximum(enter, near)
        leave = far if leave is None else torch.minimum(leave, far)
    distance = torch.where(enter > NEAR_M, enter, leave)
    return _where_hit(distance, (leave >= enter) & (distance > NEAR_M))


def _to_sphere(spheres: Spheres, k: int, origin: Tensor, direction: Tensor) -> Tensor:
    """Nearest root of |origin + t direction - centre|² = radius²."""
    start = origin - spheres.centre[:, k].T[..., None]
    square = (direction * direction).sum(0)
    half = (start * direction).sum(0)
    # The discriminant through the point of closest approach: no cancellation for small, far spheres.
    closest = start - direction * (half / square)
    inside = spheres.radius[:, k, None].square() - (closest * closest).sum(0)
    root = (inside.clamp(min=0) / square).sqrt()
    middle = -half / square
    distance = torch.where(middle - root > NEAR_M, middle - root, middle + root)
    return _where_hit(distance, (inside >= 0) & (distance > NEAR_M))


def distances(
    surfaces: Surfaces, origin: Float[Tensor, "3 N _"], direction: Float[Tensor, "3 N P"]
) -> Iterator[tuple[int, Tensor]]:
    """Each surface's index with its distance [N, P], in lengths of the direction; inf where it is missed.

    Args:
        surfaces: N scenes.
        origin: [3, N, P] or [3, N, 1].
        direction: [3, N, P].
    """
    for k in range(surfaces.first_box):
        yield k, _to_plane(surfaces.planes, k, origin, direction)
    for k in range(surfaces.first_sphere - surfaces.first_box):
        yield surfaces.first_box + k, _to_box(surfaces.boxes, k, origin, direction)
    for k in range(surfaces.count - surfaces.first_sphere):
        yield surfaces.first_sphere + k, _to_sphere(surfaces.spheres, k, origin, direction)


def nearest_hit(
    surfaces: Surfaces, origin: Float[Tensor, "3 N _"], direction: Float[Tensor, "3 N P"]
) -> tuple[Float[Tensor, "N P"], Int[Tensor, "N P"]]:
    """Distance to the nearest surface (inf for none) and its index (-1 for none).

    Args:
        surfaces: N scenes.
        origin: Where rays start: [3, N, P], or [3, N, 1] for all of a scene.
        direction: [3, N, P]; distances are in its lengths.
    """
    best = torch.full_like(direction[0], torch.inf)
    index = torch.full(best.shape, -1, device=best.device)
    for k, distance in distances(surfaces, origin, direction):
        index.masked_fill_(distance < best, k)
        torch.minimum(best, distance, out=best)
    return best, index


def lit(surfaces: Surfaces, place: Float[Tensor, "3 N P"], light: Float[Tensor, "N 3"]) -> Tensor:
    """Whether nothing stands between each place and the light: bool [N, P].

    Args:
        surfaces: N scenes.
        place: Start a little off the surface, on its seen side.
        light: Position in metres.
    """
    direction = light.T[..., None] - place
    free = torch.ones(place.shape[1:], dtype=torch.bool, device=place.device)
    for _, distance in distances(surfaces, place, direction):
        free &= distance >= 1
    return free


def outward_normals(
    surfaces: Surfaces, index: Int[Tensor, "N P"], place: Float[Tensor, "3 N P"], direction: Float[Tensor, "3 N P"]
) -> Float[Tensor, "3 N P"]:
    """Unit normals in world coordinates on the side the ray comes from; NaN where nothing is hit.

    Args:
        surfaces: N scenes.
        index: Of the surface hit, -1 for none.
        place: Points hit, in metres.
        direction: Of the rays.
    """
    normals_NP3 = torch.full((*index.shape, 3), torch.nan, dtype=place.dtype, device=place.device)
    place_NP3 = place.permute(1, 2, 0)
    on_plane = (index >= 0) & (index < surfaces.first_box)
    scene, k = on_plane.nonzero()[:, 0], index[on_plane]
    normals_NP3[on_plane] = surfaces.planes.normal[scene, k]
    on_box = (index >= surfaces.first_box) & (index < surfaces.first_sphere)
    scene, k = on_box.nonzero()[:, 0], index[on_box] - surfaces.first_box
    normals_NP3[on_box] = _box_normal(surfaces.boxes, scene, k, place_NP3[on_box])
    on_sphere = index >= surfaces.first_sphere
    scene, k = on_sphere.nonzero()[:, 0], index[on_sphere] - surfaces.first_sphere
    away = place_NP3[on_sphere] - surfaces.spheres.centre[scene, k]
    normals_NP3[on_sphere] = torch.nn.functional.normalize(away, dim=1)
    normals = normals_NP3.permute(2, 0, 1)
    return torch.where((normals * direction).sum(0) > 0, -normals, normals)


def _box_normal(boxes: Boxes, scene: Tensor, k: Tensor, place: Tensor) -> Tensor:
    """Normal of the face that each place [n, 3] lies on: the axis along which it is farthest out."""
    rotation = boxes.rotation[scene, k]
    local = torch.einsum("nij,nj->ni", rotation, place - boxes.centre[scene, k])
    axis = (local.abs() / boxes.half_size[scene, k]).argmax(1, keepdim=True)
    sign = local.gather(1, axis).sign()
    return sign * rotation.gather(1, axis[..., None].expand(-1, 1, 3)).squeeze(1)
