"""Tasks of liveness and of proxy maps, and the contrastive depth loss."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch.nn import functional

from umbel import UmbelError, losses, tasks
from umbel.core import Batch, check_labels
from umbel.data.task_records import TaskRecord
from umbel.inference.answers import answer_columns, column_values
from umbel.report.captions import caption
from umbel.serving.description import describe_output

NAN = math.nan


def test_every_attack_is_a_no_and_missing_ones_do_not_count():
    task = tasks.liveness(attacks=["print", "replay"])
    logits = torch.tensor([[2.0], [-1.0], [0.5], [9.0]], requires_grad=True)
    target = torch.tensor([0, 1, 2, -1])
    live = torch.tensor([1.0, 0.0, 0.0])
    wanted = functional.binary_cross_entropy_with_logits(logits[:3, 0], live)
    loss = task.mean_loss(logits, target)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(wanted.detach()))
    assert logits.grad is not None
    assert logits.grad[3] == 0
    assert task.labels == (tasks.LIVE, "print", "replay")
    with pytest.raises(UmbelError, match="an attack cannot be called 'live'"):
        tasks.liveness(attacks=["live"])
    with pytest.raises(UmbelError, match=r"a prediction of shape \[4, 2\]"):
        task.mean_loss(torch.zeros(4, 2), target)


@pytest.mark.parametrize(
    ("target", "what"),
    [
        ([1, 2, -1], "train: task 'liveness' has only attacks"),
        ([0, 0, -1], "train: task 'liveness' has only live samples"),
        ([0, 4, 1], "train: task 'liveness' has label 4; its classes are 0 to 3"),
        ([0.0, 1.0, 1.0], "classes of type float32"),
    ],
)
def test_labels_that_cannot_be_learnt_from_are_refused(target, what):
    batch = Batch(torch.zeros(3, 1), {"liveness": torch.tensor(target)})
    with pytest.raises(UmbelError, match=what):
        check_labels((tasks.liveness(),), batch, "train")
    check_labels((tasks.liveness(),), Batch(torch.zeros(2, 1), {"liveness": torch.tensor([0, 3])}), "train")


def test_a_record_keeps_the_types_and_its_one_column_is_the_probability_of_live():
    task = tasks.liveness(attacks=["print"])
    record = TaskRecord.read(json.loads(json.dumps(asdict(TaskRecord.of(task)))), "a run")
    assert record.task().labels == ("live", "print")
    assert record.task().decode is task.decode
    columns = answer_columns([record])
    assert columns == {"liveness": {"live": "liveness: live"}}
    assert describe_output(record)["labels"] == ["live"]
    values = column_values(record, columns["liveness"], np.array([[0.25], [0.75]]))
    assert values["liveness: live"].tolist() == [0.25, 0.75]


def test_a_caption_says_live_or_attack_and_which_one_it_was():
    task = tasks.liveness()
    assert caption(task, np.array(0), np.array([0.75])).line == "✓ liveness: live 0.75"
    assert caption(task, np.array(2), np.array([0.75])).line == "✗ liveness: live 0.75, target replay"
    assert caption(task, np.array(2), np.array([0.25])).line == "✓ liveness: attack, live 0.25, target replay"
    assert caption(task, np.array(-1), np.array([0.25])).mark == "–"


def test_a_proxy_map_is_read_as_0_or_more_and_its_record_is_whole():
    task = tasks.proxy_map("depth", contrast=0.5)
    assert task.decode(torch.tensor([-1.0, 0.5])).tolist() == [0, 0.5]
    record = TaskRecord.read(json.loads(json.dumps(asdict(TaskRecord.of(task)))), "a run")
    assert record.answers == "values from 0"
    assert record.task().decode is task.decode
    absolute = tasks.proxy_map("depth", error="absolute")
    one, zero = torch.full((1, 1, 2, 2), 3.0), torch.zeros(1, 1, 2, 2)
    assert float(absolute.mean_loss(one, zero)) == 3
    assert float(tasks.proxy_map("depth").mean_loss(one, zero)) == 9
    assert losses.absolute_error(zero, one).unique().tolist() == [3]
    with pytest.raises(UmbelError, match="contrast is -1; it must be 0 or more"):
        tasks.proxy_map("depth", contrast=-1)


def slow_contrast(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The loss of one map [H, W], pixel by pixel."""
    height, width = target.shape
    loss = torch.zeros(height, width)
    for i in range(height):
        for j in range(width):
            for a in range(max(i - 1, 0), min(i + 2, height)):
                for b in range(max(j - 1, 0), min(j + 2, width)):
                    change = (prediction[i, j] - prediction[a, b]) - (target[i, j] - target[a, b])
                    loss[i, j] += 0 if torch.isnan(change) else float(change) ** 2 / 8
    return loss


def test_contrastive_depth_compares_neighbours_and_leaves_missing_ones_out():
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.rand(2, 1, 4, 5, generator=generator), torch.rand(2, 1, 4, 5, generator=generator)
    target[0, 0, 1, 2] = target[0, 0, 3, 4] = NAN
    wanted = torch.stack([slow_contrast(*pair) for pair in zip(prediction[:, 0], target[:, 0], strict=True)])
    assert torch.allclose(losses.contrastive_depth(prediction, target)[:, 0], wanted, atol=1e-6)
    assert losses.contrastive_depth(target.nan_to_num() + 7, target).abs().max() < 1e-6  # a shift is no change


def test_missing_maps_and_pixels_add_nothing_to_the_contrast():
    target = torch.zeros(2, 1, 4, 4)
    target[1], target[0, 0, 0, 0] = NAN, NAN
    prediction = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    plain, contrasted = tasks.proxy_map("depth"), tasks.proxy_map("depth", contrast=2.0)
    more = contrasted.mean_loss(prediction, target) - plain.mean_loss(prediction, target)
    assert float(more.detach()) == pytest.approx(
        2 * float(losses.contrastive_depth(prediction, target).sum().detach()) / 15, rel=1e-5
    )
    contrasted.mean_loss(prediction, target).backward()
    assert prediction.grad is not None
    assert not prediction.grad[1].any()
    assert prediction.grad[0, 0, 0, 0] == 0
    assert prediction.grad[0, 0, 1:].all()
    assert contrasted.sample_losses(prediction, target).isnan().tolist() == [False, True]
