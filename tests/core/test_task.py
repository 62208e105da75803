import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torchmetrics.regression import MeanSquaredError

from umbel import tasks
from umbel.core import ElementLoss, Task, UmbelError

KINDS = {
    "classification": (tasks.classification("t", ["a", "b", "c"]), (5, 3), (5,)),
    "multilabel": (tasks.multilabel("t", ["a", "b"]), (5, 2), (5, 2)),
    "regression": (tasks.regression("t", 2, centre=4.0, scale=3.0), (5, 2), (5, 2)),
    "segmentation": (tasks.segmentation("t", ["a", "b", "c"]), (5, 3, 2, 4), (5, 2, 4)),
    "boundaries": (tasks.boundaries("t"), (5, 1, 2, 4), (5, 1, 2, 4)),
    "dense regression": (tasks.dense_regression("t"), (5, 1, 2, 4), (5, 1, 2, 4)),
    "normals": (tasks.surface_normals("t"), (5, 3, 2, 4), (5, 3, 2, 4)),
}


def made(kind: str, seed: int, missing: float) -> tuple[Task, torch.Tensor, torch.Tensor]:
    """A task, a raw prediction and a target in which a part of the labels is missing."""
    task, prediction_shape, target_shape = KINDS[kind]
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.randn(prediction_shape, generator=generator).requires_grad_()
    gone = torch.rand(target_shape, generator=generator) < missing
    if kind in ("classification", "segmentation"):
        target = torch.randint(0, 3, target_shape, generator=generator).masked_fill(gone, -100)
    else:
        target = torch.rand(target_shape, generator=generator)
        target = (target.round() if kind in ("multilabel", "boundaries") else target).masked_fill(gone, math.nan)
    return task, prediction, target


def by_hand(kind: str, prediction: torch.Tensor, target: torch.Tensor) -> list[torch.Tensor]:
    """The loss of every labelled element, one after the other, by other means."""
    if kind in ("classification", "segmentation"):
        rows = prediction.movedim(1, -1).reshape(-1, prediction.shape[1])
        return [-(r[c] - r.exp().sum().log()) for r, c in zip(rows, target.reshape(-1).tolist(), strict=True) if c >= 0]
    if kind == "normals":
        pairs = zip(*(t.movedim(1, -1).reshape(-1, 3) for t in (prediction, target)), strict=True)
        return [1 - (p @ t) / p.norm() / t.norm() for p, t in pairs if not t.isnan().any()]
    found = []
    for p, t in zip(prediction.reshape(-1), target.reshape(-1), strict=True):
        if kind in ("multilabel", "boundaries") and not t.isnan():
            found.append(-(p.sigmoid() if t == 1 else 1 - p.sigmoid()).log())
        elif kind == "regression" and not t.isnan():
            found.append((p - (t - 4) / 3) ** 2)
        elif kind == "dense regression" and not t.isnan():
            found.append((p - t) ** 2)
    return found


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), missing=st.sampled_from([0.0, 0.3, 0.9]))
def test_masked_mean_is_dropping_by_hand(kind, seed, missing):
    task, prediction, target = made(kind, seed, missing)
    kept = by_hand(kind, prediction, target)
    loss = task.mean_loss(prediction, target)
    assert int(task.count(target)) == len(kept)
    wanted = torch.stack(kept).mean() if kept else prediction.sum() * 0
    torch.testing.assert_close(loss, wanted, rtol=1e-4, atol=1e-5)
    gradients = [torch.autograd.grad(value, prediction)[0] for value in (loss, wanted)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_without_labels_the_loss_is_zero_and_teaches_nothing(kind):
    task, prediction, target = made(kind, 0, missing=1.0)
    loss = task.mean_loss(prediction, target)
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert loss.item() == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))
    task.update(None, prediction.detach(), target)  # a metric is not touched, whatever it is


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_predicted_where_labels_are_missing_does_not_matter(kind):
    task, prediction, target = made(kind, 1, missing=0.5)
    mask = task.labelled(target)
    mask = mask if mask.shape == prediction.shape else mask.unsqueeze(1).expand_as(prediction)
    other = torch.where(mask, prediction, prediction + 50)
    assert torch.equal(task.mean_loss(other, target), task.mean_loss(prediction, target))
    values = []
    for raw in (prediction, other):
        metric = task.metrics[task.main_metric]()
        task.update(metric, raw.detach(), target)
        values.append(metric.compute())
    assert torch.equal(*values)


@pytest.mark.parametrize("kind", ["classification", "segmentation", "regression"])
def test_the_losses_of_samples_are_means_over_each_by_itself(kind):
    task, prediction, target = made(kind, 0, 0.4)
    target[1] = -1 if not target.is_floating_point() else math.nan
    losses = task.sample_losses(prediction, target)
    assert losses.shape == (len(target),) and torch.isnan(losses[1])
    for i, loss in enumerate(losses):
        one = task.mean_loss(prediction[i : i + 1], target[i : i + 1])
        assert (torch.isnan(loss) and one == 0) or torch.allclose(loss, one)


def test_a_loss_of_the_wrong_shape_is_named():
    reduced: ElementLoss = F.mse_loss
    task = Task("age", 1, reduced, {"MSE": MeanSquaredError}, higher_is_better=False)
    with pytest.raises(UmbelError, match=r"task 'age': its loss has shape \(\), its labels \(4, 1\)"):
        task.mean_loss(torch.zeros(4, 1), torch.zeros(4, 1))


def relative(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (prediction - target).abs() / target


def logarithmic(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (prediction * target.log() - target.sqrt()).square()


@pytest.mark.parametrize("loss", [relative, logarithmic])
@pytest.mark.parametrize("gaps", ["some", "a whole output", "all"])
def test_a_loss_that_is_not_made_for_zero_teaches_what_is_labelled(loss, gaps):
    target = torch.tensor([[2.0, 3.0], [5.0, 0.1], [0.5, 7.0]])
    gone = torch.tensor([[True, False], [False, True], [False, False]])
    gone = gone | torch.tensor([gaps != "some", gaps == "all"])
    prediction = torch.rand(3, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    task = Task("t", 2, loss, {"m": MeanSquaredError}, higher_is_better=False)
    found = task.mean_loss(prediction, target.masked_fill(gone, math.nan))
    wanted = loss(prediction[~gone], target[~gone]).mean() if gaps != "all" else prediction.sum() * 0
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(*(torch.autograd.grad(x, prediction)[0] for x in (found, wanted)))


def test_a_label_of_its_own_for_what_is_missing_never_reaches_the_loss():
    loss = partial(F.cross_entropy, reduction="none")  # 255 would be out of bounds
    task = Task("t", 3, loss, {"m": MeanSquaredError}, True, labelled=lambda target: target != 255)
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([2, 255, 0, 255])
    assert task.mean_loss(logits, target) == F.cross_entropy(logits, target, ignore_index=255)
    assert task.mean_loss(logits, torch.full((4,), 255)) == 0


CLASSES, VALUES = tasks.classification("kind", 3), tasks.regression("age")
OWN = Task("own", 1, lambda p, t: (p - t).square(), {"MSE": MeanSquaredError}, higher_is_better=False)


@pytest.mark.parametrize(
    ("task", "prediction", "target", "words"),
    [
        (CLASSES, (4, 3), torch.tensor([0, 1, 7, 2]), r"'kind'.*Target 7 .*0 to 2, negative if missing"),
        (CLASSES, (4, 3), torch.zeros(4), r"'kind'.*whole numbers \(int64\)"),
        (CLASSES, (4, 3), torch.zeros(4, dtype=torch.uint8), r"'kind'.*whole numbers \(int64\)"),
        (CLASSES, (4, 3), torch.zeros(4, 1, dtype=torch.int64), r"'kind'.*\[4, 1\]"),
        (VALUES, (4, 1), torch.zeros(4), r"'age'.*\[4, 1\].*\[4\].*; values have the shape of the pred"),
        (VALUES, (4, 1), torch.zeros(4, 2), r"'age'.*\[4, 2\]"),
        (OWN, (4, 1), torch.zeros(4), r"'own': its loss has shape \(4, 4\).*in the shape of the prediction \(4, 1\)"),
        (OWN, (4, 3), torch.zeros(4, 2), r"'own': its loss fails for a prediction float32 \[4, 3\] and a target"),
    ],
)
def test_a_target_that_does_not_fit_is_one_line_with_task_and_remedy(task, prediction, target, words):
    with pytest.raises(UmbelError, match=words) as caught:
        task.mean_loss(torch.zeros(prediction), target)
    assert "\n" not in str(caught.value)


def test_weights_that_fail_name_the_task():
    weighted = tasks.classification("kind", 2, torch.ones(2))
    with pytest.raises(UmbelError, match="task 'kind': its weights fail for a target int64"):
        weighted.weight(torch.tensor([0, 5]))


class Recorder:
    """A metric that keeps what it is fed."""

    def update(self, prediction, target):
        self.prediction, self.target = prediction, target


def test_a_metric_is_fed_labelled_samples_in_natural_units():
    target = torch.tensor([[10.0, 1.0], [math.nan, 2.0], [30.0, math.nan]])
    task = tasks.regression("t", 2, centre=torch.tensor([20.0, 0.0]), scale=torch.tensor([10.0, 2.0]))
    recorder = Recorder()
    task.update(recorder, torch.tensor([[-1.0, 0.5], [9.0, 1.0], [1.0, 9.0]]), target)
    assert recorder.prediction.tolist() == recorder.target.tolist() == [10.0, 1.0, 2.0, 30.0]


def test_a_metric_of_a_map_is_fed_pixels_with_their_channels():
    logits = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[[0, -1], [2, 1]], [[-1, -1], [1, 0]]])
    recorder = Recorder()
    tasks.segmentation("t", ["a", "b", "c"]).update(recorder, logits, target)
    assert recorder.target.tolist() == [0, 2, 1, 1, 0]
    torch.testing.assert_close(recorder.prediction[1], logits[0, :, 1, 0].softmax(0))
    torch.testing.assert_close(recorder.prediction[-1], logits[1, :, 1, 1].softmax(0))


def test_a_metric_of_normals_is_fed_whole_directions():
    target = torch.zeros(1, 3, 1, 2)
    target[0, :, 0, 0] = torch.tensor([0.0, 0.6, 0.8])
    target[0, 1, 0, 1] = math.nan
    prediction = torch.tensor([3.0, 0.0, 4.0, 1.0, 1.0, 1.0]).reshape(2, 3).T.reshape(1, 3, 1, 2)
    recorder = Recorder()
    tasks.surface_normals("t").update(recorder, prediction, target)
    torch.testing.assert_close(recorder.prediction, torch.tensor([[0.6, 0.0, 0.8]]))
    torch.testing.assert_close(recorder.target, torch.tensor([[0.0, 0.6, 0.8]]))


def test_incomplete_tasks_are_refused():
    good = {"name": "t", "outputs": 1, "loss": F.mse_loss, "metrics": {"m": MeanSquaredError}, "higher_is_better": True}
    for change, words in (
        ({"name": ""}, "needs a name"),
        ({"outputs": 0}, "outputs is 0"),
        ({"metrics": {}}, "no met"),
    ):
        with pytest.raises(UmbelError, match=words):
            Task(**{**good, **change})
