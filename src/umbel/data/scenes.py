"""`scenes`: random rooms and courtyards, ray-cast with true segmentation, depth and surface normals."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from umbel import tasks
from umbel.core import Batch, Task, UmbelError
from umbel.data.augment import FlipMaps
from umbel.data.maps import boundaries_of, centre_and_scale, chosen_tasks
from umbel.data.random_scenes import KINDS, random_scenes
from umbel.data.shading import render
from umbel.data.source import MultiTaskData, TensorSource, seeded

TASKS = ("segmentation", "depth", "normals", "boundaries", "reconstruction")
_CHUNK = 32
_SPLITS = {"train": 0, "validation": 1, "test": 2}
_NOISE = 0.01
_NOTE = (
    "Synthetic: pictures and labels come from Umbel's own ray caster (planes, boxes and spheres with procedural "
    "textures, point lights and hard shadows). It stands in for real indoor sets such as NYUv2, which cannot be had "
    "offline; figures on it say nothing about figures on those. Depth is in metres along the camera's z axis; normals "
    "are in camera coordinates, x right, y down, z forward; the sky has no depth and no normal."
)


def _chunk(seed: int, split: str, number: int, resolution: int) -> tuple[Tensor, dict[str, Tensor]]:
    """The `_CHUNK` samples from number `_CHUNK * number` on: byte pictures, and every target."""
    generator = seeded(seed, _SPLITS[split], number)
    drawn = random_scenes(_CHUNK, generator)
    views = render(drawn, resolution, resolution)
    kinds = torch.cat([torch.zeros(_CHUNK, 1, dtype=torch.int64), drawn.kinds], 1)
    classes = kinds.gather(1, views.surface.flatten(1) + 1).view_as(views.surface)
    picture = views.picture + _NOISE * torch.randn(views.picture.shape, generator=generator)
    targets = {
        "segmentation": classes,
        "depth": views.depth,
        "normals": views.normals,
        "boundaries": boundaries_of(views.surface, void=None),
    }
    return (picture.clamp_(0, 1) * 255).round_().to(torch.uint8), targets


def rendered(size: int, resolution: int, seed: int, split: str, names: Sequence[str] = TASKS[:4]) -> Batch:
    """One split in memory. A smaller `size` gives the first samples of a larger one.

    Args:
        size: Number of scenes.
        resolution: Height and width in pixels.
        seed: Of the whole set; its splits share no scene.
        split: "train", "validation" or "test".
        names: Which of the targets "segmentation", "depth", "normals" and "boundaries" to keep.
    """
    pictures, targets = [], {name: [] for name in names}
    for number in range(math.ceil(size / _CHUNK)):
        picture, every = _chunk(seed, split, number, resolution)
        pictures.append(picture)
        for name, parts in targets.items():
            parts.append(every[name])
    return Batch(torch.cat(pictures)[:size], {name: torch.cat(parts)[:size] for name, parts in targets.items()})


def _task(name: str, train: Batch) -> Task:
    if name == "segmentation":
        return tasks.segmentation(name, KINDS)
    if name == "depth":
        return tasks.dense_regression(name, *centre_and_scale(train.target(name)), unit="m")
    if name == "normals":
        return tasks.surface_normals(name)
    return tasks.boundaries(name) if name == "boundaries" else tasks.reconstruction(name, 3)


def scenes(
    size: int = 2000,
    resolution: int = 48,
    seed: int = 0,
    evaluation_size: int = 400,
    names: Sequence[str] | str = TASKS[:3],
    augment: bool = True,
) -> MultiTaskData:
    """Ray-cast scenes: exact labels for dense tasks, where no real set can be had.

    Half of the scenes are closed rooms, half courtyards under the sky. Made anew each time, the same for the same
    arguments; about 3 ms for each scene at 48×48 on one core, in proportion to the pixels.

    Args:
        size: Training scenes; fewer are the first of more.
        resolution: Height and width in pixels, 16 or more.
        seed: Another seed is another set.
        evaluation_size: Scenes for validation, and again for test.
        names: Which tasks: "segmentation" (sky, floor, wall, ceiling, box, sphere), "depth", "normals", "boundaries"
            (between surfaces, also of one class), "reconstruction".
        augment: Mirror half of the training pictures.

    Raises:
        UmbelError: An unknown task, or a size that cannot be.
    """
    names = chosen_tasks(names, TASKS, "scenes")
    if size < 1 or evaluation_size < 1 or resolution < 16:
        raise UmbelError(
            f"scenes: size {size}, evaluation_size {evaluation_size}, resolution {resolution}; "
            "sizes must be at least 1 and the resolution at least 16"
        )
    maps = [name for name in names if name != "reconstruction"]
    train, validation, test = (
        rendered(size if split == "train" else evaluation_size, resolution, seed, split, maps) for split in _SPLITS
    )
    return MultiTaskData(
        name="scenes",
        title=f"Ray-cast scenes, {resolution}×{resolution}",
        tasks=tuple(_task(name, train) for name in names),
        train=TensorSource(train, FlipMaps(maps, mirrored_x=("normals",)) if augment else None),
        validation=TensorSource(validation),
        test=TensorSource(test),
        input_shape=(3, resolution, resolution),
        note=_NOTE,
    )
