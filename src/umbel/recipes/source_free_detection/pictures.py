"""Pictures of the study: detections before and after adaptation, and both ends of the split."""

from pathlib import Path

import torch
from torch import Tensor

from umbel.core import Batch, sizes_of
from umbel.data.boxes.building import BOXES, PICTURE
from umbel.recipes.adapting.learner import in_batches
from umbel.recipes.source_free_detection.networks import DETECTOR, Networks
from umbel.recipes.source_free_detection.settings import NORMS, OURS, SOURCE
from umbel.report import SampleSheet
from umbel.report.boxes import DetectionRow, draw_detection_sheet
from umbel.study import Job, Study

BEFORE_AFTER, ENDS = "before-after.png", "split.png"
"""Beside the results."""
SHOWN_SCORE = 0.3
"""Boxes with a lower score are left out of the pictures."""
_PICTURES, _EACH_END = 3, 3
_TITLES = {
    BEFORE_AFTER: ("Before and after", "pictures of the test fold with the boxes of three detectors"),
    ENDS: ("Both ends of the split", "pictures that dropout moves most and least, with the source detector's boxes"),
}


def draw(folder: Path, networks: Networks) -> None:
    """Draw both sheets, of repeat 0."""
    start = Job(DETECTOR, 0)
    test = networks.worlds.target(0).test.samples[slice(0, _PICTURES)]
    learners = {
        "source only": networks.bench.learner(start).model,
        "norms": networks.with_norms(start).model,
        "adapted": networks.bench.learner(Job(OURS, 0, needs=(start,))).adapted,
    }
    columns = [_boxes(detector, test) for detector in learners.values()]
    _sheet(folder / BEFORE_AFTER, test, columns, list(learners), [f"test {n + 1}" for n in range(len(test))], networks)
    pictures = networks.worlds.pictures(0)
    order = torch.tensor(networks.variances(start)["sum"]).argsort(descending=True)
    ends = torch.cat([order[:_EACH_END], order[-_EACH_END:]])
    named = [f"{n + 1} of {len(order)}" for n in (*range(_EACH_END), *range(len(order) - _EACH_END, len(order)))]
    chosen = pictures[ends]
    _sheet(folder / ENDS, chosen, [_boxes(learners["source only"], chosen)], ["source only"], named, networks)


def _boxes(detector: torch.nn.Module, batch: Batch) -> list[Tensor]:
    detector.eval()
    with torch.no_grad():
        found = [boxes for inputs in in_batches(batch) for boxes in detector(inputs)["boxes"].float()]
    return [boxes[boxes[:, 4] >= SHOWN_SCORE] for boxes in found]


def _sheet(
    path: Path, batch: Batch, columns: list[list[Tensor]], names: list[str], headings: list[str], networks: Networks
) -> None:
    rows = []
    for number, heading in enumerate(headings):
        high, wide = sizes_of(batch.inputs, PICTURE)[number, -2:].tolist()
        picture = batch.inputs[PICTURE][number, :, :high, :wide]
        found = [column[number].numpy() for column in columns]
        rows.append(DetectionRow(heading, picture.numpy(), found, batch.targets[BOXES][number].numpy()))
    draw_detection_sheet(path, rows, names, networks.task.labels)


def sheets(study: Study) -> tuple[SampleSheet, ...]:
    """The pictures beside the results."""
    arms = {BEFORE_AFTER: OURS, ENDS: SOURCE}
    return tuple(SampleSheet(arms[file], file, *told) for file, told in _TITLES.items() if (study.out / file).exists())


__all__ = ["BEFORE_AFTER", "ENDS", "NORMS", "draw", "sheets"]
