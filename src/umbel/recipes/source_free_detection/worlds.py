"""The two places of the study: labelled pictures of the source, and those of the target by fold."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import torch

from umbel.core import Batch, UmbelError, join_batches
from umbel.data import MultiTaskData, TensorSource, load_data
from umbel.data.boxes.building import BOXES
from umbel.data.boxes.sets import STRENGTH
from umbel.recipes.box_paths import is_boxes
from umbel.recipes.boxes import own_boxes
from umbel.recipes.settings import DataSettings, names
from umbel.recipes.source_free_detection.settings import SourceFreeSettings

WEATHER_SET = "blood-cells-fog"
"""The set whose weather has a known strength, for sources that are the same cells."""
_CELLS = "blood-cells"


class Worlds:
    """What is learnt from and judged by; read once.

    Args:
        settings: Of the study.

    Raises:
        UmbelError: A set that cannot be had, or classes that differ.
    """

    def __init__(self, settings: SourceFreeSettings) -> None:
        self.settings = settings
        self.source = _opened(settings.source, settings.classes, settings.source_resolution)
        first = self.target(0)
        ours, theirs = (data.task(BOXES).labels for data in (self.source, first))
        if ours != theirs:
            raise UmbelError(
                f"{settings.source} has the classes {', '.join(ours)}, {settings.target} {', '.join(theirs)}; the same "
                "are needed, in the same order"
            )

    @cache  # noqa: B019 - lives as long as the study
    def target(self, fold: int) -> MultiTaskData:
        """The target, of which one fold is the test."""
        settings = self.settings
        return _opened(settings.target, settings.classes, settings.target_resolution, settings.folds, fold)

    def pictures(self, fold: int) -> Batch:
        """The pictures of the other folds, with the labels that only judge."""
        data = self.target(fold)
        parts = [source.samples for source in (data.train, data.validation)]
        return replace(join_batches(parts, {BOXES: -1.0}), domain=None)

    def adapting(self, fold: int) -> MultiTaskData:
        """The target as an adaptation has it: its validation are the very pictures, whose labels choose nothing."""
        data = self.target(fold)
        seen = TensorSource(self.pictures(fold))
        return replace(data, train=seen, validation=seen)

    def weather(self) -> Iterator[tuple[str, Batch, torch.Tensor]]:
        """Kinds of weather: name, pictures that the source was not learnt from, and the strength of each."""
        if self.settings.source != _CELLS:
            return
        for kind in self.settings.weathers:
            data = load_data(WEATHER_SET, kind=kind, resolution=self.settings.source_resolution, augment=False)
            parts = [source.samples for source in (data.test, data.validation)]
            batch = join_batches(parts, {BOXES: -1.0})[: self.settings.weather_pictures]
            yield kind, batch, batch.targets[STRENGTH].float()


def _opened(
    name: str, classes: str, resolution: int | None, folds: int | None = None, fold: int | None = None
) -> MultiTaskData:
    """A set by name, or a folder of the user's own."""
    settings = DataSettings(data=name, resolution=resolution, folds=folds, fold=fold)
    if is_boxes(settings):
        chosen = "classes=" + "".join(f"{one}/" for one in names(classes)) if classes else ""
        data = own_boxes(replace(settings, options=chosen))
    elif classes:
        raise UmbelError(f"--classes is for folders of boxes; {name} is a set with classes of its own")
    else:
        given = {"resolution": resolution, "folds": folds, "fold": fold}
        data = load_data(name, **{key: value for key, value in given.items() if value is not None})
    return data.only([BOXES]) if len(data.tasks) > 1 else data
