"""Pictures with boxes: where lines are, that they are seen on any ground, sheets, and what is refused."""

import numpy
import pytest
import torch
from PIL import Image

from umbel.core import UmbelError
from umbel.report import DetectionRow, draw_boxes, draw_detection_sheet
from umbel.report.tiles import class_colour

LABELS = ["red cell", "white cell"]
BOX = torch.tensor([[20.0, 30.0, 60.0, 70.0, 0.9, 1.0], [-1.0] * 6])
NONE = torch.full((1, 6), -1.0)


def _ground(level, size=(100, 90)):
    return Image.new("RGB", size, (level,) * 3)


def _where(image, colour):
    """Rows and columns of the pixels of that colour."""
    return numpy.nonzero((numpy.asarray(image) == numpy.array(colour)).all(-1))


def test_the_frame_lies_around_the_box_and_leaves_what_is_inside():
    rows, columns = _where(draw_boxes(_ground(128), BOX, LABELS, named=False), class_colour(1))
    frame = rows >= 30  # below the tag
    assert (rows.max(), columns[frame].min(), columns[frame].max()) == (71, 19, 61)
    image = numpy.asarray(draw_boxes(_ground(128), BOX, LABELS))
    assert (image[32:68, 22:58] == 128).all()


@pytest.mark.parametrize("level", [0, 128, 255])
def test_lines_differ_from_any_ground(level):
    """On a black picture the colour is seen, on any other the rim; true boxes have both white and black."""
    image = draw_boxes(_ground(level), BOX, LABELS, torch.tensor([[5.0, 5.0, 15.0, 80.0, 0.0]]))
    assert len(_where(image, class_colour(1))[0]) > 100
    assert len(_where(image, (0, 0, 0))[0]) > 100
    left = numpy.asarray(image)[:, 4].max(-1)
    assert {0, 255} <= {*left.tolist()}  # the dashed edge of the true box


def test_rows_that_are_no_boxes_draw_nothing_and_the_given_picture_stays():
    given = _ground(77)
    absent = torch.full((3, 5), float("nan"))
    assert (numpy.asarray(draw_boxes(given, NONE, LABELS, absent)) == 77).all()
    draw_boxes(given, BOX, LABELS)
    assert (numpy.asarray(given) == 77).all()


def test_the_better_box_lies_over_the_worse():
    same = torch.tensor([[20.0, 30, 60, 70, 0.9, 1], [20.0, 30, 60, 70, 0.3, 0]])
    image = draw_boxes(_ground(128), same, LABELS, named=False)
    assert not (_where(image, class_colour(0))[0] > 30).any()


def test_tags_stay_inside_the_picture_whatever_the_place_of_the_box():
    corners = torch.tensor([[90.0, 0, 99, 9, 0.9, 0], [0.0, 0, 9, 9, 0.8, 1]])
    rows, columns = _where(draw_boxes(_ground(128, (200, 90)), corners, LABELS), class_colour(0))
    assert rows.min() >= 0 and columns.max() - columns.min() > 50
    edge = draw_boxes(_ground(128), torch.tensor([[95.0, 40, 99, 60, 0.9, 0]]), LABELS)
    assert len(_where(edge, class_colour(0))[0]) > 250  # the whole tag, though the box is at the right edge


def test_bytes_floats_grey_and_enlarged_pictures():
    byte = torch.full((1, 20, 30), 51, dtype=torch.uint8)
    for given in (byte, byte / 255, (byte / 255).expand(3, -1, -1).numpy()):
        image = draw_boxes(given, NONE, LABELS, scale=3)
        assert image.size == (90, 60) and (numpy.asarray(image) == 51).all()
    rows, _ = _where(draw_boxes(_ground(9), BOX, LABELS, scale=2, named=False), class_colour(1))
    assert abs(int(rows.max()) - 141) <= 1  # the box goes with the picture


def test_a_sheet_has_a_picture_for_each_detector_and_says_what_colours_mean(tmp_path):
    truth = torch.tensor([[20.0, 30, 60, 70, 1]])
    row = DetectionRow("first", _ground(128), [BOX, NONE], truth)
    path = draw_detection_sheet(tmp_path / "sheet.png", [row], ["before", "after"], LABELS)
    with Image.open(path) as opened:
        sheet = opened.convert("RGB")
    assert path.stat().st_size <= 300_000
    rows, columns = _where(sheet, class_colour(1))
    ground = _where(sheet, (128, 128, 128))[1]
    middle = (ground.min() + ground.max()) / 2
    foot = _where(sheet, (128, 128, 128))[0].max()
    assert (columns[rows <= foot] < middle).all() and (rows > foot).any()  # drawn on the left only, named below
    assert len(_where(sheet, class_colour(0))[0]) > 0  # a class without a box is in the legend, too


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((torch.zeros(2, 4, 4), BOX), "shape [2, 4, 4]"),
        ((torch.zeros(1, 4, 4), BOX[:, :5]), "expected [boxes, 6]"),
        ((torch.zeros(1, 4, 4), BOX + 3), "of class 4, but 2 classes"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(given, said):
    with pytest.raises(UmbelError, match="drawing boxes") as refused:
        draw_boxes(*given, LABELS)
    assert said in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(UmbelError, match="scale is 0"):
        draw_boxes(_ground(0), NONE, LABELS, scale=0)
