"""The task whose answers are boxes."""

import pytest
import torch

from umbel import UmbelError, tasks
from umbel.core import Batch, join_batches
from umbel.engine.evaluation import metrics_of
from umbel.tasks.detection import missed

NAN = torch.nan


def one_picture(*rows: list[float], length: int = 3) -> torch.Tensor:
    padded = torch.full((1, length, len(rows[0]) if rows else 5), -1.0)
    padded[0, : len(rows)] = torch.tensor(rows) if rows else padded[0, :0]
    return padded


def test_a_picture_without_objects_is_labelled_and_one_of_nan_is_not():
    task = tasks.boxes("boxes", ["cell"])
    target = torch.cat([one_picture([0, 0, 4, 4, 0.0]), one_picture(), torch.full((1, 3, 5), NAN)])
    assert task.labelled(target).tolist() == [True, True, False]
    assert task.count(target) == 2 and task.weight(target) == 2
    half = torch.cat([torch.full((1, 1, 5), NAN), torch.full((1, 2, 5), -1.0)], 1)  # as joined batches have it
    assert not task.labelled(half).any()


def test_what_is_missed_is_one_minus_score_times_iou():
    target = torch.cat([one_picture([0, 0, 10, 10, 0.0], [20, 20, 30, 30, 1.0]), one_picture()])
    said = torch.cat(
        [
            one_picture([0, 0, 5, 10, 0.8, 0.0], [0, 0, 10, 10, 0.3, 0.0], [20, 20, 30, 30, 1.0, 0.0]),
            one_picture([0, 0, 5, 10, 0.8, 0.0]),
        ]
    )
    assert missed(said, target).tolist() == pytest.approx([1 - 0.4 / 2, 0.0])
    said[0, 2, 5] = 1
    assert missed(said, target).tolist() == pytest.approx([1 - (0.4 + 1) / 2, 0.0])
    nothing = torch.full_like(said, NAN)
    assert missed(nothing, target).tolist() == [1, 0]


def test_pictures_without_label_count_in_neither_loss_nor_metric():
    task = tasks.boxes("boxes", 2)
    target = torch.cat([one_picture([0, 0, 10, 10, 1.0]), torch.full((1, 3, 5), NAN)])
    said = one_picture([0, 0, 10, 10, 0.6, 1.0]).repeat(2, 1, 1)
    assert task.mean_loss(said, target).item() == pytest.approx(0.4)
    assert metrics_of(task, said, target) == pytest.approx({"mAP50": 1.0, "mAP": 1.0})
    assert torch.isfinite(task.mean_loss(said, torch.full_like(target, NAN)))


def test_batches_with_more_and_fewer_boxes_are_joined():
    task = tasks.boxes("boxes", ["cell"])
    first = Batch(torch.zeros(1, 1), {"boxes": one_picture([0, 0, 4, 4, 0.0], length=1)})
    second = Batch(torch.zeros(1, 1), {"boxes": one_picture(length=4)})
    third = Batch(torch.zeros(1, 1))
    target = join_batches([first, second, third], {"boxes": task.padding}).targets["boxes"]
    assert target.shape == (3, 4, 5)
    assert task.labelled(target).tolist() == [True, True, False]
    assert ((target[..., 4] >= 0).sum(1)).tolist() == [1, 0, 0]


def test_the_task_says_what_it_is():
    task = tasks.boxes("boxes", ["red", "white"])
    assert (task.outputs, task.labels, task.output, task.kind) == (2, ("red", "white"), "boxes", "detection")
    assert (task.main_metric, task.higher_is_better, task.padding) == ("mAP50", True, -1)
    with pytest.raises(UmbelError, match="0 label"):
        tasks.boxes("boxes", [])
