"""Readers of boxes, the data sets made of them, and folders of unlabelled pictures, on small trees."""

import json

import numpy as np
import pytest
import torch
from box_trees import THIRDS, TRUE, coco_tree, draw, voc_tree, xml
from PIL import Image

from umbel.core import UmbelError, check_inputs, check_labels, sizes_of
from umbel.data.boxes import FlipBoxes, UnlabelledPictures, boxes_folder, mirrored_boxes, pictures_folder, read_boxes
from umbel.data.data_record import DataRecord
from umbel.data.padded_pictures import PaddedPictures


def said(annotated):
    """Name of each picture -> its boxes, as the tree was made of."""
    return {
        p.name.partition(".")[0]: list(zip(p.classes, map(tuple, p.corners.tolist()), strict=True))
        for p in annotated.pictures
    }


def splits_of(annotated):
    return {
        split: sorted(p.name[0] for p in annotated.pictures if p.split == split)
        for split in ("train", "validation", "test")
    }


SPLITS = ("train", "validation", "test")
LETTERS = {"train": ["a", "b", "c"], "validation": ["d"], "test": ["e", "f"]}


@pytest.mark.parametrize(
    ("places", "lists"),
    [(("JPEGImages", "Annotations"), THIRDS), ((".", "."), None), (("images", "annotations"), None)],
    ids=["voc", "beside", "images"],
)
def test_voc_layouts_give_what_was_written(tmp_path, places, lists):
    read = read_boxes(voc_tree(tmp_path, lists=lists, places=places))
    assert said(read) == TRUE
    assert read.classes == ("cell", "dot")
    assert splits_of(read) == (LETTERS if lists else {"train": [], "validation": [], "test": []})
    assert read.notes.sentences() == ()


def test_folders_called_train_valid_and_test_are_the_splits(tmp_path):
    for split, names in (("train", "abc"), ("valid", "d"), ("test", "ef")):
        voc_tree(tmp_path / split, {name: TRUE[name] for name in names}, places=(".", "."))
    read = read_boxes(tmp_path)
    assert said(read) == TRUE
    assert splits_of(read) == LETTERS


def test_trainval_stands_for_train_and_validation_is_then_a_part_of_it(tmp_path):
    tree = voc_tree(tmp_path, lists={"trainval": list("abcd"), "test": list("ef"), "val": ["d"]})
    data = boxes_folder(tree, resolution=64)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [3, 1, 2]


@pytest.mark.parametrize("folder", ["annotations", ".", "coco"])
@pytest.mark.parametrize("splits", [{"train": "abc", "val": "d", "test": "ef"}, {"instances": "abcdef"}])
def test_coco_layouts_give_what_was_written(tmp_path, folder, splits):
    read = read_boxes(coco_tree(tmp_path, splits, folder))
    assert said(read) == TRUE
    assert read.classes == ("dot", "cell")  # by number, not by name
    assert splits_of(read) == (LETTERS if len(splits) > 1 else {"train": [], "validation": [], "test": []})


@pytest.mark.parametrize("year", [2017, 2024])
def test_coco_of_the_original_names_and_of_exports_beside_the_pictures(tmp_path, year):
    first = tmp_path / "first"
    for split, names in ((f"train{year}", "abc"), (f"val{year}", "d")):
        coco_tree(first, {f"instances_{split}": names}, pictures_at=split)
    (first / "annotations" / f"captions_train{year}.json").write_text('{"images": [], "annotations": []}')
    read = read_boxes(first)
    assert said(read) == {name: TRUE[name] for name in "abcd"}
    assert splits_of(read) == LETTERS | {"test": []}
    second = tmp_path / "second"
    for split, names in (("train", "abc"), ("valid", "d"), ("test", "ef")):
        coco_tree(second / split, {"_annotations.coco": names}, folder=".", pictures_at=".")
    read = read_boxes(second)
    assert said(read) == TRUE
    assert splits_of(read) == LETTERS


def test_one_file_of_coco_is_enough_and_crowds_are_left_out(tmp_path):
    coco_tree(tmp_path)
    path = tmp_path / "annotations" / "all.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["iscrowd"] = 1
    path.write_text(json.dumps(content))
    read = read_boxes(path)
    assert said(read)["a"] == TRUE["a"][1:]
    assert "crowds, left out" in read.notes.sentences()[0]


def test_a_data_set_holds_the_boxes_at_its_resolution(tmp_path):
    tree = voc_tree(tmp_path, lists=THIRDS)
    tall = [("cell", (6, 12, 18, 30))]
    draw(tree / "JPEGImages" / "b.png", tall, (24, 48))
    (tree / "Annotations" / "b.xml").write_text(xml(tall, (24, 48)))
    data = boxes_folder(tree, resolution=32, count=True, presence=True, augment=False)
    batch = data.train.samples
    assert data.input_shape == (3, 32, 32) == tuple(batch.inputs["picture"].shape[1:])
    assert batch.inputs["picture"].dtype == torch.uint8
    assert sizes_of(batch.inputs, "picture").tolist() == [[3, 24, 32], [3, 32, 16], [3, 24, 32]]
    assert batch.targets["boxes"][0].tolist() == [[5, 5, 15, 10, 0], [0, 0, 4, 4, 1]]
    assert batch.targets["boxes"][1, 0].tolist() == [4, 8, 12, 20, 0]
    assert (batch.targets["boxes"][2] == -1).all()  # looked at, and nothing there
    assert batch.targets["count"].tolist() == [[1, 1], [1, 0], [0, 0]]
    assert batch.targets["presence"].tolist() == [[1, 1], [1, 0], [0, 0]]
    assert batch.inputs["picture"][1, 0, 10:18, 6:10].min() > 150  # where the box says that the cell is
    assert batch.inputs["picture"][0, :, 24:].max() == 0
    assert [task.name for task in data.tasks] == ["boxes", "count", "presence"]
    check_inputs(batch, "tree")
    check_labels(data.tasks, batch, "tree")


def test_classes_are_those_that_are_wanted_in_their_order(tmp_path):
    tree = voc_tree(tmp_path, lists=THIRDS)
    data = boxes_folder(tree, classes=("dot", "cell"), resolution=64, augment=False)
    assert data.tasks[0].labels == ("dot", "cell")
    assert data.train.samples.targets["boxes"][0, :, 4].tolist() == [1, 0]
    alone = boxes_folder(tree, classes="dot", resolution=64, augment=False)
    assert alone.train.samples.targets["boxes"].tolist()[0] == [[0, 0, 8, 8, 0], [-1] * 5]
    with pytest.raises(UmbelError, match=r"unknown class of .* 'cells'; did you mean 'cell'"):
        boxes_folder(tree, classes=("cells",))


def test_folds_are_disjoint_cover_all_and_follow_the_seed(tmp_path):
    tree = voc_tree(tmp_path, {name + str(k): boxes for k in range(3) for name, boxes in TRUE.items()})

    def tests_of(**more):
        folds = [boxes_folder(tree, resolution=16, folds=3, fold=fold, augment=False, **more) for fold in range(3)]
        return [fold.test.samples for fold in folds], folds[0]

    parts, first = tests_of()
    assert [len(part) for part in parts] == [6, 6, 6]
    assert len(first.train) + len(first.validation) == 12
    total = sum(int((part.targets["boxes"][..., 4] >= 0).sum()) for part in parts)
    assert total == 3 * sum(map(len, TRUE.values()))
    again, _ = tests_of()
    other, _ = tests_of(seed=1)
    same = [torch.equal(a.inputs["picture"], b.inputs["picture"]) for a, b in zip(parts, again, strict=True)]
    changed = [torch.equal(a.inputs["picture"], b.inputs["picture"]) for a, b in zip(parts, other, strict=True)]
    assert all(same)
    assert not all(changed)
    with pytest.raises(UmbelError, match="fold 3 of 3"):
        boxes_folder(tree, folds=3, fold=3)
    with pytest.raises(UmbelError, match="both or neither"):
        boxes_folder(tree, folds=3)


def test_a_mirrored_batch_has_its_boxes_over_the_same_pixels(tmp_path):
    tree = voc_tree(tmp_path, lists=THIRDS)
    narrow = [("cell", (6, 12, 18, 30))]
    draw(tree / "JPEGImages" / "b.png", narrow, (24, 48))
    (tree / "Annotations" / "b.xml").write_text(xml(narrow, (24, 48)))
    data = boxes_folder(tree, resolution=48, augment=True)
    batch = data.train.samples
    turned = FlipBoxes()(batch, torch.zeros(3, 1))
    boxes = turned.targets["boxes"]
    assert not torch.equal(boxes, batch.targets["boxes"])
    assert (boxes[2] == -1).all()
    for row, picture in ((0, turned.inputs["picture"][0]), (1, turned.inputs["picture"][1])):
        x1, y1, x2, y2 = (round(side) for side in boxes[row, 0, :4].tolist())
        assert picture[0, y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].min() > 150
    same = FlipBoxes()(batch, torch.ones(3, 1))
    assert torch.equal(same.inputs["picture"], batch.inputs["picture"])
    assert torch.equal(same.targets["boxes"], batch.targets["boxes"])
    unlabelled = torch.full((1, 2, 5), torch.nan)
    assert mirrored_boxes(unlabelled, torch.tensor([10.0])).isnan().all()


def test_training_batches_are_floats_and_the_same_each_time(tmp_path):
    data = boxes_folder(voc_tree(tmp_path, lists=THIRDS), resolution=32)
    one, two = (next(data.train.train_batches(3, seed=1, epoch=2)) for _ in range(2))
    assert one.inputs["picture"].is_floating_point()
    assert float(one.inputs["picture"].max()) <= 1
    assert torch.equal(one.targets["boxes"], two.targets["boxes"])
    assert one.inputs["picture/size"].dtype == torch.int64


def test_the_record_says_how_new_pictures_are_read(tmp_path):
    data = boxes_folder(voc_tree(tmp_path, lists=THIRDS), resolution=32)
    assert data.inputs == PaddedPictures((3, 24, 32), 32)
    plain = DataRecord.of(data).plain()
    assert plain["inputs"] == {"shape": [3, 24, 32], "resolution": 32}


def test_pictures_that_nobody_labelled_teach_nothing(tmp_path):
    tree = voc_tree(tmp_path, lists=THIRDS)
    (tree / "Annotations" / "a.xml").unlink()
    data = boxes_folder(tree, resolution=32, count=True, augment=False)
    assert data.tasks[0].labelled(data.train.samples.targets["boxes"]).tolist() == [False, True, True]
    assert data.train.samples.targets["count"][0].isnan().all()
    assert "1 pictures without label file" in data.warnings[0]


def test_orientation_follows_what_the_label_file_tells(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    boxes = [("cell", (10, 5, 30, 20))]
    for name, size in (("stored", (64, 48)), ("upright", (48, 64))):
        tree = tmp_path / name
        voc_tree(tree, {"b": TRUE["b"], "c": TRUE["f"], "d": TRUE["d"]})
        draw(tree / "JPEGImages" / "a.jpg", [], (64, 48), exif=exif)
        (tree / "Annotations" / "a.xml").write_text(xml(boxes, size))
        data = boxes_folder(tree, resolution=None, shares=(0.5, 0.25, 0.25), augment=False)
        sizes = torch.cat(
            [getattr(data, split).samples.inputs["picture/size"] for split in ("train", "validation", "test")]
        )
        assert ([3, 64, 48] in sizes.tolist()) == (name == "upright")
        assert data.warnings == ()


def test_unlabelled_pictures_keep_names_sizes_and_say_what_was_skipped(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    draw(tmp_path / "b.png", TRUE["a"])
    draw(tmp_path / "sub" / "a.jpg", [], (64, 48), exif=exif)
    draw(tmp_path / "c.webp", [], (20, 40))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "notes.txt").write_text("x")
    pictures = pictures_folder(tmp_path, resolution=32)
    assert isinstance(pictures, UnlabelledPictures)
    assert pictures.names == ("b.png", "c.webp", "sub/a.jpg")
    assert pictures.full_sizes.tolist() == [[48, 64], [40, 20], [64, 48]]
    assert pictures.inputs["picture/size"].tolist() == [[3, 24, 32], [3, 32, 16], [3, 32, 24]]
    assert tuple(pictures.inputs["picture"].shape) == (3, 3, 32, 32)
    assert len(pictures) == 3
    assert len(pictures.skipped) == 2
    assert {line.partition(":")[0].rpartition("/")[2] for line in pictures.skipped} == {"bad.png", "cut.png"}
    boxes = torch.tensor([[[5, 5, 15, 10, 0.9, 0.0], [-1] * 6]] * 3)
    assert pictures.in_full(boxes)[0, 0].tolist() == pytest.approx([10, 10, 30, 20, 0.9, 0])
    assert (pictures.in_full(boxes)[:, 1] == -1).all()


def test_pictures_of_other_depths_are_read_by_their_upper_bits(tmp_path):
    Image.fromarray(np.full((20, 30), 200 * 256 + 7, np.uint16)).save(tmp_path / "a.png")
    Image.fromarray(np.full((20, 30), 90, np.uint8)).save(tmp_path / "b.png")
    Image.fromarray(np.full((20, 30), 0.5, np.float32)).save(tmp_path / "c.tif")
    pictures = pictures_folder(tmp_path, resolution=None)
    assert pictures.names == ("a.png", "b.png")
    assert pictures.inputs["picture"][:, :, 5, 5].tolist() == [[200] * 3, [90] * 3]
    assert "32-bit pictures have no fixed range" in pictures.skipped[0]


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(UmbelError, match="no picture in it that can be read"):
        pictures_folder(tmp_path)
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(UmbelError, match=r"can be read \(1 cannot: "):
        pictures_folder(tmp_path)
    with pytest.raises(UmbelError, match="no such folder"):
        pictures_folder(tmp_path / "none")


def test_pictures_are_refused_before_they_fill_the_memory(tmp_path, monkeypatch):
    tree = voc_tree(tmp_path, lists=THIRDS)
    monkeypatch.setattr("umbel.data.boxes.reading.machine_bytes", lambda: 3 * 6 * 16 * 16)
    with pytest.raises(UmbelError, match=r"6 pictures of 32x24 need .* GiB and there are"):
        boxes_folder(tree, resolution=32)
