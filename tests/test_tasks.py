import math

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from torch.nn import functional

from umbel import tasks
from umbel.core import Batch, Task, UmbelError

LABELS = ["a", "b", "c"]


def evaluate(task: Task, prediction: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
    """All metrics of a task, fed in three unequal batches."""
    found = {}
    for name, factory in task.metrics.items():
        metric = factory()
        for part in (slice(0, 7), slice(7, 8), slice(8, None)):
            inputs = target[part] if task.target else torch.zeros(len(target[part]), 1)
            task.update(metric, prediction[part], task.target_of(Batch(inputs, {task.name: target[part]})))
        found[name] = metric.compute().item()
    return found


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def some_missing(target: torch.Tensor, sentinel: float, seed: int = 7) -> torch.Tensor:
    gone = torch.rand(target.shape, generator=torch.Generator().manual_seed(seed)) < 0.25
    return target.masked_fill(gone, sentinel)


def test_classification_metrics_match_scikit_learn():
    logits = noise(60, 3)
    target = some_missing(torch.randint(0, 3, (60,), generator=torch.Generator().manual_seed(2)), -1)
    found = evaluate(tasks.classification("t", LABELS), logits, target)
    kept = target >= 0
    truth, guess = target[kept].numpy(), logits[kept].argmax(1).numpy()
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(truth, guess), abs=1e-6)
    assert found["macro F1"] == pytest.approx(oracle.f1_score(truth, guess, average="macro"), abs=1e-6)


@pytest.mark.parametrize(
    ("task", "shape"), [(tasks.multilabel("t", LABELS), (60, 3)), (tasks.boundaries("t"), (60, 1, 3, 2))]
)
def test_yes_no_metrics_match_scikit_learn(task, shape):
    logits = noise(*shape)
    target = some_missing((noise(*shape, seed=1) + logits > 0).float(), math.nan)
    found = evaluate(task, logits, target)
    kept = ~target.isnan()
    truth, score = target[kept].numpy(), logits.sigmoid()[kept].numpy()
    assert found["F1"] == pytest.approx(oracle.f1_score(truth, score > 0.5), abs=1e-6)
    each = [(target[:, k][known], logits[:, k][known]) for k in range(shape[1]) if (known := kept[:, k]).any()]
    assert found["AUROC"] == pytest.approx(np.mean([oracle.roc_auc_score(*one) for one in each]))
    assert found["average precision"] == pytest.approx(np.mean([oracle.average_precision_score(*one) for one in each]))
    if task.kind == "multilabel":
        assert found["pooled AUROC"] == pytest.approx(oracle.roc_auc_score(truth, logits[kept]))


def hard_classes(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and classes [60] of 4 of which one is hardly ever there, or that are hard otherwise."""
    logits, target = noise(60, 4), torch.randint(0, 3, (60,), generator=torch.Generator().manual_seed(2))
    if name == "rare":
        target[17] = 3
    elif name == "saturated":
        logits = logits * 100
    elif name == "constant labels":
        target[:] = 1
    elif name == "constant answers":
        logits[:, 2] += 100
    elif name == "constant both":
        target[:], logits[:, 1] = 1, 100
    return logits, target


@pytest.mark.parametrize("name", ["rare", "saturated", "constant labels", "constant answers", "constant both"])
def test_metrics_of_hard_classes_match_scikit_learn_from_two_shares(name):
    logits, target = hard_classes(name)
    guess = logits.argmax(1)
    wanted = {
        "accuracy": oracle.accuracy_score(target, guess),
        "macro F1": oracle.f1_score(target, guess, average="macro"),
        "mIoU": oracle.jaccard_score(target, guess, average="macro"),
        "pixel accuracy": oracle.accuracy_score(target, guess),
    }
    flat, maps = tasks.classification("t", 4), tasks.segmentation("t", 4)
    for task, x, y in ((flat, logits, target), (maps, logits[:, :, None, None], target[:, None, None])):
        for metric, make in task.metrics.items():
            first, second = make(), make()
            task.update(first, x[:3], y[:3])
            task.update(second, x[3:], y[3:])
            first.merge_state(second)  # what several processes add up
            assert first.compute().item() == pytest.approx(wanted[metric], abs=1e-6), metric


@pytest.mark.parametrize("name", ["rare", "saturated", "no yes", "all yes"])
def test_f1_of_hard_answers_matches_scikit_learn(name):
    logits = noise(60, 3) * (1000 if name == "saturated" else 1)
    target = (noise(60, 3, seed=1) > (2.3 if name == "rare" else 0)).float()
    if name in ("no yes", "all yes"):
        target[:] = float(name == "all yes")
    found = evaluate(tasks.multilabel("t", 3), logits, target)["F1"]
    assert found == pytest.approx(oracle.f1_score(target.ravel(), (logits > 0).ravel(), zero_division=0), abs=1e-6)


def test_regression_metrics_are_in_natural_units_and_match_scikit_learn():
    centre, scale = torch.tensor([40.0, 0.0]), torch.tensor([12.0, 1.0])
    prediction = noise(50, 2)
    target = some_missing(noise(50, 2, seed=1) * scale + centre, math.nan)
    found = evaluate(tasks.regression("age", 2, centre, scale, unit="years"), prediction, target)
    natural = prediction * scale + centre
    truth, guess = target[~target.isnan()].numpy(), natural[~target.isnan()].numpy()
    assert found["RMSE"] == pytest.approx(oracle.root_mean_squared_error(truth, guess), rel=1e-5)
    assert found["MAE"] == pytest.approx(oracle.mean_absolute_error(truth, guess), rel=1e-5)


def test_dense_regression_is_regression_at_each_pixel():
    prediction, target = noise(12, 1, 3, 4), some_missing(noise(12, 1, 3, 4, seed=1).abs() * 5, math.nan)
    task = tasks.dense_regression("depth", centre=2.0, scale=3.0, unit="m")
    assert (task.output, task.unit) == ("map", "m")
    found = evaluate(task, prediction, target)
    error = (prediction * 3 + 2 - target)[~target.isnan()].double().numpy()
    assert found["RMSE"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-5)
    assert found["MAE"] == pytest.approx(np.abs(error).mean(), rel=1e-5)


def test_segmentation_metrics_match_scikit_learn():
    logits = noise(12, 3, 4, 5)
    target = some_missing(torch.randint(0, 3, (12, 4, 5), generator=torch.Generator().manual_seed(2)), -1)
    found = evaluate(tasks.segmentation("t", LABELS), logits, target)
    truth, guess = target[target >= 0].numpy(), logits.argmax(1)[target >= 0].numpy()
    assert found["mIoU"] == pytest.approx(oracle.jaccard_score(truth, guess, average="macro"), abs=1e-6)
    assert found["pixel accuracy"] == pytest.approx(oracle.accuracy_score(truth, guess), abs=1e-6)


def test_normals_are_judged_in_degrees_whatever_their_length():
    prediction, target = noise(12, 3, 2, 3), noise(12, 3, 2, 3, seed=1)
    target[:4, 1] = math.nan
    found = evaluate(tasks.surface_normals("t"), prediction * 7, target)
    p, t = (x[4:].movedim(1, -1).reshape(-1, 3).double().numpy() for x in (prediction, target))
    wanted = np.degrees(np.arctan2(np.linalg.norm(np.cross(p, t), axis=1), (p * t).sum(1))).mean()
    assert found["mean angle"] == pytest.approx(wanted, rel=1e-5)


def test_reconstruction_is_judged_by_the_error_over_the_whole_set():
    pictures = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    prediction = pictures + 0.3 * noise(12, 1, 4, 4)
    found = evaluate(tasks.reconstruction("picture", 1), prediction, pictures)
    error = (prediction.clamp(0, 1) - pictures).double().square().mean().item()
    assert found["PSNR"] == pytest.approx(10 * math.log10(1 / error), rel=1e-5)


def test_directions_of_the_main_metrics():
    # A wrong direction here turns every verdict round.
    rising = [
        tasks.classification("t", LABELS),
        tasks.multilabel("t", LABELS),
        tasks.segmentation("t", LABELS),
        tasks.boundaries("t"),
        tasks.reconstruction("t", 3),
    ]
    falling = [tasks.regression("t"), tasks.dense_regression("t"), tasks.surface_normals("t")]
    for task in rising + falling:
        assert task.higher_is_better == (task in rising), task.kind
        assert task.metrics[task.main_metric]().higher_is_better in (task.higher_is_better, None), task.kind
    assert [task.outputs for task in rising] == [3, 3, 3, 1, 3]


@pytest.mark.parametrize("weights", [[1.0, 3.0, 0.5], [0.0, 0.0, 2.0], [1e-3, 2e-3, 3e-3]])
def test_class_weights_are_torchs(weights):
    weight, target = torch.tensor(weights), torch.tensor([0, 2, -1, 1, 2, 2])
    logits = noise(6, 3).requires_grad_()
    task, maps = (kind("t", LABELS, weight) for kind in (tasks.classification, tasks.segmentation))
    wanted = functional.cross_entropy(logits, target, weight, ignore_index=-1)
    for found in (
        task.mean_loss(logits, target),
        maps.mean_loss(logits.reshape(2, 3, 3).mT[..., None], target.reshape(2, 3, 1)),
    ):
        torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(*(torch.autograd.grad(x, logits, retain_graph=True)[0] for x in (found, wanted)))
    parts = [(task.mean_loss(logits[p], target[p]), task.weight(target[p])) for p in (slice(2), slice(2, 6))]
    torch.testing.assert_close(sum(m * w for m, w in parts) / sum(w for _, w in parts), wanted)  # two processes


def test_only_classes_without_weight_are_no_loss():
    task = tasks.classification("t", LABELS, torch.tensor([0.0, 1.0, 1.0]))
    logits = noise(2, 3).requires_grad_()
    loss = task.mean_loss(logits, torch.tensor([0, -1]))
    assert loss == 0 and not torch.autograd.grad(loss, logits)[0].any()
    assert task.count(torch.tensor([0, -1])) == 1 and task.weight(torch.tensor([0, -1])) == 0


@pytest.mark.parametrize("weights", [[1.0, -1.0, 1.0], [0.0, 0.0, 0.0], [1.0, math.nan, 1.0]])
def test_class_weights_that_weigh_nothing_are_refused(weights):
    with pytest.raises(UmbelError, match="'t': class_weights must be finite, 0 or more, and not all 0"):
        tasks.classification("t", LABELS, torch.tensor(weights))


def test_tasks_that_cannot_be_are_refused():
    with pytest.raises(UmbelError, match="'t': 1 label"):
        tasks.classification("t", ["a"])
    with pytest.raises(UmbelError, match="'t': 0 label"):
        tasks.multilabel("t", [])
    with pytest.raises(UmbelError, match="'t': the scale must be positive"):
        tasks.regression("t", scale=0.0)
