"""The mean over samples, whatever the batches."""

import pytest
import torch

from umbel.metrics import SampleMean


class First(SampleMean):
    def update(self, values, target):
        self.add(values[:, 0])


def test_batches_of_any_size_give_the_mean_over_samples():
    """A mean of batch means would give the small batch too much weight."""
    values = torch.arange(14.0).view(7, 2)
    metric = First()
    for part in (values[:1], values[1:3], values[3:]):
        metric.update(part, part)
    assert float(metric.compute()) == pytest.approx(values[:, 0].mean().item())


def test_nothing_measured_is_nan():
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert torch.isnan(First().compute())
