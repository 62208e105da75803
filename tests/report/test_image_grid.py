"""Grids of pictures: cells, headings, captions, and what is refused."""

import numpy
import pytest
import torch
from PIL import Image

from umbel.core import UmbelError
from umbel.report import draw_image_grid, psnr_captions
from umbel.report.image_grid import wrapped
from umbel.report.pictures import font

RED, BLUE = torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 1.0])


def _plain(colour, height, width):
    return colour.reshape(3, 1, 1).expand(3, height, width)


def _pixels(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return numpy.asarray(image.convert("RGB")).astype(int)


def _box(pixels, colour):
    """Height and width of what has that colour."""
    rows, columns = numpy.nonzero((pixels == numpy.array(colour)).all(-1))
    return (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1, rows.min(), columns.min())


def test_pictures_of_different_sizes_fill_cells_of_one_size(tmp_path):
    rows = [("layer 1", [_plain(RED, 8, 8)]), ("layer 3", [_plain(BLUE, 32, 32)])]
    pixels = _pixels(draw_image_grid(tmp_path / "a.png", rows, ["0 dB"], scale=4))
    small, large = _box(pixels, (255, 0, 0)), _box(pixels, (0, 0, 255))
    assert small[:2] == large[:2] == (4 * 32 - 2, 4 * 32 - 2)  # within an edge of one pixel
    assert small[3] == large[3] and small[2] < large[2]


def test_enlarging_repeats_pixels(tmp_path):
    checks = (torch.arange(64).reshape(8, 8) + torch.arange(8).reshape(8, 1)) % 2
    pixels = _pixels(draw_image_grid(tmp_path / "a.png", [("", [checks[None].float()])], [""], scale=10))
    inner = pixels[..., 0][(pixels[..., 0] == 0)]
    assert inner.size >= 30 * 80  # black squares stay black: no grey between them
    values, counts = numpy.unique(pixels[20:, 20:, 0], return_counts=True)
    assert counts[numpy.isin(values, (0, 255))].sum() > 0.85 * counts.sum()


def test_a_picture_of_another_shape_keeps_its_proportions(tmp_path):
    rows = [("", [_plain(RED, 10, 40), _plain(BLUE, 40, 40)])]
    height, width, *_ = _box(_pixels(draw_image_grid(tmp_path / "a.png", rows, ["a", "b"])), (255, 0, 0))
    assert (width + 2) == 4 * (height + 2) == 120


def test_bytes_and_grey_pictures_are_drawn_and_absent_ones_stay_pale(tmp_path):
    grey = torch.full((1, 28, 28), 128, dtype=torch.uint8)
    empty = _pixels(draw_image_grid(tmp_path / "a.png", [("sent", [grey, None])], ["first", "second"]))
    assert _box(empty, (128, 128, 128))[:2] == (82, 82)
    assert _box(empty, (0xF5, 0xF6, 0xF8))[:2] == (84, 84)


def test_captions_and_headings_take_room_and_leave_ink(tmp_path):
    picture = torch.ones(3, 32, 32)
    rows = [("one", [picture, picture]), ("two", [picture, picture])]
    bare = _pixels(draw_image_grid(tmp_path / "a.png", rows, ["x", "y"]))
    told = _pixels(draw_image_grid(tmp_path / "b.png", rows, ["x", "y"], captions={(1, 0): "27.1 dB, class frog"}))
    assert told.shape[0] == bare.shape[0] + 32 and told.shape[1] == bare.shape[1]
    assert (told[bare.shape[0] :] < 200).any()
    nameless = _pixels(draw_image_grid(tmp_path / "c.png", [("", r[1]) for r in rows], ["", ""]))
    assert (nameless[..., 0] < 100).sum() == 0 < (bare[..., 0] < 100).sum()


def test_captions_give_the_psnr_of_pictures_of_the_originals_size():
    one, small = torch.zeros(1, 4, 4), torch.zeros(1, 2, 2)
    rows = [("original", [one, one]), ("received", [one + 0.1, one]), ("coarse", [small, None])]
    assert psnr_captions(rows) == {(1, 0): "20.0 dB", (1, 1): "100.0 dB"}


def test_long_words_are_wrapped_and_cut_to_their_cell():
    lines = wrapped("layer 1: reads layers 1 to 3, 510 channel uses and more", 100, 3, bold=True)
    assert len(lines) == 3 and lines[-1].endswith("…")
    assert all(font(True).getlength(line) <= 100 for line in lines)
    assert wrapped("", 50, 2) == [""] and wrapped("short", 100, 2) == ["short"]


def test_wide_grids_and_large_pictures_stay_within_a_sheet(tmp_path):
    noise = torch.rand(3, 256, 256, generator=torch.Generator().manual_seed(0))
    path = draw_image_grid(
        tmp_path / "a.png", [(f"layer {i}", [noise] * 7) for i in range(3)], [str(i) for i in range(7)]
    )
    assert _pixels(path).shape[1] <= 1600 and path.stat().st_size <= 300_000


def test_other_devices_number_formats_and_gradients_do_no_harm(tmp_path):
    picture = torch.full((3, 8, 8), 0.5, dtype=torch.bfloat16).requires_grad_()
    assert draw_image_grid(tmp_path / "deep" / "a.png", [("", [picture])], ["x"]).exists()


@pytest.mark.parametrize(
    ("rows", "columns", "given", "message"),
    [
        ([("a", [torch.rand(3, 4, 4)])], ["x", "y"], {}, "row 'a' has 1 pictures for 2 columns"),
        ([("a", [torch.rand(4, 4)])], ["x"], {}, r"row 0, column 0 has shape \[4, 4\]; expected \[1 or 3, height"),
        ([("a", [torch.rand(2, 4, 4)])], ["x"], {}, r"shape \[2, 4, 4\]"),
        ([("a", [None])], ["x"], {}, "nothing to draw"),
        ([], [], {}, "nothing to draw"),
        ([("a", [torch.rand(3, 4, 4)])], ["x"], {"captions": {(1, 0): "t"}}, "caption is at row 1, column 0 of 1 × 1"),
        ([("a", [torch.rand(3, 4, 4)])], ["x"], {"scale": 0}, "scale is 0"),
    ],
)
def test_mistakes_are_named(tmp_path, rows, columns, given, message):
    with pytest.raises(UmbelError, match=message):
        draw_image_grid(tmp_path / "a.png", rows, columns, **given)
