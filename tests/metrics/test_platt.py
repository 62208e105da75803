"""Platt scaling is a logistic regression on smoothed answers, and keeps the order of scores."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from umbel.core import UmbelError
from umbel.metrics import PlattScaling, fit_platt


def test_it_is_scikit_learns_logistic_regression_of_smoothed_answers():
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randint(-1, 3, (200,), generator=generator)
    logits = 5 * torch.randn(200, generator=generator) + 40 + 3 * (kinds == 0)
    fitted = fit_platt(logits, kinds)
    assert isinstance(fitted, PlattScaling)
    known = kinds >= 0
    x, live = logits[known].double().numpy(), (kinds[known] == 0).numpy()
    count = live.sum()
    wanted = np.where(live, (count + 1) / (count + 2), 1 / (len(live) - count + 2))
    oracle = LogisticRegression(C=1e6, tol=1e-10, max_iter=1000)
    answers = np.repeat([1, 0], len(x))
    oracle.fit(np.tile(x - 40, 2)[:, None], answers, sample_weight=np.concatenate([wanted, 1 - wanted]))
    theirs = oracle.predict_proba(x[:, None] - 40)[:, 1]
    assert fitted.probability(logits[known]).numpy() == pytest.approx(theirs, abs=1e-4)


def test_classes_that_are_wholly_apart_give_a_finite_scale():
    fitted = fit_platt(torch.tensor([9.0, 8.0, -8.0, -9.0]), torch.tensor([0, 0, 1, 2]))
    assert math.isfinite(fitted.scale)
    probability = fitted.probability(torch.tensor([8.5, -8.5]))
    assert probability.tolist() == pytest.approx([3 / 4, 1 / 4], abs=0.02)  # as the smoothed answers of two and two


@pytest.mark.parametrize("logits", [[-1.0, -2.0, 1.0, 2.0, 3.0], [4.0] * 5])
def test_the_order_stays_where_logits_say_nothing_or_the_opposite(logits):
    fitted = fit_platt(torch.tensor(logits), torch.tensor([0, 0, 1, 2, 1]))
    assert fitted.scale > 0
    assert float(fitted.probability(torch.tensor(logits)).mean()) == pytest.approx(0.43, abs=0.01)  # (3/4·2 + 1/5·3)/5


@pytest.mark.parametrize(
    ("logits", "kinds", "what"),
    [
        ([1.0, 2.0], [0, 0], "2 samples of one class"),
        ([1.0, 2.0], [-1, -1], "0 samples of one class"),
        ([1.0, math.nan], [0, 1], "logits that are not finite"),
        ([1.0, 2.0], [0, 1, 2], "give .n. and whole numbers"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(logits, kinds, what):
    with pytest.raises(UmbelError, match=what):
        fit_platt(torch.tensor(logits), torch.tensor(kinds))
