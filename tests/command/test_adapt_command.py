"""`umbel adapt`: a detector and a folder of pictures without labels -> a detector for these pictures."""

import csv
import io
import json
import re
import shutil

import pytest
import torch
from box_trees import TRUE, draw, voc_tree
from commands import contents, refused, umbel
from PIL import Image

from umbel.cli import main
from umbel.core import Batch
from umbel.engine import load_checkpoint, resolve
from umbel.engine.log import Log
from umbel.inference import PictureBoxes, load_detector
from umbel.methods import Signals, Watch
from umbel.nn.detection import build_detector, save_weights
from umbel.recipes.adapting import AdaptationSettings
from umbel.recipes.adapting import adapt as adapting
from umbel.recipes.adapting.pictures import boxes_of
from umbel.recipes.boxes import kept_thresholds

OPTIONS = "widths=4/8,strides=2/2,hidden=16"
MODEL = ["--model", "small-fasterrcnn", "--labels", "cell,dot", "--resolution", "64", "--model-options", OPTIONS]
_FLAGS = """--steps 4 --batch-size 4 --validate-every 2 --passes 2 --threshold 0.2 --local-at encoder.blocks.0
--checkpoint-seconds 0 --log-every 1"""
QUICK = _FLAGS.split()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of an untrained detector: about one third sure of anything."""
    sizes = {"widths": (4, 8), "strides": (2, 2), "hidden": 16}
    path = tmp_path_factory.mktemp("weights") / "detector.safetensors"
    save_weights(build_detector("small-fasterrcnn", ["cell", "dot"], 64, seed=1, **sizes), path)
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new") / "pictures"
    for name, boxes in TRUE.items():
        draw(folder / f"{name}.png", boxes)
    draw(folder / "deeper" / "upright.png", TRUE["b"], size=(48, 64))
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def adapted(weights, images, tmp_path_factory):
    """(folder of the result, what was printed as JSON)."""
    out = tmp_path_factory.mktemp("adapted") / "run"
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", said)
        flags = [*MODEL, "--weights", weights, "--images", images, *QUICK, "--json", "--out", out]
        assert main(["adapt", *map(str, flags)]) == 0
    return out, json.loads(said.getvalue())


def test_what_it_says_is_what_it_kept(adapted):
    out, told = adapted
    assert told["pictures"] == 7 and told["steps"] == 4
    assert len(told["skipped"]) == 1 and "broken.png" in told["skipped"][0]
    assert told["before"]["drift"] == 0 and told["before"]["boxes"] > 0
    assert told["thresholds"] == {"cell": 0.2, "dot": 0.2}
    kept = json.loads((out / "adaptation.json").read_text())
    assert {name: kept[name] for name in told} == told
    assert len(kept["history"]) == 3  # before, and at each validation
    assert set(kept["split"]) == {*(f"{n}.png" for n in TRUE), "deeper/upright.png"}
    similar = [one["variance"] for one in kept["split"].values() if one["similar"]]
    other = [one["variance"] for one in kept["split"].values() if not one["similar"]]
    assert min(similar) >= max(other) and len(similar) == 4
    for file in told["files"].values():
        assert (out / file).exists()
    best = max(kept["history"][1:], key=lambda seen: seen["stability"])
    if best["stability"] > kept["before"]["stability"]:
        assert kept["after"] == best and kept["step"] in (2, 4)
    else:
        assert kept["after"] == kept["before"] and kept["step"] == 0


def test_the_adapted_detector_is_an_ordinary_one(capsys, adapted, images, weights):
    out, told = adapted
    status, printed, _err = umbel(capsys, "predict", out, "--images", images, "--threshold", 0.2)
    assert status == 0 and list(csv.DictReader(io.StringIO(printed)))
    detector = load_detector(out)
    picture = Image.open(images / "a.png").convert("RGB")
    ((key, _, answer),) = detector.stream([("a", picture)], threshold=0.2)
    assert key == "a" and isinstance(answer, PictureBoxes) and len(answer.boxes) > 0
    assert kept_thresholds(resolve(out)) == (0.2, 0.2)
    # its weights alone are those of the checkpoint, and start an adaptation again
    assert told["checkpoint"] == str(resolve(out))
    ours = load_checkpoint(resolve(out)).weights
    again = build_detector(
        "small-fasterrcnn", ["cell", "dot"], 64, widths=(4, 8), strides=(2, 2), hidden=16,
        weights=out / "detector.safetensors",
    )  # fmt: skip
    assert all(torch.equal(ours[f"model.{name}"], value) for name, value in again.state_dict().items())


class Fixed(torch.nn.Module):
    """A detector with one box of either class, both with a score of 0.25."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs):
        boxes = torch.tensor([[1.0, 1, 5, 5, 0.25, 0], [2.0, 2, 6, 6, 0.25, 1], [-1.0] * 6])
        return {"boxes": boxes.expand(len(inputs["picture"]), 3, 6)}


def test_boxes_are_shown_from_the_threshold_of_their_class_on():
    """Else a detector that is never sure of a class is drawn as if it found nothing."""
    batch = Batch({"picture": torch.zeros(2, 3, 8, 8)})
    assert [boxes[:, 5].tolist() for boxes in boxes_of(Fixed(), batch, (0.2, 0.3))] == [[0.0]] * 2
    assert [boxes[:, 5].tolist() for boxes in boxes_of(Fixed(), batch, (0.3, 0.2))] == [[1.0]] * 2


@pytest.fixture
def undrawn(monkeypatch):
    """No pictures of results, which take longer than the adaptation."""
    monkeypatch.setattr(adapting, "draw_adaptation", lambda *_: None)


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_was_stopped_ends_in_the_same_detector(capsys, monkeypatch, adapted, images, weights, tmp_path):
    whole, _ = adapted
    flags = ["adapt", *MODEL, "--weights", weights, "--images", images, *QUICK, "--out", tmp_path / "run"]
    write = Log.write

    def stop(self, split, step, *more):
        if step == 4:
            raise KeyboardInterrupt
        return write(self, split, step, *more)

    monkeypatch.setattr(Log, "write", stop)
    assert umbel(capsys, *flags)[0] == 130
    monkeypatch.setattr(Log, "write", write)
    status, _, err = umbel(capsys, *flags, "--resume", "--json")
    assert status == 0, err
    for file in ("detector.safetensors", "train.csv", "validation.csv"):
        assert (tmp_path / "run" / file).read_bytes() == (whole / file).read_bytes(), file
    ours, wanted = (json.loads((folder / "adaptation.json").read_text()) for folder in (tmp_path / "run", whole))
    for name in ("history", "split", "step", "after", "before"):
        assert ours[name] == wanted[name], name


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("seen", [["collapsed"], ["fine", "collapsed"]])
def test_a_collapse_is_stopped_told_and_not_handed_out(capsys, monkeypatch, images, weights, tmp_path, seen):
    signals = {"start": Signals(5, 0.5, 0.5, 0.5), "fine": Signals(5, 0.5, 0.5, 0.6)}
    signals["collapsed"] = Signals(0.1, 0.9, 0.1, 0.99)
    coming = iter(["start", *seen])
    monkeypatch.setattr(Watch, "look", lambda *_: signals[next(coming)])
    flags = [*MODEL, "--weights", weights, "--images", images, *QUICK, "--no-norms", "--out", tmp_path / "run"]
    status, out, _ = umbel(capsys, "adapt", *flags)
    assert status == 0 and f"Stopped after {2 * len(seen)} steps: 0.10 boxes a picture are left of 5.00" in " ".join(
        out.split()
    )
    kept = json.loads((tmp_path / "run" / "adaptation.json").read_text())
    assert (kept["step"], kept["after"]["stability"]) == ((0, 0.5) if len(seen) == 1 else (2, 0.6))
    same = (tmp_path / "run" / "detector.safetensors").read_bytes() == weights.read_bytes()
    assert same == (len(seen) == 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A detector that `umbel train` made."""
    pytest.importorskip("faster_coco_eval")
    folder = tmp_path_factory.mktemp("source")
    tree = voc_tree(folder / "cells", {n + str(k): b for k in range(2) for n, b in TRUE.items()})
    flags = ["--steps", "2", "--batch-size", "2", "--precision", "float32", "--no-tensorboard", "--resolution", "64"]
    flags += ["--encoder-options", OPTIONS, "--options", "count=true", "--out", str(folder / "run")]
    assert main(["train", "--data", str(tree), *flags]) == 0
    shutil.rmtree(folder / "cells")  # adaptation has nothing of the source
    return folder / "run"


@pytest.mark.usefixtures("undrawn")
def test_a_training_is_adapted_without_its_pictures(capsys, run, images, tmp_path):
    flags = [*QUICK, "--resolution", 48, "--out", tmp_path / "run"]
    status, out, err = umbel(capsys, "adapt", run, "--images", images, *flags)
    assert status == 0, err
    assert "the heads count are not adapted" in err and "1 picture cannot be read and is left out" in err
    assert "seen on 7 pictures, without labels" in out and "agreement of two views" in out
    assert umbel(capsys, "predict", tmp_path / "run", "--images", images / "a.png", "--threshold", 0.1)[0] == 0
    before, after = load_detector(run), load_detector(tmp_path / "run")
    assert (before.record.inputs.resolution, after.record.inputs.resolution) == (64, 48)
    sizes = [detector.learner.model.anchor_generator().sizes for detector in (before, after)]
    assert sizes[0] == sizes[1]  # it looks at smaller pictures, and is built as it was


# -- bad input ------------------------------------------------------------------------------------------------------


@pytest.fixture
def bad(tmp_path, weights, images):
    """Folders and files that are not what is wanted."""
    (tmp_path / "empty").mkdir()
    draw(tmp_path / "one" / "a.png", TRUE["a"])
    torch.save({"a": torch.zeros(2)}, tmp_path / "pickle.pt")
    save_weights(build_detector("small-fasterrcnn", ["cell"], 64, widths=(4, 8), strides=(2, 2), hidden=16),
                 tmp_path / "others.safetensors")  # fmt: skip
    return {"IMAGES": images, "WEIGHTS": weights, **{p.stem.upper(): p for p in tmp_path.iterdir()}}


OF_MODEL = " ".join(MODEL)
WRONG = {
    "--images nowhere --weights WEIGHTS " + OF_MODEL: "nowhere: no such folder of pictures",
    "--images EMPTY --weights WEIGHTS " + OF_MODEL: "no picture in it that can be read",
    "--images ONE --weights WEIGHTS " + OF_MODEL: "one picture cannot be divided.*--align 0",
    "--images WEIGHTS --weights WEIGHTS " + OF_MODEL: "one file; give the folder",
    "--images IMAGES --weights WEIGHTS --threshold 0.99 "
    + OF_MODEL: "finds nothing in these pictures.*--threshold.*--no-norms",
    "--images IMAGES": "say which detector to adapt",
    "runs/a --images IMAGES --weights WEIGHTS " + OF_MODEL: "say which detector to adapt",
    "runs/a --images IMAGES --labels a,b": "--labels goes with --model",
    "--images IMAGES " + OF_MODEL: "an untrained detector has nothing to adapt; give its --weights",
    "--images IMAGES --weights WEIGHTS --model small-fasterrcnn": "say what its classes are called",
    "--images IMAGES --weights WEIGHTS --labels a,b --model yolo": "'yolo'.*derived from umbel.nn.detection.Detector",
    "--images IMAGES --weights nowhere.safetensors " + OF_MODEL: "nowhere.safetensors",
    "--images IMAGES --weights OTHERS " + OF_MODEL: "class",
    "--images IMAGES --weights PICKLE " + OF_MODEL: "pickle",
    "--images IMAGES --weights WEIGHTS --local-at encoder.nothing " + OF_MODEL: "encoder.nothing",
    "--images IMAGES --weights WEIGHTS --threshold 0.1/0.2/0.3 " + OF_MODEL: "3 thresholds for 2 classes",
    "--images IMAGES --weights WEIGHTS --threshold 2 " + OF_MODEL: "no score of a box",
    "--images IMAGES --weights WEIGHTS --threshold high " + OF_MODEL: "--threshold",
    "--images IMAGES --weights WEIGHTS --monitor loss " + OF_MODEL: "needs labels",
    "--images IMAGES --weights WEIGHTS --share 1 " + OF_MODEL: "share is 1",
    "--weights WEIGHTS " + OF_MODEL: "--images: say which folder",
    "nowhere --images IMAGES": "nowhere",
}


@pytest.mark.parametrize("line", WRONG)
def test_bad_input_is_one_line_and_leaves_nothing(capsys, monkeypatch, bad, tmp_path, line):
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    words = [str(bad.get(word, word)) for word in line.split()]
    steps = [] if "--threshold" in words else ["--threshold", "0.2"]
    place = [] if "--local-at" in words else ["--local-at", "none"]
    status, out, err = umbel(capsys, "adapt", *words, *steps, *place, "--passes", 2, "--steps", 1)
    assert (status, out) == (2, ""), err
    *notes, last = err.splitlines()
    assert last.startswith("umbel: ") and len(last) < 500
    assert all("Traceback" not in note for note in notes)
    assert re.search(WRONG[line], last), last
    assert contents(tmp_path) == before


def test_a_run_that_finds_no_boxes_is_refused(capsys, images, tmp_path):
    flags = ["--data", "digits", "--steps", "1", "--precision", "float32", "--no-tensorboard"]
    assert main(["train", *flags, "--out", str(tmp_path / "digits")]) == 0
    said = refused(capsys, "adapt", tmp_path / "digits", "--images", images, "--out", tmp_path / "run")
    assert "finds no boxes; give a detector" in said
    assert not (tmp_path / "run").exists()


def test_settings_are_checked_and_shared_with_the_study():
    assert AdaptationSettings().thresholds == () and AdaptationSettings(threshold="0.2/0.4").thresholds == (0.2, 0.4)
    assert adapting.REPORT == "adaptation.json"
