import numpy as np
import pytest
import torch
from conftest import requires_set

from umbel.core import UmbelError
from umbel.data import data_folders, load_data, seeded
from umbel.data.faces import ETHNICITIES, MIRRORED_68, face68, faces, lfw64, utkface64
from umbel.recipes.build import open_data
from umbel.recipes.settings import DataSettings

SPLITS = ("train", "validation", "test")


def samples(data):
    return [getattr(data, split).samples for split in SPLITS]


def rows(pictures):
    return [picture.numpy().tobytes() for picture in pictures]


def raw(file):
    with np.load(next(folder / file for folder in data_folders() if (folder / file).exists())) as archive:
        return {name: archive[name] for name in archive.files}


@pytest.fixture(scope="module")
def utk():
    requires_set("utkface64", "utkface64.npz")
    return utkface64(), raw("utkface64.npz")


@pytest.fixture(scope="module")
def lfw():
    requires_set("lfw64", "lfw64.npz")
    return lfw64(), raw("lfw64.npz")


@pytest.fixture(scope="module")
def landmarks():
    requires_set("face68", "face68_64.npz")
    return face68(), raw("face68_64.npz")


def people_of(data, arrays):
    """The people of each split, found by their pictures."""
    person_of = dict(zip(rows(torch.from_numpy(arrays["images"])), arrays["person"].tolist(), strict=True))
    parts = [part.inputs.permute(0, 2, 3, 1).contiguous() for part in samples(data)]
    return [[person_of[row] for row in rows(part)] for part in parts]


def test_utkface_has_the_files_labels_and_split(utk):
    data, arrays = utk
    train, validation, test = samples(data)
    assert [len(train), len(validation), len(test)] == [6800, 1200, 2000]
    chosen = arrays["split"] == "test"
    assert torch.equal(test.inputs, torch.from_numpy(arrays["images"][chosen]).permute(0, 3, 1, 2))
    assert test.targets["age"][:, 0].tolist() == arrays["age"][chosen].tolist()
    assert [("female", "male")[k] for k in test.targets["gender"].tolist()] == arrays["gender"][chosen].tolist()
    assert [ETHNICITIES[k] for k in test.targets["ethnicity"].tolist()] == arrays["ethnicity"][chosen].tolist()
    assert not set(rows(train.inputs)) & set(rows(validation.inputs))


def test_age_is_centred_on_the_training_part_whatever_the_size(utk):
    data, _ = utk
    age = data.train.samples.targets["age"]
    for task in (data.task("age"), utkface64(size=50).task("age")):
        assert torch.allclose(task.decode(torch.zeros(1, 1)), age.mean(), rtol=1e-5)
        assert torch.allclose(task.decode(torch.ones(1, 1)), age.mean() + age.std(), rtol=1e-5)


def test_lfw_missing_labels_and_people(lfw):
    data, arrays = lfw
    parts = samples(data)
    assert sum(map(len, parts)) == 13_233
    assert len(parts[2]) == 2272
    gender, expression = (torch.cat([part.targets[name] for part in parts]) for name in ("gender", "expression"))
    assert torch.bincount(gender + 1).tolist() == [9, 2961, 10263]  # missing, female, male
    assert torch.bincount(expression + 1).tolist() == [475, 13233 - 475 - 5306, 5306]  # missing, other, happiness
    chosen = arrays["split"] == "test"
    assert torch.equal(
        parts[2].targets["expression"] == 1, torch.from_numpy(arrays["expression"][chosen] == "happiness")
    )
    train, validation, test = map(set, people_of(data, arrays))
    assert not train & validation
    assert not (train | validation) & test


def test_lfw_identity_divides_each_persons_pictures(lfw):
    _, arrays = lfw
    data = lfw64(identity=True)
    names, counts = np.unique(arrays["person"], return_counts=True)
    assert [task.name for task in data.tasks] == ["identity", "expression"]
    assert list(data.task("identity").labels) == names[counts >= 20].tolist()
    assert data.task("identity").outputs == 62
    assert sum(map(len, samples(data))) == counts[counts >= 20].sum()
    for part, people in zip(samples(data), people_of(data, arrays), strict=True):
        assert [data.task("identity").labels[k] for k in part.targets["identity"].tolist()] == people
        assert len(set(people)) == 62


def test_landmarks_are_the_files_and_no_person_is_in_two_splits(landmarks):
    data, arrays = landmarks
    parts, people = samples(data), [set(split) for split in people_of(data, arrays)]
    assert sum(map(len, parts)) == 2500
    assert not any(people[a] & people[b] for a, b in ((0, 1), (0, 2), (1, 2)))
    assert sum(map(len, people)) == len(np.unique(arrays["person"]))
    assert [round(len(split) / 347, 2) for split in people] == [0.72, 0.13, 0.15]
    points_of = dict(zip(rows(torch.from_numpy(arrays["images"])), arrays["landmarks"], strict=True))
    for row, points in zip(
        rows(parts[2].inputs.permute(0, 2, 3, 1).contiguous()), parts[2].targets["landmarks"], strict=True
    ):
        assert np.array_equal(points_of[row].reshape(-1), points.numpy())


def test_mirroring_68_points_keeps_a_face_a_face(landmarks):
    # The mean mirrored face nearly equals the mean face; with left and right not swapped it would be inside out.
    mean = landmarks[0].train.samples.targets["landmarks"].mean(0).view(68, 2)
    mirrored = mean[list(MIRRORED_68)] * torch.tensor([-1.0, 1.0]) + torch.tensor([63.0, 0.0])
    assert (mirrored - mean).abs().max() < 3
    unswapped = mean * torch.tensor([-1.0, 1.0]) + torch.tensor([63.0, 0.0])
    assert (unswapped - mean).abs().max() > 20


def test_landmarks_follow_the_resolution(landmarks):
    data, _ = landmarks
    double = face68(resolution=128)
    assert double.input_shape == (3, 128, 128)
    first, second = (part.test.samples.targets["landmarks"] for part in (data, double))
    assert torch.allclose(second + 0.5, (first + 0.5) * 2, atol=1e-4)
    batch = next(double.train.train_batches(8, 0, 0))
    assert batch.targets["landmarks"].shape == (8, 136)


def test_landmark_errors_of_a_pixel_cost_the_same_for_every_point(landmarks):
    task = landmarks[0].task("landmarks")
    step = task.decode(torch.ones(1, 136)) - task.decode(torch.zeros(1, 136))
    assert torch.allclose(step, step[:, :1], rtol=1e-4)


def test_faces_joins_sets_with_one_task_each(utk, lfw, landmarks):
    data = faces(size=300)
    assert [task.name for task in data.tasks] == ["age", "ethnicity", "gender", "landmarks"]
    train = data.train.samples
    assert torch.bincount(train.domain).tolist() == [300, 300, 300]
    present = {task.name: task.labelled(train.targets[task.name]).view(len(train), -1).any(1) for task in data.tasks}
    for name, number in (("age", 0), ("ethnicity", 0), ("gender", 1), ("landmarks", 2)):
        assert set(train.domain[present[name]].tolist()) == {number}
        assert present[name][train.domain == number].float().mean() > 0.99
    assert len(data.test) == 2000 + 2272 - int((lfw[0].test.samples.targets["gender"] < 0).sum()) + len(
        landmarks[0].test
    )
    batch = next(data.train.train_batches(64, 0, 0))
    assert set(batch.domain.tolist()) == {0, 1, 2}
    alone = face68(size=300).train
    uniform = torch.rand(300, data.train.augment.draws, generator=seeded(3))
    whole = data.train.augment(train, uniform.repeat(3, 1))
    by_itself = alone.augment(alone.samples, uniform)
    assert torch.equal(whole.targets["landmarks"][600:], by_itself.targets["landmarks"])
    assert torch.equal(whole.inputs[600:], by_itself.inputs)


def test_where_a_task_of_faces_comes_from_can_be_chosen(utk, lfw):
    data = faces(size=200, gender="utkface64+lfw64", ethnicity="", age="utkface64", expression="lfw64", landmarks="")
    assert [task.name for task in data.tasks] == ["age", "gender", "expression"]
    train = data.train.samples
    assert (train.targets["gender"][train.domain == 0] >= 0).all()
    assert (train.targets["gender"][train.domain == 1] >= 0).float().mean() > 0.9
    assert (train.targets["expression"][train.domain == 0] == -1).all()
    with pytest.raises(UmbelError, match="age is to come from 'lfw'; the sets of faces are utkface64, lfw64, face68"):
        faces(age="lfw")
    with pytest.raises(UmbelError, match="unknown task 'age'"):
        faces(age="lfw64", gender="", ethnicity="", size=10)
    with pytest.raises(UmbelError, match=r"1 set\(s\) to join"):
        faces(age="utkface64", gender="", ethnicity="", landmarks="", size=10)


def test_the_parts_of_each_set_in_a_batch_can_be_chosen_from_the_command_too(utk, lfw, landmarks):
    for data in (
        faces(size=60, parts=(1, 1, 2)),
        open_data(DataSettings(data="faces", train_size=60, options="parts=1/1/2")),
    ):
        batch = next(data.train.train_batches(64, 0, 0))
        assert torch.bincount(batch.domain).tolist() == [16, 16, 32]
        assert len(data.validation) == len(faces(size=60).validation)
    for text, message in {
        "parts=1/1": "for each of 3",
        "parts=1/1/0": "greater than 0",
        "parts=a/b/c": "parts",
    }.items():
        with pytest.raises(UmbelError, match=message):
            open_data(DataSettings(data="faces", train_size=60, options=text))


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A small utkface64.npz of random pictures, some labels missing."""
    random = np.random.default_rng(0)
    arrays = {
        "images": random.integers(0, 256, (40, 64, 64, 3), dtype=np.uint8),
        "age": np.where(np.arange(40) % 4 == 0, np.nan, np.arange(40.0)).astype(np.float32),
        "gender": np.array(["female", "male", ""] * 14)[:40],
        "ethnicity": np.array([*ETHNICITIES, "martian"] * 7)[:40],
        "split": np.array(["train"] * 30 + ["test"] * 10),
    }
    monkeypatch.setenv("UMBEL_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    np.savez(tmp_path / "utkface64.npz", **arrays)
    return tmp_path / "utkface64.npz", arrays


def test_missing_labels_of_a_file(small):
    data = load_data("utkface64")
    test = data.test.samples.targets
    assert test["age"][:, 0].isnan().tolist() == [k % 4 == 0 for k in range(30, 40)]
    assert test["gender"].tolist() == [(0, 1, -1)[k % 3] for k in range(30, 40)]
    assert test["ethnicity"].tolist() == [(0, 1, 2, 3, 4, -1)[k % 6] for k in range(30, 40)]
    assert torch.isfinite(data.task("age").decode(torch.zeros(1, 1))).all()


def test_bad_files_are_named(small):
    path, arrays = small
    np.savez(path, **{name: array for name, array in arrays.items() if name != "age"})
    with pytest.raises(UmbelError, match=r"utkface64\.npz cannot be read .*age"):
        utkface64()
    np.savez(path, **{**arrays, "gender": arrays["gender"][:-1]})
    with pytest.raises(UmbelError, match="40 pictures but 39 values of gender"):
        utkface64()
    np.savez(path, **{**arrays, "gender": arrays["gender"].astype(object)})
    with pytest.raises(UmbelError, match="cannot be read"):  # a pickle in it is never opened
        utkface64()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UmbelError, match="cannot be read"):
        utkface64()
    np.save(path.with_suffix(".npy"), arrays["images"])
    path.with_suffix(".npy").rename(path)
    with pytest.raises(UmbelError, match="cannot be read"):  # one array instead of an archive
        utkface64()
