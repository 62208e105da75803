"""What a run knows of its table: columns, kinds, categories, scales, classes and splits, made once and kept."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from umbel.core import Task
from umbel.data.split_rules import SplitRule, rule_of, rule_record
from umbel.errors import UmbelError
from umbel.tasks import classification, regression

FORMAT = "umbel table description"
"""What a file of a description says that it is."""
VERSION = 2
"""Of the format. A description of another version is refused, for its numbers may mean something else."""


@dataclass(frozen=True)
class InputColumn:
    """What becomes of an input column.

    A number becomes (value - centre) / scale, and 0 where it is missing; with scale 0, because it did not vary in
    training, it is always 0. A category becomes one input for each of `categories`, all 0 for any other value.

    Attributes:
        name: As in the header.
        kind: "number" or "category".
        flagged: Whether a last input is 1 where the cell is missing, as some were in the training rows.
        centre: Mean of the training rows, in double precision.
        scale: Their standard deviation, likewise.
        categories: Those of the training rows, in the order of the inputs.
    """

    name: str
    kind: str
    flagged: bool
    centre: float = 0.0
    scale: float = 0.0
    categories: tuple[str, ...] = ()


@dataclass(frozen=True)
class TargetColumn:
    """What is predicted.

    Attributes:
        name: As in the header.
        kind: "regression" or "classification".
        centre: Mean of the labelled training rows, in double precision; of a regression.
        scale: Their standard deviation, likewise.
        classes: Names of the classes, in the order of the outputs; of a classification.
    """

    name: str
    kind: str
    centre: float = 0.0
    scale: float = 1.0
    classes: tuple[str, ...] = ()

    def task(self) -> Task:
        """The task with these scales or classes."""
        if self.kind == "classification":
            return classification(self.name, self.classes)
        return regression(self.name, centre=self.centre, scale=self.scale)


@dataclass(frozen=True)
class ImageColumn:
    """Pictures as the input.

    Attributes:
        name: Column of their paths.
        resolution: Height and width that they are resized to; None where they keep their size.
        shape: (3, height, width) as the network gets them.
    """

    name: str
    resolution: int | None
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class SplitRows:
    """Which rows a split holds.

    Attributes:
        split: "train", "validation" or "test".
        rows: How many.
        digest: SHA-256 of what the used columns say in these rows, and of the files of their pictures.
    """

    split: str
    rows: int
    digest: str


@dataclass(frozen=True)
class TableDescription:
    """The preprocessing of a table, frozen: the same for training, evaluation, prediction and export.

    Attributes:
        inputs: Input columns in the order of the network's inputs; none where pictures are the input.
        targets: In the order of the tasks.
        image: The pictures; None where columns are the input.
        split: How rows were dealt out.
        splits: Which rows came where: training, validation and test.
        missing: What marked a missing value, besides an empty cell.
    """

    inputs: tuple[InputColumn, ...]
    targets: tuple[TargetColumn, ...]
    image: ImageColumn | None
    split: SplitRule
    splits: tuple[SplitRows, ...]
    missing: tuple[str, ...]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one sample: (features,) or (3, height, width)."""
        if self.image is not None:
            return self.image.shape
        return (sum((len(c.categories) if c.kind == "category" else 1) + c.flagged for c in self.inputs),)

    def tasks(self) -> tuple[Task, ...]:
        """The tasks, one for each target."""
        return tuple(target.task() for target in self.targets)

    def to_json(self) -> str:
        """As text; numbers keep every bit."""
        kept = {"format": FORMAT, "version": VERSION, **asdict(self), "split": rule_record(self.split)}
        return json.dumps(kept, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "TableDescription":
        """What `to_json` wrote.

        Raises:
            UmbelError: It is not a description, one of another version, or a damaged one.
        """
        try:
            given = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UmbelError(f"the description of the table is no JSON ({error}); it is damaged") from None
        if not isinstance(given, dict) or given.get("format") != FORMAT:
            raise UmbelError(f"the description of the table does not say {FORMAT!r}; give one that Umbel wrote")
        if given.get("version") != VERSION:
            raise UmbelError(
                f"the description of the table has version {given.get('version')}, this Umbel reads {VERSION}; "
                "use the Umbel that wrote it"
            )
        try:
            return _description(given)
        except (KeyError, TypeError, ValueError) as error:
            raise UmbelError(f"the description of the table is damaged ({type(error).__name__}: {error})") from None


def _description(given: Mapping[str, Any]) -> TableDescription:
    image = given["image"]
    return TableDescription(
        inputs=tuple(_input(column) for column in _list(given["inputs"])),
        targets=tuple(_target(column) for column in _list(given["targets"])),
        image=None if image is None else _image(image),
        split=rule_of(given["split"]),
        splits=tuple(
            SplitRows(_text(part["split"]), _whole(part["rows"]), _text(part["digest"])) for part in given["splits"]
        ),
        missing=_texts(given["missing"]),
    )


def _input(given: Mapping[str, Any]) -> InputColumn:
    kind, scale = _one_of(given["kind"], ("number", "category")), _number(given["scale"])
    if scale < 0 or not isinstance(given["flagged"], bool):
        raise ValueError(f"scale {scale} or mark of gaps {given['flagged']!r}")
    categories = _texts(given["categories"])
    return InputColumn(_text(given["name"]), kind, given["flagged"], _number(given["centre"]), scale, categories)


def _target(given: Mapping[str, Any]) -> TargetColumn:
    kind, scale = _one_of(given["kind"], ("regression", "classification")), _number(given["scale"])
    classes = _texts(given["classes"])
    if scale <= 0 or (kind == "classification" and len(classes) < 2):
        raise ValueError(f"target with scale {scale} and {len(classes)} classes")
    return TargetColumn(_text(given["name"]), kind, _number(given["centre"]), scale, classes)


def _image(given: Mapping[str, Any]) -> ImageColumn:
    channels, height, width = (_whole(size) for size in _list(given["shape"]))
    return ImageColumn(_text(given["name"]), _optional(_whole, given["resolution"]), (channels, height, width))


def _optional(read: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else read(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(one) for one in _list(value))


def _one_of(value: Any, known: Sequence[str]) -> str:
    if value not in known:
        raise ValueError(f"{value!r} is none of {', '.join(known)}")
    return value


def _list(value: Any) -> list:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no whole number")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError(f"{value!r} is no number")
    return float(value)
