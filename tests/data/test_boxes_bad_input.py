"""Folders of boxes with something wrong: one line each, or put right, counted and told."""

import json
import random

import pytest
from box_trees import THIRDS, TRUE, coco_json, coco_tree, draw, voc_tree, xml

from umbel.core import UmbelError
from umbel.data.boxes import boxes_folder, read_boxes

KEPT = {"b": TRUE["b"], "d": TRUE["d"], "e": TRUE["e"], "f": TRUE["f"]}
ODD = {
    "beyond": (("cell", (40, 30, 90, 60)), "1 boxes that reach beyond their picture, clipped: a.png, box 1 (cell)"),
    "outside": (("cell", (70, 10, 90, 20)), "1 boxes outside their picture, left out: a.png, box 1 (cell)"),
    "inverted": (("cell", (30, 10, 10, 20)), "1 boxes that end before they begin, left out: a.png, box 1 (cell)"),
    "empty": (("cell", (30, 10, 30, 20)), "1 boxes without area, left out: a.png, box 1 (cell)"),
}


def with_a(root, boxes, layout):
    """A tree in which picture a has these boxes."""
    if layout == "voc":
        return voc_tree(root, {"a": boxes, **KEPT})
    coco_tree(root)
    (root / "annotations" / "all.json").write_text(json.dumps(coco_json({"a": boxes, **KEPT})))
    return root


@pytest.mark.parametrize("layout", ["voc", "coco"])
@pytest.mark.parametrize("kind", ODD)
def test_odd_boxes_are_put_right_or_left_out_and_told(tmp_path, kind, layout):
    box, told = ODD[kind]
    tree = with_a(tmp_path, [box, ("dot", (1, 1, 9, 9))], layout)
    data = boxes_folder(tree, ("cell", "dot"), resolution=64, shares=(0.6, 0.2, 0.2), augment=False)
    assert data.warnings == (told,)
    parts = [getattr(data, split).samples.targets["boxes"] for split in ("train", "validation", "test")]
    every = [box for part in parts for picture in part.tolist() for box in picture if box[4] >= 0]
    assert len(every) == 7 + (kind == "beyond")
    assert ([40, 30, 64, 48, 0] in every) == (kind == "beyond")


def test_a_last_pixel_that_counts_as_one_more_is_no_news(tmp_path):
    data = boxes_folder(with_a(tmp_path, [("cell", (40, 30, 65, 48.5))], "voc"), resolution=64)
    assert data.warnings == ()


def spoil_voc(name, content):
    return lambda tree: (tree / "Annotations" / name).write_text(content)


VOC_REFUSED = {
    "broken": (spoil_voc("a.xml", "<annotation><object>"), r"a\.xml: not a readable XML file \(.*line 1"),
    "another": (spoil_voc("a.xml", "<html></html>"), r"a\.xml: its outermost element is 'html'"),
    "entities": (spoil_voc("a.xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><annotation/>"), r"a\.xml: it declares a DOCTYPE"),
    "no name": (spoil_voc("a.xml", xml([("", (1, 1, 2, 2))])), r"a\.xml: object 1 has no name of a class"),
    "nan": (spoil_voc("a.xml", xml([("cell", (1, 1, "nan", 2))])), r"a\.xml: xmax of object 1 is 'nan'; coordinates"),
    "words": (spoil_voc("a.xml", xml([("cell", (1, "x", 3, 2))])), r"a\.xml: ymin of object 1 is 'x'; coordinates"),
    "a side missing": (
        spoil_voc("a.xml", xml([("cell", (1, 1, 3, 2))]).replace("<ymax>2</ymax>", "")),
        r"a\.xml: ymax of object 1 is 'None'",
    ),
    "no box at all": (
        lambda tree: [(tree / "Annotations" / f"{name}.xml").write_text(xml([])) for name in TRUE],
        r"6 pictures and no box in any of them",
    ),
    "no training box": (
        lambda tree: [(tree / "Annotations" / f"{name}.xml").write_text(xml([])) for name in "abc"],
        r"no training picture has a box",
    ),
    "no picture": (
        lambda tree: [path.unlink() for path in (tree / "JPEGImages").iterdir()],
        r"no picture that belongs to its XML files \(6 label files without picture, left out: a\.xml",
    ),
}


@pytest.mark.parametrize("kind", VOC_REFUSED)
def test_voc_folders_that_cannot_be_used_say_which_file_and_why(tmp_path, kind):
    spoil, told = VOC_REFUSED[kind]
    tree = voc_tree(tmp_path, lists=THIRDS)
    spoil(tree)
    with pytest.raises(UmbelError, match=told) as caught:
        boxes_folder(tree, resolution=32)
    assert "\n" not in str(caught.value)


def changed(change):
    content = coco_json(TRUE)
    change(content)
    return json.dumps(content)


COCO_REFUSED = {
    "broken": ('{"images": [', r"all\.json: not a readable JSON file"),
    "no images": (changed(lambda c: c.pop("images")), r"all\.json has no 'images'"),
    "no categories": (changed(lambda c: c.pop("categories")), r"all\.json has no 'categories'"),
    "two pictures, one number": (
        changed(lambda c: c["images"][1].update(id=10)),
        r"all\.json: two pictures have the number 10",
    ),
    "two categories, one number": (
        changed(lambda c: c["categories"][1].update(id=3)),
        r"two categories have the number 3",
    ),
    "unknown category": (
        changed(lambda c: c["annotations"][0].update(category_id=5)),
        r"annotations\[0\]: category 5 is not among the file's categories \[3, 7\]",
    ),
    "no number": (changed(lambda c: c["annotations"][0].update(image_id="x")), r"annotations\[0\]\.image_id is 'x'"),
    "infinite": (
        changed(lambda c: c["annotations"][0].update(bbox=[0, 0, 1e999, 2])),
        r"annotations\[0\]\.bbox is 'inf'; coordinates are finite",
    ),
    "a list": ('[{"images": 1}]', r"no label file of boxes"),
    "images of another kind": (changed(lambda c: c.update(images={"a": 1})), r"images is dict, not a list"),
    "deep": ('{"images": ' + "[" * 100_000, r"not a readable JSON file"),
}


@pytest.mark.parametrize("kind", COCO_REFUSED)
def test_coco_files_that_cannot_be_used_say_where_and_why(tmp_path, kind):
    content, told = COCO_REFUSED[kind]
    coco_tree(tmp_path)
    (tmp_path / "annotations" / "all.json").write_text(content)
    with pytest.raises(UmbelError, match=told) as caught:
        boxes_folder(tmp_path, resolution=32)
    assert "\n" not in str(caught.value)


def test_what_is_missing_here_and_there_is_left_out_and_told(tmp_path):
    tree = voc_tree(tmp_path, lists={**THIRDS, "train": ["a", "b", "c", "ghost"]})
    (tree / "JPEGImages" / "b.png").unlink()
    (tree / "JPEGImages" / "f.png").write_bytes(b"not a picture")
    (tree / "Annotations" / "unlisted.xml").write_text(xml([]))
    data = boxes_folder(tree, resolution=32)
    told = " | ".join(data.warnings)
    assert "1 label files without picture, left out: b.xml" in told
    assert "1 names in the lists of splits without picture and label file, left out: ghost" in told
    assert "1 label files that no list of the splits names, left out: unlisted.xml" in told
    assert "1 pictures that cannot be read, left out: f.png (cannot be read as a picture" in told
    assert [len(split) for split in (data.train, data.validation, data.test)] == [2, 1, 1]


def test_paths_of_other_machines_are_followed_by_name_and_never_lead_outside(tmp_path):
    tree = coco_tree(tmp_path / "tree")
    draw(tmp_path / "secret.png", TRUE["a"])
    content = coco_json(TRUE)
    for k, name in enumerate(("../../secret.png", "/data/upload/b.png", "images\\d.png")):
        content["images"][k]["file_name"] = name
    (tree / "annotations" / "all.json").write_text(json.dumps(content))
    read = read_boxes(tree)
    assert [p.path.name for p in read.pictures] == ["b.png", "d.png", "e.png", "f.png"]
    told = read.notes.sentences()
    assert told[0].endswith("that are not there, left out: ../../secret.png of all.json")
    assert told[1] == "1 pictures that are named twice, taken once: d.png"


def test_a_picture_that_ends_too_early_is_left_out(tmp_path):
    tree = voc_tree(tmp_path, lists=THIRDS)
    path = draw(tree / "JPEGImages" / "f.png", TRUE["f"], (64, 48))
    path.write_bytes(path.read_bytes()[:90])
    data = boxes_folder(tree, resolution=32)
    assert len(data.test) == 1
    assert data.warnings[0].startswith("1 pictures that cannot be read, left out: f.png")


def test_another_size_in_the_label_file_is_followed_or_left_out(tmp_path):
    tree = voc_tree(tmp_path, lists=THIRDS)
    (tree / "Annotations" / "d.xml").write_text(xml([("cell", (20, 20, 40, 60))], (128, 96)))
    (tree / "Annotations" / "f.xml").write_text(xml(TRUE["f"], (100, 48)))
    data = boxes_folder(tree, resolution=64)
    assert data.validation.samples.targets["boxes"][0, 0].tolist() == [10, 10, 20, 30, 0]
    assert "resized after they were labelled; boxes follow: d.png" in data.warnings[0]
    assert "tells another size, left out: f.png (100x48 there, 64x48 here)" in data.warnings[1]


def test_the_same_picture_in_two_splits_stays_in_the_later_one(tmp_path):
    data = boxes_folder(voc_tree(tmp_path, lists={**THIRDS, "test": ["a", "e", "f"]}), resolution=32)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [2, 1, 3]
    assert "in two splits, left out of the first: a.png in train and test" in data.warnings[0]


def test_a_folder_without_labels_says_what_there_is(tmp_path):
    with pytest.raises(UmbelError, match="no picture and no label file in it; give a folder in the layout of VOC"):
        boxes_folder(tmp_path)
    draw(tmp_path / "images" / "a.png", [])
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 .5 .5 .1 .1")
    with pytest.raises(UmbelError, match=r"1 pictures and no label file of boxes, 1 \.txt files \(labels of YOLO"):
        boxes_folder(tmp_path)
    with pytest.raises(UmbelError, match="no such folder or file of boxes"):
        boxes_folder(tmp_path / "none")
    (tmp_path / "a.xml").write_text(xml([]))
    with pytest.raises(UmbelError, match="is COCO's JSON; for XML files give their folder"):
        boxes_folder(tmp_path / "a.xml")
    with pytest.raises(UmbelError, match="resolution is 8; give 16 pixels"):
        boxes_folder(voc_tree(tmp_path / "voc"), resolution=8)
    with pytest.raises(UmbelError, match="folds and shares do not go together"):
        boxes_folder(tmp_path / "voc", folds=2, fold=0, shares=(0.5, 0.25, 0.25))


def test_names_in_files_cannot_steer_a_terminal(tmp_path):
    tree = with_a(tmp_path, [("cell", (30, 10, 10, 20)), ("dot", (1, 1, 9, 9))], "coco")
    path = tree / "annotations" / "all.json"
    content = json.loads(path.read_text())
    content["images"].append({"id": 99, "file_name": "\x1b[2Jx.png"})
    path.write_text(json.dumps(content))
    assert all(line.isprintable() for line in boxes_folder(tree, resolution=32).warnings)


def test_damaged_files_never_raise_anything_else(tmp_path):
    voc, coco = voc_tree(tmp_path / "voc", lists=THIRDS), coco_tree(tmp_path / "coco")
    draws = random.Random(0)
    for path in (voc / "Annotations" / "a.xml", coco / "annotations" / "all.json", voc / "JPEGImages" / "a.png"):
        whole = path.read_bytes()
        for _ in range(40):
            spoilt = bytearray(whole)
            for _ in range(draws.randint(1, 4)):
                place = draws.randrange(len(spoilt))
                spoilt[place : place + draws.randint(0, 3)] = draws.randbytes(draws.randint(0, 3))
            path.write_bytes(bytes(spoilt))
            try:
                boxes_folder(voc if path.is_relative_to(voc) else coco, resolution=16)
            except UmbelError as error:
                assert "\n" not in str(error)
        path.write_bytes(whole)
    assert read_boxes(voc).notes.sentences() == ()
