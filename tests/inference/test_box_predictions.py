"""Boxes for new pictures: in pixels of the pictures themselves, one by one, whatever is beside them; files of them."""

import json

import numpy as np
import pandas as pd
import pytest
from inference.bright_detector import LABELS, bright_picture, bright_predictor
from PIL import Image

from umbel.command.picture_request import PictureRequest
from umbel.command.predict_boxes import predict_boxes
from umbel.core import UmbelError
from umbel.inference import PictureBoxes
from umbel.inference.box_files import BOXES, COCO_PICTURES, COCO_RESULTS, PICTURES
from umbel.inference.listed_pictures import listed_pictures
from umbel.inference.picture_folders import SKIPPED


@pytest.fixture
def folder(tmp_path):
    """Three pictures of different shapes, one without a box, and one that is none."""
    (tmp_path / "new" / "deep").mkdir(parents=True)
    bright_picture(128, 96, 32, 24).save(tmp_path / "new" / "one.png")
    bright_picture(96, 128, 24, 64).save(tmp_path / "new" / "deep" / "one.jpg", quality=95)
    Image.new("L", (40, 30)).save(tmp_path / "new" / "none.png")
    (tmp_path / "new" / "broken.png").write_bytes(b"not a picture")
    (tmp_path / "new" / "notes.txt").write_text("no picture by its name")
    return tmp_path / "new"


def request(**given) -> PictureRequest:
    usual = {"images": (), "video": None, "every": 1, "threshold": 0.3, "draw": False, "out": None}
    return PictureRequest(**{**usual, "batch_size": None, "json": False, **given})


def test_boxes_are_in_pixels_of_the_pictures_themselves(folder):
    table = bright_predictor().predict(folder)
    assert table["file"].tolist() == ["deep/one.jpg", "one.png"]
    assert table["class"].tolist() == ["=bright"] * 2  # the other score is below the usual threshold
    np.testing.assert_allclose(table.loc[1, ["x1", "y1", "x2", "y2"]].astype(float), [32, 24, 64, 48])
    np.testing.assert_allclose(table.loc[0, ["x1", "y1", "x2", "y2"]].astype(float), [24, 64, 48, 96])
    assert bright_predictor().predict(folder, threshold=0.95).empty
    whole = bright_predictor(resolution=None).predict(folder / "one.png", threshold=0.2)
    assert whole["file"].tolist() == ["one.png"] * 2 and whole["score"].round(3).tolist() == [0.9, 0.4]


def test_a_turned_photograph_has_boxes_where_it_is_seen(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    lying = bright_picture(96, 128, 24, 64).transpose(Image.Transpose.ROTATE_90)
    lying.save(tmp_path / "photo.jpg", quality=95, exif=exif)
    opened = Image.open(tmp_path / "photo.jpg")
    for given in (tmp_path / "photo.jpg", opened):
        row = bright_predictor().predict([given]).iloc[0]
        assert [row.x1, row.y1, row.x2, row.y2] == [24, 64, 48, 96]


def test_pictures_of_one_size_go_together_and_no_others_beside_them(folder):
    predictor = bright_predictor()
    pictures = [bright_picture(64, 48, 8, 8 + k) for k in range(5)] + [bright_picture(48, 64, 8, 8)]
    given = [(number, picture) for number, picture in enumerate(pictures)]
    answers = list(predictor.stream(given, batch_size=2))
    assert predictor.learner.model.batches == [(2, 3, 24, 32), (2, 3, 24, 32), (1, 3, 24, 32), (1, 3, 32, 24)]
    assert [key for key, _, _ in answers] == [0, 1, 2, 3, 4, 5]
    assert all(picture is pictures[key] and isinstance(answer, PictureBoxes) for key, picture, answer in answers)
    tops = [answer.boxes[0, 1] for _, _, answer in answers]
    np.testing.assert_allclose(tops, [8, 9, 10, 11, 12, 8], atol=1)  # one of the network's pixels is two of theirs


def test_pictures_are_read_only_when_their_turn_comes(folder):
    listed = listed_pictures([folder / "one.png", folder])
    assert len(listed) == 5 and listed.skipped == []
    first = next(iter(listed))
    assert first[0] == str(folder / "one.png") and first[1].size == (128, 96)
    (folder / "none.png").unlink()  # after they were listed
    assert [name for name, _ in listed][1:] == [str(folder / "deep/one.jpg"), str(folder / "one.png")]
    assert len(listed.skipped) == 2 and "broken.png: cannot be read" in listed.skipped[0]


def test_files_of_boxes_agree_and_coco_tools_read_them(folder, tmp_path, capsys):
    predictor, out = bright_predictor(further=True), tmp_path / "out"
    assert predict_boxes(predictor, request(images=(str(folder),), draw=True, out=out)) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{out}: 4 boxes in 3 pictures; boxes.csv, coco_pictures.json, ")
    assert said.err.startswith("umbel: 1 of 4 pictures skipped: ") and "broken.png" in said.err
    assert "broken.png" in (out / SKIPPED).read_text()
    boxes, pictures = pd.read_csv(out / BOXES), pd.read_csv(out / PICTURES)
    assert boxes["class"].tolist() == ["'=bright", "dim"] * 2  # no formula for a spreadsheet program
    assert pictures["file"].tolist() == ["deep/one.jpg", "none.png", "one.png"]
    assert pictures["boxes"].tolist() == [2, 0, 2] and pictures["width"].tolist() == [96, 40, 128]
    assert pictures["count"].tolist() == [14, 12, 14]  # 10 + 2 times what the network says
    coco = pytest.importorskip("pycocotools.coco")
    known = coco.COCO(str(out / COCO_PICTURES))
    found = known.loadRes(str(out / COCO_RESULTS))
    named = {number: one["file_name"] for number, one in known.imgs.items()}
    kinds = {number: one["name"] for number, one in known.cats.items()}
    again = [(named[a["image_id"]], kinds[a["category_id"]], a["bbox"], a["score"]) for a in found.anns.values()]
    assert again[2] == ("one.png", "=bright", [32, 24, 32, 24], 0.9)
    drawn = {name: picture.size for name, picture in listed_pictures(out / "drawn")}
    assert drawn == {"deep/one.jpg": (96, 128), "none.jpg": (40, 30), "one.jpg": (128, 96)}


def test_drawings_of_files_with_one_name_do_not_replace_each_other(folder, tmp_path):
    bright_picture(64, 48, 8, 8).save(folder / "one.bmp")
    predict_boxes(bright_predictor(), request(images=(str(folder),), draw=True, out=tmp_path / "out"))
    assert {path.name for path in (tmp_path / "out" / "drawn").glob("*")} == {
        "deep",
        "none.jpg",
        "one.jpg",
        "one.png-2.jpg",
    }


def test_without_a_folder_boxes_are_printed(folder, capsys):
    predict_boxes(bright_predictor(), request(images=(str(folder / "one.png"),)))
    assert capsys.readouterr().out.splitlines() == [
        "file,class,score,x1,y1,x2,y2",
        "one.png,'=bright,0.90000,32.000,24.000,64.000,48.000",
        "one.png,dim,0.40000,32.000,24.000,64.000,48.000",
    ]
    predict_boxes(bright_predictor(further=True), request(images=(str(folder),), json=True))
    told = json.loads(capsys.readouterr().out)
    assert [one["file"] for one in told["pictures"]] == ["deep/one.jpg", "none.png", "one.png"]
    assert told["pictures"][2]["boxes"][0] == {"class": LABELS[1], "score": 0.9, "box": [32, 24, 64, 48]}
    assert told["pictures"][1]["boxes"] == [] and told["pictures"][1]["answers"] == {"count": 12}
    assert len(told["skipped"]) == 1 and told["thresholds"] == dict.fromkeys(LABELS, 0.3)
    predictor = bright_predictor()
    predictor.thresholds = (0.2, 0.95)  # of the classes, as a training's validation finds them
    out = folder.parent / "out"
    predict_boxes(predictor, request(images=(str(folder),), json=True, threshold=None, out=out))
    told = json.loads(capsys.readouterr().out)
    assert told["thresholds"] == dict(zip(LABELS, (0.2, 0.95), strict=True))
    assert told["files"] == [BOXES, COCO_PICTURES, COCO_RESULTS, PICTURES, SKIPPED]
    assert pd.read_csv(out / BOXES)["class"].tolist() == ["dim", "dim"]


def test_what_cannot_be_answered_is_one_line_and_leaves_nothing(folder, tmp_path):
    predictor = bright_predictor()
    cases = [
        (request(), "say where to look for boxes"),
        (request(images=("a",), video=folder / "b.mp4"), "say where to look for boxes"),
        (request(images=(str(folder),), draw=True), "--out"),
        (request(images=(str(folder),), every=2), "--every is for the frames"),
        (request(images=(str(folder),), threshold=1.5, out=tmp_path / "out"), "the threshold is 1.5"),
        (request(images=(str(folder),), batch_size=0), "the batch size is 0"),
        (request(images=(str(folder / "absent"),)), "no such picture or folder"),
        (request(images=(str(folder / "broken.png"),), out=tmp_path / "out"), "nothing could be read: 1 of 1 pictures"),
        (request(images=(str(folder),), out=folder), "not an empty folder"),
        (request(images=(str(folder),), out=tmp_path / "boxes.csv"), "a detector writes a new folder"),
    ]
    (tmp_path / "empty").mkdir()
    (tmp_path / "film.mp4").write_bytes(b"")
    cases.append((request(images=(str(tmp_path / "empty"),)), "no picture is in it"))
    cases.append((request(images=(str(tmp_path / "film.mp4"),)), "is a film; give it with --video"))
    for asked, message in cases:
        with pytest.raises(UmbelError, match=message.replace("(", "\\(")) as refused:
            predict_boxes(predictor, asked)
        assert "\n" not in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "film.mp4", "new"]
    with pytest.raises(UmbelError, match="no picture can be read"):
        predictor.predict(folder / "broken.png")
    with pytest.raises(UmbelError, match="give a folder, files, or pictures of PIL"):
        predictor.predict(7)
