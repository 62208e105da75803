"""Folders of live faces and attacks as data of a run, beside folders of boxes."""

import inspect
from dataclasses import replace
from pathlib import Path

import torch

from umbel.arguments import check_options
from umbel.core import UmbelError, unknown
from umbel.data import MultiTaskData, TensorSource, liveness_folder
from umbel.data.antispoofing.building import LIVENESS, MAPS, frames_batch
from umbel.data.antispoofing.frames import read_frames
from umbel.data.antispoofing.videos import TYPES
from umbel.data.data_record import DataRecord
from umbel.recipes.box_paths import is_frames
from umbel.recipes.boxes import own_boxes
from umbel.recipes.settings import DataSettings, options
from umbel.recipes.split_flags import OWN_TABLE, given

_OF_FLAGS = {"size": "--train-size", "resolution": "--resolution", "path": "--data", "fold": "--fold"}
"""Options of such a folder that are flags of their own."""


def own_folder(settings: DataSettings) -> MultiTaskData:
    """The user's folder, of frames where `frames.csv` is in it, else of boxes.

    Raises:
        UmbelError: It cannot be read, or a flag does not apply to it.
    """
    return own_frames(settings) if is_frames(settings) else own_boxes(settings)


def own_frames(settings: DataSettings) -> MultiTaskData:
    """The user's folder of frames.

    Raises:
        UmbelError: It cannot be read, or a flag does not apply to it.
    """
    for flag in OWN_TABLE:
        if flag != "fold" and given(settings, flag):
            raise UmbelError(
                f"--{flag.replace('_', '-')} is for own tables; in {settings.data} frames.csv says what is learnt from"
            )
    chosen = dict(options(settings.options, "--options"))
    accepted = [name for name in inspect.signature(liveness_folder).parameters if name not in _OF_FLAGS]
    for name in chosen:
        if name in _OF_FLAGS:
            raise UmbelError(f"--options {settings.options}: {name} is what {_OF_FLAGS[name]} says")
        if name not in accepted:
            raise unknown("option of a folder of frames", name, accepted)
    check_options(liveness_folder, chosen, f"--options {settings.options}")
    if settings.resolution is not None:
        chosen["resolution"] = settings.resolution
    return liveness_folder(settings.data, size=settings.train_size, fold=settings.fold, **chosen)


def new_frames(record: DataRecord, folder: Path) -> TensorSource:
    """All frames of a prepared folder, whatever part they are for, as a run's own pictures were read.

    Its targets are those of the run's tasks that a folder can have: liveness under the name that it has there, and
    depth and reflection.

    Args:
        record: Of the data that the run learnt from.
        folder: With `frames.csv`.

    Raises:
        UmbelError: The run does not tell live faces from attacks, has pictures of another form, does not know a type
            of attack, or the folder cannot be read.
    """
    judges = [output for output in record.outputs if output.kind == "liveness"]
    if len(judges) != 1:
        raise UmbelError(f"{folder} holds live faces and attacks, which this run has not learnt; give other data")
    shape = record.input_shape
    if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2]:
        raise UmbelError(f"{folder} holds square colour pictures, and this run learnt from inputs of shape {shape}")
    maps = [output.name for output in record.outputs if output.name in MAPS and output.output == "map"]
    batch = frames_batch(read_frames(folder), maps, shape[-1], str(folder))
    kinds = batch.targets[LIVENESS]
    known = torch.full((len(TYPES),), -1)
    for number, kind in enumerate(TYPES):
        if kind in judges[0].labels:
            known[number] = judges[0].labels.index(kind)
        elif bool((kinds == number).any()):
            raise UmbelError(f"{folder} has {kind} attacks; this run knows {', '.join(judges[0].labels)}")
    targets = {name: target for name, target in batch.targets.items() if name != LIVENESS}
    return TensorSource(replace(batch, targets=targets | {judges[0].name: known[kinds]}))
