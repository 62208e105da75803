"""Average precision of boxes, as COCO defines it, from padded tensors; counts add up over processes."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from umbel.errors import UmbelError

_MOST_OF_A_PICTURE = 100  # detections that count: COCO's own number
_COCO_OVERLAPS = tuple(0.5 + 0.05 * step for step in range(10))


class BoxPrecision(Metric):
    """COCO's average precision over a set of pictures, averaged over classes and `overlaps`.

    Detections of a class are taken over all pictures, best score first. One is right when it overlaps a true box of
    its class and picture, not yet taken by a better one, by an IoU of at least the threshold. The precision is
    averaged over 101 recalls, then over thresholds and those classes that have a true box. Of a picture the best 100
    detections count. Computed by faster-coco-eval, whose numbers are pycocotools'.

    Attributes:
        overlaps: The thresholds of the IoU.

    Raises:
        UmbelError: faster-coco-eval is not installed.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    overlaps: tuple[float, ...] = _COCO_OVERLAPS

    records: list[Tensor]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if find_spec("faster_coco_eval") is None:
            raise UmbelError('average precision of boxes needs faster-coco-eval; run: pip install "umbel[detect]"')
        # Of one axis: a process that saw no picture gathers an empty tensor of one axis, which torchmetrics makes.
        self.add_state("records", [], dist_reduce_fx="cat")

    def update(self, prediction: Float[Tensor, "n d 6"], target: Float[Tensor, "n m 5"]) -> None:
        """Add pictures.

        Args:
            prediction: x1, y1, x2, y2, score, class; rows of -1 or NaN are no detection.
            target: x1, y1, x2, y2, class; rows of -1 are no box.
        """
        detected, true = (_rows(x, x[..., 4] >= 0) for x in (prediction, target))
        counts = detected.new_tensor([len(target), len(detected), len(true)])
        self.records.append(torch.cat([counts, detected.flatten(), true.flatten()]))

    def compute(self) -> Tensor:
        """The average precision, 0 to 1; NaN without a true box."""
        records = dim_zero_cat(self.records).cpu() if len(self.records) else torch.zeros(0)
        pictures, detected, true = 0, [torch.zeros(0, 7)], [torch.zeros(0, 6)]
        while len(records):
            count, of_detected, of_true = records[:3].int().tolist()
            first, second, records = records[3:].tensor_split([7 * of_detected, 7 * of_detected + 6 * of_true])
            for rows, part in ((first.view(-1, 7), detected), (second.view(-1, 6), true)):
                part.append(torch.cat([rows[:, :1] + pictures, rows[:, 1:]], 1))
            pictures += count
        every = torch.cat(true)
        if not len(every):
            return torch.tensor(torch.nan)
        return torch.tensor(_precision(pictures, every, torch.cat(detected), self.overlaps))


class BoxPrecision50(BoxPrecision):
    """`BoxPrecision` at an IoU of at least .5: mAP50."""

    overlaps = (0.5,)


def _rows(boxes: Tensor, present: Tensor) -> Tensor:
    """The present rows of [n, d, c] as float32 [k, 1 + c], each behind the number of its picture."""
    return torch.cat([present.nonzero()[:, :1], boxes[present]], 1).float()


def _precision(pictures: int, true: Tensor, detected: Tensor, overlaps: tuple[float, ...]) -> float:
    coco = import_module("faster_coco_eval")
    truths = [_annotation(int(picture), box, int(kind)) for picture, *box, kind in true.tolist()]
    answers = [
        {**_annotation(int(picture), box, int(kind)), "score": score}
        for picture, *box, score, kind in detected.tolist()
    ]
    for place, annotation in enumerate(truths, 1):
        annotation["id"] = place
    kinds = sorted({annotation["category_id"] for annotation in (*truths, *answers)})
    given = coco.COCO(
        {
            "images": [{"id": place} for place in range(pictures)],
            "annotations": truths,
            "categories": [{"id": kind} for kind in kinds],
        }
    )
    evaluation = coco.COCOeval_faster(given, given.loadRes(answers), "bbox")
    evaluation.params.iouThrs = list(overlaps)
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.params.maxDets = [_MOST_OF_A_PICTURE]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = torch.as_tensor(evaluation.eval["precision"])
    return float(precision[precision > -1].mean())


def _annotation(picture: int, box: list[float], kind: int) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    size = [x2 - x1, y2 - y1]
    return {
        "image_id": picture, "category_id": kind, "bbox": [x1, y1, *size], "area": size[0] * size[1], "iscrowd": 0
    }  # fmt: skip
