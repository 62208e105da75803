"""From settings to data, networks and learners."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from umbel.core import Learner, UmbelError, check_inputs, check_labels
from umbel.data import MultiTaskData, TensorSource, describe_columns, from_table, load_data
from umbel.data.cell_values import MISSING_WORDS
from umbel.data.data_record import DataRecord
from umbel.data.padded_pictures import PaddedPictures
from umbel.data.pictures import subset
from umbel.data.plain_inputs import PlainInputs
from umbel.data.table_description import TableDescription
from umbel.engine import Checkpoint, load_weights
from umbel.methods.controllable import controllable
from umbel.methods.physical_proxies import physical_proxies
from umbel.nn import build_model
from umbel.nn.memory_bound import memory_bound
from umbel.recipes.box_paths import is_away, is_folder
from umbel.recipes.boxes import detector_learner
from umbel.recipes.frame_folders import own_folder
from umbel.recipes.proxies import proxy_arguments
from umbel.recipes.settings import (
    ControllableModelSettings,
    DataSettings,
    ModelSettings,
    TrainedModelSettings,
    kind_of_settings,
    names,
    options,
)
from umbel.recipes.split_flags import OWN_TABLE, given, split_rule
from umbel.recipes.teaching import with_weighed_classes
from umbel.report.schema import build

Built = TypeVar("Built")
_TRAINED_COPIES = 3  # weights, gradients, and at least one moment of the optimizer
_OWN_FLAG = "it has a flag of its own"
_OF_ALL = ("encoder", "seed", "hidden", "vector_head")
_OF_KINDS = ("distillation", "strength", "main", "proxies", "attention", "mining", "attributes")
_NO_OPTIONS = {
    **dict.fromkeys((*_OF_ALL, *_OF_KINDS), _OWN_FLAG),
    **dict.fromkeys(("tasks", "input_shape", "keep_maps", "data", "grid"), "it follows from the data and the settings"),
}
"""What builds a network takes besides the encoder's options -> what to do instead."""
GIVEN_ROWS = "estimator"
"""What stands for the data's name in a run that an estimator saved: rows that were given to `fit` and are not kept."""
KnownInputs = TableDescription | PaddedPictures | PlainInputs
"""How a run reads what it is given."""
_TABLES = (".csv", ".tsv", ".parquet", ".pq")


def is_table(settings: DataSettings) -> bool:
    """Whether the data is a file of the user's own."""
    return Path(settings.data).suffix.lower() in _TABLES


def open_data(
    settings: DataSettings,
    known: KnownInputs | None = None,
    say: Callable[[str], object] | None = None,
) -> MultiTaskData:
    """As `open_with_boxes`, for studies, whose networks find no boxes.

    Raises:
        UmbelError: As there; or it is a set of boxes.
    """
    data = open_with_boxes(settings, known, say)
    if isinstance(data.reading, PaddedPictures):
        raise UmbelError(f"{data.name} is a set of boxes, which detectors learn from: `umbel train` trains one")
    return data


def open_with_boxes(
    settings: DataSettings,
    known: KnownInputs | None = None,
    say: Callable[[str], object] | None = None,
) -> MultiTaskData:
    """The data set of the settings, checked: labels in range, more than one class, finite inputs.

    Args:
        settings: Which data.
        known: How a run that learnt from it preprocessed it; None before there is one.
        say: Hears what was made of the columns of an own table before it is read, and then what to beware of.

    Raises:
        UmbelError: It cannot be had or cannot be learnt from, or it is a table other than the known one.
    """
    told = columns_text(settings) if say else ""
    if say and told:
        say(told)
    table = known if isinstance(known, TableDescription) else None
    if is_table(settings):
        data = _own_table(settings, table)
    else:
        data = own_folder(settings) if is_folder(settings) else _known_set(settings)
    if settings.tasks:
        data = data.only(names(settings.tasks))
    data = with_weighed_classes(data, settings.class_weights)
    for split in ("train", "validation", "test"):
        source = getattr(data, split)
        if isinstance(source, TensorSource):
            check_inputs(source.samples, f"{data.name}, {split} split")
    if isinstance(data.train, TensorSource):
        check_labels(data.tasks, data.train.samples, f"{data.name}, train split")
    for warning in data.warnings if say else ():
        if say and warning not in told:
            say(f"Note: {warning}")
    return data


def columns_text(settings: DataSettings) -> str:
    """What was made of each column of the user's table, as lines to print; empty for a known set.

    Raises:
        UmbelError: The table cannot be read, or a column does not exist.
    """
    if not is_table(settings):
        return ""
    arguments = _table_arguments(settings)
    columns = describe_columns(settings.data, **arguments)
    width = max(len(column.name) for column in columns)
    lines = [f"Columns of {settings.data} (change a kind with --kinds name=regression|classification):"]
    for column in columns:
        blanks = f", {column.missing} blank" if column.missing else ""
        note = f" ({column.note})" if column.note else ""
        lines.append(
            f"  {column.name:<{width}}  {column.role:<7} {column.kind}, {column.distinct} values{blanks}{note}"
        )
    return "\n".join([*lines, *(f"Note: {column.warning}" for column in columns if column.warning)])


def _table_arguments(settings: DataSettings) -> dict:
    return {
        "targets": names(settings.targets),
        "image_column": settings.image_column or None,
        "kinds": {name: str(kind) for name, kind in options(settings.kinds, "--kinds").items()},
        "split": split_rule(settings),
        "ignore": names(settings.ignore),
        "missing": tuple(dict.fromkeys((*MISSING_WORDS, *names(settings.missing)))),
    }


def _own_table(settings: DataSettings, known: TableDescription | None) -> MultiTaskData:
    if not settings.targets:
        raise UmbelError(f"--data {settings.data}: say what to predict with --targets column,column")
    _refuse(settings, ("options",), "is for sets that `umbel list` shows; a table has none")
    if not settings.image_column:
        _refuse(settings, ("pictures_anywhere", "resolution"), "is for pictures; name their column with --image-column")
    anywhere = settings.pictures_anywhere
    if known is not None:
        data = from_table(settings.data, description=known, pictures_anywhere=anywhere)
    else:
        arguments = _table_arguments(settings)
        data = from_table(settings.data, **arguments, resolution=settings.resolution, pictures_anywhere=anywhere)
    if settings.train_size is None:
        return data
    return dataclasses.replace(data, train=data.train.select(subset(len(data.train), settings.train_size)))


def _refuse(settings: DataSettings, names: Sequence[str], why: str) -> None:
    """Refuse settings that would change nothing."""
    for name in names:
        if getattr(settings, name):
            raise UmbelError(f"--{name.replace('_', '-')} {why}")


def _known_set(settings: DataSettings) -> MultiTaskData:
    for flag in OWN_TABLE:
        if given(settings, flag):
            shown = flag.replace("_", "-")
            raise UmbelError(f"--{shown} is for own tables; {settings.data!r} is not a .csv or .parquet file")
    chosen = dict(options(settings.options, "--options"))
    of_flags = (("size", "train-size", settings.train_size), ("resolution", "resolution", settings.resolution))
    for name, flag, value in of_flags:
        if value is not None and name in chosen:
            raise UmbelError(f"--options {settings.options}: {name} is what --{flag} says; give one of the two")
        if value is not None:
            chosen[name] = value
    try:
        return load_data(settings.data, **chosen)
    except TypeError as error:  # "size=small", say; the options are the user's own words
        if not settings.options:
            raise
        raise UmbelError(f"--options {settings.options}: a value is of the wrong kind ({error})") from error


def with_options(text: str, make: Callable[..., Built]) -> Built:
    """What `make(**options)` gives for the encoder's options that a text names.

    Raises:
        UmbelError: The options are of the wrong kind, or name no network.
    """
    chosen = options(text, "--encoder-options")
    for name in chosen:
        if name in _NO_OPTIONS:
            raise UmbelError(f"--encoder-options {text}: {name} is no option of an encoder; {_NO_OPTIONS[name]}")
    try:
        with memory_bound("this network", copies=_TRAINED_COPIES):
            return make(**chosen)
    except (TypeError, ValueError, RuntimeError) as error:  # "norm=8", say; the options are the user's own words
        if not chosen:
            raise
        reason = " ".join(str(error).split())
        raise UmbelError(f"--encoder-options {text}: no such network ({reason})") from error


def make_learner(
    settings: ModelSettings, data: MultiTaskData | DataRecord, seed: int, maps: bool | None = None
) -> Learner:
    """A fresh network for all tasks of the data; the same seed gives the same encoder whatever the tasks are.

    With `widths` in the settings it is a controllable one, with `proxies` one whose main task reads them; for a set of
    boxes it is a detector.

    Args:
        settings: Encoder and heads.
        data: Its input shape and tasks; the record of a set says both.
        seed: Of the random start.
        maps: Whether the encoder keeps the resolution that tasks with maps want; unset: when `data` has one. A
            single-task reference is given what the joint network has.

    Raises:
        UmbelError: No such network, one that cannot be controllable, or no main task for the proxies.
    """
    if isinstance(data.inputs, PaddedPictures):
        return detector_learner(settings, data.tasks, data.inputs, seed)
    network = data.input_shape, data.tasks, settings.encoder or None
    about = {"seed": seed, "hidden": settings.hidden, "vector_head": settings.vector_head}
    about["keep_maps"] = predicts_maps(data) if maps is None else maps
    if isinstance(settings, TrainedModelSettings) and settings.proxies:
        about |= proxy_arguments(settings, data.tasks)
        return with_options(settings.encoder_options, partial(physical_proxies, *network, **about))
    if not (isinstance(settings, ControllableModelSettings) and settings.widths):
        return Learner(with_options(settings.encoder_options, partial(build_model, *network, **about)), data.tasks)
    about |= {"grid": settings.grid, "distillation": settings.distillation, "strength": settings.strength}
    return with_options(settings.encoder_options, partial(controllable, *network, **about))


def predicts_maps(data: MultiTaskData | DataRecord) -> bool:
    """Whether a task of the data predicts a map."""
    return any(task.output == "map" for task in data.tasks)


def describe(
    settings: DataSettings, model: ModelSettings, data: MultiTaskData, seed: int, maps: bool
) -> dict[str, object]:
    """What a checkpoint keeps so that its network can be built again, and new inputs be read as its own were.

    Args:
        settings: Of the data.
        model: Of the network.
        data: What it learns from, with the tasks that it has.
        seed: Of the random start.
        maps: As for `make_learner`.
    """
    kept = {"data": dataclasses.asdict(settings), "model": dataclasses.asdict(model)}
    return {**kept, "record": DataRecord.of(data).plain(), "seed": seed, "maps": maps}


@dataclass(frozen=True)
class Described:
    """What a checkpoint says of its making.

    Attributes:
        settings: Of the data.
        model: Of the network.
        record: What is known of the data.
        seed: Of the random start.
        maps: As for `make_learner`.
    """

    settings: DataSettings
    model: ModelSettings
    record: DataRecord
    seed: int
    maps: bool

    @classmethod
    def read(cls, kept: Mapping[str, Any], where: str) -> "Described":
        """What `describe` gave.

        Raises:
            UmbelError: The checkpoint was made from Python without a description, or by another version.
        """
        if missing := [name for name in ("data", "model", "record", "seed", "maps") if name not in kept]:
            raise UmbelError(
                f"{where} does not say how its network was built ({missing[0]} is missing); load its weights in Python "
                "with umbel.engine.load_weights"
            )
        kind = kind_of_settings(kept["model"])
        hints = (("data", DataSettings), ("model", kind), ("seed", int), ("maps", bool))
        for part, fields in (("data", DataSettings), ("model", kind)):
            told = kept[part] if isinstance(kept[part], dict) else {}
            if strange := set(told) - {field.name for field in dataclasses.fields(fields)}:
                raise UmbelError(f"{where} says {part}.{min(strange)}, which this version does not know; update umbel")
        settings, model, seed, maps = (build(hint, kept[name], f"{where}: {name}") for name, hint in hints)
        return cls(settings, model, DataRecord.read(kept["record"], where), seed, maps)

    def learner(self) -> Learner:
        """The network, freshly initialised; the data is not needed, unless a task was made by hand.

        Raises:
            UmbelError: The data is needed and cannot be had.
        """
        by_hand = any(output.answers == "code" for output in self.record.outputs)
        return make_learner(self.model, self.data() if by_hand else self.record, self.seed, self.maps)

    def trained(self, saved: Checkpoint) -> Learner:
        """The network with its weights.

        Args:
            saved: The checkpoint that says this.

        Raises:
            UmbelError: As `learner`; or the checkpoint is of another model.
        """
        learner = self.learner()
        load_weights(learner, saved)
        return learner

    def data(self) -> MultiTaskData:
        """The data, preprocessed as it was for the training.

        Raises:
            UmbelError: It cannot be had, or a table is not the one that was learnt from.
        """
        if self.settings.data == GIVEN_ROWS:
            raise UmbelError(
                "the rows that an estimator was fitted to are not kept with it; measure it on rows of a file, with "
                "--data labelled.csv"
            )
        if is_table(self.settings) and not Path(self.settings.data).is_file():
            raise UmbelError(
                f"{self.settings.data}: the table that the run learnt from is not there; put it back, go to the folder "
                "that this path starts from, or measure on rows of another file with --data"
            )
        if not isinstance(self.record.inputs, TableDescription) and is_away(self.settings):
            raise UmbelError(
                f"{self.settings.data}: the pictures that the run learnt from are not there; put them back, go to the "
                "folder that this path starts from, or measure on others with --data"
            )
        tasks = [output.name for output in self.record.outputs]
        data = open_with_boxes(self.settings, self.record.inputs)
        return data.only(tasks) if [task.name for task in data.tasks] != tasks else data
