"""MINC-2500 in its publishers' layout, on a made-up tree."""

import numpy as np
import pytest
import torch
from PIL import Image

from umbel.core import UmbelError
from umbel.data import SETS, load_data
from umbel.data.boxes.reading import read_squares
from umbel.data.minc import MINC_MATERIALS, minc

NAMES = {"train": ("wood_3", "brick_1", "skin_2"), "validate": ("brick_4",), "test": ("skin_5", "wood_6")}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A set in which a picture's grey is its number times 20, and split 2 has training and test exchanged."""
    monkeypatch.setenv("UMBEL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "minc-2500"
    (root / "labels").mkdir(parents=True)
    for part, names in NAMES.items():
        lines = []
        for name in names:
            material, number = name.split("_")
            lines.append(f"images/{material}/{name}.jpg")
            (root / lines[-1]).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((36, 36, 3), 20 * int(number), np.uint8)).save(root / lines[-1])
        other = {"train": "test", "test": "train"}.get(part, part)
        for file in (f"{part}1", f"{other}2"):
            (root / "labels" / f"{file}.txt").write_text("\n".join(lines) + "\n")
    return root


def test_lists_say_which_pictures_are_of_which_part_and_folders_their_material(tree):
    assert len(MINC_MATERIALS) == 23 and list(MINC_MATERIALS) == sorted(MINC_MATERIALS)
    assert SETS["minc"].available
    data = load_data("minc", resolution=16)
    (task,) = data.tasks
    assert (task.name, task.labels, data.input_shape) == ("material class", MINC_MATERIALS, (3, 16, 16))
    for part, names in zip((data.train, data.validation, data.test), NAMES.values(), strict=True):
        samples = part.samples
        greys = samples.inputs.float().mean((1, 2, 3)).round().tolist()
        said = [MINC_MATERIALS[k] for k in samples.targets["material class"].tolist()]
        assert [f"{material}_{grey / 20:.0f}" for material, grey in zip(said, greys, strict=True)] == list(names)
    assert data.train.augment is not None and minc(augment=False).train.augment is None
    assert [len(part) for part in (minc(split=2).train, minc(size=2).train, minc(evaluation_size=1).test)] == [2, 2, 1]


def test_pictures_of_any_shape_become_squares(tmp_path):
    for name, size in (("a.png", (40, 20)), ("b.png", (8, 8))):
        Image.fromarray(np.full((*size, 3), 60, np.uint8)).save(tmp_path / name)
    made = read_squares([tmp_path / "a.png", tmp_path / "b.png"], 16)
    assert made.shape == (2, 3, 16, 16) and made.dtype == torch.uint8 and bool((made == 60).all())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("images/brick/gone.jpg\n", r"train1.txt: 1 of 1 pictures are not there, the first .*gone.jpg"),
        ("images/gold/a.jpg\n", "'images/gold/a.jpg' is no path images/MATERIAL/FILE"),
        ("images/brick/../brick_1.jpg\n", "is no path"),
        ("", "train1.txt: names no picture"),
        (None, "train1.txt: cannot be read"),
    ],
)
def test_lists_that_are_wrong(tree, text, message):
    file = tree / "labels" / "train1.txt"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(UmbelError, match=message):
        minc()


def test_bad_arguments(tree):
    for options, message in (({"split": 6}, "split"), ({"resolution": 8}, "resolution"), ({"size": 0}, "size is 0")):
        with pytest.raises(UmbelError, match=message):
            minc(**options)
