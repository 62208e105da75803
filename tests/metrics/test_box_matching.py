import math

import torch

from umbel.metrics import OperatingScore, best_f1, recalls, right_boxes


def boxes(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows)


TRUE = boxes([0.0, 0, 10, 10, 0], [20, 0, 30, 10, 0], [0, 20, 10, 30, 1], [-1, -1, -1, -1, -1])
FOUND = boxes(
    [0.0, 0, 10, 10, 0.9, 0],  # right
    [1, 0, 11, 10, 0.8, 0],  # the same object again
    [20, 0, 30, 10, 0.7, 1],  # another class
    [22, 0, 32, 10, 0.6, 0],  # IoU 8 / 12: right
    [4, 20, 14, 30, 0.5, 1],  # IoU 6 / 14: too little
    [-1, -1, -1, -1, -1, -1],
)


def test_each_true_box_is_found_once_by_the_surest():
    assert right_boxes(FOUND, TRUE).tolist() == [True, False, False, True, False, False]
    assert right_boxes(FOUND, TRUE, overlap=0.4).tolist() == [True, False, False, True, True, False]
    assert right_boxes(FOUND, TRUE[3:]).tolist() == [False] * 6
    assert right_boxes(FOUND[:0], TRUE).tolist() == []


def test_a_box_takes_the_best_object_that_is_free():
    true = boxes([0.0, 0, 10, 10, 0], [2, 0, 12, 10, 0])
    found = boxes([2.0, 0, 12, 10, 0.9, 0], [2, 0, 12, 10, 0.8, 0])
    assert right_boxes(found, true).tolist() == [True, True]  # the second takes the other, IoU 8 / 12


def test_recall_of_each_picture_by_hand():
    detections, targets = torch.stack([FOUND] * 3), torch.stack([TRUE] * 3)
    targets[1] = -1
    targets[2] = math.nan
    told = recalls(detections, targets, [0.5, 0.5])
    assert told[:1].tolist() == [2 / 3] or abs(float(told[0]) - 2 / 3) < 1e-6
    assert told[1:].isnan().all()
    assert abs(float(recalls(detections[:1], targets[:1], [0.65, 0.5])[0]) - 1 / 3) < 1e-6


def test_the_threshold_is_that_of_the_best_f1_by_trying_all():
    generator = torch.Generator().manual_seed(0)
    detections, targets = torch.full((5, 8, 6), -1.0), torch.full((5, 4, 5), -1.0)
    for picture in range(5):
        for place in range(4):
            x, y = (40 * torch.rand(2, generator=generator)).tolist()
            targets[picture, place] = torch.tensor([x, y, x + 10, y + 10, place % 2])
        shift = 4 * torch.rand(8, generator=generator)
        scores = torch.rand(8, generator=generator).sort(descending=True).values
        for place in range(8):
            x, y, _, _, kind = targets[picture, place % 4].tolist()
            x += float(shift[place])
            detections[picture, place] = torch.tensor([x, y, x + 10, y + 10, float(scores[place]), kind])
    targets[4] = math.nan
    told = best_f1(detections, targets, 2)
    for kind, score in enumerate(told):
        best = max(f1(detections[:4], targets[:4], kind, limit) for limit in detections[:4, :, 4].unique().tolist())
        assert isinstance(score, OperatingScore)
        assert abs(f1(detections[:4], targets[:4], kind, score.threshold) - best) < 1e-9
        harmonic = 2 * score.precision * score.recall / (score.precision + score.recall)
        assert abs(harmonic - best) < 1e-9


def f1(detections: torch.Tensor, targets: torch.Tensor, kind: int, limit: float) -> float:
    """From the definition: boxes of one class above a score, matched from the surest down."""
    right = said = true = 0
    for found, target in zip(detections, targets, strict=True):
        sure = found[(found[:, 5] == kind) & (found[:, 4] >= limit)]
        right += int(right_boxes(sure, target).sum())
        said += len(sure)
        true += int((target[:, 4] == kind).sum())
    return 2 * right / (said + true)


def test_a_class_that_is_never_found_or_never_there_has_one_half():
    detections, targets = FOUND[None], TRUE[None]
    told = best_f1(detections, targets, 3)
    assert told[0].threshold == 0.3  # half-way between the last right box and nothing
    assert [score.threshold for score in told[1:]] == [0.5, 0.5]
    assert all(math.isnan(score.recall) for score in told[1:])
    assert best_f1(detections, torch.full((1, 1, 5), math.nan), 1)[0].threshold == 0.5
