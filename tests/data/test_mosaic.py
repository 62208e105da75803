"""Mosaics: boxes are where the objects went."""

import torch
from torch.nn.functional import interpolate

from umbel.data.mosaic import Crop, mosaic, mosaics, moved_boxes

HEIGHT, WIDTH = 96, 128
COLOURS = torch.eye(3)
COUNT = 3


def coloured_squares(square: int = 30) -> tuple[torch.Tensor, torch.Tensor, list[tuple[int, int]]]:
    """Pictures with one square each, of a colour of its own; the last picture is smaller than the batch."""
    sizes = [(HEIGHT, WIDTH), (HEIGHT, WIDTH), (60, 80)]
    pictures, targets = torch.zeros(COUNT, 3, HEIGHT, WIDTH), torch.full((COUNT, 2, 5), -1.0)
    for number in range(COUNT):
        x, y = 12 + 9 * number, 8 + 7 * number
        pictures[number, :, y : y + square, x : x + square] = COLOURS[number].view(3, 1, 1)
        targets[number, 0] = torch.tensor([x, y, x + square, y + square, number])
    return pictures, targets, sizes


def test_boxes_are_where_squares_of_their_colour_are():
    pictures, targets, sizes = coloured_squares()
    checked = 0
    for seed in range(25):
        torch.manual_seed(seed)
        made, boxes = mosaic(pictures, targets, sizes, number=seed % COUNT)
        assert made.shape == (3, HEIGHT, WIDTH)
        assert (boxes >= 0).all() and (boxes[:, 2] <= WIDTH).all() and (boxes[:, 3] <= HEIGHT).all()
        for x1, y1, x2, y2, kind in boxes.tolist():
            inside = made[int(kind), round(y1) : round(y2), round(x1) : round(x2)]
            assert inside.mean() > 0.9, (seed, kind)
            checked += 1
    assert checked > 30


def test_every_square_that_is_mostly_there_has_a_box():
    pictures, targets, sizes = coloured_squares()
    for seed in range(25):
        torch.manual_seed(seed)
        made, boxes = mosaic(pictures, targets, sizes, number=0)
        for kind in range(COUNT):
            area = float((made[kind] > 0.5).sum())
            boxed = (boxes[boxes[:, 4] == kind][:, 2:4] - boxes[boxes[:, 4] == kind][:, :2]).prod(1).sum()
            left_out = area - float(boxed)
            # what has no box is, of each of the four parts, less than a quarter of a square at 1 / 0.8 of its size
            assert -0.1 * area - 20 < left_out < 4 * 0.25 * (30 / 0.8) ** 2


def test_a_box_is_cut_and_scaled_with_its_crop():
    target = torch.tensor([[10.0, 10, 30, 30, 1], [-1, -1, -1, -1, -1]])
    crop = Crop(top=10, left=20, height=20, width=40, rows=(50, 90), columns=(100, 120))  # 2 x as high, half as wide
    assert moved_boxes(target, crop).tolist() == [[100, 50, 105, 90, 1]]


def test_a_box_is_exactly_where_the_pixels_go():
    pictures, targets, _ = coloured_squares()
    for number, (high, wide) in enumerate([(80, 100), (120, 150), (40, 50)]):
        crop = Crop(top=4, left=5, height=40, width=50, rows=(0, high), columns=(0, wide))
        part = pictures[number : number + 1, :, 4:44, 5:55]
        pixels = interpolate(part, (high, wide), mode="bilinear", antialias=True)[0, number] > 0.5
        (box,) = moved_boxes(targets[number], crop).tolist()
        rows, columns = (pixels.any(axis).nonzero()[:, 0] for axis in (1, 0))
        assert box[:4] == [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def test_what_is_hardly_left_is_dropped():
    target = torch.tensor([[0.0, 0, 20, 20, 0]])
    for cut, kept in ((14, True), (15, True), (16, False), (20, False), (30, False)):  # 6, 5, 4, 0 of 20 columns left
        crop = Crop(top=0, left=cut, height=20, width=20, rows=(0, 20), columns=(0, 20))
        assert bool(len(moved_boxes(target, crop))) == kept, cut
    small = Crop(top=0, left=0, height=20, width=20, rows=(0, 20), columns=(0, 3))  # 3 pixels wide
    assert len(moved_boxes(target, small)) == 0


def test_there_is_a_mosaic_for_each_picture_and_its_boxes_are_padded():
    pictures, targets, sizes = coloured_squares()
    torch.manual_seed(0)
    made, boxes = mosaics(pictures, targets, sizes)
    assert made.shape == pictures.shape and boxes.shape[0] == COUNT and boxes.shape[2] == 5
    assert all((row == -1).all() or row[4] >= 0 for rows in boxes for row in rows)
    torch.manual_seed(0)
    again, _ = mosaics(pictures, targets, sizes)
    assert torch.equal(made, again)
    empty, none = mosaics(pictures[:1], torch.full((1, 1, 5), -1.0), sizes[:1])
    assert empty.shape == (1, 3, HEIGHT, WIDTH) and none.shape == (1, 1, 5) and (none == -1).all()


def test_a_mosaic_fills_its_size_even_from_small_pictures():
    pictures = torch.zeros(2, 3, 40, 50)
    pictures[:, :, :10, :12] = 1.0  # all of each picture
    made, _ = mosaics(pictures, torch.full((2, 1, 5), -1.0), [(10, 12)] * 2)
    assert (made > 0.999).all()


def test_pictures_of_a_pixel_make_a_mosaic():
    for size in ((1, 40), (40, 1), (1, 1), (2, 3)):
        pictures, targets = torch.rand(2, 3, *size), torch.full((2, 1, 5), -1.0)
        made, boxes = mosaics(pictures, targets, [size] * 2)
        assert made.shape == pictures.shape and boxes.shape == (2, 1, 5)
