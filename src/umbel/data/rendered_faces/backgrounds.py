"""What is behind a head or a sheet, and the clothes below it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from umbel.data.draws import Draw
from umbel.data.rendered_faces.domain import Domain
from umbel.data.rendered_faces.heads import pixel_middles

BACKGROUNDS = ("plain", "clouds", "stripes", "shelves", "window")
"""Classes of the target "background"."""


@dataclass(frozen=True)
class Behind:
    """The background of N pictures.

    Attributes:
        kind: Index into `BACKGROUNDS`, int64 [N].
        wall: Two colours [N, 2, 3].
        clouds: Colours of a coarse grid [N, 3, 4, 4].
        shelves: Colours of the things on shelves [N, 3, 5, 11].
        turn: Direction of the stripes, radians [N].
        stripes: How many there are [N].
        pane: The window: left, top, width, height in half pictures, and its brightness [N, 5].
        clothes: Two colours [N, 2, 3].
    """

    kind: Tensor
    wall: Tensor
    clouds: Tensor
    shelves: Tensor
    turn: Tensor
    stripes: Tensor
    pane: Tensor
    clothes: Tensor


def _colours(draw: Draw, *shape: int) -> Tensor:
    """Muted colours [N, ..., 3]."""
    grey = draw.between(0.05, 0.75, *shape, 1)
    return (grey * (1 + 0.22 * draw.normal(*shape, 3).clamp(-2, 2))).clamp(0.02, 0.9)


def backgrounds_of(draw: Draw, domain: Domain) -> Behind:
    """Backgrounds as a domain has them."""
    pane = torch.stack([draw.between(-1.2, 0.4), draw.between(-1.2, 0.0), draw.between(0.5, 1.2)], 1)
    rest = torch.stack([draw.between(0.5, 1.5), draw.between(0.9, 2.2)], 1)
    return Behind(
        kind=torch.tensor(domain.walls)[draw.one_of(len(domain.walls))],
        wall=_colours(draw, 2),
        clouds=_colours(draw, 4, 4).movedim(-1, 1),
        shelves=_colours(draw, 5, 11).movedim(-1, 1),
        turn=draw.between(0, torch.pi),
        stripes=draw.between(2, 9),
        pane=torch.cat([pane, rest], 1),
        clothes=_colours(draw, 2),
    )


def _smooth(grid: Tensor, resolution: int) -> Tensor:
    """Values [N, C, K, K] over the picture, from one to the next along half a wave: [N, C, R, R]."""
    place = (torch.arange(resolution) + 0.5) * (grid.shape[-1] / resolution) - 0.5
    away = place[:, None] - torch.arange(grid.shape[-1])
    weights = 0.5 + 0.5 * torch.cos(torch.pi * away.clamp(-1, 1))
    weights = weights / weights.sum(1, keepdim=True)
    return weights @ grid @ weights.T


def _blocks(grid: Tensor, resolution: int) -> Tensor:
    """Values [N, C, H, W] as rectangles that fill the picture: [N, C, R, R]."""
    rows, columns = (torch.arange(resolution) * size // resolution for size in grid.shape[-2:])
    return grid[:, :, rows][..., columns]


def background(behind: Behind, resolution: int) -> Tensor:
    """Colours of the backgrounds [N, 3, R, R], 0 to about 2, before they are lit."""
    x, y = pixel_middles(resolution)
    kind = behind.kind[:, None, None, None]
    first, second = behind.wall[..., None, None].unbind(1)
    left, top, wide, high, bright = behind.pane[:, :, None, None].unbind(1)
    cos, sin = behind.turn.cos()[:, None, None], behind.turn.sin()[:, None, None]
    bands = torch.sin((cos * x + sin * y) * behind.stripes[:, None, None] * torch.pi)
    stripes = torch.lerp(first, second, torch.sigmoid(bands * 8)[:, None])
    inside = ((x - left).abs() < wide / 2) & ((y - top).abs() < high / 2)
    bars = ((x - left).abs() < 0.03) | ((y - top).abs() < 0.03)
    window = torch.where((inside & ~bars)[:, None], bright[:, None].expand(-1, 3, -1, -1), first)
    clouds = _smooth(behind.clouds, resolution)
    plain = torch.lerp(first, first * 0.7 + 0.3 * second, ((x + y + 2) / 4)[:, None])
    walls = torch.where(kind == 0, plain, torch.where(kind == 1, clouds, stripes))
    shelves = _blocks(behind.shelves, resolution)
    return torch.where(kind == 3, shelves, torch.where(kind == 4, window, walls)).clamp(min=0.01)


def dressed(colours: Tensor, behind: Behind, below: Tensor) -> Tensor:
    """Backgrounds with shoulders before them.

    Args:
        colours: Of the backgrounds [N, 3, R, R].
        behind: The clothes' colours.
        below: How far below the edge of the shoulders each pixel is [N, R, R], as in `Heads`.
    """
    first, second = behind.clothes[..., None, None].unbind(1)
    cloth = torch.lerp(first, second, torch.sigmoid(torch.sin(below * 40) * 6)[:, None] * 0.5)
    rounded = (0.6 + 1.2 * below.clamp(0, 0.35))[:, None]
    return torch.where((below > 0)[:, None], cloth * rounded, colours)
