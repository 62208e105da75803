"""Errors of a detector of presentation attacks: hand cases, scikit-learn's, and sums over batches and processes."""

import math

import pytest
import torch
from sklearn import metrics as oracle

from umbel import tasks
from umbel.core import UmbelError
from umbel.metrics import (
    AttackErrors,
    DetCurve,
    PresentationAttackErrors,
    Threshold,
    attack_errors,
    by_video,
    det_curve,
    eer_threshold,
)

LABELS = ("live", "print", "replay", "mask")
SCORES = torch.tensor([0.9, 0.8, 0.6, 0.3, 0.7, 0.2, 0.1, 0.4, 0.35, 0.99])
KINDS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, -1])
"""Four live samples, three prints, two replays, no mask, and one that nobody labelled."""
VALUES = ("AUC", "EER", "HTER", "APCER", "BPCER", "ACER")


def drawn(count: int = 300) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits with ties and kinds, some missing."""
    generator = torch.Generator().manual_seed(3)
    kinds = torch.randint(-1, 4, (count,), generator=generator)
    return ((torch.randn(count, generator=generator) + (kinds == 0)) * 8).round() / 8, kinds


def test_errors_by_hand_are_of_the_worst_type_and_of_all_attacks_together():
    errors = attack_errors(SCORES, KINDS, 0.5, LABELS)
    assert isinstance(errors, AttackErrors)
    assert errors.apcer_by_type == pytest.approx({"print": 1 / 3, "replay": 0.0})  # no mask was shown
    assert (errors.apcer, errors.bpcer, errors.far) == pytest.approx((1 / 3, 1 / 4, 1 / 5))
    assert (errors.acer, errors.hter) == pytest.approx((7 / 24, 9 / 40))


def test_a_score_at_the_threshold_is_accepted():
    errors = attack_errors(torch.tensor([0.5, 0.5]), torch.tensor([0, 1]), 0.5, LABELS)
    assert (errors.bpcer, errors.apcer) == (0, 1)
    metric = PresentationAttackErrors("BPCER")
    metric.update(torch.tensor([0.0, -0.0, -1e-30]), torch.tensor([0, 0, 0]))
    assert float(metric.compute()) == pytest.approx(1 / 3)


def test_the_equal_error_threshold_lies_between_the_two_scores():
    chosen = eer_threshold(SCORES, KINDS)
    assert isinstance(chosen, Threshold)
    assert chosen == pytest.approx((0.5, (1 / 5 + 1 / 4) / 2))
    apart = eer_threshold(torch.tensor([2.0, 4.0, 1.0]), torch.tensor([0, 0, 3]))
    assert apart == (1.5, 0.0)
    useless = eer_threshold(torch.zeros(4), torch.tensor([0, 0, 1, 2]))  # all or nothing, both as wrong
    assert useless.eer == 0.5
    assert useless.value > 0


def test_the_det_curve_is_scikit_learns():
    scores, kinds = drawn()
    curve = det_curve(scores, kinds)
    assert isinstance(curve, DetCurve)
    known = kinds >= 0
    accepted, right, _ = oracle.roc_curve(kinds[known] == 0, scores[known], drop_intermediate=False)
    assert curve.far.flip(0).tolist() == pytest.approx(accepted.tolist())
    assert (1 - curve.frr).flip(0).tolist() == pytest.approx(right.tolist())
    for place in (0, 5, len(curve.far) - 1):  # each threshold gives its rates
        errors = attack_errors(scores, kinds, float(curve.threshold[place]), LABELS)
        assert (errors.far, errors.bpcer) == pytest.approx((float(curve.far[place]), float(curve.frr[place])))


def test_metrics_add_up_over_batches():
    logits, kinds = drawn()
    task = tasks.liveness("y")
    errors = attack_errors(logits, kinds, 0.0, LABELS)
    known = kinds >= 0
    wanted = {
        "AUC": oracle.roc_auc_score(kinds[known] == 0, logits[known]),
        "EER": eer_threshold(logits, kinds).eer,
        "HTER at 0.5": errors.hter,
        "APCER at 0.5": max(errors.apcer_by_type.values()),
        "BPCER at 0.5": errors.bpcer,
        "ACER at 0.5": errors.acer,
    }
    assert list(task.metrics) == list(wanted)
    for name, make in task.metrics.items():
        metric = make()
        for part in (slice(0, 1), slice(1, 150), slice(150, None)):
            task.update(metric, logits[part, None], kinds[part])
        assert float(metric.compute()) == pytest.approx(wanted[name]), name


def test_far_logits_are_told_apart_though_their_probabilities_round_to_1():
    metric = PresentationAttackErrors("AUC")
    task = tasks.liveness("y")
    task.update(metric, torch.tensor([[60.0], [59.0], [58.0]]), torch.tensor([0, 0, 1]))
    assert float(metric.compute()) == 1


def test_what_is_not_defined_is_nan():
    lives = (torch.tensor([1.0, -1.0]), torch.tensor([0, 0]))
    for value in VALUES:
        metric = PresentationAttackErrors(value)
        metric.update(*lives)
        assert math.isnan(float(metric.compute())) == (value != "BPCER"), value
        metric = PresentationAttackErrors(value)
        metric.update(lives[0], torch.tensor([1, 2]))
        assert math.isnan(float(metric.compute())) == (value != "APCER"), value
        metric.update(torch.tensor([math.nan, 0.0]), torch.tensor([0, 1]))
        assert math.isnan(float(metric.compute())), value
    errors = attack_errors(*lives, 0.0, LABELS)
    assert math.isnan(errors.apcer)
    assert math.isnan(errors.acer)
    assert errors.bpcer == 0.5


def test_tables_of_processes_add_up():
    """As `sync` joins them; that it does is tested with the areas under curves."""
    logits, kinds = drawn()
    for value in VALUES:
        whole, first, second, idle = (PresentationAttackErrors(value) for _ in range(4))
        whole.update(logits, kinds)
        first.update(logits[:50], kinds[:50])
        second.update(logits[50:], kinds[50:])
        first.tables = torch.cat([first.merged(), second.merged(), idle.merged()])
        assert first.compute() == whole.compute(), value


def test_videos_count_by_the_mean_of_their_frames():
    scores, kinds = by_video(
        torch.tensor([0.9, 0.1, 0.2, 0.4, 0.7, 0.8]),
        torch.tensor([0, 2, 0, 2, -1, 1]),
        torch.tensor([7, 3, 7, 3, 3, -1]),
    )
    assert scores.tolist() == pytest.approx([0.25, 0.55, 0.8])
    assert kinds.tolist() == [2, 0, 1]
    with pytest.raises(UmbelError, match="video 3 has frames of two kinds; a video is live or one attack"):
        by_video(torch.zeros(2), torch.tensor([0, 1]), torch.tensor([3, 3]))
    with pytest.raises(UmbelError, match="videos of shape"):
        by_video(torch.zeros(2), torch.tensor([0, 1]), torch.zeros(3).long())


@pytest.mark.parametrize(("kinds", "what"), [([1, 2, -1], "only attacks"), ([0, 0, -1], "only live samples")])
def test_one_class_has_no_threshold(kinds, what):
    with pytest.raises(UmbelError, match=rf"{what} \(2\): a threshold needs both live samples and attacks"):
        eer_threshold(torch.zeros(3), torch.tensor(kinds))


def test_wrong_samples_are_refused():
    with pytest.raises(UmbelError, match="a kind of attack is 2; its labels name 0 to 1"):
        attack_errors(SCORES, KINDS, 0.5, ("live", "print"))
    with pytest.raises(UmbelError, match="scores that are not finite"):
        eer_threshold(torch.tensor([math.nan, 0.0]), torch.tensor([0, 1]))
    with pytest.raises(UmbelError, match=r"scores of shape \[2\] and kinds of shape \[3\]"):
        det_curve(torch.zeros(2), torch.zeros(3).long())
    with pytest.raises(UmbelError, match=r"scores of shape \[2, 3\]"):
        PresentationAttackErrors("AUC").update(torch.zeros(2, 3), torch.zeros(2, 3))
