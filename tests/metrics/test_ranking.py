"""AUROC and average precision are scikit-learn's, on what used to go wrong, and from two processes."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle
from two_processes import TwoProcesses, run_in_two_processes, share_of

from umbel import tasks
from umbel.core import UmbelError
from umbel.metrics import AreaUnderROC, AveragePrecision, rank_correlation

METRICS = {"AUROC": (AreaUnderROC, oracle.roc_auc_score), "AP": (AveragePrecision, oracle.average_precision_score)}


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def hard(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and 0/1 targets [400, 3]."""
    logits = noise(400, 3)
    target = (noise(400, 3, seed=1) + logits > 0).float()
    if name == "rare":  # three yes in 400, every probability below one in a million
        target = torch.zeros(400, 3)
        target[[5, 77, 311]] = 1
        logits = logits - 20 + 1.5 * target
    elif name == "saturated":  # float32 rounds every probability to 1
        logits = logits + 60
    elif name == "alike":  # a network that has hardly begun
        logits = -3 + 1e-5 * logits
    elif name == "ties":
        logits = logits.round()
    elif name == "shifted":  # pooling would say that nothing is told apart
        logits = logits + torch.tensor([-20.0, 0.0, 20.0])
    elif name == "infinite":
        logits[:30], logits[30:60] = math.inf, -math.inf
    return logits, target


NAMES = ["plain", "rare", "saturated", "alike", "ties", "shifted", "infinite"]


def orders(scores: torch.Tensor) -> np.ndarray:
    """Ranks instead of scores: scikit-learn takes no infinite ones."""
    return np.unique(scores.float().numpy(), return_inverse=True)[1].reshape(scores.shape)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_it_is_scikit_learns(name, pooled, metric):
    make, wanted = METRICS[metric]
    logits, target = hard(name)
    made = make(pooled=pooled)
    for part in (slice(0, 3), slice(3, 150), slice(150, None)):
        made.update(logits[part], target[part])
    average = "micro" if pooled else "macro"
    assert made.compute().item() == pytest.approx(wanted(target.numpy(), orders(logits), average=average), abs=1e-12)


@pytest.mark.parametrize("shift", [-9.0, 12.0])
def test_a_perfect_order_is_one_where_a_thousand_bins_said_a_half(shift):
    logits = torch.arange(-1, 1, 0.01).unsqueeze(1) + shift
    target = (logits > shift).float()
    assert AreaUnderROC()(logits, target) == AveragePrecision()(logits, target) == 1
    assert AreaUnderROC()(logits, 1 - target) == 0


def test_a_label_that_is_always_the_same_is_left_out():
    logits, target = hard("plain")
    target[:, 1] = 0
    area, precision = AreaUnderROC()(logits, target), AveragePrecision()(logits, target)
    kept = target[:, [0, 2]].numpy(), logits[:, [0, 2]].numpy()
    assert area.item() == pytest.approx(oracle.roc_auc_score(*kept))
    assert precision.item() == pytest.approx(oracle.average_precision_score(*kept))
    target[:, 1] = 1  # all of it is yes: no area, but a precision of 1
    assert AreaUnderROC()(logits, target).item() == pytest.approx(oracle.roc_auc_score(*kept))
    assert AveragePrecision()(logits, target).item() == pytest.approx((2 * precision.item() + 1) / 3)
    assert math.isnan(AreaUnderROC()(logits, torch.ones_like(target)))
    assert math.isnan(AveragePrecision()(logits, torch.zeros_like(target)))


def test_missing_labels_are_left_out_and_a_broken_score_shows():
    logits, target = hard("plain")
    gone = noise(400, 3, seed=2) > 0.5
    wanted = np.mean([oracle.roc_auc_score(target[~g, k], logits[~g, k]) for k, g in enumerate(gone.T)])
    logits[gone] = math.nan  # what is predicted there does not matter
    assert AreaUnderROC()(logits, target.masked_fill(gone, math.nan)).item() == pytest.approx(wanted)
    assert math.isnan(AreaUnderROC()(logits, target))


@pytest.mark.parametrize("metric", METRICS)
def test_memory_is_bounded_with_the_error_that_is_stated(metric):
    make, wanted = METRICS[metric]
    logits, target = noise(20_000, 1), (noise(20_000, 1, seed=1) + noise(20_000, 1) > 0).float()
    made = make(distinct=1000)
    for part in zip(logits.split(300), target.split(300), strict=True):
        made.update(*part)
        assert sum(map(len, made.tables)) <= 2000 + 300
    found = made.compute().item()
    assert found != wanted(target, logits)
    assert found == pytest.approx(wanted(target, logits), abs=2e-3)
    once = make(distinct=1000)
    once.update(logits, target)
    assert once.compute().item() == found  # whatever the batches


@pytest.mark.parametrize("kind", [tasks.multilabel("t", 3), tasks.boundaries("t")], ids=["labels", "map"])
def test_a_task_ranks_its_raw_predictions_output_by_output(kind):
    logits, target = hard("shifted")
    logits = logits + 60
    target[noise(400, 3, seed=2) > 0.5] = math.nan
    if kind.output == "map":
        logits, target = (x.reshape(4, 1, 20, 15) for x in (logits, target))
    columns = [x.movedim(1, -1).reshape(-1, kind.outputs) for x in (logits, target)]
    known = ~columns[1].isnan()
    for name, (_, wanted) in (("AUROC", METRICS["AUROC"]), ("average precision", METRICS["AP"])):
        metric = kind.metrics[name]()
        for part in zip(logits.split(3), target.split(3), strict=True):
            kind.update(metric, *part)
        each = [wanted(columns[1][k, i], columns[0][k, i]) for i, k in enumerate(known.T)]
        assert metric.compute().item() == pytest.approx(np.mean(each))
        if kind.output != "map":
            pooled = kind.metrics[f"pooled {name}"]()
            kind.update(pooled, logits, target)
            assert pooled.compute().item() == pytest.approx(wanted(columns[1][known], columns[0][known]))


@pytest.mark.parametrize("shape", [(3,), (4, 2, 1)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(UmbelError, match=r"a ranking: scores of shape \[4, 2(, 1)?\]"):
        AreaUnderROC().update(torch.zeros(4, 2, 1) if len(shape) == 3 else torch.zeros(4, 2), torch.zeros(shape))


def measure() -> list[float]:
    part = share_of(TwoProcesses().rank)
    logits, target = hard("rare")
    logits, target = logits[[5, *range(15)]], target[[5, *range(15)]]
    found = []
    for make in (AreaUnderROC, AveragePrecision):
        for first_only in (False, True):  # a process that has no sample at all
            metric = make(distinct=20)
            if TwoProcesses().rank == 0 or not first_only:
                metric.update(logits[part], target[part])
            found.append(metric.compute().item())
    return found


def one_process() -> list[float]:
    logits, target = hard("rare")
    logits, target = logits[[5, *range(15)]], target[[5, *range(15)]]
    found = []
    for make in (AreaUnderROC, AveragePrecision):
        for part in (slice(None), share_of(0)):
            metric = make(distinct=20)
            metric.update(logits[part], target[part])
            found.append(metric.compute().item())
    return found


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_two_processes_equal_one(tmp_path):
    for found in run_in_two_processes(measure, tmp_path):
        assert found == one_process()


def test_rank_correlation_is_spearmans_and_unknown_where_nothing_varies():
    stats = pytest.importorskip("scipy.stats")
    one, other = [3.0, 1.0, 1.0, -math.inf, 7.0, math.nan], [2.0, 2.0, 5.0, 0.0, 9.0, 1.0]
    expected = stats.spearmanr([3.0, 1.0, 1.0, -1e9, 7.0], other[:5]).statistic
    assert rank_correlation(one, other) == pytest.approx(expected)
    assert rank_correlation([1.0, 2.0], [9.0, 4.0]) == pytest.approx(-1)
    assert math.isnan(rank_correlation([1.0, 2.0], [3.0, 3.0])) and math.isnan(rank_correlation([1.0], [1.0]))
    with pytest.raises(UmbelError, match="as many of both"):
        rank_correlation([1.0, 2.0], [1.0])
