"""Pictures of an adaptation: boxes before and after, and both ends of the split."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from umbel.core import Batch, sizes_of
from umbel.core.modes import modes_kept
from umbel.data import UnlabelledPictures
from umbel.data.boxes.building import PICTURE
from umbel.nn.detection import Detector
from umbel.recipes.adapting.learner import Adaptation, in_batches
from umbel.report.boxes import DetectionRow, draw_detection_sheet

BEFORE_AFTER, ENDS = "before-after.png", "split.png"
"""Beside the results."""
SHOWN_SCORE = 0.3
"""Boxes with a lower score are left out of the pictures."""
_SHOWN, _EACH_END = 4, 3


def boxes_of(detector: Detector, batch: Batch) -> list[Tensor]:
    """The boxes [d, 6] of each picture that are shown."""
    device = next(detector.parameters()).device
    with torch.no_grad(), modes_kept(detector):
        detector.eval()
        answers = [detector({n: x.to(device) for n, x in inputs.items()})["boxes"] for inputs in in_batches(batch)]
    found = [boxes.float().cpu() for answer in answers for boxes in answer]
    return [boxes[boxes[:, 4] >= SHOWN_SCORE] for boxes in found]


def draw_sheet(
    path: Path,
    batch: Batch,
    detectors: Mapping[str, Detector],
    headings: Sequence[str],
    labels: Sequence[str],
    truth: Tensor | None = None,
) -> None:
    """Pictures side by side with the boxes of several detectors.

    Args:
        path: The file.
        batch: The pictures.
        detectors: By the heading of their column.
        headings: Of the pictures.
        labels: Names of the classes.
        truth: True boxes [B, N, 5]; None where nobody labelled.
    """
    columns = [boxes_of(detector, batch) for detector in detectors.values()]
    sizes = sizes_of(batch.inputs, PICTURE)[:, -2:].tolist()
    rows = [
        DetectionRow(
            heading,
            batch.inputs[PICTURE][number, :, : sizes[number][0], : sizes[number][1]].numpy(),
            [column[number].numpy() for column in columns],
            None if truth is None else truth[number].numpy(),
        )
        for number, heading in enumerate(headings)
    ]
    draw_detection_sheet(path, rows, list(detectors), labels)


def both_ends(variances: Tensor) -> tuple[Tensor, list[str]]:
    """The pictures that dropout moves most and least: their numbers, and what is said of each."""
    order = variances.argsort(descending=True, stable=True)
    each = min(_EACH_END, len(order) // 2)
    ends = torch.cat([order[:each], order[len(order) - each :]])
    ranks = [*range(1, each + 1), *range(len(order) - each + 1, len(order) + 1)]
    return ends, [f"{'most' if number < each else 'least'} moved, {rank}" for number, rank in enumerate(ranks)]


def draw_adaptation(out: Path, detectors: Mapping[str, Detector], made: Adaptation, found: UnlabelledPictures) -> None:
    """Both sheets of an adaptation; that of the split where there is one."""
    labels = next(iter(detectors.values())).labels
    samples, count = Batch(found.inputs), min(_SHOWN, len(found))
    draw_sheet(out / BEFORE_AFTER, samples[slice(0, count)], detectors, list(found.names[:count]), labels)
    if made.variances is not None:
        ends, headings = both_ends(made.variances)
        before = {"before": next(iter(detectors.values()))}
        draw_sheet(out / ENDS, samples[ends], before, headings, labels)
