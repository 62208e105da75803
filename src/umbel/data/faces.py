"""Three sets of faces at 64x64, each with its own labels, and all of them together: several sets, one task each."""

import zipfile
import zlib
from collections.abc import Sequence

import numpy as np
import torch

from umbel.core import Batch, Task
from umbel.data.augment import Augmentations, Flip, Shift
from umbel.data.find import need
from umbel.data.pictures import channels_first, held_out, held_out_groups, labels_of, picture_data
from umbel.data.several import several
from umbel.data.source import MultiTaskData
from umbel.errors import UmbelError
from umbel.tasks import classification, regression

GENDERS = ("female", "male")
"""As both sets that record it label it."""
EXPRESSIONS = ("other", "happiness")
"""Happiness against the rest."""
ETHNICITIES = ("white", "black", "asian", "indian", "other")
"""As UTKFace labels them."""

_EYES = (45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40)
MIRRORED_68 = (
    *range(16, -1, -1),  # jaw
    *range(26, 16, -1),  # brows
    *range(27, 31),  # ridge of the nose
    *range(35, 30, -1),  # nostrils
    *_EYES,
    *range(54, 47, -1),  # upper edge of the lips
    *range(59, 54, -1),  # lower edge
    *range(64, 59, -1),  # upper edge of the mouth's opening
    *range(67, 64, -1),  # lower edge
)
"""Order of the 68 points (numbered as in 300-W) in a mirrored face: point k was point MIRRORED_68[k]."""

_UTK_NOTE = (
    "UTKFace (Zhang, Song, Qi, CVPR 2017), {count:,} of its 23,708 faces at 64x64; non-commercial research only. "
    "Age and ethnicity are estimates (an algorithm's, checked by people). Published split of this subset; "
    "validation is a fixed 15 % of its training part. People may recur across splits; names are not recorded."
)
_LFW_NOTE = (
    "Labelled Faces in the Wild (Huang, Ramesh, Berg, Learned-Miller, 2007), 64x64; no licence stated, customary "
    "research use. Gender from AFIF4's lists of names; expression labelled by students, noisy and skewed, hence "
    "happiness against the rest. "
)
_FACE68_NOTE = (
    "Frames of YouTube Faces (Wolf, Hassner, Maoz, CVPR 2011) with 68 landmarks, 64x64; research use. In the published "
    "split every person of the test part is also in the training part, so the set is split anew by person "
    "(15 % of the people for test, 15 % of the others for validation). Some points lie outside the frame."
)


def _read(name: str, file: str, columns: Sequence[str]) -> dict[str, np.ndarray]:
    hint = f"put {file} there: arrays images uint8 [n, 64, 64, 3] and {', '.join(columns)} [n, ...]"
    path = need(name, file, hint=hint)
    try:
        with path.open("rb") as opened:
            archive = np.load(opened, allow_pickle=False)
            arrays = {column: archive[column] for column in ("images", *columns)}
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        wanted = ", ".join(("images", *columns))
        raise UmbelError(f"{path} cannot be read ({error}); it must be an .npz file with {wanted}") from error
    for column, array in arrays.items():
        if len(array) != len(arrays["images"]):
            raise UmbelError(f"{path} has {len(arrays['images'])} pictures but {len(array)} values of {column}")
    return arrays


def _augmentation(wanted: bool, resolution: int | None, landmarks: bool = False) -> Augmentations | None:
    """A flip, and shifts of up to a sixteenth of the picture."""
    if not wanted:
        return None
    pixels = max(1, (resolution or 64) // 16)
    flip = Flip({"landmarks": MIRRORED_68}) if landmarks else Flip()
    return Augmentations([flip, Shift(pixels, ("landmarks",) if landmarks else (), fill="edge")])


def utkface64(size: int | None = None, resolution: int | None = None, augment: bool = True) -> MultiTaskData:
    """UTKFace. Tasks: age (years), gender, ethnicity (5).

    Args:
        size: Number of training samples; None for all.
        resolution: Height and width in pixels; 64 by default.
        augment: Flip and shift training pictures at random.
    """
    arrays = _read("utkface64", "utkface64.npz", ("age", "gender", "ethnicity", "split"))
    targets = {
        "age": torch.from_numpy(arrays["age"].astype(np.float32))[:, None],
        "gender": labels_of(arrays["gender"], GENDERS),
        "ethnicity": labels_of(arrays["ethnicity"], ETHNICITIES),
    }
    everything = Batch(channels_first(arrays["images"]), targets)
    parts = {split: everything[torch.from_numpy(arrays["split"] == split)] for split in ("train", "test")}
    rest, held = held_out(len(parts["train"]))
    parts |= {"train": parts["train"][rest], "validation": parts["train"][held]}
    age = parts["train"].targets["age"]
    known = age[~age.isnan()]
    tasks = (
        regression("age", 1, float(known.mean()), float(known.std()), ("age",), unit="years"),
        classification("gender", GENDERS),
        classification("ethnicity", ETHNICITIES),
    )
    note, change = _UTK_NOTE.format(count=len(everything)), _augmentation(augment, resolution)
    return picture_data("utkface64", "UTKFace, 64x64", tasks, parts, note, size, resolution, change)


def read_lfw() -> dict[str, np.ndarray]:
    """The arrays images, person, gender, expression and split of `lfw64.npz`.

    Raises:
        UmbelError: The file is not here, or cannot be read.
    """
    return _read("lfw64", "lfw64.npz", ("person", "gender", "expression", "split"))


def lfw64(
    size: int | None = None, resolution: int | None = None, augment: bool = True, identity: bool = False
) -> MultiTaskData:
    """Labelled Faces in the Wild. Tasks: gender, expression (happiness or other); no person is in two splits.

    With `identity`, other pictures and another split: only the people with at least 20 pictures, each person's
    pictures divided over the splits (about 68, 12 and 20 %). Tasks: identity and expression. Gender is left out
    there, since knowing the person gives it away.

    Args:
        size: Number of training samples; None for all.
        resolution: Height and width in pixels; 64 by default.
        augment: Flip and shift training pictures at random.
        identity: Recognise people; see above.
    """
    arrays = read_lfw()
    expression = np.where(np.isin(arrays["expression"], ("", "happiness")), arrays["expression"], "other")
    targets = {"gender": labels_of(arrays["gender"], GENDERS), "expression": labels_of(expression, EXPRESSIONS)}
    tasks = [classification("gender", GENDERS), classification("expression", EXPRESSIONS)]
    if identity:
        people, counts = np.unique(arrays["person"], return_counts=True)
        people = [str(person) for person in people[counts >= 20]]
        targets["identity"] = labels_of(arrays["person"], people)
        tasks[0] = classification("identity", people)
        part, note = _within_people(targets["identity"].numpy()), f"{_LFW_NOTE}Our own split within each person."
    else:
        part = np.where(arrays["split"] == "test", "test", "train")
        learnt = np.flatnonzero(part == "train")
        part = part.astype("<U10")
        part[learnt[held_out_groups(arrays["person"][learnt])]] = "validation"
        note = f"{_LFW_NOTE}Test part by person; validation is a fixed 15 % of the people in the training part."
    everything = Batch(channels_first(arrays["images"]), {task.name: targets[task.name] for task in tasks})
    parts = {split: everything[torch.from_numpy(part == split)] for split in ("train", "validation", "test")}
    change = _augmentation(augment, resolution)
    return picture_data("lfw64", "Labelled Faces in the Wild, 64x64", tasks, parts, note, size, resolution, change)


def _within_people(person: np.ndarray) -> np.ndarray:
    """The split of each picture, dividing every person's pictures; "" for those of nobody (-1)."""
    part = np.full(len(person), "", dtype="<U10")
    for number in range(person.max() + 1):
        pictures = np.flatnonzero(person == number)
        rest, test = held_out(len(pictures), 0.2, salt=number)
        train, validation = (rest[index] for index in held_out(len(rest), salt=number))
        for name, index in (("train", train), ("validation", validation), ("test", test)):
            part[pictures[index.numpy()]] = name
    return part


def face68(size: int | None = None, resolution: int | None = None, augment: bool = True) -> MultiTaskData:
    """68 facial landmarks. Task: landmarks, x and y of each point in turn, in pixels; no person is in two splits.

    Args:
        size: Number of training samples; None for all.
        resolution: Height and width in pixels, which landmarks follow; 64 by default.
        augment: Flip and shift training pictures at random; landmarks move along.
    """
    arrays = _read("face68", "face68_64.npz", ("landmarks", "person"))
    landmarks = torch.from_numpy(arrays["landmarks"].astype(np.float32)).flatten(1)
    if resolution is not None:  # the centre of the first pixel is 0 at every resolution
        landmarks = (landmarks + 0.5) * (resolution / arrays["images"].shape[1]) - 0.5
    everything = Batch(channels_first(arrays["images"]), {"landmarks": landmarks})
    test = held_out_groups(arrays["person"])
    learnt = np.flatnonzero(~test)
    validation = np.zeros_like(test)
    validation[learnt[held_out_groups(arrays["person"][learnt], salt=1)]] = True
    masks = {"train": ~(test | validation), "validation": validation, "test": test}
    parts = {split: everything[torch.from_numpy(mask)] for split, mask in masks.items()}
    task = landmark_task(parts["train"])
    change = _augmentation(augment, resolution, landmarks=True)
    title = "68 landmarks of faces, 64x64"
    return picture_data("face68", title, [task], parts, _FACE68_NOTE, size, resolution, change)


def landmark_task(train: Batch) -> Task:
    """The task "landmarks": centre is each point's mean in training, scale one for all, so that a pixel is a pixel.

    Args:
        train: Training samples with the target "landmarks" [B, 136].
    """
    target = train.targets["landmarks"]
    names = [f"{axis}{point}" for point in range(68) for axis in "xy"]
    return regression("landmarks", 136, target.mean(0), float(target.var(0).mean().sqrt()), names, unit="pixels")


_LOADERS = {"utkface64": utkface64, "lfw64": lfw64, "face68": face68}


def faces(
    size: int | None = None,
    resolution: int | None = None,
    augment: bool = True,
    age: str = "utkface64",
    ethnicity: str = "utkface64",
    gender: str = "lfw64",
    expression: str = "",
    landmarks: str = "face68",
    parts: Sequence[float] | None = None,
) -> MultiTaskData:
    """Several sets of faces in one, each labelled for its own tasks only. `Batch.domain` numbers the sets.

    Args:
        size: Number of training samples of each set; None for all.
        resolution: Height and width in pixels; 64 by default.
        augment: Flip and shift training pictures at random.
        age: The set that teaches age; "" leaves the task out.
        ethnicity: The set that teaches ethnicity, or "".
        gender: The set that teaches gender ("utkface64", "lfw64", or both: "utkface64+lfw64"), or "".
        expression: The set that teaches expression ("lfw64"), or "".
        landmarks: The set that teaches landmarks, or "".
        parts: How every training batch is divided among the sets, in the order utkface64, lfw64, face68 of those that
            are used; None: each comes as often as it is large.

    Raises:
        UmbelError: A set does not exist or does not have the task, or fewer than two sets are left.
    """
    wanted = {"age": age, "ethnicity": ethnicity, "gender": gender, "expression": expression, "landmarks": landmarks}
    tasks_of: dict[str, list[str]] = {}
    for task, names in wanted.items():
        for name in filter(None, names.split("+")):
            if name not in _LOADERS:
                raise UmbelError(f"{task} is to come from {name!r}; the sets of faces are {', '.join(_LOADERS)}")
            tasks_of.setdefault(name, []).append(task)
    sets = [
        loader(size, resolution, augment).only(tasks_of[name]) for name, loader in _LOADERS.items() if name in tasks_of
    ]
    return several(sets, "faces", "Several sets of faces, each with its own labels", parts)
