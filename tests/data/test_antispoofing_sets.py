"""Prepared folders as data sets: targets, maps, parts, one set held out of four, and tables that are wrong."""

import math

import numpy as np
import pytest
import torch
from antispoofing_trees import people, prepared
from PIL import Image

from umbel.core import Batch, UmbelError
from umbel.data import SETS, CameraChanges, liveness_folder, load_data
from umbel.data.antispoofing.building import ATTRIBUTES, MAPS, map_of
from umbel.data.antispoofing.frames import NEEDED, read_frames
from umbel.data.antispoofing.prepared import FRAMES_TABLE, is_prepared
from umbel.data.antispoofing.sets import FOUR, antispoofing_set, ocim


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("UMBEL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def three_parts(**about):
    return [
        *people("train", ["anna", "bert", "cleo"], camera="phone", **about),
        *people("dev", ["dora"], **about),
        *people("test", ["emil"], types=("live", "mask"), **about),
    ]


def test_targets_say_what_the_table_says(tmp_path):
    data = liveness_folder(prepared(tmp_path / "mine", three_parts()), resolution=16, augment=False)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [18, 6, 4]
    assert [task.name for task in data.tasks] == ["liveness"] and data.input_shape == (3, 16, 16)
    assert data.tasks[0].labels == ("live", "print", "replay", "mask")
    train, test = data.train.samples, data.test.samples
    assert train.targets["liveness"].tolist() == [0, 0, 1, 1, 2, 2] * 3
    assert test.targets["liveness"].tolist() == [0, 0, 3, 3]
    assert train.inputs.dtype == torch.uint8 and train.inputs[0, :, 0, -1].tolist() == [210] * 3
    assert set(train.targets) == {"liveness", "video", *ATTRIBUTES}
    assert train.targets["identity"].tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert test.targets["identity"].tolist() == [4] * 4  # numbers go on over the parts
    assert train.targets["camera"].tolist() == [0] * 18 and test.targets["camera"].tolist() == [-1] * 4
    assert train.targets["video"].unique(return_counts=True)[1].tolist() == [2] * 9
    assert not set(train.targets["video"].tolist()) & set(test.targets["video"].tolist())
    assert data.warnings == ("The test has mask, of which training has none.",)


def test_maps_are_read_where_they_are_and_flat_attacks_are_flat(tmp_path):
    folder = prepared(tmp_path / "mine", three_parts())
    assert "depth" not in liveness_folder(folder, resolution=16).train.samples.targets
    live, print_ = [f for f in read_frames(folder) if f.video.subject == "anna" and f.number == 0][:2]
    for name, frame, value, kind in (("depth", live, 51, np.uint8), ("reflection", print_, 13107, np.uint16)):
        path = map_of(frame, name)
        path.parent.mkdir(parents=True)
        pixels = np.zeros((32, 32), kind)
        pixels[:, :16] = value
        Image.fromarray(pixels).save(path)
    data = liveness_folder(folder, resolution=16, augment=True, camera_changes=0)
    assert [task.name for task in data.tasks] == ["liveness", *MAPS]
    depth, reflection = (data.train.samples.targets[name] for name in MAPS)
    assert depth.shape == (18, 1, 16, 16) and depth.dtype == torch.float32
    assert math.isclose(depth[0, 0, 3, 0], 0.2, rel_tol=1e-6) and depth[0, 0, 3, -1] == 0
    assert depth[1].isnan().all() and bool((depth[2:6] == 0).all())  # another live frame, and flat attacks
    assert math.isclose(reflection[2, 0, 0, 0], 0.2, rel_tol=1e-6) and reflection[0].isnan().all()
    assert data.test.samples.targets["depth"][2:].isnan().all()  # masks are not flat
    for batch in data.train.train_batches(18, seed=0, epoch=0):  # maps are mirrored with their pictures
        known = batch.targets["depth"][:, 0, 0, 0] == batch.targets["depth"][:, 0, 0, -1]
        own = int((~known & ~batch.targets["depth"].isnan().flatten(1).any(1)).nonzero()[0, 0])
        brighter_right = bool(batch.inputs[own, 0, 0, -1] > batch.inputs[own, 0, 0, 0])
        deeper_left = bool(batch.targets["depth"][own, 0, 0, 0] > 0)
        assert brighter_right == deeper_left
    asked = liveness_folder(prepared(tmp_path / "other", three_parts()), names=("liveness", "depth"), resolution=16)
    assert [task.name for task in asked.tasks] == ["liveness", "depth"]
    assert asked.train.samples.targets["depth"][:2].isnan().all()


def test_training_pictures_are_mirrored_and_then_taken_by_another_camera(tmp_path):
    folder = prepared(tmp_path / "mine", three_parts())
    both, flip, change = (
        liveness_folder(folder, resolution=16, **options).train.augment
        for options in ({}, {"camera_changes": 0}, {"augment": False, "camera_changes": 0.5})
    )
    batch = Batch(torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    uniform = torch.rand(3, 10, generator=torch.Generator().manual_seed(1))
    once = flip(batch, uniform[:, :1])
    assert torch.equal(both(batch, uniform).inputs, CameraChanges()(once, uniform[:, 1:]).inputs)
    assert torch.equal(change(batch, uniform[:, 1:]).inputs, CameraChanges(0.5)(batch, uniform[:, 1:]).inputs)
    assert not torch.equal(once.inputs, batch.inputs)
    assert liveness_folder(folder, resolution=16, augment=False, camera_changes=0).train.augment is None


def test_without_a_dev_part_a_fifth_of_the_subjects_validates(tmp_path):
    rows = [*people("train", [f"s{k}" for k in range(10)]), *people("test", ["t"])]
    data = liveness_folder(prepared(tmp_path / "mine", rows), resolution=16)
    parts = [set(part.samples.targets["identity"].tolist()) for part in (data.train, data.validation, data.test)]
    assert list(map(len, parts)) == [8, 2, 1] and not parts[0] & parts[1]
    assert "a fifth of the training subjects is the validation" in data.note


def test_frames_of_a_video_are_thinned_evenly_and_samples_chosen(tmp_path):
    folder = prepared(tmp_path / "mine", [*people("train", ["a", "b"], frames=9), *people("test", ["c"], frames=9)])
    data = liveness_folder(folder, frames=3, resolution=16)
    assert len(data.test) == 9 and data.test.samples.targets["video"].unique(return_counts=True)[1].tolist() == [3] * 3
    assert len(liveness_folder(folder, size=5, resolution=16).train) == 5
    with pytest.raises(UmbelError, match="frames is 0; give at least 1"):
        liveness_folder(folder, frames=0)
    with pytest.raises(UmbelError, match="mine: resolution is 8"):
        liveness_folder(folder, resolution=8)


def oulu_rows():
    return [
        {
            "set": "oulu-npu",
            "split": split,
            "subject": who,
            "type": kind,
            "video": f"{phone}_{session}_{who}_{kind}",
            "camera": str(phone),
            "session": str(session),
            "medium": "" if kind == "live" else f"{'printer' if kind == 'print' else 'display'}1",
        }
        for split, who in (("train", "01"), ("dev", "21"), ("test", "36"))
        for phone in (1, 2)
        for session in (1, 2, 3)
        for kind in ("live", "print", "replay")
    ]


def test_a_known_set_is_found_and_follows_its_protocols(here):
    folder = prepared(here / "antispoofing" / "oulu-npu", oulu_rows())
    assert SETS["oulu-npu"].available and not SETS["siw"].available
    for protocol, fold, sizes in ((None, None, [12, 12, 6]), (3, 2, [9, 9, 9]), (4, 1, [6, 6, 1])):
        data = load_data("oulu-npu", protocol=protocol, fold=fold, resolution=16)
        assert [len(part) for part in (data.train, data.validation, data.test)] == sizes
    own = liveness_folder(folder, protocol=3, fold=2, resolution=16)  # wherever the folder is
    assert len(own.train) == 9 and own.name == "oulu-npu"
    with pytest.raises(UmbelError, match=r"'siw' is not here: .*make it with: umbel prepare siw FOLDER --out"):
        antispoofing_set("siw")
    with pytest.raises(UmbelError, match="protocol 3 of oulu-npu has 6 folds"):
        load_data("oulu-npu", protocol=3)


def test_one_set_of_four_is_left_out(here):
    for name in FOUR:
        rows = [*people("train", [f"{k}" for k in range(1, 6)], frames=1), *people("test", ["9"], frames=1)]
        prepared(here / "antispoofing" / name, [{"set": name, **row} for row in rows])
    data = ocim("casia-fasd", resolution=16)
    assert len(data.train) + len(data.validation) == 3 * 18 and len(data.test) == 18
    assert data.test.samples.domain.unique().tolist() == [0] and data.train.samples.domain.unique().tolist() == [
        1,
        2,
        3,
    ]
    parts = [set(part.samples.targets["identity"].tolist()) for part in (data.train, data.validation, data.test)]
    assert not parts[0] & parts[1] | parts[2] & (parts[0] | parts[1])  # "1" of two sets is two people
    assert len(parts[1]) == round(0.2 * 18) and data.warnings == ()
    with pytest.raises(UmbelError, match="no option 'leaves'"):
        load_data("ocim", leaves="siw")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("subject,", ""), "no column 'subject'; it needs file, video, type, subject, split"),
        (("live", "wax"), "line 2: unknown type 'wax'; known: live, mask, print, replay"),
        (("train,", "learn,"), "line 2: unknown split 'learn'"),
        (("s0", ""), "line 2: subject is blank; every row needs it"),
        (("frames/v0/000000.png", "frames/none.png"), "none.png: no such picture"),
        (("frames/v0/000000.png", "../out.png"), "lies outside the table's folder"),
        ((",0\n", ",first\n"), "line 2: frame is 'first'; give its number"),
        ((",v1,", ",v0,"), "line 3: video 'v0' is described otherwise than before"),
    ],
)
def test_tables_that_are_wrong(tmp_path, change, line):
    (tmp_path / "out.png").write_bytes(b"")
    folder = prepared(tmp_path / "mine", [{}, {"type": "print"}])
    (folder / FRAMES_TABLE).write_text((folder / FRAMES_TABLE).read_text().replace(*change, 1))
    with pytest.raises(UmbelError, match=line):
        read_frames(folder)


def test_parts_that_are_empty_and_people_in_two_parts(tmp_path):
    folder = prepared(tmp_path / "mine", people("train", ["a"]))
    with pytest.raises(UmbelError, match=r"mine: no frame is for test; frames.csv says what is, in the column split"):
        liveness_folder(folder)
    prepared(folder, [*people("train", ["a"]), *people("test", ["b"])])
    with pytest.raises(UmbelError, match="mine: one subject for training and none for dev"):
        liveness_folder(folder)
    prepared(folder, [*people("train", ["a"]), *people("dev", ["b"]), *people("test", ["a"])])
    assert liveness_folder(folder, resolution=16).warnings == (
        "1 people are in training and in test: faces may be known, and not liveness.",
    )
    assert is_prepared(folder) and not is_prepared(tmp_path) and "split" in NEEDED
    with pytest.raises(UmbelError, match=r"no frames.csv in it; make it with umbel prepare"):
        liveness_folder(tmp_path)


def test_a_map_that_is_none(tmp_path):
    folder = prepared(tmp_path / "mine", [*people("train", ["a"]), *people("dev", ["b"]), *people("test", ["c"])])
    path = map_of(read_frames(folder)[0], "depth")
    path.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(path)
    with pytest.raises(UmbelError, match="a map is a grey picture of 8 or 16 bits, and this has the mode RGB"):
        liveness_folder(folder)
    path.write_bytes(b"no picture")
    with pytest.raises(UmbelError, match="cannot be read as a picture"):
        liveness_folder(folder)
