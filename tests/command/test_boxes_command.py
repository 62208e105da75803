"""`umbel train` and `umbel evaluate` on folders of boxes."""

import json
import shutil

import pytest
from box_trees import TRUE, coco_json, coco_tree, draw, voc_tree
from commands import refused, umbel

from umbel.cli import main
from umbel.engine import Checkpoint, load_checkpoint, resolve
from umbel.nn.detection import DetectionLearner
from umbel.recipes.box_paths import DETECTOR_FIT, is_boxes, learns_boxes
from umbel.recipes.build import Described
from umbel.recipes.settings import DataSettings

pytest.importorskip("faster_coco_eval")
_FLAGS = """--resolution 64 --steps 6 --batch-size 3 --validate-every 3 --log-every 2 --precision float32
--no-tensorboard --encoder-options hidden=16,widths=8/8,strides=2/2 --checkpoint-seconds 0"""
QUICK = _FLAGS.split()


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return voc_tree(
        tmp_path_factory.mktemp("boxes") / "cells", {n + str(k): b for k in range(2) for n, b in TRUE.items()}
    )


@pytest.fixture(scope="module")
def trained(tree, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "--data", str(tree), *QUICK, "--options", "count=true", "--out", str(folder)]) == 0
    return folder


def test_a_folder_is_trained_on_and_evaluated_as_it_was(capsys, trained):
    status, out, err = umbel(capsys, "evaluate", trained, "--json")
    assert (status, err) == (0, "")
    told = json.loads(out)
    assert {task: list(metrics) for task, metrics in told["metrics"].items()} == {
        "boxes": ["mAP50", "mAP"],
        "count": ["RMSE", "MAE"],
    }
    assert told["samples"] == 2
    assert told["directions"] == {"boxes": True, "count": False}


def test_the_detector_is_built_again_without_the_pictures(trained, tree):
    saved = load_checkpoint(resolve(trained))
    assert isinstance(saved, Checkpoint)
    described = Described.read(saved.settings, "run")
    hidden = tree.with_name("hidden")
    tree.rename(hidden)
    try:
        learner = described.trained(saved)
    finally:
        hidden.rename(tree)
    assert isinstance(learner, DetectionLearner)
    assert learner.tasks[0].labels == ("cell", "dot")
    assert described.record.inputs.resolution == 64


def test_pictures_that_are_away_are_said_to_be(capsys, monkeypatch, tree, tmp_path):
    monkeypatch.chdir(tree.parent)
    flags = ["train", "--data", tree.name, *QUICK, "--steps", "1", "--out", tmp_path / "run"]
    assert umbel(capsys, *flags)[0] == 0
    monkeypatch.chdir(tmp_path)
    told = refused(capsys, "evaluate", tmp_path / "run")
    assert "cells: the pictures that the run learnt from are not there; put them back" in told


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(capsys, monkeypatch, tree, trained, tmp_path):
    from umbel.engine.log import Log

    out = tmp_path / "run"
    write, calls = Log.write, []

    def stop(self, split, step, *more):
        calls.append(step)
        if step == 4:
            raise KeyboardInterrupt
        return write(self, split, step, *more)

    flags = ["train", "--data", tree, *QUICK, "--options", "count=true", "--out", out]
    monkeypatch.setattr(Log, "write", stop)
    umbel(capsys, *flags)
    assert calls[-1] == 4
    again = []
    monkeypatch.setattr(
        Log, "write", lambda self, split, step, *more: again.append(step) or write(self, split, step, *more)
    )
    status, _, err = umbel(capsys, *flags, "--resume")
    assert status == 0, err
    assert min(again) > 3  # it went on, and did not begin anew
    ours, theirs = (load_checkpoint(resolve(folder)).weights for folder in (out, trained))
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_a_detector_is_measured_on_new_pictures_in_another_layout(capsys, trained, tmp_path):
    other = coco_tree(tmp_path / "other")
    status, out, err = umbel(capsys, "evaluate", trained, "--data", other, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["samples"] == 6
    assert "new pictures of" in json.loads(out)["split"]
    alone = {"a": [TRUE["b"][0]]}
    (other / "annotations" / "all.json").write_text(json.dumps(coco_json(alone)))
    assert "umbel: no box of dot in these pictures" in umbel(capsys, "evaluate", trained, "--data", other)[2]
    renamed = json.dumps(coco_json(alone, numbers={"cell": 1})).replace("cell", "Cell")
    (other / "annotations" / "all.json").write_text(renamed)
    assert "has the classes Cell, and the detector knows cell, dot" in refused(
        capsys, "evaluate", trained, "--data", other
    )


def test_changed_pictures_are_not_the_runs(capsys, trained, tree):
    kept = tree.with_name("kept")
    shutil.copytree(tree, kept)
    try:
        for path in (tree / "JPEGImages").iterdir():
            draw(path, [("cell", (0, 0, 64, 48))])
        assert "learnt from other data: its test split (other values)" in refused(capsys, "evaluate", trained)
    finally:
        shutil.rmtree(tree)
        kept.rename(tree)


def test_a_start_from_another_detector_keeps_what_fits(capsys, trained, tree, tmp_path):
    flags = ["train", "--data", tree, *QUICK, "--steps", "1", "--start-from", trained]
    status, _, err = umbel(capsys, *flags, "--out", tmp_path / "same")
    assert status == 0, err
    assert f"Starts from {trained}." in err
    status, _, err = umbel(capsys, *flags, "--options", "classes=cell/", "--out", tmp_path / "other")
    assert status == 0, err
    assert "its classes are others, so the last layers start afresh" in " ".join(err.split())


WRONG = {
    ("--targets", "a"): "--targets is for own tables",
    ("--image-column", "a"): "--image-column is for own tables",
    ("--options", "folds=3"): "folds is what --folds says",
    ("--options", "colour=3"): "unknown option of a folder of boxes 'colour'",
    ("--options", "count=3"): "option count is 3; give True or False",
    ("--options", "classes=cells"): "unknown class of",
    ("--folds", "3"): "both or neither",
    ("--split-shares", "a/b/c"): "write three fractions",
    ("--encoder", "resnet"): "unknown detector (--encoder) 'resnet'",
    ("--encoder-options", "weights=a.pt"): "give the file with --start-from",
    ("--encoder-options", "nix=1"): "unknown option of detector 'small-fasterrcnn' 'nix'",
    ("--widths", "0.5/1"): "--widths is for networks that find no boxes",
    ("--hidden", "8"): "--hidden is for networks that find no boxes",
    ("--class-weights", "balanced"): "no task of",
}


@pytest.mark.parametrize("flags", WRONG, ids=" ".join)
def test_flags_that_do_not_apply_are_refused_in_one_line(capsys, tree, tmp_path, flags):
    told = refused(capsys, "train", "--data", tree, "--resolution", "64", *flags, "--out", tmp_path / "run")
    assert WRONG[flags] in told
    assert not (tmp_path / "run").exists()


def test_a_missing_package_for_the_metric_is_told_before_the_training(capsys, monkeypatch, tree, tmp_path):
    monkeypatch.setattr("umbel.metrics.boxes.find_spec", lambda name: None)
    told = refused(capsys, "train", "--data", tree, *QUICK, "--out", tmp_path / "run")
    assert 'pip install "umbel[detect]"' in told
    assert not (tmp_path / "run").exists()


def test_studies_refuse_boxes(capsys, tree, tmp_path):
    told = refused(capsys, "run", "compare", "--data", tree, "--out", tmp_path / "run")
    assert "is a set of boxes, which detectors learn from: `umbel train` trains one" in told


def test_boxes_are_told_from_sets_and_tables_by_their_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    (tmp_path / "mine").mkdir()
    kinds = {"digits": False, "mine": True, "a.json": True, "no/folder": True, "x/a.csv": False, "nonesuch": False}
    assert {name: is_boxes(DataSettings(data=name)) for name in kinds} == kinds
    assert learns_boxes(DataSettings(data="blood-cells"))
    assert not learns_boxes(DataSettings(data="digits"))
    assert DETECTOR_FIT.batch_size == 4
