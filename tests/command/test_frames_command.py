"""`umbel train` and `umbel evaluate` on folders of live faces and attacks."""

import dataclasses
import json
import shutil

import pytest
import torch
from antispoofing_trees import people, prepared

from umbel.cli import main
from umbel.core import UmbelError
from umbel.data import SETS, liveness_folder
from umbel.data.data_record import DataRecord
from umbel.recipes.box_paths import is_boxes, is_frames
from umbel.recipes.frame_folders import new_frames, own_frames
from umbel.recipes.settings import DataSettings

FLAGS = ["--resolution", "16", "--steps", "12", "--batch-size", "8", "--encoder", "conv", "--precision", "float32"]
SMALL = ["--encoder-options", "widths=4/8", "--no-tensorboard", "--json"]


@pytest.fixture
def mine(tmp_path):
    rows = [*people("train", ["a", "b", "c"]), *people("dev", ["d"]), *people("test", ["t"])]
    return prepared(tmp_path / "mine", rows)


def test_a_folder_is_learnt_from_and_another_is_judged_at_its_threshold(mine, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", "--data", str(mine), "--out", str(run), *FLAGS, *SMALL]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["samples"] == 6 and "AUC" in trained["metrics"]["liveness"]
    kept = json.loads((run / "liveness.json").read_text())
    assert kept["videos"] == 3 and kept["samples"] == 6  # frames of a video are judged together
    other = prepared(tmp_path / "other", people("train", ["x", "y"], types=("live", "mask")), size=40)
    assert main(["evaluate", str(run), "--data", str(other), "--json"]) == 0
    judged = json.loads(capsys.readouterr().out)
    assert judged["samples"] == 8 and f"threshold {kept['threshold']:.4g}" in judged["statements"][0]
    assert "HTER at validation's threshold" in judged["metrics"]["liveness"]
    shutil.rmtree(mine)
    assert main(["evaluate", str(run)]) == 2
    assert "the pictures that the run learnt from are not there" in capsys.readouterr().err


def test_a_folder_of_frames_is_no_folder_of_boxes(mine, tmp_path):
    assert is_frames(DataSettings(data=str(mine))) and not is_boxes(DataSettings(data=str(mine)))
    assert is_boxes(DataSettings(data=str(tmp_path))) and not is_frames(DataSettings(data=str(tmp_path)))
    assert not is_frames(DataSettings(data="siw")) and "siw" in SETS


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (
            {"split_shares": "0.5/0.2/0.3"},
            "--split-shares is for own tables; in .* frames.csv says",
        ),
        ({"options": "frame=2"}, "unknown option of a folder of frames 'frame'; did you mean 'frames'"),
        ({"options": "size=2"}, "size is what --train-size says"),
        ({"options": "augment=3"}, "augment"),
        ({"options": "protocol=2"}, "mine has no protocol 2; its protocols: 1"),
        ({"fold": 1}, "protocol 1 of mine has no folds; leave fold out"),
        ({"options": "names=shape/"}, "unknown task 'shape'"),
    ],
)
def test_what_does_not_apply_to_a_folder_of_frames(mine, more, line):
    with pytest.raises(UmbelError, match=line):
        own_frames(DataSettings(data=str(mine), **more))


def test_flags_reach_the_folder(mine):
    data = own_frames(
        DataSettings(data=str(mine), resolution=20, train_size=4, options="frames=1,augment=false,camera_changes=0")
    )
    assert len(data.train) == 4 and len(data.test) == 3 and data.input_shape == (3, 20, 20)
    assert data.train.augment is None


def test_frames_that_a_run_cannot_judge(mine):
    record = DataRecord.of(liveness_folder(mine, resolution=16))
    with pytest.raises(UmbelError, match="which this run has not learnt"):
        new_frames(dataclasses.replace(record, outputs=()), mine)
    assert torch.equal(new_frames(record, mine).samples.targets["liveness"][:6], torch.tensor([0, 0, 1, 1, 2, 2]))
    (output,) = record.outputs
    turned = dataclasses.replace(record, outputs=(dataclasses.replace(output, labels=("live", "replay", "print")),))
    assert new_frames(turned, mine).samples.targets["liveness"][:6].tolist() == [0, 0, 2, 2, 1, 1]
    fewer = dataclasses.replace(record, outputs=(dataclasses.replace(output, labels=("live", "print")),))
    with pytest.raises(UmbelError, match="has replay attacks; this run knows live, print"):
        new_frames(fewer, mine)
