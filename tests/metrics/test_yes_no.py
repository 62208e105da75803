"""F1 of yes/no answers against scikit-learn, with float targets."""

import pytest
import torch
from sklearn import metrics as oracle

from umbel.metrics.yes_no import YesNoF1


def test_float_targets_give_what_scikit_learn_gives_for_whole_ones():
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(300, generator=generator)
    target = (scores + 0.4 * torch.randn(300, generator=generator) > 0.5).float()
    f1 = YesNoF1()
    for part in (slice(100), slice(100, 300)):
        f1.update(scores[part], target[part])
    assert float(f1.compute()) == pytest.approx(oracle.f1_score(target, scores > 0.5), abs=1e-6)
