"""Pictures with coloured rectangles: what a detector's tests see."""

import torch

from umbel.core import Batch


def rectangles(count: int, size: tuple[int, int] = (48, 64), most: int = 3, seed: int = 0) -> Batch:
    """`count` grey pictures of height and width `size`, each with 1 to `most` rectangles: red is class 0, blue 1."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size
    pictures = torch.full((count, 3, height, width), 0.5) + 0.05 * torch.randn(
        count, 3, height, width, generator=generator
    )
    target = torch.full((count, most, 5), -1.0)
    for picture, boxes in zip(pictures, target, strict=True):
        for place in range(int(torch.randint(1, most + 1, (), generator=generator))):
            sides = torch.randint(10, 22, (2,), generator=generator)
            x, y = (
                int(torch.randint(0, full - int(s), (), generator=generator))
                for full, s in zip((width, height), sides, strict=True)
            )
            kind = int(torch.randint(0, 2, (), generator=generator))
            w, h = sides.tolist()
            picture[:, y : y + h, x : x + w] = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.1, 0.9]][kind]).view(3, 1, 1)
            boxes[place] = torch.tensor([x, y, x + w, y + h, kind])
    sizes = torch.tensor([[3, height, width]]).repeat(count, 1)
    return Batch({"picture": pictures.clamp(0, 1), "picture/size": sizes}, {"boxes": target})
