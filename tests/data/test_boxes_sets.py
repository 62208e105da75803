"""Sets of boxes that are known by name: the real cells where they are, streets on small trees of their layouts."""

import json

import pytest
import torch
from box_trees import TRUE, draw, voc_tree
from conftest import requires_set

from umbel.core import UmbelError
from umbel.data import load_data
from umbel.data.boxes.sets import blood_cells, blood_cells_fog, foggy_cityscapes, streets
from umbel.data.boxes.streets import CITYSCAPES_THINGS, KITTI_THINGS


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("UMBEL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def bccd(here):
    """BCCD's layout with a few pictures."""
    names = {"cell": "RBC", "dot": "WBC"}
    pictures = {k: [(names[n], box) for n, box in boxes] + [("Platelets", (1, 1, 3, 3))] for k, boxes in TRUE.items()}
    lists = {"train": ["a", "b", "c"], "val": ["d"], "test": ["e", "f"]}
    return voc_tree(here / "detection" / "bccd", pictures, lists)


def square(name, x1, y1, x2, y2):
    return {"label": name, "polygon": [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]}


def street(folder, root, split, name, end, objects, size=(64, 32)):
    draw(folder / root / split / "town" / f"{name}_leftImg8bit{end}.png", [("cell", (1, 1, 9, 9))], size)
    label = folder / "gtFine" / split / "town" / f"{name}_gtFine_polygons.json"
    label.parent.mkdir(parents=True, exist_ok=True)
    label.write_text(json.dumps({"imgWidth": size[0], "imgHeight": size[1], "objects": objects}))


def cityscapes(folder, root="leftImg8bit", ends=("",)):
    things = [square("car", 4, 4, 20, 12), square("road", 0, 0, 64, 32), square("cargroup", 1, 1, 60, 30)]
    for split, count in (("train", 4), ("val", 2)):
        for k in range(count):
            for end in ends:
                street(folder, root, split, f"town_{k}", end, [*things, square("rider", 30, 2, 40, 30)])


def test_cityscapes_has_a_box_around_each_outlined_thing(here):
    cityscapes(here / "cityscapes")
    data = streets(resolution=64, augment=False)
    assert data.tasks[0].labels == ("rider", "car")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [3, 1, 2]
    assert data.test.samples.targets["boxes"][0].tolist() == [[4, 4, 20, 12, 1], [30, 2, 40, 30, 0]]
    assert set(data.tasks[0].labels) < set(CITYSCAPES_THINGS)


def test_foggy_cityscapes_takes_the_fog_that_is_asked_for(here):
    cityscapes(here / "cityscapes", "leftImg8bit_foggy", ("_foggy_beta_0.01", "_foggy_beta_0.02"))
    data = foggy_cityscapes(resolution=64)
    assert len(data.test) == 2
    assert data.title == "Foggy Cityscapes, beta 0.02"
    with pytest.raises(UmbelError, match=r"no picture with beta 0.5; there are 0.01, 0.02"):
        foggy_cityscapes(beta=0.5)


def test_sim10k_is_voc_with_cars(here):
    pictures = {k: [("car" if n == "cell" else "person", box) for n, box in boxes] for k, boxes in TRUE.items()}
    voc_tree(here / "sim10k" / "VOC2012", pictures)
    data = load_data("sim10k", resolution=64)
    assert data.tasks[0].labels == ("car",)
    assert len(data.train) + len(data.validation) + len(data.test) == 6


def test_kitti_reads_its_lines_and_leaves_out_what_nobody_cares_for(here):
    root = here / "kitti" / "training"
    for k in range(6):
        draw(root / "image_2" / f"{k:06}.png", [], (64, 24))
        (root / "label_2").mkdir(exist_ok=True)
        (root / "label_2" / f"{k:06}.txt").write_text(
            "Car 0.00 0 -1.58 5.00 6.00 25.00 16.00 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59\n"
            "DontCare -1 -1 -10 30.0 1.0 60.0 20.0 -1 -1 -1 -1000 -1000 -1000 -10\n"
            "Cyclist 0.00 0 -1.58 40.00 6.00 50.00 22.00 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59\n"
        )
    data = load_data("kitti", resolution=64, augment=False)
    assert data.train.samples.targets["boxes"][0].tolist() == [[5, 6, 25, 16, 0]]
    both = streets("kitti", classes=("Cyclist", "Car"), resolution=64, augment=False)
    assert both.train.samples.targets["boxes"][0].tolist() == [[5, 6, 25, 16, 1], [40, 6, 50, 22, 0]]
    assert "Tram" in KITTI_THINGS
    (root / "label_2" / "000000.txt").write_text("0 0.5 0.5 0.1 0.1")
    with pytest.raises(UmbelError, match=r"000000\.txt, line 1: '0 0.5 0.5 0.1 0.1' is no line of KITTI's"):
        load_data("kitti")


@pytest.mark.parametrize("place", ["labels/det_20/det_{}.json", "labels/bdd100k_labels_images_{}.json"])
def test_bdd100k_reads_boxes_and_passes_over_lanes(here, place):
    root = here / "bdd100k"
    for split, names in (("train", "abcd"), ("val", "ef")):
        label = root / place.format(split)
        label.parent.mkdir(parents=True, exist_ok=True)
        content = []
        for name in names:
            draw(root / "images" / "100k" / split / f"{name}.jpg", [], (64, 36))
            box = {"category": "car", "box2d": {"x1": 4, "y1": 6, "x2": 24, "y2": 16}}
            content.append({"name": f"{name}.jpg", "labels": [box, {"category": "lane", "poly2d": []}]})
        content.append({"name": f"{split}.jpg", "labels": None})
        label.write_text(json.dumps(content))
    data = load_data("bdd100k", resolution=64, augment=False)
    assert data.tasks[0].labels == ("car",)
    assert len(data.test) == 2
    assert data.test.samples.targets["boxes"][0].tolist() == [[4, 6, 24, 16, 0]]
    assert "2 pictures that a label file names and that are not there" in data.warnings[0]


def test_cells_leave_platelets_out_and_fog_keeps_its_strength_whatever_the_split(bccd):
    clear = blood_cells(resolution=64, augment=False)
    assert clear.tasks[0].labels == ("RBC", "WBC")
    assert clear.train.samples.targets["boxes"][0].tolist() == [[10, 10, 30, 20, 0], [0, 0, 8, 8, 1]]
    foggy = blood_cells_fog(resolution=64, augment=False)
    strength = foggy.train.samples.targets["strength"]
    assert torch.equal(foggy.train.samples.targets["boxes"], clear.train.samples.targets["boxes"])
    assert strength.shape == (3,)
    assert 0 <= float(strength.min()) < float(strength.max()) <= 3
    light = foggy.train.samples.inputs["picture"][2].float().mean() / 255  # of a black picture: A (1 - t)
    assert float(light) == pytest.approx(0.9 * (1 - float((-strength[2]).exp())), abs=0.12)
    anew = blood_cells_fog(resolution=64, augment=False, folds=2, fold=0)
    known = {
        float(v) for split in (foggy.train, foggy.validation, foggy.test) for v in split.samples.targets["strength"]
    }
    assert {float(v) for v in anew.test.samples.targets["strength"]} < known
    other = blood_cells_fog(resolution=64, weather_seed=1).train.samples.targets["strength"]
    assert not torch.equal(other, strength)
    assert [task.name for task in foggy.tasks] == ["boxes"]


@pytest.mark.parametrize("kind", ["blur", "illumination"])
def test_other_weather_changes_pictures_and_not_boxes(bccd, kind):
    clear, changed = blood_cells(resolution=64), blood_cells_fog(kind, (1.0, 2.0), resolution=64)
    assert not torch.equal(clear.train.samples.inputs["picture"], changed.train.samples.inputs["picture"])
    assert torch.equal(clear.train.samples.targets["boxes"], changed.train.samples.targets["boxes"])
    assert float(changed.train.samples.targets["strength"].min()) >= 1
    with pytest.raises(UmbelError, match="give the least and the greatest"):
        blood_cells_fog(kind, (2.0, 1.0))


def test_the_real_cells_are_those_that_their_publishers_count():
    requires_set("blood-cells-b", "detection/blood_b")
    data = load_data("blood-cells-b", count=True)
    splits = [data.train, data.validation, data.test]
    assert [len(split) for split in splits] == [70, 10, 20]
    assert sum(split.samples.targets["count"].sum(0) for split in splits).tolist() == [2236, 103]
    assert data.warnings == ()
    assert data.input_shape == (3, 128, 128)
