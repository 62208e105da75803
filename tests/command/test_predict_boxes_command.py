"""`umbel predict` and `umbel export` with a detector that `umbel train` made, and commands that take none."""

import csv
import io
import json

import numpy as np
import pytest
from box_trees import SIZE, TRUE, draw, voc_tree
from commands import refused, umbel
from PIL import Image

from umbel import UmbelError, load
from umbel.cli import main
from umbel.control.exports import run_export
from umbel.inference import BoxPredictor, load_any, load_detector

pytest.importorskip("faster_coco_eval")
_FLAGS = """--resolution 64 --steps 2 --batch-size 2 --precision float32 --no-tensorboard --options count=true
--encoder-options hidden=16,widths=8/8,strides=2/2"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detector")
    tree = voc_tree(folder / "cells", {name + str(k): boxes for k in range(2) for name, boxes in TRUE.items()})
    assert main(["train", "--data", str(tree), *_FLAGS.split(), "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def new(tmp_path):
    """Two pictures of another size than those of the training."""
    draw(tmp_path / "new" / "large.png", [("cell", (40, 20, 100, 80))], size=(160, 120))
    draw(tmp_path / "new" / "upright.png", [("cell", (10, 20, 40, 80))], size=(60, 90))
    return tmp_path / "new"


def test_pictures_in_boxes_out(capsys, run, new, tmp_path):
    status, out, err = umbel(capsys, "predict", run, "--images", new, "--threshold", 0.05)
    assert (status, err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out)))
    expected = load_detector(run).predict(new, threshold=0.05)
    assert len(rows) == len(expected) > 0
    for row, (_, wanted) in zip(rows, expected.iterrows(), strict=True):
        assert (row["file"], row["class"]) == (wanted["file"], wanted["class"])
        given = [float(row[place]) for place in ("x1", "y1", "x2", "y2")]
        np.testing.assert_allclose(given, wanted[["x1", "y1", "x2", "y2"]].astype(float), atol=6e-4)
    files = [str(path) for path in sorted(new.iterdir())]
    _, out, _ = umbel(capsys, "predict", run, "--images", *files, "--threshold", 0.05, "--json")
    told = json.loads(out)
    assert [one["file"] for one in told["pictures"]] == files
    assert [one["width"] for one in told["pictures"]] == [160, 60]
    assert {*told["pictures"][0]["answers"]} == {"count: cell", "count: dot"}
    status, out, _ = umbel(capsys, "predict", run, "--data", new, "--out", tmp_path / "found", "--draw")
    assert status == 0 and "in 2 pictures" in out
    assert {path.name for path in (tmp_path / "found" / "drawn").iterdir()} == {"large.jpg", "upright.jpg"}


def test_an_export_finds_the_same_boxes_without_umbel(capsys, run, new, tmp_path):
    pytest.importorskip("onnxruntime")
    status, out, err = umbel(capsys, "export", run, "--out", tmp_path / "files", "--formats", "onnx")
    assert (status, err) == (0, "")
    assert "takes  one picture of any size (RGB), bytes 0 to 255; run_export.py makes the longer side 64" in out
    assert "gives  boxes: boxes of cell, dot, with scores" in out and "gives  count: values of cell, dot" in out
    about = json.loads((tmp_path / "files" / "export.json").read_text())
    assert about["about"]["data"] == "cells" and {*about["about"]["validation"]} == {"boxes", "count"}
    own = load_detector(run)
    assert about["about"]["thresholds"] == dict(zip(own.labels, own.thresholds, strict=True))
    session = run_export.onnxruntime.InferenceSession(tmp_path / "files" / "model.onnx")
    noise = np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8)  # where no two places look alike
    Image.fromarray(noise).save(new / "noise.png")
    line = run_export.detections(session, about, str(new / "noise.png"))
    expected = own.predict(new / "noise.png", threshold=0)
    assert len(line["boxes"]) == len(expected) > 0
    corners = expected[["x1", "y1", "x2", "y2"]].to_numpy(float)
    np.testing.assert_allclose([one["box"] for one in line["boxes"]], corners, atol=2e-3)
    assert {*line["count"]} == {"cell", "dot"}
    assert "one width only" in refused(capsys, "export", run, "--out", tmp_path / "other", "--budget", "1MB")


def test_what_takes_no_detector_says_what_does(capsys, run, new, tmp_path):
    assert isinstance(load_any(run), BoxPredictor)
    with pytest.raises(UmbelError, match=r"is a detector, .* umbel.inference.load_detector"):
        load(run)
    assert "is a detector" in refused(capsys, "serve", run)
    for flag, value in (("--keep", "id"), ("--point", "width=1")):
        said = refused(capsys, "predict", run, "--images", new, flag, value)
        assert f"{flag} is for rows of a table, and the run is a detector" in said
    assert "--data and --images" in refused(capsys, "predict", run, "--images", new, "--data", new)
    assert "say what to predict for" in refused(capsys, "predict", run)
    assert "no such film" in refused(capsys, "predict", run, "--video", tmp_path / "absent.mp4")
    taken = refused(capsys, "predict", run, "--images", new, "--out", new)
    assert "is there already and not an empty folder; give a new one" in taken
    assert SIZE == (64, 48)  # of the training's pictures: those above are of others
