"""The data set `rendered-faces`: shares of kinds and domains, targets, tasks."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from umbel import tasks
from umbel.arguments import one_of
from umbel.core import Batch, Task
from umbel.data.augment import Augmentation, Augmentations, FlipMaps
from umbel.data.camera_changes import CameraChanges
from umbel.data.maps import chosen_tasks
from umbel.data.rendered_faces.domains import DOMAINS, STUDIED
from umbel.data.rendered_faces.keep import kept_chunk
from umbel.data.rendered_faces.materials import MATERIALS
from umbel.data.rendered_faces.samples import CHUNK, KINDS, SPLITS, TEXTURES, Cell
from umbel.data.source import MultiTaskData, TensorSource
from umbel.errors import UmbelError, unknown

TASKS = ("liveness", "depth", "reflection", "material")
ATTACKS = KINDS[1:]
ATTRIBUTES = ("identity", "pose", "light", "camera", "background", "glasses", "beard")
"""Targets besides the tasks: whole numbers that say what else differs between samples."""
_MIRRORED_POSES = (2, 1, 0, 5, 4, 3, 8, 7, 6)
_NOTE = (
    "Synthetic: heads, paper, screens and masks come from Umbel's own renderer, in four made-up places. Depth, "
    "mirrored light and material are exact for what was drawn. Figures on it compare methods; they say nothing about "
    "real cameras, faces or attacks, and are not for deciding who is let in anywhere."
)


def _listed(value: Sequence[str] | str, known: Iterable[str], word: str) -> tuple[str, ...]:
    """The options that a user chose, in the order of those known: several, or one text with `/` between them."""
    known = tuple(known)
    chosen = value.split("/") if isinstance(value, str) else list(value)
    for name in chosen:
        if name not in known:
            raise unknown(word, name, known)
    if not chosen:
        raise UmbelError(f"rendered-faces: no {word}; name one or more of {', '.join(known)}")
    return tuple(name for name in known if name in chosen)


def _dealt(size: int, domains: Sequence[str], attacks: Sequence[str]) -> dict[tuple[str, str], list[int]]:
    """Which rows of a split come from which domain and kind: every second is live; domains and attacks take turns."""
    rows: dict[tuple[str, str], list[int]] = {}
    for row in range(size):
        turn, place = divmod(row, len(domains))
        kind = KINDS[0] if turn % 2 == 0 else attacks[turn // 2 % len(attacks)]
        rows.setdefault((domains[place], kind), []).append(row)
    return rows


def _cell_samples(cell: Cell, count: int) -> dict[str, Tensor]:
    """The first samples of one domain and kind, with every target."""
    chunks = [kept_chunk(cell, number) for number in range(math.ceil(count / CHUNK))]
    made = {name: torch.cat([part[name] for part in chunks])[:count] for name in chunks[0]}
    domain, kind = list(DOMAINS).index(cell.domain), KINDS.index(cell.kind)
    first = ((SPLITS.index(cell.split) * len(DOMAINS) + domain) * len(KINDS) + kind) * 1_000_000
    return made | {
        "liveness": torch.full((count,), kind),
        "depth": made["depth"].float(),
        "reflection": made["reflection"].float(),
        "material": made["material"].long(),
        "camera": torch.full((count,), domain),
        "video": first + torch.arange(count),
    }


def rendered_split(
    size: int,
    resolution: int,
    seed: int,
    split: str,
    domains: Sequence[str] = STUDIED,
    attacks: Sequence[str] = ATTACKS[:2],
    textures: str = TEXTURES[0],
    names: Sequence[str] = TASKS,
) -> Batch:
    """One split in memory, kinds and domains in turn. A smaller `size` gives the first samples of a larger one.

    Args:
        size: Number of samples.
        resolution: Height and width in pixels.
        seed: Of the whole set.
        split: "train", "validation" or "test".
        domains: Letters, as in `DOMAINS`.
        attacks: Which attacks there are beside living faces.
        textures: As in `TEXTURES`.
        names: Which targets of tasks to keep; attributes and "video" always stay.
    """
    kept, parts, order = ("picture", *names, *ATTRIBUTES, "video"), [], []
    for (domain, kind), rows in _dealt(size, domains, attacks).items():
        made = _cell_samples(Cell(seed, split, domain, kind, resolution, textures), len(rows))
        parts.append({name: made[name] for name in kept})
        order += rows
    place = torch.tensor(order).argsort()
    whole = {name: torch.cat([part[name] for part in parts])[place] for name in kept}
    return Batch(whole.pop("picture"), whole, domain=whole["camera"].clone())


def _task(name: str) -> Task:
    if name == "liveness":
        return tasks.liveness(name, ATTACKS)
    if name == "material":
        return tasks.segmentation(name, MATERIALS)
    # Most of a picture mirrors nothing: absolute errors do not let the few bright spots decide alone.
    return tasks.proxy_map(name, 0.5) if name == "depth" else tasks.proxy_map(name, error="absolute")


def rendered_faces(
    size: int = 2000,
    resolution: int = 64,
    seed: int = 0,
    evaluation_size: int = 400,
    domains: Sequence[str] | str = STUDIED,
    attacks: Sequence[str] | str = ATTACKS[:2],
    textures: str = TEXTURES[0],
    names: Sequence[str] | str = TASKS,
    augment: bool = True,
    camera_changes: float = 1.0,
) -> MultiTaskData:
    """Rendered faces, living and attacks, with exact depth, mirrored light and material.

    Half of the samples are live, the others are divided among the attacks; domains have equal shares. No person is in
    two splits. A sample depends on the seed, the split, its domain, its kind and its number, and on the resolution:
    never on which other domains or attacks are asked for. What was rendered once is kept in the cache folder.

    Targets: "liveness" (0 live, 1 print, 2 replay, 3 mask), "depth" [1, R, R] (height in head units; 0 for flat attacks
    and the background), "reflection" [1, R, R] (mirrored part of the light, mean of the colours, at most 1), "material"
    [R, R] (index into `MATERIALS`), the attributes in `ATTRIBUTES`, and "video", a number of its own for each sample.
    `Batch.domain` is the number of the domain.

    Args:
        size: Training samples; fewer are the first of more.
        resolution: Height and width in pixels, 16 or more.
        seed: Another seed is another set.
        evaluation_size: Samples for validation, and again for test.
        domains: Letters of the domains, "A" to "F"; a text may join them by "/". "E" and "F" are for choosing settings.
        attacks: "print", "replay", "mask"; a text may join them by "/".
        textures: "drawn", or "lfw" for skin from photographs of faces (the set `lfw64`), evened out and in the drawn
            person's colour; eyes and lips are then where the photographs have them to within a few hundredths.
        names: Which tasks: "liveness", "depth", "reflection", "material".
        augment: Mirror half of the training pictures.
        camera_changes: How much exposure, colours, focus and noise of training pictures are changed at random; 0 for
            not at all. See `CameraChanges`.

    Raises:
        UmbelError: An unknown name, or a size that cannot be.
    """
    one_of(textures, "kind of textures", TEXTURES)
    names = chosen_tasks(names.split("/") if isinstance(names, str) else names, TASKS, "rendered-faces")
    places, fakes = _listed(domains, DOMAINS, "domain"), _listed(attacks, ATTACKS, "attack")
    if size < 1 or evaluation_size < 1 or resolution < 16:
        raise UmbelError(
            f"rendered-faces: size {size}, evaluation_size {evaluation_size}, resolution {resolution}; "
            "sizes must be at least 1 and the resolution at least 16"
        )
    train, validation, test = (
        rendered_split(
            size if split == "train" else evaluation_size, resolution, seed, split, places, fakes, textures, names
        )
        for split in SPLITS
    )
    maps = [name for name in names if name != "liveness"]
    flip = FlipMaps(maps, mirrored_classes={"pose": _MIRRORED_POSES, "light": (2, 1, 0)})
    parts: list[Augmentation] = [flip] if augment else []
    parts += [CameraChanges(camera_changes)] if camera_changes else []
    return MultiTaskData(
        name="rendered-faces",
        title=f"Rendered faces, {resolution}×{resolution}, domains {', '.join(places)}",
        tasks=tuple(_task(name) for name in names),
        train=TensorSource(train, Augmentations(parts) if parts else None),
        validation=TensorSource(validation),
        test=TensorSource(test),
        input_shape=(3, resolution, resolution),
        note=_NOTE,
    )
