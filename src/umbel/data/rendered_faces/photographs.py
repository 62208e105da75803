"""Skin from photographs: faces of LFW, evened out, for the front of rendered heads."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from umbel.data.faces import read_lfw
from umbel.data.pictures import held_out_groups
from umbel.data.rendered_faces.people import PEOPLE
from umbel.data.source import seeded
from umbel.errors import UmbelError

EACH = 3
"""Photographs of each person."""
EYES, MOUTH = (0.5, -0.27), 0.82
"""Where the eyes (right one: across, down) and the mouth (down) are in these photographs, -1 to 1."""
_EVENED = 0.8
_COLOURED = 0.4
_COARSE = 6


def evened(photographs: Tensor) -> Tensor:
    """How much brighter or darker each place is than the whole face, without the light's slow changes.

    Differences of colour are softened, since many of these photographs have false colours.

    Args:
        photographs: Bytes [N, 3, H, W], the face in the middle.

    Returns:
        Factors around 1, [N, 3, H, W].
    """
    linear = (photographs.float() / 255).clamp(min=0.02) ** 2.2
    light = linear.mean(1, keepdim=True)
    coarse = torch.nn.functional.adaptive_avg_pool2d(light, _COARSE)
    slow = torch.nn.functional.interpolate(coarse, light.shape[-2:], mode="bicubic", align_corners=False)
    edge = photographs.shape[-1] // 5

    def relative(part: Tensor) -> Tensor:
        return part / part[:, :, edge:-edge, edge:-edge].mean((2, 3), keepdim=True)

    tint = relative(linear / light) ** _COLOURED
    return (relative(light * slow.clamp(min=0.01) ** -_EVENED) * tint).clamp(0.08, 1.8)


@lru_cache(maxsize=6)
def skin_photographs(seed: int, split: str) -> Tensor:
    """Evened photographs of the people of a split, [people, EACH, 3, 64, 64]. Nobody is in two splits.

    Args:
        seed: Of the set.
        split: "train", "validation" or "test".

    Raises:
        UmbelError: LFW is not here, or it has too few people of whom there are enough photographs.
    """
    arrays = read_lfw()
    person, test = arrays["person"], arrays["split"] == "test"
    validation = held_out_groups(person) & ~test
    part = {"train": ~test & ~validation, "validation": validation, "test": test}[split]
    names, counts = np.unique(person[part], return_counts=True)
    names = names[counts >= EACH]
    if len(names) < PEOPLE[split]:
        raise UmbelError(
            f"lfw64 has {len(names)} people with {EACH} pictures in {split}; textures=lfw needs {PEOPLE[split]}"
        )
    order = torch.randperm(len(names), generator=seeded(seed, list(PEOPLE).index(split), 102))[: PEOPLE[split]]
    rows = np.concatenate([np.flatnonzero(part & (person == names[k]))[:EACH] for k in order.tolist()])
    pictures = torch.from_numpy(arrays["images"][rows]).permute(0, 3, 1, 2)
    return evened(pictures).view(PEOPLE[split], EACH, *pictures.shape[1:])
