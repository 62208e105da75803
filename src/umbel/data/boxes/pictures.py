"""A folder of pictures without labels, as the target of an adaptation is."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from umbel.data.boxes.annotated import pictures_in
from umbel.data.boxes.building import PICTURE
from umbel.data.boxes.folder import RESOLUTION
from umbel.data.boxes.placing import QUARTER_TURNS, header, resized
from umbel.data.boxes.reading import padded_pictures
from umbel.errors import UmbelError, shown


@dataclass(frozen=True, eq=False)
class UnlabelledPictures:
    """Pictures of any shape in one tensor.

    Attributes:
        names: Path of each below its folder, with / between; [N].
        inputs: "picture" uint8 [N, 3, H, W], zeros behind the end of the smaller ones, and "picture/size" int64 [N, 3].
        full_sizes: Height and width of each before it was resized, upright; int64 [N, 2].
        skipped: A line for each picture that could not be read.
    """

    names: tuple[str, ...]
    inputs: dict[str, Tensor]
    full_sizes: Tensor
    skipped: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def in_full(self, boxes: Tensor) -> Tensor:
        """Detections in the pixels of the files' pictures.

        Args:
            boxes: [N, D, 4 or more] whose first four are x1, y1, x2, y2 in pixels of `inputs`; rows of -1 stay.
        """
        sizes = self.inputs[f"{PICTURE}/size"][:, 1:]
        scale = (self.full_sizes / sizes).to(boxes).flip(1).repeat(1, 2)[:, None, :]
        empty = (boxes[..., :4] == -1).all(-1, keepdim=True)
        corners = torch.where(empty, boxes[..., :4], boxes[..., :4] * scale)
        return torch.cat([corners, boxes[..., 4:]], -1)


def pictures_folder(path: str | Path, resolution: int | None = RESOLUTION) -> UnlabelledPictures:
    """All pictures of a folder and of those in it, turned as their EXIF entry says, at their own aspect ratio.

    Args:
        path: The folder: PNG, JPEG, WebP, BMP, TIFF, GIF, PPM. Hidden files are passed over; what cannot be read is
            skipped and listed.
        resolution: Pixels of the longer side after resizing; None keeps each picture's size.

    Raises:
        UmbelError: No such folder, no picture in it that can be read, or more than fits into memory.
    """
    if not isinstance(path, str | Path) or not str(path):
        raise UmbelError(f"the folder of pictures is {shown(path)}; give its path")
    folder = Path(path).expanduser()
    if folder.is_file():
        raise UmbelError(f"{folder}: one file; give the folder that the pictures are in")
    if not folder.is_dir():
        raise UmbelError(f"{folder}: no such folder of pictures")
    files, full, skipped = [], [], []
    for file in pictures_in(folder, deep=True):
        try:
            stored, turn = header(file)
        except UmbelError as error:
            skipped.append(str(error))
            continue
        full.append(stored[::-1] if turn in QUARTER_TURNS else stored)
        files.append((file, True, resized(full[-1], resolution)))
    if not files:
        raise UmbelError(f"{folder}: no picture in it that can be read{_few(skipped)}")
    bad: dict[int, str] = {}
    pictures, sizes = padded_pictures(files, str(folder), lambda number, why: bad.update({number: why}))
    skipped += bad.values()
    kept = [number for number in range(len(files)) if number not in bad]
    if not kept:
        raise UmbelError(f"{folder}: no picture in it that can be read{_few(skipped)}")
    names = tuple(files[k][0].relative_to(folder).as_posix() for k in kept)
    inputs = {PICTURE: pictures[kept], f"{PICTURE}/size": sizes[kept]}
    return UnlabelledPictures(names, inputs, torch.tensor([full[k] for k in kept]), tuple(skipped))


def _few(skipped: list[str]) -> str:
    return f" ({len(skipped)} cannot: {skipped[0]})" if skipped else ""
