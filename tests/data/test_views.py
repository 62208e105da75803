"""Views of pictures of different sizes."""

import pytest
import torch

from umbel import UmbelError
from umbel.data.views import flipped, strong_view

SIZES = [(20, 32), (24, 15), (9, 32)]


def pictures() -> torch.Tensor:
    """Three pictures of different sizes in one batch, zero behind their ends."""
    made = torch.zeros(3, 3, 24, 32)
    generator = torch.Generator().manual_seed(0)
    for picture, (height, width) in zip(made, SIZES, strict=True):
        picture[:, :height, :width] = 0.2 + 0.6 * torch.rand(3, height, width, generator=generator)
    return made


def outside(made: torch.Tensor) -> torch.Tensor:
    """What lies behind the ends."""
    parts = [p.clone() for p in made]
    for part, (height, width) in zip(parts, SIZES, strict=True):
        part[:, :height, :width] = 0
    return torch.stack(parts)


@pytest.mark.parametrize("flips", ["horizontal", "both"])
def test_pictures_are_mirrored_within_their_own_size(flips):
    given, seen = pictures(), set()
    for seed in range(12):
        torch.manual_seed(seed)
        for number, (one, (height, width)) in enumerate(zip(flipped(given, SIZES, flips), SIZES, strict=True)):
            plain = given[number, :, :height, :width]
            kinds = {"as it was": plain, "left": plain.flip(2), "up": plain.flip(1), "both": plain.flip((1, 2))}
            now = [name for name, other in kinds.items() if torch.equal(one[:, :height, :width], other)]
            assert len(now) == 1
            seen.add(now[0])
            assert not one[:, height:].any() and not one[:, :, width:].any()
    assert seen == ({"as it was", "left"} if flips == "horizontal" else {"as it was", "left", "up", "both"})


def test_without_flips_nothing_is_drawn():
    torch.manual_seed(0)
    wanted = torch.rand(2)
    torch.manual_seed(0)
    assert flipped(pictures(), SIZES, "none") is not None
    assert torch.equal(torch.rand(2), wanted)
    with pytest.raises(UmbelError, match="flips"):
        flipped(pictures(), SIZES, "vertical")


def test_a_strong_view_changes_colours_and_leaves_places():
    given = torch.full((3, 3, 24, 32), 0.0)
    for picture, (height, width) in zip(given, SIZES, strict=True):
        picture[:, :height, :width] = 0.3
        picture[:, 2:7, 3:9] = 0.8  # a bright square
    moved = 0.0
    for seed in range(8):
        torch.manual_seed(seed)
        view = strong_view(given, SIZES)
        assert view.min() >= 0 and view.max() <= 1 and not outside(view).any()
        for one, (height, width) in zip(view, SIZES, strict=True):
            grey = one[:, :height, :width].mean(0)
            bright = (grey > (grey.min() + grey.max()) / 2).nonzero()
            assert bright.amin(0).tolist() == [2, 3] and bright.amax(0).tolist() == [6, 8]
        moved = max(moved, float((view - given).abs().max()))
    assert moved > 0.05


def test_a_view_depends_on_the_generator_alone():
    given, views = pictures(), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        views.append(strong_view(given, SIZES))
    assert torch.equal(views[0], views[1]) and not torch.equal(views[0], views[2])
