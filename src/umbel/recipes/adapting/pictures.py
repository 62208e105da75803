"""Pictures of an adaptation: boxes before and after, and both ends of the split."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from umbel.core import Batch, sizes_of
from umbel.core.modes import modes_kept
from umbel.data import UnlabelledPictures
from umbel.data.boxes.building import PICTURE
from umbel.methods.source_free_detection import per_class
from umbel.nn.detection import Detector
from umbel.recipes.adapting.learner import Adaptation, in_batches
from umbel.report.boxes import DetectionRow, draw_detection_sheet

BEFORE_AFTER, ENDS = "before-after.png", "split.png"
"""Beside the results."""
SHOWN_SCORE = 0.3
"""Boxes with a lower score are left out of the pictures, where no thresholds of the classes are known."""
_SHOWN, _EACH_END = 4, 3


def boxes_of(detector: Detector, batch: Batch, thresholds: Sequence[float]) -> list[Tensor]:
    """The boxes [d, 6] of each picture that are shown: those that reach the threshold of their class."""
    least = torch.tensor(tuple(thresholds))
    device = next(detector.parameters()).device
    with torch.no_grad(), modes_kept(detector):
        detector.eval()
        answers = [detector({n: x.to(device) for n, x in inputs.items()})["boxes"] for inputs in in_batches(batch)]
    found = [boxes.float().cpu() for answer in answers for boxes in answer]
    return [boxes[boxes[:, 4] >= least[boxes[:, 5].long()]] for boxes in found]


def draw_sheet(
    path: Path,
    batch: Batch,
    detectors: Mapping[str, Detector],
    headings: Sequence[str],
    labels: Sequence[str],
    truth: Tensor | None = None,
    thresholds: Sequence[float] = (SHOWN_SCORE,),
) -> None:
    """Pictures side by side with the boxes of several detectors.

    Args:
        path: The file.
        batch: The pictures.
        detectors: By the heading of their column.
        headings: Of the pictures.
        labels: Names of the classes.
        truth: True boxes [B, N, 5]; None where nobody labelled.
        thresholds: From which score on a box is shown, one for all classes or one for each.
    """
    least = per_class(thresholds, labels)
    columns = [boxes_of(detector, batch, least) for detector in detectors.values()]
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
    """Both sheets of an adaptation, with the boxes that are sure enough to teach; that of the split if there is one."""
    labels = next(iter(detectors.values())).labels
    samples, count, least = Batch(found.inputs), min(_SHOWN, len(found)), made.learner.thresholds
    some = torch.arange(count) * len(found) // count  # spread over the folder: neighbours may be frames of one film
    headings = [found.names[number] for number in some.tolist()]
    draw_sheet(out / BEFORE_AFTER, samples[some], detectors, headings, labels, thresholds=least)
    if made.variances is not None:
        ends, headings = both_ends(made.variances)
        before = {"before": next(iter(detectors.values()))}
        draw_sheet(out / ENDS, samples[ends], before, headings, labels, thresholds=least)
