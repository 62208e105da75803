"""Who the rendered people are: the shape of the head, and the colours of skin, hair and eyes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from umbel.data.draws import Draw
from umbel.data.source import seeded

PEOPLE = {"train": 60, "validation": 20, "test": 20}
"""How many people each split shows, whatever its size; nobody is in two splits."""
_PALE, _DARK = (0.80, 0.58, 0.47), (0.20, 0.12, 0.08)
_BLACK, _BROWN, _FAIR, _GREY = (0.015, 0.012, 0.010), (0.12, 0.06, 0.03), (0.45, 0.30, 0.14), (0.38, 0.37, 0.36)


@dataclass(frozen=True)
class People:
    """N people. Lengths are in head units: half the height of a head is about 0.82.

    Attributes:
        axes: Half width, half height and half depth of the head's ellipsoid [N, 3].
        taper: How much narrower the chin is than the cheeks, 0 to 1 [N].
        nose: Height, half width and length of the nose [N, 3].
        brow: Height of the ridge over the eyes [N].
        eyes: Half distance, height in the face (down), half width and half height of the eyes [N, 4].
        mouth: Height in the face (down), half width and half height of the lips [N, 3].
        cheek: Height of the cheekbones [N].
        chin: Height of the chin [N].
        hair: Hairline (down), how far hair reaches down the sides, thickness [N, 3].
        bald: Whether there is no hair on the head, bool [N].
        beard: Bool [N].
        glasses: Bool [N].
        skin: Reflected share of the light, red, green and blue [N, 3].
        lip: The same of the lips [N, 3].
        strands: The same of the hair [N, 3].
        iris: The same of the iris [N, 3].
        frame: The same of the glasses [N, 3].
        complexion: Unevenness of the skin, standard normal [N, 2, 24, 24].
        photograph: Factors of the skin's colour on the front of the face [N, 3, T, T]; a single 1 where it is drawn.
    """

    axes: Tensor
    taper: Tensor
    nose: Tensor
    brow: Tensor
    eyes: Tensor
    mouth: Tensor
    cheek: Tensor
    chin: Tensor
    hair: Tensor
    bald: Tensor
    beard: Tensor
    glasses: Tensor
    skin: Tensor
    lip: Tensor
    strands: Tensor
    iris: Tensor
    frame: Tensor
    complexion: Tensor
    photograph: Tensor


def _about(draw: Draw, *middle_and_spread: tuple[float, float]) -> Tensor:
    """Numbers [N, F], each around its middle, cut off at two standard deviations."""
    middle, spread = torch.tensor(middle_and_spread).unbind(1)
    return middle + spread * draw.normal(len(middle)).clamp(-2, 2)


def _mixed(draw: Draw, *colours: tuple[float, float, float]) -> Tensor:
    """Colours [N, 3]: two neighbours among those given, mixed, a little brighter or darker."""
    palette = torch.tensor(colours)
    place = draw.between(0, len(colours) - 1.001)
    first = place.floor().long()
    mixed = torch.lerp(palette[first], palette[first + 1], (place - first)[:, None])
    return (mixed * draw.between(0.85, 1.15, 1)).clamp(0.005, 0.95)


def people(seed: int, split: str) -> People:
    """Everybody whom a split shows.

    Args:
        seed: Of the set.
        split: "train", "validation" or "test".
    """
    draw = Draw(PEOPLE[split], seeded(seed, list(PEOPLE).index(split), 101))
    skin = _mixed(draw, _PALE, _DARK)
    redder = torch.tensor([0.92, 0.62, 0.62]) * draw.between(0.8, 1.05, 1)
    return People(
        axes=_about(draw, (0.61, 0.025), (0.83, 0.03), (0.74, 0.03)),
        taper=draw.between(0.12, 0.34),
        nose=_about(draw, (0.17, 0.03), (0.075, 0.012), (0.30, 0.025)),
        brow=_about(draw, (0.045, 0.012))[:, 0],
        eyes=_about(draw, (0.235, 0.014), (-0.07, 0.02), (0.105, 0.008), (0.045, 0.006)),
        mouth=_about(draw, (0.42, 0.02), (0.20, 0.025), (0.052, 0.012)),
        cheek=_about(draw, (0.05, 0.015))[:, 0],
        chin=_about(draw, (0.05, 0.015))[:, 0],
        hair=torch.stack([draw.between(-0.56, -0.38), draw.between(-0.15, 1.0), draw.between(1.04, 1.16)], 1),
        bald=draw.chance(0.1),
        beard=draw.chance(0.25),
        glasses=draw.chance(0.25),
        skin=skin,
        lip=skin * redder,
        strands=_mixed(draw, _BLACK, _BROWN, _BROWN, _FAIR, _GREY),
        iris=_mixed(draw, (0.06, 0.03, 0.015), (0.15, 0.08, 0.03), (0.15, 0.22, 0.30)),
        frame=_mixed(draw, _BLACK, (0.1, 0.05, 0.03), (0.35, 0.35, 0.35)),
        complexion=draw.normal(2, 24, 24),
        photograph=torch.ones(draw.count, 3, 1, 1),
    )
