"""A picture beside what a network gave for it."""

import numpy as np
import pytest
from PIL import Image

from umbel import tasks
from umbel.core import UmbelError
from umbel.report import draw_answers
from umbel.report.tiles import class_colour

MATERIAL = tasks.segmentation("material", ("skin", "paper", "screen"))
MIDDLE = (8 + 160 + 8 + 80, 100)  # of the second tile


def logits(place: int) -> np.ndarray:
    """Everywhere that class."""
    values = np.zeros((3, 4, 4), np.float32)
    values[place] = 1
    return values


def test_classes_have_their_colours_and_sheets_one_size():
    picture = Image.new("L", (20, 20), 50)
    sheets = [draw_answers(picture, [MATERIAL], {"material": logits(place)}, ["live"]) for place in (0, 2)]
    assert [sheet.getpixel(MIDDLE) for sheet in sheets] == [class_colour(0), class_colour(2)]
    assert sheets[0].size == sheets[1].size
    assert sheets[0].getpixel((80, 100)) == (50, 50, 50)
    alone = draw_answers(picture, [tasks.liveness()], {"liveness": np.array([0.5])}, ["live", "more"])
    assert alone.width < sheets[0].width  # no tile, no legend


def test_other_maps_are_drawn_as_everywhere_and_what_is_missing_is_told():
    picture, normals = Image.new("RGB", (20, 20)), np.zeros((3, 4, 4), np.float32)
    drawn = draw_answers(picture, [tasks.surface_normals("normals")], {"normals": normals}, [])
    assert drawn.getpixel(MIDDLE) == (128, 128, 128)
    with pytest.raises(UmbelError, match="unknown task in the answers that are drawn 'material'"):
        draw_answers(picture, [MATERIAL], {}, [])
    with pytest.raises(UmbelError, match="give a picture of PIL"):
        draw_answers("a.png", [MATERIAL], {}, [])
