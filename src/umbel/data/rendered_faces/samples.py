"""Chunks of samples: what is drawn for each, and how it is put together."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from umbel.data.draws import Draw
from umbel.data.raycast import converted
from umbel.data.rendered_faces.backgrounds import Behind, background, backgrounds_of
from umbel.data.rendered_faces.camera import exposed, photographed
from umbel.data.rendered_faces.domain import cameras_of, light_bin, lights_of
from umbel.data.rendered_faces.domains import DOMAINS, ELSEWHERE
from umbel.data.rendered_faces.faces import Views, living, masks
from umbel.data.rendered_faces.heads import Poses, poses
from umbel.data.rendered_faces.light import Lights
from umbel.data.rendered_faces.people import PEOPLE, People, people
from umbel.data.rendered_faces.photographs import EACH, skin_photographs
from umbel.data.rendered_faces.sheets import Place, Sheets, printed, replayed, sheets
from umbel.data.source import seeded

KINDS = ("live", "print", "replay", "mask")
"""Classes of the target "liveness"."""
SPLITS = tuple(PEOPLE)
POSE_BINS = tuple(f"{side}, {height}" for height in ("down", "level", "up") for side in ("left", "middle", "right"))
"""Classes of the target "pose": where the face in the picture looks."""
TEXTURES = ("drawn", "lfw")
"""Where skin comes from: drawn, or photographs of Labelled Faces in the Wild."""
CHUNK = 16
_SHARPER = 1.25
"""Resolution of the photographs that attacks show, in resolutions of the picture."""
_COARSE = 16
"""Rows and columns of what a screen's glass mirrors, which is out of focus."""


@dataclass(frozen=True)
class Cell:
    """Samples of one kind in one domain.

    Attributes:
        seed: Of the set.
        split: "train", "validation" or "test".
        domain: Letter, as in `DOMAINS`.
        kind: As in `KINDS`.
        resolution: Height and width in pixels.
        textures: As in `TEXTURES`.
    """

    seed: int
    split: str
    domain: str
    kind: str
    resolution: int
    textures: str


@dataclass(frozen=True)
class _Taken:
    """What a chunk is made of: who, how, where; and what the camera receives."""

    views: Views
    held: Poses
    lights: Lights
    behind: Behind


def _pose_bin(held: Poses) -> Tensor:
    across = (held.yaw > -0.2).long() + (held.yaw > 0.2).long()
    return 3 * ((held.pitch > -0.12).long() + (held.pitch > 0.12).long()) + across


def _photograph(draw: Draw, who: People, held: Poses, sheet: Sheets, resolution: int) -> Tensor:
    """The photographs that an attack shows: taken elsewhere, the face as large in the end as a living one."""
    place = (held.place - sheet.place) / sheet.size[:, None]
    smaller = replace(held, place=place, scale=held.scale / sheet.size)
    lights, behind = lights_of(draw, ELSEWHERE), backgrounds_of(draw, ELSEWHERE)
    camera = cameras_of(draw, ELSEWHERE)
    return exposed(living(who, smaller, lights, behind, round(_SHARPER * resolution)).light, camera)


def _taken(cell: Cell, draw: Draw, who: People) -> _Taken:
    domain, resolution = DOMAINS[cell.domain], cell.resolution
    held, lights, behind = poses(draw), lights_of(draw, domain), backgrounds_of(draw, domain)
    if cell.kind == "live":
        return _Taken(living(who, held, lights, behind, resolution), held, lights, behind)
    if cell.kind == "mask":
        return _Taken(masks(draw, who, held, lights, behind, resolution), held, lights, behind)
    sheet = sheets(draw, cell.kind == "print")
    photograph = _photograph(draw, who, held, sheet, resolution)
    flat = (lights.ambient + 0.4 * lights.colour.sum(1))[:, :, None, None]
    place = Place(domain, lights, background(behind, resolution) * flat)
    if cell.kind == "print":
        return _Taken(printed(draw, sheet, photograph, place), held, lights, behind)
    before = background(backgrounds_of(draw, domain), _COARSE) * flat
    soft = torch.nn.functional.interpolate(before, (resolution, resolution), mode="bilinear", align_corners=False)
    return _Taken(replayed(draw, sheet, photograph, place, soft), held, lights, behind)


def _chosen(cell: Cell, identity: Tensor, generator: torch.Generator) -> People:
    """The people of these numbers, each with one of the photographs of the person's face where skin comes from them."""
    who = converted(people(cell.seed, cell.split), lambda part: part[identity])
    if cell.textures == "drawn":
        return who
    which = Draw(len(identity), generator).one_of(EACH)
    return replace(who, photograph=skin_photographs(cell.seed, cell.split)[identity, which])


def chunk(cell: Cell, number: int) -> dict[str, Tensor]:
    """`CHUNK` samples, from number `CHUNK · number` of a cell on.

    Args:
        cell: Which samples.
        number: Of the chunk.

    Returns:
        "picture" bytes [N, 3, R, R]; "depth" and "reflection" [N, 1, R, R] in half precision; "material" bytes
        [N, R, R]; "identity", "pose", "light", "background", "glasses" and "beard" int64 [N].
    """
    key = (cell.seed, SPLITS.index(cell.split), list(DOMAINS).index(cell.domain), KINDS.index(cell.kind), number)
    draw = Draw(CHUNK, seeded(*key))
    identity = draw.one_of(PEOPLE[cell.split])
    who = _chosen(cell, identity, seeded(*key, 2))
    taken = _taken(cell, draw, who)
    picture = photographed(taken.views.light, cameras_of(draw, DOMAINS[cell.domain]), seeded(*key, 1))
    first = sum(PEOPLE[split] for split in SPLITS[: SPLITS.index(cell.split)])
    return {
        "picture": picture,
        "depth": taken.views.depth.half(),
        "reflection": taken.views.reflection.clamp(max=1).half(),
        "material": taken.views.material.to(torch.uint8),
        "identity": first + identity,
        "pose": _pose_bin(taken.held),
        "light": light_bin(taken.lights),
        "background": taken.behind.kind,
        "glasses": who.glasses.long(),
        "beard": who.beard.long(),
    }
