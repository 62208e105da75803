"""From settings to data, networks and learners."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from umbel.core import Learner, UmbelError, check_inputs, check_labels
from umbel.data import MultiTaskData, TensorSource, describe_columns, from_table, load_data
from umbel.data.pictures import subset
from umbel.methods.controllable import controllable
from umbel.nn import build_model
from umbel.recipes.settings import ControllableModelSettings, DataSettings, ModelSettings, names, options
from umbel.recipes.teaching import with_weighed_classes

Built = TypeVar("Built")
_TABLES = (".csv", ".tsv", ".parquet", ".pq")


def is_table(settings: DataSettings) -> bool:
    """Whether the data is a file of the user's own."""
    return Path(settings.data).suffix.lower() in _TABLES


def open_data(settings: DataSettings) -> MultiTaskData:
    """The data set of the settings, checked: labels in range, more than one class, finite inputs.

    Raises:
        UmbelError: It cannot be had or cannot be learnt from.
    """
    data = _own_table(settings) if is_table(settings) else _known_set(settings)
    if settings.tasks:
        data = data.only(names(settings.tasks))
    data = with_weighed_classes(data, settings.class_weights)
    for split in ("train", "validation", "test"):
        source = getattr(data, split)
        if isinstance(source, TensorSource):
            check_inputs(source.samples, f"{data.name}, {split} split")
    if isinstance(data.train, TensorSource):
        check_labels(data.tasks, data.train.samples, f"{data.name}, train split")
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
    return "\n".join(lines)


def _table_arguments(settings: DataSettings) -> dict:
    return {
        "targets": names(settings.targets),
        "image_column": settings.image_column or None,
        "kinds": {name: str(kind) for name, kind in options(settings.kinds, "--kinds").items()},
        "split_column": settings.split_column or None,
        "ignore": names(settings.ignore),
    }


def _own_table(settings: DataSettings) -> MultiTaskData:
    if not settings.targets:
        raise UmbelError(f"--data {settings.data}: say what to predict with --targets column,column")
    data = from_table(settings.data, **_table_arguments(settings), resolution=settings.resolution)
    if settings.train_size is None:
        return data
    return dataclasses.replace(data, train=data.train.select(subset(len(data.train), settings.train_size)))


def _known_set(settings: DataSettings) -> MultiTaskData:
    for flag in ("targets", "image_column", "kinds", "split_column", "ignore"):
        if getattr(settings, flag):
            shown = flag.replace("_", "-")
            raise UmbelError(f"--{shown} is for own tables; {settings.data!r} is not a .csv or .parquet file")
    chosen = dict(options(settings.options, "--options"))
    if settings.train_size is not None:
        chosen["size"] = settings.train_size
    if settings.resolution is not None:
        chosen["resolution"] = settings.resolution
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
    try:
        return make(**chosen)
    except (TypeError, ValueError, RuntimeError) as error:  # "widths=wide", say; the options are the user's own words
        if not chosen:
            raise
        raise UmbelError(f"--encoder-options {text}: no such network ({error})") from error


def make_learner(settings: ModelSettings, data: MultiTaskData, seed: int, maps: bool | None = None) -> Learner:
    """A fresh network for all tasks of the data; the same seed gives the same encoder whatever the tasks are.

    With `widths` in the settings it is a controllable one.

    Args:
        settings: Encoder and heads.
        data: Its input shape and tasks.
        seed: Of the random start.
        maps: Whether the encoder keeps the resolution that tasks with maps want; unset: when `data` has one. A
            single-task reference is given what the joint network has.

    Raises:
        UmbelError: No such network, or one that cannot be controllable.
    """
    network = data.input_shape, data.tasks, settings.encoder or None
    about = {"seed": seed, "hidden": settings.hidden, "vector_head": settings.vector_head}
    about["keep_maps"] = predicts_maps(data) if maps is None else maps
    if not (isinstance(settings, ControllableModelSettings) and settings.widths):
        return Learner(with_options(settings.encoder_options, partial(build_model, *network, **about)), data.tasks)
    about |= {"grid": settings.grid, "distillation": settings.distillation, "strength": settings.strength}
    return with_options(settings.encoder_options, partial(controllable, *network, **about))


def predicts_maps(data: MultiTaskData) -> bool:
    """Whether a task of the data predicts a map."""
    return any(task.output == "map" for task in data.tasks)


def describe(data: DataSettings, model: ModelSettings, tasks: list[str], seed: int, maps: bool) -> dict[str, object]:
    """What a checkpoint keeps so that its network can be built again."""
    kept = {"data": dataclasses.asdict(data), "model": dataclasses.asdict(model)}
    return {**kept, "tasks": tasks, "seed": seed, "maps": maps}


def rebuild(described: Mapping[str, object], where: str) -> tuple[Learner, MultiTaskData]:
    """The learner (freshly initialised) and the data that `describe` described.

    Raises:
        UmbelError: The checkpoint was made from Python without a description, or by another version.
    """
    try:
        data = DataSettings(**described["data"])
        kind = ControllableModelSettings if "widths" in described["model"] else ModelSettings
        model = kind(**described["model"])
        tasks, seed, maps = described["tasks"], described["seed"], described["maps"]
    except (KeyError, TypeError):
        raise UmbelError(
            f"{where} does not say how its network was built; load its weights in Python with umbel.engine.load_weights"
        ) from None
    loaded = open_data(data)
    loaded = loaded.only(tasks) if [t.name for t in loaded.tasks] != tasks else loaded
    return make_learner(model, loaded, seed, maps), loaded
