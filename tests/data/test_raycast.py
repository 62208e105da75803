"""The ray caster and its shading against physics and a slow, obvious oracle."""

import itertools
import math

import pytest
import torch

from umbel.data.random_scenes import KINDS, look, random_scenes
from umbel.data.raycast import Boxes, Cameras, Planes, Spheres, Surfaces, camera_rays, converted, lit, nearest_hit
from umbel.data.shading import Lights, Materials, Scenes, render, texture
from umbel.data.source import seeded

INF, NAN = math.inf, math.nan


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def angles(yaw=0.0, pitch=0.0, roll=0.0):
    return look(*(torch.deg2rad(tensor([angle])) for angle in (yaw, pitch, roll)))


def one_scene(*, camera=(0.0, 0, 1), rotation=None, sphere=None, box=None, yaw=0.0, floor=True, light=(0.0, 0, 9)):
    """One white scene in float64: a floor z = 0, a sphere (x, y, z, r), a box (centre, half size, yaw in degrees)."""
    rotation = angles() if rotation is None else rotation
    planes = Planes(
        tensor([[[0, 0, 1]]]),
        tensor([[0.0 if floor else NAN]]),
        tensor([[[-INF, -INF, -INF]]]),
        tensor([[[INF, INF, INF]]]),
    )
    centre, half = box or ((NAN, NAN, NAN), (1.0, 1, 1))
    cos, sin = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    turned = tensor([[[[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]]])
    boxes = Boxes(tensor([[centre]]), tensor([[half]]), turned)
    ball = sphere or (NAN, NAN, NAN, 1.0)
    spheres = Spheres(tensor([[ball[:3]]]), tensor([[ball[3]]]))
    white = Materials(
        torch.zeros(1, 3, dtype=torch.int64),
        torch.ones(1, 3, 2, 3, dtype=torch.float64),
        torch.eye(3, dtype=torch.float64).repeat(1, 3, 1, 1),
        torch.zeros(1, 3, 3, dtype=torch.float64),
    )
    lights = Lights(tensor([[light]]), tensor([[[0.5, 0.5, 0.5]]]), tensor([[0.25] * 3]), tensor([[[1.0] * 3] * 2]))
    cameras = Cameras(tensor([camera]), rotation, tensor([0.8]))
    return Scenes(cameras, Surfaces(planes, boxes, spheres), torch.tensor([[1, 4, 5]]), white, lights)


def points(scene, views):
    """World points [N, P, 3] that the depth map says are seen."""
    height, width = views.surface.shape[1:]
    rays = camera_rays(scene.cameras, height, width)
    return (scene.cameras.position.T[..., None] + views.depth.flatten(1) * rays).permute(1, 2, 0)


def test_floor_depth_is_height_over_slope():
    views = render(one_scene(camera=(3.0, -2, 1.5)), 32, 48)
    slope = (torch.arange(32, dtype=torch.float64) + 0.5 - 16) / 48 / 0.8
    below = slope > 0
    expected = (1.5 / slope[below])[:, None].expand(-1, 48)
    torch.testing.assert_close(views.depth[0, 0, below], expected, rtol=1e-12, atol=0)
    assert views.depth[0, 0, ~below].isnan().all() and (views.surface[0, ~below] == -1).all()
    normal = views.normals[0, :, below].flatten(1)
    torch.testing.assert_close(normal, tensor([[0], [-1], [0]]).expand_as(normal))


def test_floor_under_a_pitched_camera_still_has_an_upward_normal():
    scene = one_scene(rotation=angles(yaw=70, pitch=-30, roll=10))
    views = render(scene, 16, 16)
    world = torch.einsum("nji,njhw->nihw", scene.cameras.rotation, views.normals)
    seen = views.surface[0] == 0
    up = world[0, :, seen]
    torch.testing.assert_close(up, tensor([[0], [0], [1]]).expand_as(up))
    assert points(scene, views)[0, seen.flatten(), 2].abs().max() < 1e-12


def test_sphere_straight_ahead():
    scene = one_scene(sphere=(5, 0, 1, 1), floor=False)
    views = render(scene, 33, 33)
    assert views.depth[0, 0, 16, 16].item() == pytest.approx(4.0, abs=1e-12)
    seen = views.surface[0] == 2
    away = points(scene, views)[0, seen.flatten()] - tensor([5, 0, 1])
    torch.testing.assert_close(away.norm(dim=1), torch.ones(len(away), dtype=torch.float64))
    world = torch.einsum("nji,njhw->nihw", scene.cameras.rotation, views.normals)[0, :, seen].T
    torch.testing.assert_close(world, away)
    # Seen from distance 5, a ball of radius 1 fills a cone of half angle arcsin(1/5).
    rays = camera_rays(scene.cameras, 33, 33)[:, 0]
    cosine = rays[0] / rays.norm(dim=0)
    assert torch.equal(seen.flatten(), cosine >= math.sqrt(1 - 1 / 25))


def test_box_face_and_edge():
    front = render(one_scene(box=((4, 0, 1), (0.5, 1, 1)), floor=False), 33, 33)
    seen = front.surface[0] == 1
    assert torch.allclose(front.depth[0, 0, seen], tensor(3.5), atol=1e-12)
    assert torch.allclose(front.normals[0, :, seen], tensor([[0], [0], [-1]]), atol=1e-12)
    edge = render(one_scene(box=((4, 0, 1), (0.5, 0.5, 1)), yaw=45, floor=False), 33, 33)
    assert edge.depth[0, 0, 16, 16].item() == pytest.approx(4 - math.sqrt(0.5), abs=1e-9)
    left, right = edge.normals[0, :, 16, 13], edge.normals[0, :, 16, 19]
    torch.testing.assert_close(left, tensor([-math.sqrt(0.5), 0, -math.sqrt(0.5)]))
    torch.testing.assert_close(right, tensor([math.sqrt(0.5), 0, -math.sqrt(0.5)]))


def test_camera_axes_are_right_down_forward():
    scene = one_scene(sphere=(5, -1.5, 2, 0.3), floor=False)  # ahead along x, to the right (-y), above
    row, column = (render(scene, 33, 33).surface[0] == 2).nonzero().double().mean(0)
    assert row < 16 < column
    assert torch.allclose(torch.linalg.det(angles(33, -12, 5)), tensor(1.0))


def test_shadow_and_lambert():
    scene = one_scene(sphere=(4, 0, 1.5, 0.5), light=(4, 0, 6))
    views = render(scene, 64, 64)
    floor = (views.surface[0] == 0).flatten()
    place = points(scene, views)[0, floor]
    light = views.picture[0, 0].flatten()[floor]
    towards = tensor([4, 0, 6]) - place
    lambert = 0.25 + 0.5 * towards[:, 2] / towards.norm(dim=1)
    # The ball's shadow is a disc: the cone from the light that touches the ball, cut by the floor.
    radius = 6 * 0.5 / math.sqrt(4.5**2 - 0.5**2)
    away = (place - tensor([4, 0, 0])).norm(dim=1)
    dark = away < radius - 0.01
    bright = away > radius + 0.01
    assert dark.any() and bright.any()
    assert torch.allclose(light[dark], tensor(0.25))
    assert torch.allclose(light[bright], lambert[bright])


def test_bounded_plane_ends_at_its_bounds():
    base = one_scene().surfaces
    wall = Planes(tensor([[[1, 0, 0]]]), tensor([[3]]), tensor([[[2.9, -1, 0]]]), tensor([[[3.1, 1, 2]]]))
    surfaces = Surfaces(wall, base.boxes, base.spheres)
    direction = tensor([[1, 0.3, 0], [1, 0.4, 0], [1, 0, 0.3], [1, 0, 0.4], [-1, 0, 0]]).T[:, None]
    distance, index = nearest_hit(surfaces, tensor([0, 0, 1])[:, None, None], direction)
    assert index[0].tolist() == [0, -1, 0, -1, -1]
    assert distance[0].tolist() == [3, INF, 3, INF, INF]


def test_lit_only_counts_what_lies_between():
    surfaces = one_scene(sphere=(0, 0, 5, 1), floor=False).surfaces
    place = tensor([[0, 0, 0], [0, 0, 7], [5, 0, 0]]).T[:, None]
    assert lit(surfaces, place, tensor([[0, 0, 10]]))[0].tolist() == [False, True, True]
    assert lit(surfaces, place, tensor([[0, 0, 3]]))[0].tolist() == [True, False, True]


def oracle(surfaces, scene, origin, direction):
    """Nearest hit by solving for every face, one ray at a time, in plain Python and float64."""
    hits = []
    planes, boxes, spheres = surfaces.planes, surfaces.boxes, surfaces.spheres

    def rectangle(normal, offset, inside, k):
        slope = float(normal @ direction)
        if slope != 0 and not math.isnan(offset):
            distance = (offset - float(normal @ origin)) / slope
            if distance > 1e-4 and inside(origin + distance * direction):
                hits.append((distance, k, normal))

    for k in range(planes.offset.shape[1]):
        low, high = planes.lower[scene, k], planes.upper[scene, k]
        within = lambda p, low=low, high=high: bool(((p >= low) & (p <= high)).all())  # noqa: E731
        rectangle(planes.normal[scene, k], float(planes.offset[scene, k]), within, k)
    for b in range(boxes.centre.shape[1]):
        centre, half, axes = boxes.centre[scene, b], boxes.half_size[scene, b], boxes.rotation[scene, b]
        for axis, sign in itertools.product(range(3), (-1, 1)):
            others = [a for a in range(3) if a != axis]
            within = lambda p, o=others, c=centre, h=half, r=axes: all(  # noqa: E731
                abs(float(r[a] @ (p - c))) <= float(h[a]) for a in o
            )
            normal = sign * axes[axis]
            rectangle(normal, float(normal @ centre + half[axis]), within, surfaces.first_box + b)
    for s in range(spheres.radius.shape[1]):
        start, radius = origin - spheres.centre[scene, s], float(spheres.radius[scene, s])
        a, b, c = float(direction @ direction), 2 * float(start @ direction), float(start @ start) - radius**2
        if b * b - 4 * a * c >= 0:
            for sign in (-1, 1):
                distance = (-b + sign * math.sqrt(b * b - 4 * a * c)) / (2 * a)
                if distance > 1e-4:
                    place = start + distance * direction
                    hits.append((distance, surfaces.first_sphere + s, place / radius))
    return min(hits, key=lambda hit: hit[0], default=(NAN, -1, None))


def test_random_scenes_agree_with_brute_force():
    drawn = converted(random_scenes(6, seeded(5)), lambda t: t.double() if t.is_floating_point() else t)
    views = render(drawn, 8, 8)
    rays = camera_rays(drawn.cameras, 8, 8)
    found = set()
    for scene, pixel in itertools.product(range(6), range(64)):
        direction, origin = rays[:, scene, pixel], drawn.cameras.position[scene]
        depth, index, normal = oracle(drawn.surfaces, scene, origin, direction)
        row, column = divmod(pixel, 8)
        assert views.surface[scene, row, column] == index
        if index < 0:
            continue
        found.add(KINDS[drawn.kinds[scene, index]])
        assert views.depth[scene, 0, row, column].item() == pytest.approx(depth, rel=1e-9)
        normal = drawn.cameras.rotation[scene] @ (-normal if normal @ direction > 0 else normal)
        torch.testing.assert_close(views.normals[scene, :, row, column], normal)
    assert {"floor", "wall", "box", "sphere"} <= found


def test_single_precision_is_enough():
    single = random_scenes(32, seeded(2))
    double = converted(single, lambda t: t.double() if t.is_floating_point() else t)
    one, two = render(single, 24, 24), render(double, 24, 24)
    same = one.surface == two.surface
    assert same.double().mean() > 0.999
    seen = same & (two.surface >= 0)
    assert (one.depth[:, 0][seen] / two.depth[:, 0][seen] - 1).abs().max() < 1e-3
    assert (one.picture - two.picture).abs().amax(1)[same].gt(
        0.02
    ).double().mean() < 0.005  # edges of shadow and checker


def test_textures():
    q = tensor([[0.5, 1.5, 0.5, -0.5], [0.5, 0.5, 1.5, 0.5], [0.5, 0.5, 1.5, 0.5]])
    assert texture(torch.zeros(4, dtype=torch.int64), q).tolist() == [0, 0, 0, 0]
    assert texture(torch.ones(4, dtype=torch.int64), q).tolist() == [0, 1, 0, 1]
    assert texture(torch.full((4,), 2), q).tolist() == [0, 1, 0, 1]
    noise = texture(torch.full((500,), 3), 10 * torch.randn(3, 500, dtype=torch.float64, generator=seeded(1)))
    assert noise.min() >= 0 and noise.max() <= 1 and noise.std() > 0.15
