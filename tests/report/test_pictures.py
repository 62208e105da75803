import math

import numpy
import pytest
import torch
from PIL import Image

from umbel import tasks
from umbel.core import UmbelError
from umbel.report import draw_samples
from umbel.report.captions import caption
from umbel.report.tiles import class_colour, class_map, direction_map, picture, strips, value_map

ROOM = tasks.classification("room", ["kitchen", "office"])
HAT = tasks.multilabel("wears", ["hat", "scarf"])
AGE = tasks.regression("age", unit="years")


def _caption(task, target, prediction):
    return caption(task, None if target is None else numpy.array(target), numpy.array(prediction)).line


def test_captions_say_right_wrong_and_unlabelled():
    assert _caption(ROOM, 1, [0.1, 0.9]) == "✓ room: office"
    assert _caption(ROOM, 0, [0.1, 0.9]) == "✗ room: office, target kitchen"
    assert _caption(ROOM, -1, [0.1, 0.9]) == "– room: office, no label"
    assert _caption(ROOM, None, [0.1, 0.9]) == "– room: office, no label"
    assert _caption(AGE, [31.0], [29.56]) == "· age: 29.6 years, target 31"
    assert _caption(AGE, [math.nan], [-1.0]) == "– age: −1 years, no label"


def test_answers_without_label_are_not_held_against_the_prediction():
    assert _caption(HAT, [1.0, math.nan], [0.9, 0.9]) == "✓ wears: hat + scarf"
    assert _caption(HAT, [0.0, math.nan], [0.9, 0.1]) == "✗ wears: hat, target none"
    assert _caption(HAT, [math.nan, math.nan], [0.1, 0.1]) == "– wears: none, no label"


def test_tiles_have_the_colours_of_their_values():
    tile = class_map(numpy.array([[0, 3], [1, -1]]))
    assert tuple(tile[0, 1]) == class_colour(3) and tuple(tile[0, 0]) == class_colour(0)
    assert len(set(tile[1, 1])) == 1 and tuple(tile[1, 1]) not in {class_colour(i) for i in range(4)}
    assert len({class_colour(i) for i in range(30)}) == 30
    values = value_map(numpy.array([[0.0, 1.0], [5.0, math.nan]]), 0.0, 1.0)
    assert (values[0, 1] == values[1, 0]).all() and (values[0, 0] != values[0, 1]).any()
    facing = numpy.array([0.0, 0.0, 1.0]).reshape(3, 1, 1)
    assert tuple(direction_map(facing)[0, 0]) == (128, 128, 255)
    assert picture(numpy.full((1, 2, 2), 0.5)).tolist() == [[[128] * 3] * 2] * 2


def test_depth_of_target_and_prediction_share_one_scale():
    depth = tasks.dense_regression("depth", unit="m")
    target = numpy.arange(8.0).reshape(2, 1, 2, 2)
    columns, legend = strips(depth, target, target[::-1])
    assert legend.scale == ("0 m", "7 m")
    assert (columns[0].tiles[0] == columns[1].tiles[1]).all()


def test_a_map_without_any_label_is_none():
    walls = tasks.segmentation("walls", ["a", "b"])
    target = numpy.full((2, 4, 4), -1)
    target[1, 0, 0] = 1
    columns, legend = strips(walls, target, numpy.random.default_rng(0).random((2, 2, 4, 4)))
    assert columns[0].tiles[0] is None and columns[0].tiles[1] is not None
    assert {name for name, _ in legend.classes} == {"a", "b"}


def _everything(count=5, side=40):
    generator = torch.Generator().manual_seed(0)

    def noise(*shape):
        return torch.rand(shape, generator=generator)

    kinds = [
        ROOM, HAT, AGE, tasks.segmentation("parts", ["a", "b", "c"]), tasks.dense_regression("depth"),
        tasks.surface_normals("normals"), tasks.boundaries("edges"), tasks.reconstruction("picture", 3),
    ]  # fmt: skip
    maps = (count, 3, side, side)
    predictions = {
        "room": noise(count, 2), "wears": noise(count, 2), "age": noise(count, 1), "parts": noise(*maps),
        "depth": noise(count, 1, side, side), "normals": noise(*maps), "edges": noise(count, 1, side, side),
        "picture": noise(*maps),
    }  # fmt: skip
    targets = {
        "room": torch.tensor([0, 1, -1, 0, 1]), "wears": noise(count, 2).round(), "parts": noise(*maps).argmax(1),
        "depth": noise(count, 1, side, side), "normals": noise(*maps), "edges": noise(count, 1, side, side).round(),
    }  # fmt: skip
    return noise(*maps), kinds, targets, predictions


def test_a_sheet_with_every_kind_of_task_is_a_small_png(tmp_path):
    path = draw_samples(tmp_path / "samples" / "a.png", *_everything(), limit=3)
    with Image.open(path) as image:
        assert image.format == "PNG" and path.stat().st_size <= 300_000
        assert image.width > 9 * 64 and image.height > 3 * 64


def test_large_noisy_pictures_still_fit_the_limit(tmp_path):
    noise = torch.rand(8, 3, 300, 400, generator=torch.Generator().manual_seed(1))
    kind = [tasks.reconstruction(f"picture {i}", 3) for i in range(8)]
    path = draw_samples(tmp_path / "a.png", noise, kind, {}, {t.name: noise for t in kind})
    assert path.stat().st_size <= 300_000


def test_inputs_that_are_no_pictures_become_words(tmp_path):
    _, _, targets, predictions = _everything()
    for inputs in (torch.rand(5, 7), {"left": torch.rand(5, 3), "right": torch.rand(5, 2)}, torch.rand(5, 2, 8, 8)):
        path = draw_samples(tmp_path / "a.png", inputs, [ROOM, AGE], targets, predictions)
        with Image.open(path) as image:
            assert image.width >= 320


def test_twenty_tasks_fit_beside_the_picture(tmp_path):
    many = [tasks.classification(f"superclass {i}", list("abcde")) for i in range(20)]
    predictions = {t.name: torch.rand(4, 5) for t in many}
    path = draw_samples(tmp_path / "a.png", torch.rand(4, 1, 32, 32), many, {}, predictions)
    with Image.open(path) as image:
        assert image.height < 4 * 160 + 60


def test_mistakes_are_named(tmp_path):
    with pytest.raises(UmbelError, match="no prediction for task 'room'"):
        draw_samples(tmp_path / "a.png", torch.rand(1, 1, 8, 8), [ROOM], {}, {})
    with pytest.raises(UmbelError, match="nothing to draw"):
        draw_samples(tmp_path / "a.png", torch.rand(0, 1, 8, 8), [ROOM], {}, {"room": torch.rand(0, 2)})
