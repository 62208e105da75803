import contextlib
import io
import sys

import pytest
import torch

from umbel import UmbelError
from umbel.metrics import BoxPrecision, BoxPrecision50


def random_case(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """8 pictures: true boxes of 3 classes (class 2 is rare), most met by a shaken detection, and some false ones."""
    generator = torch.Generator().manual_seed(seed)
    target, prediction = torch.full((8, 7, 5), -1.0), torch.full((8, 12, 6), -1.0)
    for true, said in zip(target, prediction, strict=True):
        count = int(torch.randint(0, 8, (), generator=generator))
        corner = torch.rand(count, 2, generator=generator) * 90
        boxes = torch.cat([corner, corner + 8 + torch.rand(count, 2, generator=generator) * 40], 1)
        kind = (torch.rand(count, 1, generator=generator) * 2.1).floor()
        true[:count] = torch.cat([boxes, kind], 1)
        wrong = torch.rand(count, 1, generator=generator) < 0.2
        shaken = boxes + torch.randn(count, 4, generator=generator) * 2
        extra = torch.rand(3, 4, generator=generator) * 40
        extra[:, 2:] += extra[:, :2]
        said[: count + 3, :4] = torch.cat([shaken, extra])
        said[: count + 3, 4] = torch.rand(count + 3, generator=generator)
        said[: count + 3, 5:] = torch.cat([torch.where(wrong, 0, kind), torch.zeros(3, 1)])
    return prediction, target


def reference(prediction: torch.Tensor, target: torch.Tensor) -> tuple[float, float]:
    """mAP50 and mAP by pycocotools."""
    coco, evaluation = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    truths, answers = [], []
    for picture, (said, true) in enumerate(zip(prediction.double(), target.double(), strict=True), 1):
        for x1, y1, x2, y2, kind in true[true[:, 4] >= 0].tolist():
            box = [x1, y1, x2 - x1, y2 - y1]
            truths.append({"id": len(truths) + 1, "image_id": picture, "category_id": int(kind), "bbox": box})
            truths[-1].update(area=box[2] * box[3], iscrowd=0)
        for x1, y1, x2, y2, score, kind in said[said[:, 4] >= 0].tolist():
            answer = {"image_id": picture, "category_id": int(kind), "bbox": [x1, y1, x2 - x1, y2 - y1]}
            answers.append({**answer, "score": score})
    given = coco.COCO()
    images = [{"id": place} for place in range(1, len(target) + 1)]
    given.dataset = {"images": images, "annotations": truths, "categories": [{"id": kind} for kind in range(3)]}
    with contextlib.redirect_stdout(io.StringIO()):
        given.createIndex()
        judged = evaluation.COCOeval(given, given.loadRes(answers), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return judged.stats[1], judged.stats[0]


@pytest.mark.parametrize("seed", range(4))
def test_precision_is_that_of_pycocotools(seed):
    prediction, target = random_case(seed)
    wanted = reference(prediction, target)
    assert 0.1 < wanted[1] < wanted[0] < 1
    for make, value in zip((BoxPrecision50, BoxPrecision), wanted, strict=True):
        whole, parts = make(), make()
        whole.update(prediction, target)
        for start in range(0, 8, 3):
            parts.update(prediction[start : start + 3], target[start : start + 3])
        assert float(whole.compute()) == pytest.approx(value, abs=1e-6)
        assert float(parts.compute()) == pytest.approx(value, abs=1e-6)


def test_rows_of_nothing_are_no_detections_and_no_boxes():
    box = torch.tensor([[[0.0, 0, 10, 10, 1]]])
    for nothing in (-1.0, torch.nan):
        metric = BoxPrecision50()
        said = torch.cat([torch.tensor([[[0.0, 0, 10, 10, 0.5, 1]]]), torch.full((1, 2, 6), nothing)], 1)
        metric.update(said, torch.cat([box, torch.full((1, 1, 5), -1.0)], 1))
        assert float(metric.compute()) == pytest.approx(1.0)


def test_no_detection_is_worth_nothing_and_no_true_box_has_no_precision():
    metric = BoxPrecision50()
    metric.update(torch.full((1, 1, 6), -1.0), torch.tensor([[[0.0, 0, 10, 10, 1]]]))
    assert float(metric.compute()) == 0
    empty = BoxPrecision()
    empty.update(torch.tensor([[[0.0, 0, 10, 10, 0.5, 1]]]), torch.full((1, 1, 5), -1.0))
    assert torch.isnan(empty.compute())


def test_detections_of_a_picture_without_objects_cost_precision():
    box = torch.tensor([[[0.0, 0, 10, 10, 0]], [[-1.0] * 5]])
    said = torch.tensor([[[0.0, 0, 10, 10, 0.5, 0]], [[0.0, 0, 10, 10, 0.9, 0]]])
    metric = BoxPrecision50()
    metric.update(said, box)
    assert float(metric.compute()) == pytest.approx(0.5)


def test_one_line_without_faster_coco_eval(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(UmbelError, match=r"umbel\[detect\]"):
        BoxPrecision()


@pytest.mark.parametrize("of_first", [5, 8])
def test_two_processes_equal_one(of_first):
    """What torchmetrics does in each of two processes, without starting any; the second may have seen no picture."""
    prediction, target = random_case(0)
    whole, second = BoxPrecision50(), BoxPrecision50()
    whole.update(prediction, target)
    if of_first < 8:
        second.update(prediction[of_first:], target[of_first:])

    def gathered(mine: torch.Tensor, group: object) -> list[torch.Tensor]:
        theirs = torch.cat(second.records) if second.records else torch.tensor([])  # as torchmetrics makes it
        assert mine.ndim == theirs.ndim and mine.dtype == theirs.dtype  # or gathering waits for ever
        return [mine, theirs]

    first = BoxPrecision50(dist_sync_fn=gathered, distributed_available_fn=lambda: True)
    first.update(prediction[:of_first], target[:of_first])
    assert float(first.compute()) == pytest.approx(float(whole.compute()), abs=1e-6)
